"""Reference tables with their history: a load closes the versions that are gone or changed, and opens new ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import spark as engine
from engines.merge_table import OPERATION
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from engines.merge_table import Merged, Merging
    from meterlake.presentation import ReferenceTable


class BadReference(PermanentError):
    """What a source holds cannot be a reference table."""

    def __init__(self, reference: ReferenceTable, source: str, problem: str, hint: str) -> None:
        super().__init__(f"Reference table {reference.name!r} of {source}: {problem}.", hint=hint)


def check(reference: ReferenceTable, source: str, rows: Sequence[tuple[Any, ...]], *, allow_empty: bool) -> None:
    """Raise BadReference where a key is unknown or there twice, a value is missing, or the table is empty."""
    names = [column.name for column in reference.columns]
    mend = "Mend the source; nothing of it was loaded."
    if not rows and not allow_empty:
        hint = "An empty table would end all its rows. If it really is empty, give --allow-empty."
        raise BadReference(reference, source, "it has no rows", hint)
    for place, column in enumerate(reference.columns):
        if not column.nullable and (missing := sum(row[place] is None for row in rows)):
            raise BadReference(reference, source, f"{missing} rows have no {column.name}", mend)
    places = [names.index(name) for name in reference.key]
    seen = Counter(tuple(row[place] for place in places) for row in rows)
    twice = [key for key, count in seen.items() if count > 1]
    if twice:
        shown = ", ".join(str(key[0] if len(key) == 1 else key) for key in twice[:3])
        problem = f"{len(twice)} keys {', '.join(reference.key)} occur more than once: {shown}"
        raise BadReference(reference, source, problem, mend)


def load(
    spark: SparkSession, table: Merging, reference: ReferenceTable, rows: Sequence[tuple[Any, ...]], now: datetime
) -> Merged:
    """Bring a reference table up to date with all rows of its source, which have been checked.

    Returns how many versions were opened (inserted) and closed (updated). Where nothing has changed, no commit is made.
    """
    names, others = table.shape.names, [c.name for c in reference.columns if c.name not in reference.key]
    schema = ", ".join(f"{column.name} {column.type.sql('spark')}" for column in reference.columns)
    source = spark.createDataFrame(list(rows), schema)
    at = F.lit(now.replace(tzinfo=None)).cast("timestamp_ntz")
    old = current(table).select(*reference.key, F.struct(*others, "recorded_from").alias("old"))
    new = source.select(*reference.key, F.struct(*others, F.lit(1).alias("is_there")).alias("new"))
    differs = reduce(or_, (~F.col(f"old.{name}").eqNullSafe(F.col(f"new.{name}")) for name in others), F.lit(False))
    gone, came = F.col("new").isNull(), F.col("old").isNull()
    joined = old.join(new, list(reference.key), "full_outer").where(gone | came | differs).persist()

    def versions(side: str, operation: str, recorded: dict[str, Any]) -> DataFrame:
        there = joined.where(F.col(side).isNotNull())
        values = {name: F.col(f"{side}.{name}") for name in others} | recorded
        return there.select(
            *(values.get(name, F.col(name)).alias(name) for name in names), F.lit(operation).alias(OPERATION)
        )

    closed = versions("old", "update", {"recorded_from": F.col("old.recorded_from"), "recorded_to": at})
    opened = versions("new", "insert", {"recorded_from": at, "recorded_to": F.lit(None).cast("timestamp_ntz")})
    try:
        with engine.planned_once(spark):  # rows that came from a list are few
            return table.apply(closed.unionByName(opened))
    finally:
        joined.unpersist()


def current(table: Merging) -> DataFrame:
    """Return the rows that are in the source."""
    return table.read().where("recorded_to IS NULL")


def recorded_until(table: Merging) -> datetime | None:
    """Return when the table changed last; None where it never did."""
    row = table.read().agg(F.max(F.greatest("recorded_from", "recorded_to"))).first()
    return row[0] if row else None


@dataclass(frozen=True)
class Known:
    """The rows of a reference table that were in the source at a time, and all later ones; None: all there ever were.

    The table itself has its past, so one look at it tells what was in the source at any time since then.
    """

    rows: list[dict[str, Any]]
    since: datetime | None

    @property
    def until(self) -> datetime | None:
        """When the table changed last; None where it never did."""
        times = [time for row in self.rows for time in (row["recorded_from"], row["recorded_to"])]
        return max((time for time in (*times, self.since) if time is not None), default=None)

    def at(self, time: datetime) -> list[dict[str, Any]]:
        """Return the rows that were in the source at a time, not before ``since``."""
        begun = [row for row in self.rows if row["recorded_from"] <= time]
        return [row for row in begun if row["recorded_to"] is None or row["recorded_to"] > time]


def known(table: Merging, since: datetime | None) -> Known:
    """Return the rows that were in the source at a time or later, as values."""
    rows = table.read()
    if since is not None:
        rows = rows.where(F.col("recorded_to").isNull() | (F.col("recorded_to") > F.lit(since).cast("timestamp_ntz")))
    return Known([row.asDict() for row in rows.collect()], since)
