"""A small data set in both layers, of known truth: what is not to be read holds poison."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from publishing import present, publisher

from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, hdfs, metastore, trino
from meterlake import ddl, merged, timegrid
from meterlake.declaration import Derived, MeterSeries
from meterlake.grains import Grain
from meterlake.settings import Settings
from meterlake.state import State, merge_all
from meterlake.units import to_decimal
from meterlake.validation import measure_columns
from meterlake.views import view_columns
from serving_layer.publish.history import History, Record
from serving_layer.publish.publish import Publication
from serving_layer.publish.tables import FOLDER, ViewTable

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
NAME = os.environ.get("METERLAKE_TEST_DATASET", f"merged_test{WORKER}")
DATASET: MeterSeries = replace(
    HOUSEHOLD,
    name=NAME,
    measures=(HOUSEHOLD.measure("global_active_power"), HOUSEHOLD.measure("sub_metering_1")),
    rules=(),
    derived=(Derived("energy_wh", "Wh", "global_active_power_sum / 3.6"),),
    quality=(),
)
GRAINS: tuple[Grain, ...] = ("minute", "hour", "day")
METERS = ("a", "b")
# Paris puts its clock back on the 25th: a local day of 25 hours, and the boundaries lie on it.
FIRST = datetime(2026, 10, 24, 20, tzinfo=UTC)
LAST = datetime(2026, 10, 26, 2, tzinfo=UTC)
NOW = datetime(2026, 10, 26, 3, tzinfo=UTC)
Rows = dict[tuple[str, Any], State]


def clock() -> datetime:
    return NOW


@dataclass(frozen=True)
class Written:
    """A run whose files are written."""

    run_id: str
    boundary: datetime
    tables: dict[str, dict[str, str]]


def show(settings: Settings, run: Written, **more: Any) -> Record:
    """Publish a run; return the record of it."""
    with publisher(settings, DATASET, clock, **more) as result:
        return present(result.publish(publication(result.roll_forward(), run), shapes()))


def publication(history: History, run: Written) -> Publication:
    return Publication.of(history, (run.run_id, run.boundary, None), run.tables, {"mode": "full"})


def minutes() -> Rows:
    """Return the truth: every fifth minute of two meters has a row."""
    result: Rows = {}
    moment = FIRST
    while moment < LAST:
        for number, meter in enumerate(METERS):
            power = 100 + number * 1000 + int(moment.timestamp()) // 300 % 997
            result[meter, moment] = State.of_reading(DATASET, 60, [power, power * 7], flagged=power % 2 == 0)
        moment += timedelta(minutes=5)
    return result


TRUTH = minutes()
# On a full hour, within one, and on either side of the local midnight of the 25-hour day.
BOUNDARIES = [
    datetime(2026, 10, 24, 21, 35, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 13, 20, tzinfo=UTC),
    datetime(2026, 10, 25, 23, 30, tzinfo=UTC),
]


def rolled_up(rows: Mapping[tuple[str, Any], State], grain: Grain) -> Rows:
    """Return the rows of a grain from minutes."""
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for (meter, moment), state in rows.items():
        groups[meter, timegrid.row_time(moment, grain, DATASET.time_zone)].append(state)
    return {key: merge_all(DATASET, states) for key, states in groups.items()}


def poisoned(state: State) -> State:
    return merge_all(DATASET, [state] * 1000)


def run_rows(truth: Rows, boundary: datetime) -> Rows:
    """Return the minutes of a run: what lies beyond its boundary is wrong, as it is incomplete in life."""
    return {key: state if key[1] < boundary else poisoned(state) for key, state in truth.items()}


def physical(state: State) -> tuple[Any, ...]:
    row = state.row()
    result: list[Any] = [row["readings"], row["covered_s"], row["flagged"]]
    for measure in DATASET.measures:
        result += [to_decimal(int(row[name] or 0), measure.scale) for name in measure_columns(measure)]
    return tuple(result)


def naive(time: datetime | date) -> datetime | date:
    return time.replace(tzinfo=None) if isinstance(time, datetime) else time


def shapes() -> list[ViewTable]:
    return [
        ViewTable(
            ddl.view_table(DATASET, view.grain),
            tuple(view_columns(DATASET, view.grain)),
            ddl.partition_columns(view.partition),
        )
        for view in DATASET.views
    ]


def columns(grain: Grain) -> str:
    names = [name for measure in DATASET.measures for name in measure_columns(measure)]
    return ", ".join(["meter_id", grain, "readings", "covered_s", "flagged", *names])


def expected(grain: Grain, meter: str | None = None) -> dict[tuple[str, Any], tuple[Any, ...]]:
    """Return the truth as the merged view must have it."""
    rows = rolled_up(TRUTH, grain)
    return {(name, naive(time)): physical(state) for (name, time), state in rows.items() if meter in (None, name)}


def seen(settings: Settings, grain: Grain, meter: str | None = None) -> dict[tuple[str, Any], tuple[Any, ...]]:
    """Return what a reader of a merged view gets; a row that comes twice is an error."""
    where = f" WHERE meter_id = '{meter}'" if meter else ""
    rows = trino.rows(settings, f"SELECT {columns(grain)} FROM {merged.merged_view(DATASET, grain)}{where}")
    result = {(row[0], row[1]): tuple(row[2:]) for row in rows}
    assert len(result) == len(rows), "a row comes twice"
    return result


def write_layers(settings: Settings, prefix: str) -> list[Written]:
    """Return a run for each boundary; speed rows from the lowest on, and poison before it."""
    write_speed(settings, {key: state if key[1] >= BOUNDARIES[0] else poisoned(state) for key, state in TRUTH.items()})
    return [
        write_run(settings, f"{prefix}-{number}", boundary, run_rows(TRUTH, boundary))
        for number, boundary in enumerate(BOUNDARIES)
    ]


def write_run(settings: Settings, run_id: str, boundary: datetime, rows: Rows) -> Written:
    """Write a run's files as batch would; return it, ready to be published."""
    tables: dict[str, dict[str, str]] = {}
    for view in DATASET.views:
        table = ddl.view_table(DATASET, view.grain)
        parts: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for (meter, time), state in sorted(rolled_up(rows, view.grain).items()):
            parts[view.partition_value(time)].append((meter, naive(time), *physical(state)))
        tables[table] = {}
        for value, listed in parts.items():
            partition = f"{view.partition}={value}/slice={value}"
            folder = f"{FOLDER}/{table}/{partition}/run={run_id}"
            _write(settings, f"{folder}/part.parquet", view.grain, listed)
            tables[table][partition] = f"{settings.hdfs}{folder}"
    return Written(run_id, boundary, tables)


def _write(settings: Settings, path: str, grain: Grain, rows: Iterable[tuple[Any, ...]]) -> None:
    types = {"bigint": pa.int64(), "string": pa.string(), "timestamp": pa.timestamp("us"), "date": pa.date32()}
    fields = [
        (column.name, types.get(column.type.kind) or pa.decimal128(18, column.type.scale))
        for column in view_columns(DATASET, grain)
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(values), kind) for values, (_, kind) in zip(columns, fields, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, schema=pa.schema(fields)), sink, store_decimal_as_integer=True)
    hdfs.client(settings).write(path, data=sink.getvalue().to_pybytes(), overwrite=True)


def make_speed_tables(settings: Settings) -> None:
    """Make the speed tables again."""
    with cassandra.session(settings) as session:
        for table in ("minute", "latest", "recent"):
            session.execute(f"DROP TABLE IF EXISTS {ddl.CASSANDRA_KEYSPACE}.{NAME}_{table}", timeout=60)
        text = "\n".join(line for line in ddl.cassandra_ddl(DATASET).splitlines() if not line.startswith("--"))
        for statement in text.split(";"):
            if statement.strip():
                session.execute(statement, timeout=60)


def write_speed(settings: Settings, rows: Rows) -> None:
    """Write speed rows as the stream does."""
    with cassandra.session(settings) as session:
        names = [column.name for column in ddl.speed_columns(DATASET)]
        insert = session.prepare(
            f"INSERT INTO {ddl.CASSANDRA_KEYSPACE}.{NAME}_minute ({', '.join(names)})"
            f" VALUES ({', '.join('?' for _ in names)})"
        )
        for (meter, moment), state in rows.items():
            row = state.row()
            session.execute(insert, [meter, f"{moment:%Y-%m-%d}", moment, *(row[name] for name in names[3:])])
        for meter in {meter for meter, _ in rows}:
            session.execute(f"INSERT INTO {ddl.CASSANDRA_KEYSPACE}.{NAME}_latest (meter_id) VALUES ('{meter}')")


def forget(settings: Settings) -> None:
    """Remove what an earlier test run has left."""
    with metastore.client(settings) as client:
        for view in DATASET.views:
            metastore.drop_table(client, ddl.HIVE_DATABASE, ddl.view_table(DATASET, view.grain))
    for view in DATASET.views:
        hdfs.client(settings).delete(f"{FOLDER}/{ddl.view_table(DATASET, view.grain)}", recursive=True)
