"""Upkeep: small files made large, what nobody needs any more removed. Call it under the data set's lease.

Kept are the input of every run that readers may be taken to, and all commits after it: an incremental batch still finds
exactly the days that have changed. Kept is the last commit of each streaming query too, by which it knows what it has
written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from batch_layer.ingest import raw_store
from batch_layer.views import files, tables
from engines import archive_progress, master

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import SparkSession

    from engines.table_format import Table
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

ORPHANED: Final = timedelta(days=3)
"""A file that no snapshot holds may be one that is just being written; not for so long."""

NOTHING: Final = {"files_before": 0, "files_after": 0, "snapshots_expired": 0, "removed": 0}


@dataclass(frozen=True)
class Needed:
    """What published runs need. snapshots: of the master data set. folders: of the batch tables."""

    snapshots: frozenset[int]
    folders: frozenset[str]


def maintain(
    spark: SparkSession, settings: Settings, dataset: MeterSeries, needed: Needed, keep: timedelta, now: datetime
) -> list[dict[str, Any]]:
    """Do all upkeep of a data set; return what was done, a row a table.

    keep: snapshots younger than this stay, for queries that are reading them.
    """
    ours = [master.master(spark, settings, dataset), master.quarantine(spark, settings, dataset)]
    if master.has_counters(spark, dataset):
        ours.append(master.counters(spark, settings, dataset))
    done = [_table(table, needed.snapshots, now - keep, now) for table in ours]
    base = f"{settings.hdfs}{tables.FOLDER}"
    for table in tables.all_tables(dataset):
        gone = files.remove_runs(spark, table, base, set(needed.folders))
        done.append({"table": f"batch.{table.name}", **NOTHING, "removed": len(gone)})
    return [
        *done,
        {"table": "uploads cut off", **NOTHING, "removed": raw_store.remove_stale(settings, dataset.name, now)},
    ]


def _table(table: Table, needed: frozenset[int], before: datetime, now: datetime) -> dict[str, Any]:
    compacted = table.compact()
    return {
        "table": table.name,
        "files_before": compacted.files_before,
        "files_after": compacted.files_after,
        "snapshots_expired": table.expire(before, needed, archive_progress.QUERY),
        "removed": table.remove_orphans(now - ORPHANED),
    }
