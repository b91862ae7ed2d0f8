"""The record of runs: an Iceberg table that is only appended to, through Trino. No Spark is needed to read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import metastore, trino
from serving_layer.publish.history import Record

if TYPE_CHECKING:
    from meterlake.settings import Settings

DATABASE: Final = "serving"
TABLE: Final = "batch_runs"
FULL_NAME: Final = f"iceberg.{DATABASE}.{TABLE}"
_COLUMNS: Final = {
    "dataset": "VARCHAR",
    "seq": "BIGINT",
    "run_id": "VARCHAR",
    "event": "VARCHAR",
    "at": "TIMESTAMP(6)",
    "boundary": "TIMESTAMP(6)",
    "snapshot": "BIGINT",
    "locations_before": "VARCHAR",
    "locations_after": "VARCHAR",
    "details": "VARCHAR",
}


def load(settings: Settings, dataset: str) -> list[Record]:
    """Return the history of a data set; empty before its first run."""
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, TABLE) is None:
            return []
    statement = f"SELECT {', '.join(_COLUMNS)} FROM {FULL_NAME} WHERE dataset = ? ORDER BY seq"  # noqa: S608
    return [_record(row) for row in trino.rows(settings, statement, [dataset])]


def append(settings: Settings, record: Record) -> None:
    """Append one record, in one commit."""
    _create(settings)
    values = (
        "?, ?, ?, ?, CAST(? AS TIMESTAMP(6)), CAST(? AS TIMESTAMP(6)), CAST(? AS BIGINT), ?, ?, ?"  # nulls have no type
    )
    statement = f"INSERT INTO {FULL_NAME} ({', '.join(_COLUMNS)}) VALUES ({values})"  # noqa: S608
    trino.rows(settings, statement, _values(record))


def _create(settings: Settings) -> None:
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, TABLE) is not None:
            return
        metastore.ensure_database(client, DATABASE, f"{settings.hdfs}/warehouse/{DATABASE}")
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    trino.rows(settings, f"CREATE TABLE IF NOT EXISTS {FULL_NAME} ({columns}) WITH (format = 'PARQUET')")


def _values(record: Record) -> list[Any]:
    return [
        record.dataset,
        record.seq,
        record.run_id,
        record.event,
        _text(record.at),
        _text(record.boundary),
        None if record.snapshot is None else str(record.snapshot),
        *(json.dumps(value, sort_keys=True) for value in (record.before, record.after, record.details)),
    ]


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
