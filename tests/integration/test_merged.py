"""The merged views on the real servers: each minute from one layer, whatever is published or rolled back meanwhile."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import merged_samples as samples
import pytest
from contract_truth import assert_kept
from merged_samples import (
    BOUNDARIES,
    DATASET,
    FIRST,
    GRAINS,
    LAST,
    METERS,
    NAME,
    TRUTH,
    clock,
    expected,
    seen,
    show,
)
from publishing import present, publisher, roll_back, roll_forward
from pyspark.sql import SparkSession
from reader_loop import reading

from engines import cassandra, spark, trino
from meterlake import merged
from meterlake.contract.series import contract
from meterlake.ddl import CASSANDRA_KEYSPACE, view_table
from meterlake.errors import RollbackLosesMinutes
from meterlake.grains import Grain
from meterlake.settings import Settings
from serving_layer.merged.layers import Window
from serving_layer.merged.merge import merged_rows
from serving_layer.publish import records
from serving_layer.sql import query, views
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    samples.forget(settings)
    samples.make_speed_tables(settings)
    with spark.session(settings, "merged-test") as result:
        if result.catalog.tableExists(records.FULL_NAME):
            result.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{NAME}'")
        yield result
    gc.collect()


@pytest.fixture(scope="module")
def runs(session: SparkSession, settings: Settings) -> list[samples.Written]:
    return samples.write_layers(settings, "run")


class Killed(BaseException):
    """What ends a process in the middle; nobody catches it."""


def test_a_speed_layer_is_there_as_soon_as_its_table_is(stack: Instance, settings: Settings) -> None:
    # Trino learns of a new table some moments after Cassandra has answered that it is made.
    samples.make_speed_tables(settings)  # and the keyspace, where no test before this one has
    with cassandra.session(settings) as speed:
        for number in range(3):
            other = replace(DATASET, name=f"{NAME}new{number}")
            table = f"{CASSANDRA_KEYSPACE}.{view_table(other, 'minute')}"
            assert not views.has_speed_layer(settings, other)
            speed.execute(f"CREATE TABLE {table} (meter_id text PRIMARY KEY)", timeout=60)
            try:
                assert views.has_speed_layer(settings, other)
                assert trino.rows(settings, f"SELECT * FROM {merged.speed_table(other)}") == []
            finally:
                speed.execute(f"DROP TABLE {table}", timeout=60)


# The tests below are one story and run in this order.


def test_1_live_only_a_viewer_sees_what_speed_has(session: SparkSession, settings: Settings) -> None:
    with publisher(settings, DATASET, clock) as result:
        result.prepare(samples.shapes())
    assert seen(settings, "minute") == {}
    row = {("live", LAST): next(iter(TRUTH.values()))}
    samples.write_speed(settings, row)
    for grain in GRAINS:
        assert [key[0] for key in seen(settings, grain)] == ["live"]
    samples.make_speed_tables(settings)


@pytest.mark.parametrize("number", range(len(BOUNDARIES)))
def test_2_every_grain_is_whole_at_every_boundary(runs: list[samples.Written], settings: Settings, number: int) -> None:
    record = show(settings, runs[number])
    assert record.boundary == BOUNDARIES[number] == views.current_cutover(settings, DATASET)
    for grain in GRAINS:
        assert seen(settings, grain) == expected(grain)
    assert seen(settings, "hour", "b") == expected("hour", "b")


def test_3_source_says_which_layer_answers(runs: list[samples.Written], settings: Settings) -> None:
    show(settings, runs[2])
    result = {}
    for grain in GRAINS:
        rows = trino.rows(settings, f"SELECT {grain}, source FROM {merged.merged_view(DATASET, grain)}")
        result[grain] = dict(rows)
    cutover = BOUNDARIES[2].replace(tzinfo=None)
    assert all((source == "batch") == (minute < cutover) for minute, source in result["minute"].items())
    hour = cutover.replace(minute=0)
    around = [hour + timedelta(hours=step) for step in (-1, 0, 1)]
    assert [result["hour"][time] for time in around] == ["batch", "both", "speed"]
    assert [result["day"][date(2026, 10, day)] for day in (24, 25, 26)] == ["batch", "both", "speed"]


def test_3_views_are_as_the_contract_promises(runs: list[samples.Written], settings: Settings) -> None:
    assert_kept(settings, [table for table in contract(DATASET).tables if table.kind == "view"])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_4_python_merges_to_the_same_rows(runs: list[samples.Written], settings: Settings, number: int) -> None:
    show(settings, runs[number])
    windows: dict[Grain, tuple[Any, Any]] = {
        "minute": (FIRST, LAST),
        "hour": (FIRST - timedelta(minutes=30), LAST - timedelta(minutes=90)),
        "day": (date(2026, 10, 24), date(2026, 10, 27)),
    }
    for grain, (since, until) in windows.items():
        low, high = (
            f"CAST('{samples.naive(time)}' AS {'DATE' if grain == 'day' else 'TIMESTAMP'})" for time in (since, until)
        )
        view = merged.merged_view(DATASET, grain)
        wanted = query.run(
            settings, "trino", f"SELECT * FROM {view} WHERE {grain} >= {low} AND {grain} < {high} ORDER BY 1, 2"
        )
        result = merged_rows(settings, DATASET, grain, Window(METERS, since, until))
        assert result == wanted.records()
        assert result


@pytest.mark.slow
def test_5_killed_at_any_step_readers_see_the_truth_and_the_next_command_finishes(
    runs: list[samples.Written], settings: Settings
) -> None:
    tables = [f"{NAME}_{grain}" for grain in sorted(GRAINS)]
    rising = [*tables, "views", "reconcile", "published"]
    falling = ["views", "settle", *reversed(tables), "published"]
    show(settings, runs[1])
    for number, steps in enumerate(zip(rising, falling, strict=True)):
        for wanted, fatal in zip((runs[2], runs[1]), steps, strict=True):
            killed = replace(wanted, run_id=f"{wanted.run_id}-killed-{number}")

            def step(name: str, fatal: str = fatal) -> None:
                if name == fatal:
                    raise Killed

            with pytest.raises(Killed):
                show(settings, killed, step=step)
            assert seen(settings, "hour", "a") == expected("hour", "a")
            settled = roll_forward(settings, DATASET, clock)
            assert (present(settled).run_id, present(settled).event) == (killed.run_id, "published")
            assert seen(settings, "hour", "a") == expected("hour", "a")
            assert views.current_cutover(settings, DATASET) == killed.boundary


def test_6_a_roll_back_over_expired_rows_is_refused_and_lists_what_is_uncovered(
    runs: list[samples.Written], settings: Settings
) -> None:
    show(settings, runs[0])
    show(settings, runs[3])
    short = settings.model_copy(update={"speed_ttl": samples.NOW - BOUNDARIES[2]})
    with pytest.raises(RollbackLosesMinutes, match="--allow-gap"):
        roll_back(short, DATASET, "run-0", clock)
    assert seen(settings, "day") == expected("day")
    record = roll_back(short, DATASET, "run-0", clock, allow_gap=True)
    uncovered = [BOUNDARIES[0].isoformat(), (BOUNDARIES[2] + timedelta(minutes=1)).isoformat()]
    assert record.details["uncovered"] == uncovered


def test_7_readers_see_nothing_wrong_while_runs_are_published_and_rolled_back(
    runs: list[samples.Written], settings: Settings
) -> None:
    wanted = {(grain, meter): expected(grain, meter) for grain in GRAINS for meter in (None, *METERS)}

    def check(grain: Grain, number: int) -> str:
        meter = (None, *METERS)[number % 3]
        return "" if seen(settings, grain, meter) == wanted[grain, meter] else f"other rows, meter {meter}"

    with reading(check, readers=2) as answers:
        for number in (3, 1, 2):
            show(settings, runs[number])
        roll_back(settings, DATASET, "run-1", clock)
        roll_back(settings, DATASET, "run-3", clock)  # forward again: the tables first
        roll_back(settings, DATASET, "run-2", clock)
    assert answers.wrong == []
    assert all(answers.counts[grain] for grain in GRAINS)


def test_8_the_layers_are_compared_within_a_budget_and_what_is_left_is_caught_up_with(
    runs: list[samples.Written], settings: Settings
) -> None:
    def minutes(since: datetime, until: datetime) -> int:
        return sum(since <= moment < until for _, moment in TRUTH)

    show(settings, runs[0])
    compared = show(settings, runs[1]).details["reconciliation"]
    assert (compared["equal"], compared["examples"]) == (minutes(BOUNDARIES[0], BOUNDARIES[1]), [])
    assert sum(count for count in compared.values() if isinstance(count, int)) == compared["equal"]
    assert "pending" not in compared

    busy = settings.model_copy(update={"reconcile_budget": timedelta(0)})
    record = show(busy, runs[2])
    left = record.details["reconciliation"]
    assert left["equal"] == 0
    assert left["pending"]["since"] == BOUNDARIES[1].isoformat()
    assert "There was more to compare than can be done in 0 s" in left["pending"]["reason"]
    assert record.boundary == BOUNDARIES[2]  # readers do not wait for it
    assert all(seen(settings, grain) == expected(grain) for grain in GRAINS)

    caught_up = show(settings, runs[3]).details["reconciliation"]
    assert caught_up["since"] == BOUNDARIES[1].isoformat()
    assert caught_up["equal"] == minutes(BOUNDARIES[1], BOUNDARIES[3])
    assert "pending" not in caught_up
