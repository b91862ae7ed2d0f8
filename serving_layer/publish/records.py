"""The record of runs: an Iceberg table that is only appended to, by Spark, and read through Trino, which is quick.

(Trino cannot commit to Iceberg tables of a metastore on Derby: its comparison of parameters fails there.)
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import iceberg_upkeep, metastore, spark, trino
from engines.spark_failures import translated
from meterlake.clock import system_clock
from serving_layer.publish.history import Record

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from meterlake.settings import Settings

DATABASE: Final = "serving"
TABLE: Final = "batch_runs"
FULL_NAME: Final = f"{spark.CATALOG}.{DATABASE}.{TABLE}"
_COLUMNS: Final = {
    "dataset": "STRING",
    "seq": "BIGINT",
    "run_id": "STRING",
    "event": "STRING",
    "at": "TIMESTAMP_NTZ",
    "boundary": "TIMESTAMP_NTZ",
    "snapshot": "BIGINT",
    "locations_before": "STRING",
    "locations_after": "STRING",
    "details": "STRING",
}


def load(settings: Settings, dataset: str) -> list[Record]:
    """Return the history of a data set; empty before its first run."""
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, TABLE) is None:
            return []
    statement = f"SELECT {', '.join(_COLUMNS)} FROM {FULL_NAME} WHERE dataset = ? ORDER BY seq"  # noqa: S608
    return [_record(row) for row in trino.rows(settings, statement, [dataset])]


def append(settings: Settings, record: Record) -> None:
    """Append one record, in one commit. Opens a Spark session, or uses the one that is open."""
    selected = ", ".join(f"CAST(:{name} AS {kind}) AS {name}" for name, kind in _COLUMNS.items())
    _release_stale_locks(settings)
    with spark.session(settings, "records") as session, translated(settings, FULL_NAME):
        create(session, settings)
        session.sql(f"SELECT {selected}", args=_values(record)).writeTo(FULL_NAME).append()


def upkeep(session: SparkSession, settings: Settings, before: datetime, orphaned: datetime) -> dict[str, int]:
    """Make the many small files one, and forget old snapshots; every record stays.

    Each publish makes two commits. before: snapshots committed earlier go. orphaned: files that no snapshot holds go
    if they are older. Returns what was done.
    """
    _release_stale_locks(settings)
    with translated(settings, FULL_NAME):
        if not session.catalog.tableExists(FULL_NAME):
            return {}
        compacted = iceberg_upkeep.compact(session, FULL_NAME, order="dataset, seq")
        expired = iceberg_upkeep.expire_before(iceberg_upkeep.load(session, FULL_NAME), before)
        return {
            "files_before": compacted.files_before,
            "files_after": compacted.files_after,
            "snapshots_expired": expired,
            "removed": iceberg_upkeep.remove_orphans(session, FULL_NAME, orphaned),
        }


def _release_stale_locks(settings: Settings) -> None:
    """Free the table from a publish that was killed in its commit: until then every later one would wait."""
    with metastore.client(settings) as client:
        metastore.release_stale_locks(client, DATABASE, TABLE, system_clock())


def create(session: SparkSession, settings: Settings) -> None:
    """Make the table unless it is there."""
    if session.catalog.tableExists(FULL_NAME):
        return
    folder = f"{settings.hdfs}/meterlake/{DATABASE}"
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    session.sql(f"CREATE NAMESPACE IF NOT EXISTS {spark.CATALOG}.{DATABASE} LOCATION '{folder}'")
    session.sql(
        f"CREATE TABLE IF NOT EXISTS {FULL_NAME} ({columns}) USING iceberg LOCATION '{folder}/{TABLE}'"
        " TBLPROPERTIES ('write.metadata.delete-after-commit.enabled' = 'true')"
    )


def _values(record: Record) -> dict[str, Any]:
    return {
        "dataset": record.dataset,
        "seq": record.seq,
        "run_id": record.run_id,
        "event": record.event,
        "at": _text(record.at),
        "boundary": _text(record.boundary),
        "snapshot": record.snapshot,
        "locations_before": json.dumps(record.before, sort_keys=True),
        "locations_after": json.dumps(record.after, sort_keys=True),
        "details": json.dumps(record.details, sort_keys=True),
    }


def _record(row: list[Any]) -> Record:
    dataset, seq, run_id, event, at, boundary, snapshot, before, after, details = row
    return Record(
        dataset,
        seq,
        run_id,
        event,
        at.replace(tzinfo=UTC),
        boundary.replace(tzinfo=UTC),
        snapshot,
        json.loads(before),
        json.loads(after),
        json.loads(details),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
