"""The past of a data set's runs, as far as a command needs it. Pure: ``records`` keeps the records in a table.

A record holds what it changes. ``History`` is what all records up to one come to: it is recorded whole with each
finished one, so a command reads that and at most what is under way after it, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from meterlake.errors import UnknownName
from serving_layer.publish.folders import Changes, Tables, applied, changed_folders, folders_of
from serving_layer.publish.lineage import Layer, layers_of

Event = Literal["publishing", "published", "rolling_back", "rolled_back"]
Status = Literal["current", "kept", "expired"]

KEPT: Final = 3
"""So many runs besides the present one stay roll-back-able: those that readers saw last."""
ERASURE: Final = "erasure"
"""Key of a record's details: the erasure for which it was published. No earlier run may be rolled back to then."""

_FINISHED: Final[dict[Event, Event]] = {"publishing": "published", "rolling_back": "rolled_back"}


@dataclass(frozen=True)
class Record:
    """One event. Begun and finished events of a run come in pairs; between them, a publish is under way.

    seq: counts the events of a data set. run_id: the run that readers see afterwards. snapshot: of the master data set,
    up to which all changes are in that run. boundary: batch answers minutes before it. changes: of the folders in which
    the partitions lie. details: figures of the run.
    """

    dataset: str
    seq: int
    run_id: str
    event: Event
    at: datetime
    boundary: datetime
    snapshot: int | None
    changes: Changes = field(hash=False)
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.event not in _FINISHED

    @property
    def finished_event(self) -> Event:
        """The event that ends it."""
        return _FINISHED.get(self.event, self.event)


@dataclass(frozen=True)
class Run:
    """A run to which readers may be taken, or that they see.

    record: of the last time that they came to see it, without its changes. tables: where its partitions lie. layers:
    which readings stand behind it.
    """

    record: Record
    tables: Tables = field(hash=False)
    layers: tuple[Layer, ...] = ()

    @property
    def run_id(self) -> str:
        """Its name."""
        return self.record.run_id


@dataclass(frozen=True)
class History:
    """What the records up to ``seq`` come to.

    present: the run that readers see; the one before, while a publish is under way. kept: those to roll back to, the
    one that they saw last first. begun: the publish or roll-back that is under way.
    """

    present: Run | None = None
    kept: tuple[Run, ...] = ()
    begun: Record | None = None
    seq: int = 0

    @classmethod
    def of(cls, records: Iterable[Record]) -> History:
        """Return what all records of a data set, in order, come to."""
        history = cls()
        for record in records:
            history = history.after(record)
        return history

    def after(self, record: Record) -> History:
        """Return the history with one more record."""
        if not record.is_finished:
            return replace(self, begun=record, seq=record.seq)
        runs = self.runs
        known = next((run for run in runs if run.run_id == record.run_id), None)
        earlier = self.present.layers if self.present else ()
        shown = Run(
            record=replace(record, changes={}),
            tables=applied(self.tables, record.changes),
            layers=known.layers if known else layers_of(record.details, record.snapshot, earlier),
        )
        others = [run for run in runs if run.run_id != record.run_id]
        kept = () if record.details.get(ERASURE) else tuple(others[:KEPT])
        return replace(self, present=shown, kept=kept, begun=None, seq=record.seq)

    @property
    def runs(self) -> list[Run]:
        """The runs to which readers may be taken: the present one first."""
        return [self.present, *self.kept] if self.present else []

    @property
    def current(self) -> Record | None:
        """The record of the run that readers see."""
        return self.present.record if self.present else None

    @property
    def tables(self) -> Tables:
        """Where the partitions lie that readers see."""
        return self.present.tables if self.present else {}

    @property
    def folders_in_use(self) -> set[str]:
        """Every folder that a run which can be reached, or a publish under way, reads."""
        kept = [folders_of(run.tables) for run in self.runs]
        return set().union(*kept, changed_folders(self.begun.changes) if self.begun else ())

    def target(self, dataset: str, run_id: str) -> Run:
        """Return a run to roll back to. Raises UnknownName, which lists those that can be reached."""
        others = {run.run_id: run for run in self.kept}
        if run_id not in others:
            raise UnknownName(f"run of {dataset} to roll back to", run_id, others)
        return others[run_id]

    def status(self, record: Record) -> Status:
        """Return what a finished run is to readers now: current, kept (to roll back to), or expired."""
        names = [run.run_id for run in self.runs]
        if record.run_id not in names:
            return "expired"
        return "current" if names[0] == record.run_id else "kept"


def out_of_reach(before: History, after: History) -> set[str]:
    """Return the folders that no run uses any more: they may be removed."""
    return before.folders_in_use - after.folders_in_use
