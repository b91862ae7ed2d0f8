"""Which loads have brought readings of a meter, and which raw files they have read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest import raw_notes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from batch_layer.ingest.raw_notes import Note
    from engines.table_format import Table
    from meterlake.declaration import MeterSeries
    from meterlake.erasure import Erasure
    from meterlake.settings import Settings


@dataclass(frozen=True)
class Loads:
    """The loads of files that brought readings of a meter.

    alone: all lines of which are of the meter. mixed: the others. others: for other meters, from the same files.
    unknown: loads without a note, with the name of their file: an earlier version has made them.
    """

    alone: tuple[Note, ...] = ()
    mixed: tuple[Note, ...] = ()
    others: tuple[Note, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


def quoted(text: str) -> str:
    """Return text as a literal of Spark's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def of_meter(dataset: MeterSeries, erasure: Erasure, time: str = "") -> str:
    """Return the condition, in Spark's SQL, that a row is to be erased. time: its column; by default the master's."""
    condition = f"{dataset.key} = {quoted(erasure.meter)}"
    if erasure.before is None:
        return condition
    before = erasure.before.astimezone(UTC).replace(tzinfo=None)
    return f"{condition} AND {time or dataset.event_time} < TIMESTAMP_NTZ '{before.isoformat(sep=' ')}'"


def find(settings: Settings, dataset: MeterSeries, master: Table, erasure: Erasure) -> Loads:
    """Return the loads of files that brought what is to be erased."""
    rows: DataFrame = master.read().where(of_meter(dataset, erasure))
    from_files = rows.where(F.col("origin") != dataset.readings_topic)
    names = {row.load_id: row.origin for row in from_files.select("load_id", "origin").distinct().collect()}
    if not names:
        return Loads()
    notes = raw_notes.read(settings, dataset.name)
    mine = [note for note in notes if note.load_id in names]
    known, digests = {note.load_id for note in mine}, {note.sha256 for note in mine}
    return Loads(
        alone=tuple(note for note in mine if note.meter_id == erasure.meter),
        mixed=tuple(note for note in mine if note.meter_id != erasure.meter),
        others=tuple(n for n in notes if n.sha256 in digests and n.meter_id not in ("", erasure.meter)),
        unknown=tuple(sorted((load, name) for load, name in names.items() if load not in known)),
    )
