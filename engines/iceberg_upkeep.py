"""Upkeep of any Iceberg table, by Iceberg's own procedures: no row changes, and no reader notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.spark import CATALOG
from engines.table_format import Compaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pyspark.sql import SparkSession


def load(spark: SparkSession, table: str) -> Any:
    """Return Iceberg's own table object, as it is in the metastore now."""
    jvm: Any = spark._jvm  # noqa: SLF001 - the way to Java that PySpark has
    return jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, table)  # noqa: SLF001


def compact(spark: SparkSession, table: str, order: str = "") -> Compaction:
    """Rewrite the small files of a partition, where there are several, into large ones.

    order: columns to sort by; by default those by which the table is sorted.
    """
    sort = f", sort_order => '{order}'" if order else ""
    statement = f"CALL {CATALOG}.system.rewrite_data_files(table => '{table}', strategy => 'sort'{sort})"
    row: Any = spark.sql(statement).first()
    return Compaction(row.rewritten_data_files_count, row.added_data_files_count, row.rewritten_bytes_count)


def expire(table: Any, snapshots: Iterable[int]) -> int:
    """Remove these snapshots and no others; return how many. table: Iceberg's own object."""
    job, count = table.expireSnapshots().expireOlderThan(0), 0
    for snapshot in snapshots:
        job, count = job.expireSnapshotId(snapshot), count + 1
    if count:
        job.commit()
    return count


def expire_before(table: Any, before: datetime) -> int:
    """Remove the snapshots committed before a moment, but for the current one; return how many."""
    known = len(list(table.snapshots()))
    table.expireSnapshots().expireOlderThan(int(before.timestamp() * 1000)).commit()
    table.refresh()
    return known - len(list(table.snapshots()))


def remove_orphans(spark: SparkSession, table: str, before: datetime) -> int:
    """Remove files in the table's folder, older than a moment, that none of its snapshots holds."""
    moment = f"TIMESTAMP_LTZ '{before:%Y-%m-%d %H:%M:%S} UTC'"
    return spark.sql(f"CALL {CATALOG}.system.remove_orphan_files(table => '{table}', older_than => {moment})").count()
