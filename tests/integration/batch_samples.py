"""A small data set for the tests of batch: its readings, its views by the core alone, and as the servers show them."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import SparkSession

from batch_layer import lease
from batch_layer.views.plan import Request
from cli import batch_commands
from datasets.household.declaration import HOUSEHOLD
from engines import hdfs, metastore, spark, trino
from engines.master import master
from engines.table_format import Table
from meterlake import timegrid
from meterlake.declaration import MeterSeries, View
from meterlake.reading import Reading
from meterlake.schema import master_fields
from meterlake.settings import Settings
from meterlake.state import State, merge_all
from meterlake.units import to_decimal
from meterlake.validation import measure_columns
from serving_layer.publish import records
from serving_layer.publish.history import History, Record

# Statements here are made of names of this module alone.
# ruff: noqa: S608

NAME = "batch_test"
DATASET: MeterSeries = replace(
    HOUSEHOLD,
    name=NAME,
    measures=(HOUSEHOLD.measure("global_active_power"), HOUSEHOLD.measure("voltage")),
    rules=(),
    derived=(),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
TABLES = ("minute", "hour", "day", "gaps", "rejects", "meters", "quality")
DAYS = [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]  # Paris: a day of 23 hours in the middle
NEW_DAY = date(2026, 3, 31)
LOADED = datetime(2026, 6, 1, tzinfo=UTC)  # after every day that a test may load: readings from the future are rejected
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


def load(session: SparkSession, settings: Settings, rows: list[Reading], dataset: MeterSeries = DATASET) -> Table:
    schema = ", ".join(f"{field.name} {field.type.sql('spark')}" for field in master_fields(dataset))
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
    table = master(session, settings, dataset)
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
    result: list[Any] = [row["readings"], row["covered_s"], row["flagged"]]
    for measure in DATASET.measures:
        result += [to_decimal(int(row[name] or 0), measure.scale) for name in measure_columns(measure)]
    return tuple(result)


def stored(rows: Any) -> dict[tuple[str, Any], tuple[Any, ...]]:
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def expected(rows: list[Reading], grain: Any) -> dict[tuple[str, Any], tuple[Any, ...]]:
    return {key: physical(state) for key, state in model(rows, grain).items()}


def columns(grain: str) -> str:
    names = [name for measure in DATASET.measures for name in measure_columns(measure)]
    return ", ".join(["meter_id", grain, "readings", "covered_s", "flagged", *names])


def seen(settings: Settings, grain: str = "minute", dataset: MeterSeries = DATASET) -> dict[tuple[str, Any], Any]:
    """Return a view as Trino reads it."""
    return stored(trino.rows(settings, f"SELECT {columns(grain)} FROM hive.batch.{dataset.name}_{grain}"))


def run(settings: Settings, dataset: MeterSeries = DATASET, **request: Any) -> dict[str, Any]:
    return batch_commands.batch_once(settings, dataset, Request(**request), clock)


def history(settings: Settings, dataset: MeterSeries = DATASET) -> History:
    return records.load(settings, dataset.name)


def current(settings: Settings, dataset: MeterSeries = DATASET) -> Record:
    result = history(settings, dataset).current
    assert result is not None
    return result


def checksums(settings: Settings, dataset: MeterSeries = DATASET) -> dict[tuple[str, str], list[str]]:
    """Return HDFS's checksum of every file that readers see, by table and partition."""
    client, result = hdfs.client(settings), {}
    for table, partitions in history(settings, dataset).tables.items():
        for value, folder in partitions.items():
            place = "/" + folder.split("/", 3)[3]
            files = [name for name in client.list(place) if name.endswith(".parquet")]
            result[table, value] = [client.checksum(f"{place}/{name}")["bytes"] for name in files]
    return result


@contextmanager
def fresh(settings: Settings, dataset: MeterSeries = DATASET) -> Iterator[SparkSession]:
    """Open a session, everything removed that an earlier test run has left of a data set."""
    _forget(settings, dataset)
    with spark.session(settings, "batch-test") as result:
        result.sql(f"DROP TABLE IF EXISTS iceberg.master.{dataset.name} PURGE")
        if result.catalog.tableExists(records.FULL_NAME):
            result.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{dataset.name}'")
        yield result
    gc.collect()


def _forget(settings: Settings, dataset: MeterSeries) -> None:
    with metastore.client(settings) as client:
        for table in TABLES:
            metastore.drop_table(client, "batch", f"{dataset.name}_{table}")
    for table in TABLES:
        hdfs.client(settings).delete(f"/meterlake/batch/{dataset.name}_{table}", recursive=True)
    hdfs.client(settings).delete(f"{lease.FOLDER}/{dataset.name}.json")
