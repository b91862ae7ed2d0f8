"""The rows of both layers compared by Trino: how many are equal, and which differ. Nothing else comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engines import trino
from meterlake import merged, timegrid
from meterlake.ddl import CASSANDRA_KEYSPACE
from meterlake.state import physical
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

# Names come from the declaration, times are literals of our own; meters are bound.
# ruff: noqa: S608


@dataclass(frozen=True)
class Piece:
    """Rows of the finest view: of some meters, from ``since`` up to, not including, ``until``."""

    meters: Sequence[str]
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Compared:
    """How many rows are equal, how many differ, and the first of those."""

    equal: int
    differing: int
    keys: list[tuple[str, datetime]]


def meters(settings: Settings, dataset: MeterSeries, since: datetime, until: datetime, seconds: float) -> list[str]:
    """Return the meters of which a layer may have rows in a range of times, sorted. Raises EngineUnavailable."""
    batch = f"SELECT {dataset.key} {_batch(dataset, since, until)}"
    speed = f"SELECT {dataset.key} FROM {merged.SPEED_CATALOG}.{CASSANDRA_KEYSPACE}.{dataset.name}_latest"
    return sorted(row[0] for row in trino.rows(settings, f"{batch} UNION {speed}", seconds=seconds))


def compare(settings: Settings, dataset: MeterSeries, piece: Piece, most: int, seconds: float) -> Compared:
    """Compare a piece. most: so many keys are returned. Raises EngineUnavailable, also when ``seconds`` are over."""
    answer = trino.rows(settings, compare_sql(dataset, piece, most), [*piece.meters, *piece.meters], seconds=seconds)
    equal, differing, keys = answer[0]
    return Compared(equal, differing, [(key, moment.replace(tzinfo=UTC)) for key, moment in keys or ()])


def compare_sql(dataset: MeterSeries, piece: Piece, most: int) -> str:
    """Return the statement; its parameters are the meters, twice."""
    grain, key = dataset.finest.grain, dataset.key
    states = [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]
    asked = f"{key} IN ({', '.join('?' for _ in piece.meters)})"
    converted = ", ".join(f"{sql} AS {name}" for name, sql in physical(dataset, "trino"))
    days = ", ".join(f"'{day}'" for day in _days(piece.since, piece.until))
    same = " AND ".join(f"b.{name} IS NOT DISTINCT FROM s.{name}" for name in states)
    return (
        f"WITH b AS (\n  SELECT {key}, CAST({grain} AS TIMESTAMP(6)) AS at, {', '.join(states)}"
        f" {_batch(dataset, piece.since, piece.until)} AND {asked}\n),\n"
        f"s AS (\n  SELECT {key}, {merged.speed_time(dataset)} AS at, {converted} FROM {merged.speed_table(dataset)}\n"
        f"  WHERE {asked} AND day IN ({days})"
        f" AND {grain} >= TIMESTAMP '{piece.since:%Y-%m-%d %H:%M:%S} UTC'"
        f" AND {grain} < TIMESTAMP '{piece.until:%Y-%m-%d %H:%M:%S} UTC'\n),\n"
        f"pairs AS (\n  SELECT COALESCE(b.{key}, s.{key}) AS meter, COALESCE(b.at, s.at) AS at, {same} AS same\n"
        f"  FROM b FULL JOIN s ON b.{key} = s.{key} AND b.at = s.at\n)\n"
        "SELECT count_if(same), count_if(NOT same),"
        f" slice(array_agg(ROW(meter, at) ORDER BY meter, at) FILTER (WHERE NOT same), 1, {most}) FROM pairs"
    )


def _batch(dataset: MeterSeries, since: datetime, until: datetime) -> str:
    """Return the rows of the finest batch view in a range of times, as the end of a statement."""
    view = dataset.finest
    low, high = (view.partition_value(moment.astimezone(UTC).date()) for moment in (since, until))
    begin, end = (timegrid.row_time(moment, view.grain, dataset.time_zone) for moment in (since, until))
    return (
        f"FROM {merged.batch_table(dataset, view.grain)} WHERE {view.partition} BETWEEN '{low}' AND '{high}'"
        f" AND {view.grain} >= {merged.literal(begin)} AND {view.grain} < {merged.literal(end)}"
    )


def _days(since: datetime, until: datetime) -> list[str]:
    first, last = since.astimezone(UTC).date(), (until - timedelta(microseconds=1)).astimezone(UTC).date()
    return [(first + timedelta(days=step)).isoformat() for step in range((last - first).days + 1)]
