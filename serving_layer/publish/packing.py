"""Records and the whole history as JSON, for the columns of their table; tables of version 0.1 are read as they are."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from serving_layer.publish.folders import Changes, applied, by_name, difference
from serving_layer.publish.history import History, Record, Run
from serving_layer.publish.lineage import Layer

COLUMNS: Final = {
    "dataset": "STRING",
    "seq": "BIGINT",
    "run_id": "STRING",
    "event": "STRING",
    "at": "TIMESTAMP_NTZ",
    "boundary": "TIMESTAMP_NTZ",
    "snapshot": "BIGINT",
    "details": "STRING",
    "changes": "STRING",
    "state": "STRING",
}
"""changes: table -> partition -> [folder before, folder after]. state: the whole history, packed, with a finished
record; upkeep takes it from all but the last."""
FORMER: Final = ("locations_before", "locations_after")
"""Columns of version 0.1: where all partitions lay, before and after, table -> value -> folder."""


def values(record: Record, state: History | None) -> dict[str, Any]:
    """Return a record as a row, with the history that it leads to."""
    return {
        "dataset": record.dataset,
        "seq": record.seq,
        "run_id": record.run_id,
        "event": record.event,
        "at": _text(record.at),
        "boundary": _text(record.boundary),
        "snapshot": record.snapshot,
        "details": _json(record.details),
        "changes": _json(record.changes),
        "state": _compressed(_json(packed(state))) if state is not None else None,
    }


def record_of(row: Mapping[str, Any]) -> Record:
    """Return the record of a row; of one that version 0.1 wrote, its changes are computed."""
    return Record(
        dataset=row["dataset"],
        seq=row["seq"],
        run_id=row["run_id"],
        event=row["event"],
        at=row["at"].replace(tzinfo=UTC),
        boundary=row["boundary"].replace(tzinfo=UTC),
        snapshot=row["snapshot"],
        changes=_changes(row),
        details=json.loads(row["details"]),
    )


def state_of(row: Mapping[str, Any]) -> History | None:
    """Return the history that was recorded whole with a row, if it was."""
    text = row.get("state")
    return unpacked(row["dataset"], row["seq"], json.loads(_expanded(text))) if text else None


def packed(history: History) -> dict[str, Any]:
    """Return a history, of which nothing is under way, for JSON: the runs that are kept as what differs."""
    if history.present is None:
        return {}
    return {
        "present": _run(history.present) | {"tables": history.tables},
        "kept": [_run(run) | {"changes": difference(history.tables, run.tables)} for run in history.kept],
    }


def unpacked(dataset: str, seq: int, content: Mapping[str, Any]) -> History:
    """Return the history that was recorded with record ``seq``; the inverse of ``packed``."""
    if not content:
        return History(seq=seq)
    present = content["present"]
    tables = present["tables"]
    kept = [(run, applied(tables, _pairs(run["changes"]))) for run in content["kept"]]
    return History(
        present=_run_of(dataset, present, tables),
        kept=tuple(_run_of(dataset, run, folders) for run, folders in kept),
        seq=seq,
    )


def _run(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "seq": record.seq,
        "run_id": record.run_id,
        "event": record.event,
        "at": record.at.isoformat(),
        "boundary": record.boundary.isoformat(),
        "snapshot": record.snapshot,
        "details": record.details,
        "layers": [
            [layer.snapshot, None if layer.days is None else [day.isoformat() for day in layer.days]]
            for layer in run.layers
        ],
    }


def _run_of(dataset: str, content: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> Run:
    return Run(
        record=Record(
            dataset=dataset,
            seq=content["seq"],
            run_id=content["run_id"],
            event=content["event"],
            at=datetime.fromisoformat(content["at"]),
            boundary=datetime.fromisoformat(content["boundary"]),
            snapshot=content["snapshot"],
            changes={},
            details=content["details"],
        ),
        tables=tables,
        layers=tuple(
            Layer(snapshot, None if days is None else tuple(map(date.fromisoformat, days)))
            for snapshot, days in content["layers"]
        ),
    )


def _changes(row: Mapping[str, Any]) -> Changes:
    if row.get("changes") is not None:
        return _pairs(json.loads(row["changes"]))
    before, after = (by_name(json.loads(row[name])) for name in FORMER)
    return difference(before, after)


def _pairs(changes: Mapping[str, Mapping[str, list[str | None]]]) -> Changes:
    return {
        table: {name: (before, after) for name, (before, after) in partitions.items()}
        for table, partitions in changes.items()
    }


def _json(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _compressed(text: str) -> str:
    """Return a text of thousands of partitions, which differ little, in a tenth of its length."""
    return b64encode(zlib.compress(text.encode())).decode()


def _expanded(text: str) -> str:
    """Return what was compressed; once the JSON was written as it is."""
    return text if text.startswith("{") else zlib.decompress(b64decode(text)).decode()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
