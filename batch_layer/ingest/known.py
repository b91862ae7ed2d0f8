"""Which loads have been done: their rows say it."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column

    from engines.table_format import Table

MANY: Final = 200
"""Up to so many values, Iceberg leaves files out by their lowest and highest ones."""


def any_of(column: str, values: Iterable[str]) -> Column:
    """Return the condition that a column has one of many values, by which Iceberg leaves files out as for a few."""
    ordered = sorted(values)
    parts = (F.col(column).isin(ordered[at : at + MANY]) for at in range(0, len(ordered), MANY))
    return reduce(or_, parts, F.lit(False))


def known(table: Table, ids: set[str]) -> set[str]:
    """Return which loads have rows in a table; their commits may have expired, their rows have not."""
    if len(ids) == 1 and table.find({"load-id": next(iter(ids))}):
        return ids
    rows, column = table.read().select("load_id"), F.col("load_id")
    if len(ids) == 1:
        return ids if rows.where(column == next(iter(ids))).head(1) else set()
    return {row.load_id for row in rows.where(any_of("load_id", ids)).distinct().collect()}
