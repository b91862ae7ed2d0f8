"""Batch on the real servers: published, interrupted, rolled back; Hive and Trino give what the core computes."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from batch_layer import lease
from batch_layer.views.plan import Request
from engines import hdfs, hive, metastore, spark, trino
from engines.master import master
from engines.table_format import Table
from meterlake import timegrid
from meterlake.cli import batch_commands
from meterlake.datasets.household import HOUSEHOLD
from meterlake.declaration import Dataset, View
from meterlake.reading import Reading
from meterlake.schema import master_fields
from meterlake.settings import Settings
from meterlake.state import State, merge_all
from meterlake.units import to_decimal
from meterlake.validation import measure_columns
from meterlake.views import derived_values
from serving_layer.publish import history as past
from serving_layer.publish import publish, records
from serving_layer.sql import query, views
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME = "batch_test"
DATASET: Dataset = replace(
    HOUSEHOLD,
    name=NAME,
    measures=(HOUSEHOLD.measure("global_active_power"), HOUSEHOLD.measure("voltage")),
    rules=(),
    derived=(),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
DAYS = [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]  # Paris: a day of 23 hours in the middle
NEW_DAY = date(2026, 3, 31)
LOADED = datetime(2026, 4, 10, tzinfo=UTC)
NOW = datetime(2026, 4, 11, tzinfo=UTC)


class Killed(BaseException):
    """What ends a process in the middle; nobody catches it."""


def clock() -> datetime:
    return NOW


def readings(day: date) -> list[Reading]:
    """Return a reading every ten minutes of a UTC day."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return [
        Reading(meter, ts, 60, (0.1 + ts % 7 / 10, 229.99 + ts % 13), received_at=LOADED, origin="x", origin_offset=ts)
        for meter in ("a", "b")
        for ts in range(start, start + 86_400, 600)
    ]


def load(session: SparkSession, settings: Settings, rows: list[Reading]) -> Table:
    schema = ", ".join(f"{field.name} {field.type.sql('spark')}" for field in master_fields(DATASET))
    data = [
        (
            row.meter_id,
            datetime.fromtimestamp(row.ts, UTC).replace(tzinfo=None),
            row.interval_s,
            *row.values,
            row.revision,
            row.received_at.replace(tzinfo=None),
            row.origin,
            row.origin_partition,
            row.origin_offset,
            "load",
        )
        for row in rows
    ]
    table = master(session, settings, DATASET)
    table.append(session.createDataFrame(data, schema).coalesce(1), {})
    return table


def model(rows: list[Reading], grain: Any) -> dict[tuple[str, Any], State]:
    """Return a view straight from readings, by the core alone."""
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for row in rows:
        start: Any = timegrid.local_day(row.ts, DATASET.time_zone)
        if grain != "day":
            length = {"minute": 60, "hour": 3600}[grain]
            start = datetime.fromtimestamp(row.ts - row.ts % length, UTC).replace(tzinfo=None)
        units = [value for value in row.units(DATASET) if value is not None]
        groups[row.meter_id, start].append(State.of_reading(DATASET, row.interval_s, units))
    return {key: merge_all(DATASET, states) for key, states in groups.items()}


def physical(state: State) -> tuple[Any, ...]:
    """Return a state as the tables hold it."""
    row = state.row()
    found: list[Any] = [row["readings"], row["covered_s"], row["flagged"]]
    for measure in DATASET.measures:
        found += [to_decimal(int(row[name] or 0), measure.scale) for name in measure_columns(measure)]
    return tuple(found)


def stored(rows: Any) -> dict[tuple[str, Any], tuple[Any, ...]]:
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def expected(rows: list[Reading], grain: Any) -> dict[tuple[str, Any], tuple[Any, ...]]:
    return {key: physical(state) for key, state in model(rows, grain).items()}


def columns(grain: str) -> str:
    names = [name for measure in DATASET.measures for name in measure_columns(measure)]
    return ", ".join(["meter_id", grain, "readings", "covered_s", "flagged", *names])


def seen(settings: Settings, grain: str = "minute") -> dict[tuple[str, Any], tuple[Any, ...]]:
    """Return a view as Trino reads it."""
    return stored(trino.rows(settings, f"SELECT {columns(grain)} FROM hive.batch.{NAME}_{grain}"))


def run(settings: Settings, **request: Any) -> dict[str, Any]:
    return batch_commands.batch_once(settings, DATASET, Request(**request), clock)


def history(settings: Settings) -> list[past.Record]:
    return records.load(settings, NAME)


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    forget(settings)
    with spark.session(settings, "batch-test") as found:
        found.sql(f"DROP TABLE IF EXISTS iceberg.master.{NAME}")
        if found.catalog.tableExists(records.FULL_NAME):
            found.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{NAME}'")
        yield found
    gc.collect()


def forget(settings: Settings) -> None:
    """Remove what an earlier test run has left."""
    with metastore.client(settings) as client:
        for table in ("minute", "hour", "day", "gaps", "rejects"):
            metastore.drop_table(client, "batch", f"{NAME}_{table}")
    for table in ("minute", "hour", "day", "gaps", "rejects"):
        hdfs.client(settings).delete(f"/meterlake/batch/{NAME}_{table}", recursive=True)
    hdfs.client(settings).delete(f"{lease.FOLDER}/{NAME}.json")


# Statements here are made of names of this module alone.
# ruff: noqa: S608
# The tests below are one story and run in this order.


def test_1_the_first_run_answers_in_hive_and_trino_as_the_core_does(session: SparkSession, settings: Settings) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    load(session, settings, rows)
    result = run(settings)
    assert (result["result"], result["mode"], result["read"]) == ("published", "full", len(rows))
    for grain in ("minute", "hour", "day"):
        assert seen(settings, grain) == expected(rows, grain)
        found = stored(hive.rows(settings, f"SELECT {columns(grain)} FROM batch.{NAME}_{grain}"))
        if grain == "day":
            found = {(key, date.fromisoformat(str(day))): row for (key, day), row in found.items()}
        assert found == expected(rows, grain)


def test_2_the_published_view_has_averages_and_its_source(session: SparkSession, settings: Settings) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    answer = query.run(settings, "trino", f"SELECT * FROM {views.published_view(DATASET, 'day')}")
    found = {(row["meter_id"], row["day"]): row for row in answer.records()}
    for key, state in model(rows, "day").items():
        assert found[key]["voltage_avg"] == derived_values(DATASET, state)["voltage_avg"]
        assert found[key]["source"] == "batch"
    assert len(found) == len(model(rows, "day"))


def test_3_gaps_lie_between_first_and_last_reading(session: SparkSession, settings: Settings) -> None:
    missing = hive.rows(settings, f"SELECT meter_id, sum(missing_s), count(*) FROM batch.{NAME}_gaps GROUP BY meter_id")
    between = 3 * 144 - 1  # between 432 readings, nine minutes each
    assert sorted(missing) == [("a", between * 540, between), ("b", between * 540, between)]


def test_4_nothing_new_changes_nothing(session: SparkSession, settings: Settings) -> None:
    before = history(settings)
    assert run(settings)["result"] == "nothing has changed"
    assert history(settings) == before


def test_5_a_batch_killed_while_it_publishes_is_finished_by_the_next_command(
    session: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(session, settings, readings(NEW_DAY))
    rows = [row for day in (*DAYS, NEW_DAY) for row in readings(day)]
    old = seen(settings)
    whole = publish.publish

    def dying(*arguments: Any) -> Any:
        def step(name: str) -> None:
            if name == f"{NAME}_minute":
                raise Killed

        return whole(*arguments, step)

    monkeypatch.setattr(publish, "publish", dying)
    with pytest.raises(Killed):
        run(settings)
    assert history(settings)[-1].event == "publishing"
    assert seen(settings) == old
    monkeypatch.undo()
    settled = publish.roll_forward(settings, DATASET, clock)
    assert settled[-1].event == "published"
    assert seen(settings) == expected(rows, "minute")
    assert publish.roll_forward(settings, DATASET, clock) == settled


def test_6_that_run_read_one_day_and_rewrote_one_partition(session: SparkSession, settings: Settings) -> None:
    details = history(settings)[-1].details
    assert details["mode"] == "incremental"
    assert details["tables"]["master"] == {
        "days": [NEW_DAY.isoformat()],
        "files_read": 1,
        "bytes_read": details["tables"]["master"]["bytes_read"],
        "readings": len(readings(NEW_DAY)),
    }
    minute = details["tables"][f"{NAME}_minute"]
    assert minute["partitions_rewritten"] == ["2026-03"]
    assert (minute["files_written"], minute["files_copied_from"]) == (1, 1)


def test_7_roll_back_shows_the_earlier_run_and_the_next_batch_starts_from_its_input(
    session: SparkSession, settings: Settings
) -> None:
    rows = [row for day in DAYS for row in readings(day)]
    first, second = (found for found in history(settings) if found.event == "published")
    record = publish.roll_back(settings, DATASET, first.run_id, clock)
    assert (record.event, record.snapshot) == ("rolled_back", first.snapshot)
    for grain in ("minute", "hour", "day"):
        assert seen(settings, grain) == expected(rows, grain)
    again = run(settings)
    assert (again["mode"], again["days"]) == ("incremental", 1)
    assert seen(settings) == expected([*rows, *readings(NEW_DAY)], "minute")
    assert past.current(history(settings)) != second


def test_8_a_full_run_gives_the_same_rows_and_old_folders_go(session: SparkSession, settings: Settings) -> None:
    before = {grain: seen(settings, grain) for grain in ("minute", "hour", "day")}
    for _ in range(2):
        assert run(settings, full=True)["mode"] == "full"
    assert {grain: seen(settings, grain) for grain in before} == before
    listed = hdfs.client(settings).list(f"/meterlake/batch/{NAME}_minute/month=2026-03")
    kept = {found.after[f"{NAME}_minute"]["2026-03"].rpartition("/")[2] for found in past.reachable(history(settings))}
    assert set(listed) == kept
    assert len(kept) == 4


def test_9_a_publish_killed_before_any_of_its_steps_is_finished_by_the_next_command(
    session: SparkSession, settings: Settings
) -> None:
    newest, *_, oldest = past.reachable(history(settings))
    shown = {newest.run_id: seen(settings)}
    publish.roll_back(settings, DATASET, oldest.run_id, clock)
    shown[oldest.run_id] = seen(settings)
    steps = [
        "publishing",
        *(f"{NAME}_{table}" for table in ("day", "gaps", "hour", "minute", "rejects")),
        "views",
        "published",
    ]
    for number, fatal in enumerate(steps):
        source = (newest, oldest)[number % 2]
        wanted = publish.Publication(f"killed-{number}", source.boundary, source.snapshot, source.after)
        before = seen(settings)

        def step(name: str, fatal: str = fatal) -> None:
            if name == fatal:
                raise Killed

        with pytest.raises(Killed):
            publish.publish(settings, DATASET, wanted, [], clock, step)
        assert seen(settings) in (before, shown[source.run_id])
        settled = publish.roll_forward(settings, DATASET, clock)
        begun = fatal != "publishing"  # before its first record, a publish has changed nothing
        assert seen(settings) == (shown[source.run_id] if begun else before)
        assert (settled[-1].run_id == wanted.run_id) == begun


def test_two_runs_are_kept_apart_and_a_dead_one_loses_its_lease(stack: Instance, settings: Settings) -> None:
    with lease.held(settings, NAME, "batch", clock) as first:
        with pytest.raises(lease.RunUnderWay, match="batch by process"), lease.held(settings, NAME, "other", clock):
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
    found = query.run(settings, engine, sql + ";").records()
    assert len(found) == 1
    assert row is None or found[0] == row
