"""Views of a few readings, made with DuckDB and the core's own SQL, for tests of the reports."""

# ruff: noqa: S608 - names come from a declaration
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from meterlake.ddl import gaps_table, view_table
from meterlake.declaration import MeterSeries
from meterlake.state import merge_aggregates, physical, state_aggregates, unit_columns
from meterlake.timegrid import row_time_sql
from serving_layer.reports.sources import SqlSource

METER = "house-1"
PARTITION = {"month": "%Y-%m", "year": "%Y"}


def minutes(since: datetime, count: int, *, meter: str = METER, **values: float) -> list[dict[str, Any]]:
    """Readings of one minute each from ``since`` (UTC wall clock), all with the same values."""
    plain = {"global_active_power": 1.0, "global_reactive_power": 0.0, "voltage": 230.0, "global_intensity": 5.0}
    amounts = {"sub_metering_1": 0.0, "sub_metering_2": 0.0, "sub_metering_3": 0.0}
    fixed = {"meter_id": meter, "interval_s": 60, "flagged": 0, **plain, **amounts, **values}
    return [{**fixed, "ts": since + timedelta(minutes=step)} for step in range(count)]


def build(
    connection: duckdb.DuckDBPyConnection,
    dataset: MeterSeries,
    readings: Iterable[dict[str, Any]],
    schema: str = "batch",
) -> None:
    """Make the tables of all views and of the gaps."""
    columns = ["meter_id", "ts", "interval_s", "flagged", *(measure.name for measure in dataset.measures)]
    types = ["VARCHAR", "TIMESTAMP", "INTEGER", "INTEGER", *("DOUBLE" for _ in dataset.measures)]
    declared = ", ".join(f"{name} {kind}" for name, kind in zip(columns, types, strict=True))
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE OR REPLACE TEMP TABLE readings ({declared})")
    frame = pd.DataFrame(list(readings), columns=columns)
    connection.register("given", frame)
    connection.execute("INSERT INTO readings SELECT * FROM given")
    connection.unregister("given")
    units = f"SELECT *, {_select(unit_columns(dataset))} FROM readings"
    finest, zone = dataset.finest.grain, dataset.time_zone
    start = row_time_sql("ts", finest, zone, "duckdb")
    rows = _group(start, finest, state_aggregates(dataset, "duckdb"), f"({units})")
    queries = {finest: f"SELECT meter_id, {finest}, {_select(physical(dataset, 'duckdb'))} FROM ({rows})"}
    merged = merge_aggregates(dataset, "duckdb", "decimal")
    source = f"{schema}.{view_table(dataset, finest)}"
    for view in dataset.views:
        start = row_time_sql(finest, view.grain, zone, "duckdb")
        queries.setdefault(view.grain, _group(start, view.grain, merged, source))
    for view in dataset.views:
        pattern = f"strftime({view.grain}, '{PARTITION[view.partition]}') AS {view.partition}"
        text = f"SELECT *, {pattern} FROM ({queries[view.grain]}) ORDER BY 1, 2"
        connection.execute(f"CREATE OR REPLACE TABLE {schema}.{view_table(dataset, view.grain)} AS {text}")
    _gaps(connection, dataset, schema, source)


def _gaps(connection: duckdb.DuckDBPyConnection, dataset: MeterSeries, schema: str, source: str) -> None:
    """A gap that crosses a month is a row in each (here: in at most two)."""
    time = dataset.finest.grain
    runs = (
        f"SELECT meter_id, {time} + INTERVAL {dataset.cell_s} SECOND AS gap_start, "
        f"LEAD({time}) OVER (PARTITION BY meter_id ORDER BY {time}) AS gap_end FROM {source}"
    )
    edge = "date_trunc('month', gap_end)"
    crosses = f"{edge} > gap_start AND {edge} < gap_end"
    parts = (
        f"SELECT meter_id, gap_start, CASE WHEN {crosses} THEN {edge} ELSE gap_end END AS gap_end FROM runs "
        f"UNION ALL SELECT meter_id, {edge}, gap_end FROM runs WHERE {crosses}"
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE {schema}.{gaps_table(dataset)} AS WITH runs AS "
        f"(SELECT * FROM ({runs}) WHERE gap_end > gap_start), parts AS ({parts}) "
        "SELECT *, CAST(epoch(gap_end - gap_start) AS BIGINT) AS missing_s, strftime(gap_start, '%Y-%m') AS month "
        "FROM parts"
    )


def source_for(connection: duckdb.DuckDBPyConnection, schema: str = "batch") -> SqlSource:
    """The tables as a source."""

    def run(statement: str, values: list[Any]) -> Sequence[Sequence[Any]]:
        return connection.execute(statement, values).fetchall()

    return SqlSource("test", "batch views, in a test", "duckdb", schema, run)


def _group(start: str, grain: str, aggregates: list[tuple[str, str]], source: str) -> str:
    return f"SELECT meter_id, {start} AS {grain}, {_select(aggregates)} FROM {source} GROUP BY ALL"


def _select(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in columns)
