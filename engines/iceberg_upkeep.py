"""Upkeep of any Iceberg table, by Iceberg's own procedures: no row changes, and no reader notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.spark import CATALOG
from engines.table_format import Compaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pyspark.sql import SparkSession


def compact(spark: SparkSession, table: str) -> Compaction:
    """Rewrite the small files of a partition, where there are several, into large ones, sorted as the table is."""
    row: Any = spark.sql(f"CALL {CATALOG}.system.rewrite_data_files(table => '{table}', strategy => 'sort')").first()
    return Compaction(row.rewritten_data_files_count, row.added_data_files_count, row.rewritten_bytes_count)


def expire(table: Any, snapshots: Iterable[int]) -> int:
    """Remove these snapshots and no others; return how many. table: Iceberg's own object."""
    job, count = table.expireSnapshots().expireOlderThan(0), 0
    for snapshot in snapshots:
        job, count = job.expireSnapshotId(snapshot), count + 1
    if count:
        job.commit()
    return count


def remove_orphans(spark: SparkSession, table: str, before: datetime) -> int:
    """Remove files in the table's folder, older than a moment, that none of its snapshots holds."""
    moment = f"TIMESTAMP_LTZ '{before:%Y-%m-%d %H:%M:%S} UTC'"
    return spark.sql(f"CALL {CATALOG}.system.remove_orphan_files(table => '{table}', older_than => {moment})").count()
