"""The history of a data set's runs, and what follows from it. Pure: ``records`` keeps it in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from meterlake.errors import UnknownName

Event = Literal["publishing", "published", "rolling_back", "rolled_back"]
Tables = Mapping[str, Mapping[str, str]]
"""Table -> value of its partition -> folder."""

KEPT: Final = 3
"""So many runs besides the present one stay roll-back-able."""

_FINISHED: Final[dict[Event, Event]] = {"publishing": "published", "rolling_back": "rolled_back"}


@dataclass(frozen=True)
class Record:
    """One event. Begun and finished events of a run come in pairs; between them, a publish is under way.

    seq: counts the events of a data set. run_id: the run that readers see afterwards. snapshot: of the master data set,
    up to which all changes are in that run. boundary: batch answers minutes before it. before, after: where the
    partitions lie. details: figures of the run.
    """

    dataset: str
    seq: int
    run_id: str
    event: Event
    at: datetime
    boundary: datetime
    snapshot: int | None
    before: Tables = field(hash=False)
    after: Tables = field(hash=False)
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.event not in _FINISHED

    @property
    def finished_event(self) -> Event:
        """The event that ends it."""
        return _FINISHED.get(self.event, self.event)


History = Sequence[Record]
"""Records of one data set in order of ``seq``."""


def unfinished(history: History) -> Record | None:
    """Return the publish or roll-back that was begun last and not ended."""
    return history[-1] if history and not history[-1].is_finished else None


def current(history: History) -> Record | None:
    """Return the record of the run that readers see; of the one before, while a publish is under way."""
    return next((record for record in reversed(history) if record.is_finished), None)


def reachable(history: History) -> list[Record]:
    """Return the runs to which readers may be taken: the present one first, then the others, newest first."""
    present = current(history)
    if present is None:
        return []
    published = {record.run_id: record for record in history if record.event == "published"}
    others = sorted(
        (record for record in published.values() if record.run_id != present.run_id),
        key=lambda record: -record.seq,
    )
    return [present, *others[:KEPT]]


def folders_in_use(history: History) -> set[str]:
    """Return every folder that a reachable run, or a publish under way, reads."""
    records = [*reachable(history), *([history[-1]] if history else [])]
    found: set[str] = set()
    for record in records:
        for tables in (record.after, {} if record.is_finished else record.before):
            found.update(folder for partitions in tables.values() for folder in partitions.values())
    return found


def target(history: History, dataset: str, run_id: str) -> Record:
    """Return the record of a run to roll back to. Raises UnknownName, which lists those that can be reached."""
    others = {record.run_id: record for record in reachable(history)[1:]}
    if run_id not in others:
        raise UnknownName(f"run of {dataset} to roll back to", run_id, others)
    return others[run_id]


def status(history: History, record: Record) -> str:
    """Return what a finished run is to readers now: current, kept (to roll back to), or expired."""
    runs = [found.run_id for found in reachable(history)]
    if record.run_id not in runs:
        return "expired"
    return "current" if runs[0] == record.run_id else "kept"
