"""The views that readers query in Trino: published (batch alone), and merged (both layers around one line).

The line is the boundary at the beginning of a row of the finest batch view; where that is the minute, they are the
same. A merged view of any grain is made of

- whole rows of batch of that grain, before the row that holds the line;
- for what is left up to the line, rows of the finest batch view;
- from the line on, minutes of the speed layer.

Beside their columns the views show the partition of the batch tables (``month`` or ``year``): where it is bounded, too,
no file of another one is opened.

So each minute comes from one layer, whichever of the tables has been switched to a newer run already: rows of batch
beyond the line are never looked at. Without a speed layer there is no line, and batch answers to its end.
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

    from meterlake.declaration import Dataset, Partition
    from meterlake.grains import Grain

CATALOG: Final = "hive"
PUBLISHED: Final = "published"
MERGED: Final = "merged"
SPEED_CATALOG: Final = "cassandra"
_MINUTE: Final = "CAST(minute AT TIME ZONE 'UTC' AS TIMESTAMP(6))"
"""Cassandra's minute, as batch holds it."""
_TOMORROW: Final = "date_format(current_timestamp AT TIME ZONE 'UTC' + INTERVAL '1' DAY, '%Y-%m-%d')"
"""A day after which no live row lies, whatever the clocks; Trino computes it before it asks Cassandra."""
SAMPLE_RECORD: Final = 2
"""Record of a first run, in the checked-in text of the merged views."""
SAMPLE_BOUNDARY: Final = datetime(2026, 11, 21, 12, 34, tzinfo=UTC)
"""Boundary in the checked-in text of the merged views; the real one is written by each publish."""


@dataclass(frozen=True)
class Line:
    """Where the speed layer takes over: an instant in UTC, and the days to ask it for."""

    at: datetime
    days: Sequence[str]


def line(dataset: Dataset, boundary: datetime, now: datetime, ttl: timedelta) -> Line:
    """Return the line of a boundary, with all days on which live speed rows may lie until well after now + ttl."""
    at = line_at(dataset, boundary)
    return Line(at, speed_days(at, now, ttl))


def line_at(dataset: Dataset, boundary: datetime) -> datetime:
    """Return the beginning of the row of the finest batch view that holds the boundary."""
    return timegrid.row_start(boundary, dataset.finest.grain, dataset.time_zone)


def published_view(dataset: Dataset, grain: Grain) -> str:
    """Return the full name of the view of what batch has published."""
    return f"{CATALOG}.{PUBLISHED}.{view_table(dataset, grain)}"


def merged_view(dataset: Dataset, grain: Grain) -> str:
    """Return the full name of the view that both layers answer."""
    return f"{CATALOG}.{MERGED}.{view_table(dataset, grain)}"


def speed_table(dataset: Dataset) -> str:
    """Return the full name, in Trino, of the speed layer's minutes."""
    return f"{SPEED_CATALOG}.{CASSANDRA_KEYSPACE}.{view_table(dataset, 'minute')}"


def batch_table(dataset: Dataset, grain: Grain) -> str:
    """Return the full name, in Trino, of a batch view's table."""
    return f"{CATALOG}.{HIVE_DATABASE}.{view_table(dataset, grain)}"


def row_time_sql(dataset: Dataset, grain: Grain, time: str) -> str:
    """Return Trino's SQL of the time of a view's row that holds a time in UTC."""
    if grain == "day":
        return timegrid.local_day_sql(time, dataset.time_zone, "trino")
    return time if time == grain else timegrid.floor_sql(time, grain, "trino")


def partition_of(dataset: Dataset, grain: Grain) -> Partition:
    """Return the name of the partition's column of a view."""
    return next(view.partition for view in dataset.views if view.grain == grain)


def partition_sql(dataset: Dataset, grain: Grain, time: str) -> str:
    """Return Trino's SQL of the partition of a view that holds a time (a date for days)."""
    return f"date_format({time}, '{PARTITION_FORMATS[partition_of(dataset, grain)]}')"


def published_sql(dataset: Dataset, grain: Grain) -> str:
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


def merged_sql(dataset: Dataset, grain: Grain, line: Line | None, seq: int = 0) -> str:
    """Return SQL that makes the merged view of a grain.

    line: None where there is no speed layer. seq: the record of the run that it shows; 0 before the first.
    """
    name = f"{merged_view(dataset, grain)} COMMENT '{record_comment(seq)}'"
    stored = [column.name for column in view_columns(dataset, grain)]
    if line is None:
        rows = f"FROM {batch_table(dataset, grain)}"
        shown = [*stored, *_derived(dataset), "'batch' AS source", partition_of(dataset, grain)]
        return _view(name, _select(shown, rows))
    parts = {"states": _plain(dataset, line) if grain == "minute" else _rolled(dataset, grain, line)}
    if grain != "minute":
        parts = {"pieces": _pieces(dataset, grain, line), **parts}
    tables = ",\n".join(f"{part} AS (\n{_indented(sql)}\n)" for part, sql in parts.items())
    select = _select([*stored, *_derived(dataset), "source", partition_of(dataset, grain)], "FROM states")
    return _view(name, f"WITH {tables}\n{select}")


def trino_ddl(dataset: Dataset) -> str:
    """Return all views of a data set, to be read: merged ones with a sample boundary, just after a publish."""
    sample = line(dataset, SAMPLE_BOUNDARY, SAMPLE_BOUNDARY + dataset.lateness, dataset.retention.speed)
    head = (
        f"-- Generated by: meterlake ddl {dataset.name}. Change the declaration, not this file.\n"
        f"-- {dataset.title}: views in Trino. Each publish writes them with its own boundary; here it is "
        f"{SAMPLE_BOUNDARY:%Y-%m-%d %H:%M} UTC.\n"
    )
    texts = [published_sql(dataset, view.grain) for view in dataset.views]
    texts += [merged_sql(dataset, view.grain, sample, SAMPLE_RECORD) for view in dataset.views]
    return "\n".join([head, *(f"{text};\n" for text in texts)])


def _plain(dataset: Dataset, line: Line) -> str:
    """Return SQL of minutes: batch before the line, speed from it on."""
    stored = [column.name for column in view_columns(dataset, "minute")]
    source = f"FROM {batch_table(dataset, 'minute')}\nWHERE minute < {_timestamp(line.at)}"
    partition = partition_of(dataset, "minute")
    computed = f"{partition_sql(dataset, 'minute', _MINUTE)} AS {partition}"
    return _union([_select([*stored, "'batch' AS source", partition], source), _speed(dataset, line, computed)])


def _rolled(dataset: Dataset, grain: Grain, line: Line) -> str:
    """Return SQL of hours or days: whole rows of batch, and the rest rolled up."""
    stored = [column.name for column in view_columns(dataset, grain)]
    begin = _literal(timegrid.row_time(line.at, grain, dataset.time_zone))
    whole = f"FROM {batch_table(dataset, grain)}\nWHERE {grain} < {begin}"
    merged = [f"{sql} AS {name}" for name, sql in merge_aggregates(dataset, "trino", "decimal")]
    source = "CASE WHEN MIN(source) = MAX(source) THEN MIN(source) ELSE 'both' END AS source"
    rest = f"FROM pieces\nGROUP BY {dataset.key}, {grain}"
    partition = partition_of(dataset, grain)
    computed = f"{partition_sql(dataset, grain, grain)} AS {partition}"
    rows = [_select([*stored, "'batch' AS source", partition], whole)]
    return _union([*rows, _select([dataset.key, grain, *merged, source, computed], rest)])


def _pieces(dataset: Dataset, grain: Grain, line: Line) -> str:
    """Return SQL of what the row that holds the line, and those after it, are made of."""
    speed = _select(
        [dataset.key, f"{row_time_sql(dataset, grain, 'minute')} AS {grain}", *_states(dataset), "source"], ""
    )
    rows = [f"{speed}FROM (\n{_indented(_speed(dataset, line))}\n)"]
    start = timegrid.row_start(line.at, grain, dataset.time_zone)
    if start < line.at:
        finest = dataset.finest
        last = line.at - timedelta(seconds=1)
        days = [start.date() + timedelta(days=step) for step in range((last.date() - start.date()).days + 1)]
        values = ", ".join(f"'{value}'" for value in sorted({finest.partition_value(day) for day in days}))
        source = (
            f"FROM {batch_table(dataset, finest.grain)}\nWHERE {finest.partition} IN ({values})\n"
            f"  AND {finest.grain} >= {_timestamp(start)}\n  AND {finest.grain} < {_timestamp(line.at)}"
        )
        time = f"{row_time_sql(dataset, grain, finest.grain)} AS {grain}"
        rows.insert(0, _select([dataset.key, time, *_states(dataset), "'batch' AS source"], source))
    return _union(rows)


def _speed(dataset: Dataset, line: Line, *more: str) -> str:
    """Return SQL of the speed layer's minutes from the line on, as batch holds them. more: further columns.

    Cassandra is asked by partition key only with ``day IN`` over texts, and bounds ``minute`` only by a literal. The
    days are those that may come until the next publish; a query asks for those that may be there now.
    """
    days = ", ".join(f"'{day}'" for day in line.days)
    states = [sql if sql == name else f"{sql} AS {name}" for name, sql in physical(dataset, "trino")]
    source = (
        f"FROM {speed_table(dataset)}\nWHERE day IN ({days})\n  AND day <= {_TOMORROW}\n"
        f"  AND minute >= TIMESTAMP '{line.at:%Y-%m-%d %H:%M} UTC'"
    )
    return _select([dataset.key, f"{_MINUTE} AS minute", *states, "'speed' AS source", *more], source)


def _states(dataset: Dataset) -> list[str]:
    return [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]


def _derived(dataset: Dataset) -> list[str]:
    return [f"{sql} AS {name}" for name, sql in derived_sql(dataset, "trino")]


def _literal(moment: datetime | date) -> str:
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
