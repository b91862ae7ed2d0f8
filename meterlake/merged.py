"""The views that readers query in Trino: published (batch alone), and merged (both layers around one cutover).

The cutover is the boundary at the beginning of a row of the finest batch view; where that is the minute, they are the
same. A merged view of any grain is made of

- whole rows of batch of that grain, before the row that holds the cutover;
- for what is left up to the cutover, whole rows of the view that it rolls up from, and so on down to the finest;
- from the cutover on, rows of the speed layer, which are those of the finest view.

Beside their columns the views show the partition of the batch tables (``month`` or ``year``): where it is bounded, too,
no file of another one is opened.

So each moment comes from one layer, whichever of the tables has been switched to a newer run already: rows of batch
beyond the cutover are never looked at. Without a speed layer there is no cutover, and batch answers to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from meterlake import timegrid
from meterlake.boundary import speed_days
from meterlake.ddl import CASSANDRA_KEYSPACE, HIVE_DATABASE, view_table
from meterlake.declaration import PARTITION_FORMATS
from meterlake.state import merge_aggregates, physical
from meterlake.validation import STATE_COLUMNS, measure_columns
from meterlake.views import derived_sql, view_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries, Partition
    from meterlake.grains import Grain

CATALOG: Final = "hive"
PUBLISHED: Final = "published"
MERGED: Final = "merged"
SPEED_CATALOG: Final = "cassandra"
_TOMORROW: Final = "date_format(current_timestamp AT TIME ZONE 'UTC' + INTERVAL '1' DAY, '%Y-%m-%d')"
"""A day after which no live row lies, whatever the clocks; Trino computes it before it asks Cassandra."""
SAMPLE_RECORD: Final = 2
"""Record of a first run, in the checked-in text of the merged views."""
SAMPLE_BOUNDARY: Final = datetime(2026, 11, 21, 12, 34, tzinfo=UTC)
"""Boundary in the checked-in text of the merged views; the real one is written by each publish."""


@dataclass(frozen=True)
class Cutover:
    """Where the speed layer takes over: an instant in UTC, and the days to ask it for."""

    at: datetime
    days: Sequence[str]


def cutover(dataset: MeterSeries, boundary: datetime, now: datetime, ttl: timedelta) -> Cutover:
    """Return the cutover of a boundary, with all days on which live speed rows may lie until well after now + ttl."""
    at = cutover_at(dataset, boundary)
    return Cutover(at, speed_days(at, now, ttl))


def cutover_at(dataset: MeterSeries, boundary: datetime) -> datetime:
    """Return the beginning of the row of the finest batch view that holds the boundary."""
    return timegrid.row_start(boundary, dataset.finest.grain, dataset.time_zone)


def published_view(dataset: MeterSeries, grain: Grain) -> str:
    """Return the full name of the view of what batch has published."""
    return f"{CATALOG}.{PUBLISHED}.{view_table(dataset, grain)}"


def merged_view(dataset: MeterSeries, grain: Grain) -> str:
    """Return the full name of the view that both layers answer."""
    return f"{CATALOG}.{MERGED}.{view_table(dataset, grain)}"


def speed_table(dataset: MeterSeries) -> str:
    """Return the full name, in Trino, of the speed layer's states."""
    return f"{SPEED_CATALOG}.{CASSANDRA_KEYSPACE}.{view_table(dataset, dataset.finest.grain)}"


def batch_table(dataset: MeterSeries, grain: Grain) -> str:
    """Return the full name, in Trino, of a batch view's table."""
    return f"{CATALOG}.{HIVE_DATABASE}.{view_table(dataset, grain)}"


def row_time_sql(dataset: MeterSeries, grain: Grain, time: str) -> str:
    """Return Trino's SQL of the time of a view's row that holds a time: in UTC, or the ``day`` of a row of days."""
    if time == grain:
        return time
    if time == "day":
        return timegrid.month_sql(time, "trino")
    return timegrid.row_time_sql(time, grain, dataset.time_zone, "trino")


def partition_of(dataset: MeterSeries, grain: Grain) -> Partition:
    """Return the name of the partition's column of a view."""
    return dataset.view(grain).partition


def partition_sql(dataset: MeterSeries, grain: Grain, time: str) -> str:
    """Return Trino's SQL of the partition of a view that holds a time (a date for days and months)."""
    return f"date_format({time}, '{PARTITION_FORMATS[partition_of(dataset, grain)]}')"


def published_sql(dataset: MeterSeries, grain: Grain) -> str:
    """Return SQL that makes the published view of a grain."""
    stored = [column.name for column in view_columns(dataset, grain)]
    rows = f"FROM {batch_table(dataset, grain)}"
    shown = [*stored, *_derived(dataset), "'batch' AS source", partition_of(dataset, grain)]
    return _view(published_view(dataset, grain), _select(shown, rows))


def record_comment(seq: int) -> str:
    """Return what a merged view says of itself: the record of the run that it shows."""
    return f"As of record {seq}"


def record_of(comment: str | None) -> int | None:
    """Return the record in a view's comment; the inverse of ``record_comment``. None where there is none."""
    number = (comment or "").removeprefix(record_comment(0)[:-1])
    return int(number) if number.isdecimal() else None


def merged_sql(dataset: MeterSeries, grain: Grain, cutover: Cutover | None, seq: int = 0) -> str:
    """Return SQL that makes the merged view of a grain.

    cutover: None where there is no speed layer. seq: the record of the run that it shows; 0 before the first.
    """
    name = f"{merged_view(dataset, grain)} COMMENT '{record_comment(seq)}'"
    stored = [column.name for column in view_columns(dataset, grain)]
    if cutover is None:
        rows = f"FROM {batch_table(dataset, grain)}"
        shown = [*stored, *_derived(dataset), "'batch' AS source", partition_of(dataset, grain)]
        return _view(name, _select(shown, rows))
    if grain == dataset.finest.grain:
        parts = {"states": _plain(dataset, cutover)}
    else:
        parts = {"pieces": _pieces(dataset, grain, cutover), "states": _rolled(dataset, grain, cutover)}
    tables = ",\n".join(f"{part} AS (\n{_indented(sql)}\n)" for part, sql in parts.items())
    select = _select([*stored, *_derived(dataset), "source", partition_of(dataset, grain)], "FROM states")
    return _view(name, f"WITH {tables}\n{select}")


def trino_ddl(dataset: MeterSeries) -> str:
    """Return all views of a data set, to be read: merged ones with a sample boundary, just after a publish."""
    sample = cutover(dataset, SAMPLE_BOUNDARY, SAMPLE_BOUNDARY + dataset.lateness, dataset.retention.speed)
    head = (
        f"-- Generated by: meterlake ddl {dataset.name}. Change the declaration, not this file.\n"
        f"-- {dataset.title}: views in Trino. Each publish writes them with its own boundary; here it is "
        f"{SAMPLE_BOUNDARY:%Y-%m-%d %H:%M} UTC.\n"
    )
    texts = [published_sql(dataset, view.grain) for view in dataset.views]
    texts += [merged_sql(dataset, view.grain, sample, SAMPLE_RECORD) for view in dataset.views]
    return "\n".join([head, *(f"{text};\n" for text in texts)])


def _plain(dataset: MeterSeries, cutover: Cutover) -> str:
    """Return SQL of the finest view's rows: batch before the cutover, speed from it on."""
    grain = dataset.finest.grain
    stored = [column.name for column in view_columns(dataset, grain)]
    source = f"FROM {batch_table(dataset, grain)}\nWHERE {grain} < {_timestamp(cutover.at)}"
    partition = partition_of(dataset, grain)
    computed = f"{partition_sql(dataset, grain, speed_time(dataset))} AS {partition}"
    return _union([_select([*stored, "'batch' AS source", partition], source), _speed(dataset, cutover, computed)])


def _rolled(dataset: MeterSeries, grain: Grain, cutover: Cutover) -> str:
    """Return SQL of the rows of a coarser view: whole ones of batch, and the rest rolled up."""
    stored = [column.name for column in view_columns(dataset, grain)]
    begin = literal(timegrid.row_time(cutover.at, grain, dataset.time_zone))
    whole = f"FROM {batch_table(dataset, grain)}\nWHERE {grain} < {begin}"
    merged = [f"{sql} AS {name}" for name, sql in merge_aggregates(dataset, "trino", "decimal")]
    source = "CASE WHEN MIN(source) = MAX(source) THEN MIN(source) ELSE 'both' END AS source"
    rest = f"FROM pieces\nGROUP BY {dataset.key}, {grain}"
    partition = partition_of(dataset, grain)
    computed = f"{partition_sql(dataset, grain, grain)} AS {partition}"
    rows = [_select([*stored, "'batch' AS source", partition], whole)]
    return _union([*rows, _select([dataset.key, grain, *merged, source, computed], rest)])


def _pieces(dataset: MeterSeries, grain: Grain, cutover: Cutover) -> str:
    """Return SQL of what the row that holds the cutover, and those after it, are made of."""
    time = row_time_sql(dataset, grain, dataset.finest.grain)
    speed = _select([dataset.key, f"{time} AS {grain}", *_states(dataset), "source"], "")
    rows = [f"{speed}FROM (\n{_indented(_speed(dataset, cutover))}\n)"]
    for piece in batch_pieces(dataset, grain, cutover.at):
        time = f"{row_time_sql(dataset, grain, piece.grain)} AS {grain}"
        rows.append(_select([dataset.key, time, *_states(dataset), "'batch' AS source"], _batch_rows(dataset, piece)))
    return _union(rows[::-1])


@dataclass(frozen=True)
class Piece:
    """Whole rows of a batch view, from one moment (UTC) up to, not including, another."""

    grain: Grain
    since: datetime
    until: datetime


def batch_pieces(dataset: MeterSeries, grain: Grain, cutover: datetime) -> list[Piece]:
    """Return the batch rows that the part in front of the cutover of a view's row is made of, the finest first."""
    pieces: list[Piece] = []
    since = timegrid.row_start(cutover, grain, dataset.time_zone)
    while grain != dataset.finest.grain:
        grain = timegrid.rolls_up_from(dataset, grain)
        until = timegrid.row_start(cutover, grain, dataset.time_zone)
        if since < until:
            pieces.insert(0, Piece(grain, since, until))
        since = until
    return pieces


def _batch_rows(dataset: MeterSeries, piece: Piece) -> str:
    """Return FROM and WHERE of a piece, bounded by partitions, too, so that no file of another one is opened."""
    view, zone = dataset.view(piece.grain), dataset.time_zone
    first, last, end = (
        timegrid.row_time(moment, piece.grain, zone)
        for moment in (piece.since, piece.until - timedelta(seconds=1), piece.until)
    )
    days = [_day(first) + timedelta(days=step) for step in range((_day(last) - _day(first)).days + 1)]
    values = ", ".join(f"'{value}'" for value in sorted({view.partition_value(day) for day in days}))
    return (
        f"FROM {batch_table(dataset, piece.grain)}\nWHERE {view.partition} IN ({values})\n"
        f"  AND {piece.grain} >= {literal(first)}\n  AND {piece.grain} < {literal(end)}"
    )


def _day(time: datetime | date) -> date:
    return time.date() if isinstance(time, datetime) else time


def _speed(dataset: MeterSeries, cutover: Cutover, *more: str) -> str:
    """Return SQL of the speed layer's rows from the cutover on, as batch holds them. more: further columns.

    Cassandra is asked by partition key only with ``day IN`` over texts, and bounds the time only by a literal. The
    days are those that may come until the next publish; a query asks for those that may be there now.
    """
    grain = dataset.finest.grain
    days = ", ".join(f"'{day}'" for day in cutover.days)
    states = [sql if sql == name else f"{sql} AS {name}" for name, sql in physical(dataset, "trino")]
    source = (
        f"FROM {speed_table(dataset)}\nWHERE day IN ({days})\n  AND day <= {_TOMORROW}\n"
        f"  AND {grain} >= TIMESTAMP '{cutover.at:%Y-%m-%d %H:%M} UTC'"
    )
    return _select([dataset.key, f"{speed_time(dataset)} AS {grain}", *states, "'speed' AS source", *more], source)


def speed_time(dataset: MeterSeries) -> str:
    """Return the time of Cassandra's rows, as batch holds it."""
    return f"CAST({dataset.finest.grain} AT TIME ZONE 'UTC' AS TIMESTAMP(6))"


def _states(dataset: MeterSeries) -> list[str]:
    return [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]


def _derived(dataset: MeterSeries) -> list[str]:
    return [f"{sql} AS {name}" for name, sql in derived_sql(dataset, "trino")]


def literal(moment: datetime | date) -> str:
    """Return a time as Trino writes it."""
    if isinstance(moment, datetime):
        return _timestamp(moment)
    return f"DATE '{moment.isoformat()}'"


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M}'"


def _view(name: str, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} SECURITY INVOKER AS\n{query}"


def _select(columns: Sequence[str], source: str) -> str:
    return "SELECT\n" + ",\n".join(f"  {column}" for column in columns) + f"\n{source}"


def _union(selects: Sequence[str]) -> str:
    return "\nUNION ALL\n".join(selects)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
