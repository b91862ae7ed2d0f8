"""How a table lies on disk, and the SQL that follows from it: its creation, and the conditions on its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pyspark.sql import Column

    from engines.table_format import Span
    from meterlake import columns
    from meterlake.declaration import Partition


@dataclass(frozen=True)
class Layout:
    """How a new table lies on disk.

    time: the column that partitions it (``partition`` of it) and is sorted by, within a day after ``key``.
    """

    columns: Sequence[columns.Column]
    time: str
    key: str
    partition: Partition


def create_sql(table: str, layout: Layout) -> str:
    """Return Spark SQL that makes an Iceberg table."""
    width = max(len(column.name) for column in layout.columns)
    lines = ",\n".join(
        f"  {column.name.ljust(width)} {column.type.sql('spark')}{'' if column.nullable else ' NOT NULL'}"
        f" COMMENT {_quoted(column.doc)}"
        for column in layout.columns
    )
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (\n{lines}\n) USING iceberg\n"
        f"PARTITIONED BY ({layout.partition}s({layout.time}))\n"
        "TBLPROPERTIES (\n"
        "  'format-version' = '2',\n"
        "  'write.format.default' = 'parquet',\n"
        "  'write.parquet.compression-codec' = 'zstd',\n"
        # Rows may be staged, checked, and only then be shown.
        "  'write.wap.enabled' = 'true',\n"
        # Sorted within each task, not shuffled: input comes in order of time.
        "  'write.distribution-mode' = 'none',\n"
        # Two writers: the loader and the streaming archive.
        "  'commit.retry.num-retries' = '10',\n"
        "  'write.metadata.delete-after-commit.enabled' = 'true'\n"
        ")"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "").replace("'", "") + "'"


def within(time: str, days: Iterable[date]) -> str:
    """Return the condition that a time lies in one of ``days``, as few ranges as can be."""
    ranges = [f"({time} >= {literal(first)} AND {time} < {literal(last)})" for first, last in spans(days)]
    return " OR ".join(ranges) or "false"


def in_spans(time: str, key: str, spans: Iterable[Span]) -> Column:
    """Return the condition that a row lies in one of some spans."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    conditions = [
        (F.col(time) >= _moment(span.begin))
        & (F.col(time) < _moment(span.end))
        & F.col(key).between(F.lit(span.first), F.lit(span.last))
        for span in spans
    ]
    return reduce(or_, conditions) if conditions else F.lit(False)


def _moment(moment: datetime) -> Column:
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    return F.lit(moment.isoformat(sep=" ")).cast("timestamp_ntz")


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return runs of successive days as (first, day after the last)."""
    result: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        after = day + timedelta(days=1)
        if result and result[-1][1] == day:
            result[-1] = (result[-1][0], after)
        else:
            result.append((day, after))
    return result


def literal(day: date) -> str:
    """Return the begin of a day as a literal of a time without zone."""
    return f"TIMESTAMP_NTZ '{day.isoformat()} 00:00:00'"
