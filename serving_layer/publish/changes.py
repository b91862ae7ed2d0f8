"""The record of corrections and erasures: ``serving.changes``, an Iceberg table that is only appended to.

It outlives the snapshots of the master data set: rows say what a commit's properties would forget. Spark writes it, and
Trino reads it.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from engines import metastore, spark, trino
from engines.spark_failures import translated
from meterlake.changes import Change, joined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql import SparkSession

    from meterlake.settings import Settings

DATABASE: Final = "serving"
TABLE: Final = "changes"
FULL_NAME: Final = f"{spark.CATALOG}.{DATABASE}.{TABLE}"
COLUMNS: Final = {
    "dataset": "STRING",
    "change_id": "STRING",
    "kind": "STRING",
    "event": "STRING",
    "at": "TIMESTAMP_NTZ",
    "recorded_at": "TIMESTAMP_NTZ",
    "who": "STRING",
    "why": "STRING",
    "meter": "STRING",
    "details": "STRING",
}
"""event: ``begun`` or ``done``. at: when the change was begun. details: JSON."""


def load(settings: Settings, dataset: str) -> list[Change]:
    """Return the changes of a data set, the newest last."""
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, TABLE) is None:
            return []
    names = list(COLUMNS)
    statement = f"SELECT {', '.join(names)} FROM {FULL_NAME} WHERE dataset = ?"  # noqa: S608 - names of our own
    rows = trino.rows(settings, statement, [dataset])
    return joined(_change(dict(zip(names, row, strict=True))) for row in rows)


def append(settings: Settings, change: Change) -> None:
    """Record a change as begun, or as done, in one commit. Opens a Spark session, or uses the one that is open."""
    with metastore.client(settings) as client:
        metastore.release_stale_locks(client, DATABASE, TABLE)
    with spark.session(settings, "changes") as session, translated(settings, FULL_NAME):
        _create(session, settings)
        selected = ", ".join(f"CAST(:{name} AS {kind}) AS {name}" for name, kind in COLUMNS.items())
        session.sql(f"SELECT {selected}", args=_values(change)).writeTo(FULL_NAME).append()


def _create(session: SparkSession, settings: Settings) -> None:
    if session.catalog.tableExists(FULL_NAME):
        return
    folder = f"{settings.hdfs}/meterlake/{DATABASE}"
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    session.sql(f"CREATE NAMESPACE IF NOT EXISTS {spark.CATALOG}.{DATABASE} LOCATION '{folder}'")
    session.sql(
        f"CREATE TABLE IF NOT EXISTS {FULL_NAME} ({columns}) USING iceberg PARTITIONED BY (dataset)"
        f" LOCATION '{folder}/{TABLE}' TBLPROPERTIES ('write.metadata.delete-after-commit.enabled' = 'true')"
    )


def _values(change: Change) -> dict[str, Any]:
    return {
        "dataset": change.dataset,
        "change_id": change.id,
        "kind": change.kind,
        "event": "done" if change.is_done else "begun",
        "at": _text(change.at),
        "recorded_at": _text(change.done_at or change.at),
        "who": change.by,
        "why": change.why,
        "meter": change.meter,
        "details": json.dumps(change.details, sort_keys=True),
    }


def _change(row: Mapping[str, Any]) -> Change:
    return Change(
        dataset=row["dataset"],
        id=row["change_id"],
        kind=row["kind"],
        at=row["at"].replace(tzinfo=UTC),
        by=row["who"],
        why=row["why"],
        meter=row["meter"],
        details=json.loads(row["details"]),
        done_at=row["recorded_at"].replace(tzinfo=UTC) if row["event"] == "done" else None,
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
