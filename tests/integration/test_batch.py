"""Batch on the real servers: published, interrupted, rolled back; Hive and Trino give what the core computes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from batch_samples import (
    DATASET,
    DAYS,
    NAME,
    NEW_DAY,
    NOW,
    Killed,
    checksums,
    clock,
    columns,
    current,
    expected,
    fresh,
    history,
    load,
    model,
    readings,
    run,
    seen,
    stored,
)
from publishing import publisher, roll_back, roll_forward
from pyspark.sql import SparkSession

from batch_layer import lease
from engines import hdfs, hive
from engines import spark as engine
from meterlake import merged
from meterlake.errors import RunUnderWay
from meterlake.settings import Settings
from meterlake.views import derived_values
from serving_layer.publish import tables
from serving_layer.publish.folders import difference
from serving_layer.publish.publish import Publication
from serving_layer.sql import query
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with fresh(settings) as result:
        yield result


# Statements here are made of names of these tests alone.
# ruff: noqa: S608
# The tests below are one story and run in this order.


def test_1_the_first_run_answers_in_hive_and_trino_as_the_core_does(session: SparkSession, settings: Settings) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    load(session, settings, rows)
    result = run(settings)
    assert (result["result"], result["mode"], result["read"]) == ("published", "full", len(rows))
    for grain in ("minute", "hour", "day"):
        assert seen(settings, grain) == expected(rows, grain)
        answer = stored(hive.rows(settings, f"SELECT {columns(grain)} FROM batch.{NAME}_{grain}"))
        if grain == "day":
            answer = {(key, date.fromisoformat(str(day))): row for (key, day), row in answer.items()}
        assert answer == expected(rows, grain)


def test_2_the_published_view_has_averages_and_its_source(session: SparkSession, settings: Settings) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    answer = query.run(settings, "trino", f"SELECT * FROM {merged.published_view(DATASET, 'day')}")
    result = {(row["meter_id"], row["day"]): row for row in answer.records()}
    for key, state in model(rows, "day").items():
        assert result[key]["voltage_avg"] == derived_values(DATASET, state)["voltage_avg"]
        assert result[key]["source"] == "batch"
    assert len(result) == len(model(rows, "day"))


def test_3_gaps_lie_between_first_and_last_reading(session: SparkSession, settings: Settings) -> None:
    missing = hive.rows(settings, f"SELECT meter_id, sum(missing_s), count(*) FROM batch.{NAME}_gaps GROUP BY meter_id")
    between = 3 * 144 - 1  # between 432 readings, nine minutes each
    assert sorted(missing) == [("a", between * 540, between), ("b", between * 540, between)]


def test_4_nothing_new_changes_nothing_and_needs_no_spark(
    session: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = history(settings)
    monkeypatch.delattr(engine, "session")
    assert run(settings)["result"] == "nothing has changed"
    assert history(settings) == before


def test_5_a_batch_killed_while_it_publishes_is_finished_by_the_next_command(
    session: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(session, settings, readings(NEW_DAY))
    rows = [row for day in (*DAYS, NEW_DAY) for row in readings(day)]
    old = seen(settings)
    whole = tables.switch

    def dying(settings: Settings, table: str, *arguments: Any) -> None:
        if table == f"{NAME}_minute":
            raise Killed
        whole(settings, table, *arguments)

    monkeypatch.setattr(tables, "switch", dying)
    with pytest.raises(Killed):
        run(settings)
    assert history(settings).begun is not None
    assert seen(settings) == old
    monkeypatch.undo()
    settled = roll_forward(settings, DATASET, clock)
    assert settled.begun is None
    assert seen(settings) == expected(rows, "minute")
    assert roll_forward(settings, DATASET, clock) == settled


def test_6_that_run_read_one_day_and_wrote_its_slices(session: SparkSession, settings: Settings) -> None:
    details = current(settings).details
    assert details["mode"] == "incremental"
    assert details["tables"]["master"] == {
        "days": [NEW_DAY.isoformat()],
        "files_read": 1,
        "bytes_read": details["tables"]["master"]["bytes_read"],
        "readings": len(readings(NEW_DAY)),
    }
    minute = details["tables"][f"{NAME}_minute"]
    assert {name[:10] for name in minute["slices_rewritten"]} == {NEW_DAY.isoformat()}
    assert minute["files_written"] == len(minute["slices_rewritten"])
    assert minute["bytes_copied_from"] == 0
    first = history(settings).runs[1].record.details["tables"]
    assert details["tables"]["master"]["bytes_read"] < first["master"]["bytes_read"]


def test_7_roll_back_shows_the_earlier_run_and_the_next_batch_starts_from_its_input(
    session: SparkSession, settings: Settings
) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    second, first = (run.record for run in history(settings).runs)
    record = roll_back(settings, DATASET, first.run_id, clock)
    assert (record.event, record.snapshot) == ("rolled_back", first.snapshot)
    for grain in ("minute", "hour", "day"):
        assert seen(settings, grain) == expected(rows, grain)
    again = run(settings)
    assert (again["mode"], again["days"]) == ("incremental", 1)
    assert seen(settings) == expected([*rows, *readings(NEW_DAY)], "minute")
    assert current(settings) != second


def test_8_a_full_run_gives_the_same_rows_and_old_folders_go(session: SparkSession, settings: Settings) -> None:
    before = {grain: seen(settings, grain) for grain in ("minute", "hour", "day")}
    contents = []
    for _ in range(2):
        assert run(settings, full=True)["mode"] == "full"
        contents.append(checksums(settings))
    assert contents[0] == contents[1]
    tables = {table.removeprefix(f"{NAME}_") for table, _ in contents[0]}
    assert tables == {"minute", "hour", "day", "gaps", "meters"}  # no rejects
    assert {grain: seen(settings, grain) for grain in before} == before
    runs = history(settings).runs
    (place,) = {name for name in runs[0].tables[f"{NAME}_hour"] if NEW_DAY.isoformat() in name}
    listed = hdfs.client(settings).list(f"/meterlake/batch/{NAME}_hour/{place}")
    places = [run.tables[f"{NAME}_hour"].get(place, "") for run in runs]
    assert set(listed) == {folder.rpartition("/")[2] for folder in places if folder}
    assert len(runs) == 4


def test_9_a_publish_killed_before_any_of_its_steps_is_finished_by_the_next_command(
    session: SparkSession, settings: Settings
) -> None:
    newest, *_, oldest = history(settings).runs
    shown = {newest.run_id: seen(settings)}
    roll_back(settings, DATASET, oldest.run_id, clock)
    shown[oldest.run_id] = seen(settings)
    steps = ["publishing", *sorted(difference(newest.tables, oldest.tables)), "views", "published"]
    for number, fatal in enumerate(steps):
        source = oldest if history(settings).tables == newest.tables else newest  # the one that is not shown
        about = (f"killed-{number}", source.record.boundary, source.record.snapshot)
        wanted = Publication.of(history(settings), about, source.tables)
        before = seen(settings)

        def step(name: str, fatal: str = fatal) -> None:
            if name == fatal:
                raise Killed

        with pytest.raises(Killed), publisher(settings, DATASET, clock, step) as result:
            result.publish(wanted, [])
        assert seen(settings) in (before, shown[source.run_id])
        settled = roll_forward(settings, DATASET, clock)
        begun = fatal != "publishing"  # before its first record, a publish has changed nothing
        assert seen(settings) == (shown[source.run_id] if begun else before)
        assert settled.current is not None
        assert (settled.current.run_id == wanted.run_id) == begun


def test_two_runs_are_kept_apart_and_a_dead_one_loses_its_lease(stack: Instance, settings: Settings) -> None:
    with lease.held(settings, NAME, "batch", clock) as first:
        with pytest.raises(RunUnderWay, match="batch by process"), lease.held(settings, NAME, "other", clock):
            pass
        later = NOW + lease.TERM + timedelta(seconds=1)
        with lease.held(settings, NAME, "other", lambda: later), pytest.raises(lease.LeaseLost):
            first.check()
    with lease.held(settings, NAME, "third", clock) as third:
        third.check()


@pytest.mark.parametrize(
    ("engine", "sql", "row"),
    [
        ("trino", "SELECT TIMESTAMP '2026-01-02 03:04:05' AS t, 1.50 AS d, 1 AS x, 2 AS x",
         {"t": datetime(2026, 1, 2, 3, 4, 5), "d": Decimal("1.50"), "x": 1, "x_2": 2}),  # noqa: DTZ001
        ("hive", "SELECT cast(1.5 as decimal(18,3)) AS d", {"d": Decimal("1.500")}),
        ("cassandra", "SELECT cluster_name FROM system.local", None),
    ],
)  # fmt: skip
def test_queries_have_named_columns(stack: Instance, settings: Settings, engine: Any, sql: str, row: Any) -> None:
    result = query.run(settings, engine, sql + ";").records()
    assert len(result) == 1
    assert row is None or result[0] == row
