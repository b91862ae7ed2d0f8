"""The record of runs: an Iceberg table that is only appended to, by Spark, and read through Trino, which is quick.

(Trino cannot commit to Iceberg tables of a metastore on Derby: its comparison of parameters fails there.)
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import metastore, spark, trino
from engines.spark_failures import translated
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
    with spark.session(settings, "records") as session, translated(settings, FULL_NAME):
        _create(session, settings)
        session.sql(f"SELECT {selected}", args=_values(record)).writeTo(FULL_NAME).append()


def _create(session: SparkSession, settings: Settings) -> None:
    if session.catalog.tableExists(FULL_NAME):
        return
    folder = f"{settings.hdfs}/meterlake/{DATABASE}"
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    session.sql(f"CREATE NAMESPACE IF NOT EXISTS {spark.CATALOG}.{DATABASE} LOCATION '{folder}'")
    session.sql(f"CREATE TABLE IF NOT EXISTS {FULL_NAME} ({columns}) USING iceberg LOCATION '{folder}/{TABLE}'")


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
