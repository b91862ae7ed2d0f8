"""Which loads have been done: their rows say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from engines.table_format import Table

MANY: Final = 200
"""Up to so many values, Iceberg leaves files out by their lowest and highest ones."""


def known(spark: SparkSession, table: Table, ids: set[str]) -> set[str]:
    """Return which loads have rows in a table; their commits may have expired, their rows have not."""
    if len(ids) == 1 and table.find({"load-id": next(iter(ids))}):
        return ids
    rows, column = table.read().select("load_id"), F.col("load_id")
    if len(ids) == 1:
        return ids if rows.where(column == next(iter(ids))).head(1) else set()
    if len(ids) <= MANY:
        found = rows.where(column.isin(sorted(ids)))
    else:
        asked = spark.createDataFrame([(load_id,) for load_id in ids], "load_id STRING")
        found = rows.join(F.broadcast(asked), "load_id", "left_semi")
    return {row.load_id for row in found.distinct().collect()}
