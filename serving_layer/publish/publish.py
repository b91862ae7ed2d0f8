"""Publishing a run, finishing what was interrupted, and rolling back: all of it under the data set's lease.

A publish is: the record ``publishing``; the tables, one call each; the Trino views; the comparison of both layers up to
the new boundary; the record ``published``. Whoever comes after an interruption finds the first record without
the second, and does the rest: each step may be repeated.

The views never reach beyond what the tables hold. So where the boundary rises the tables come first, where it falls the
views do; and then the tables wait for the queries that were planned on the views as they were.

A process that was stopped for long must change nothing when it wakes up. Before each step the lease is checked, and
most steps cannot be done late even if the stop falls between the check and the step: a record is only appended behind
the one that it was meant to follow, and partitions are switched only while the table's fence stands (``tables``). A
view that was replaced late is put right by the process itself, by the run that overtook it, or by the next command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tenacity import Retrying, retry_if_exception_type, retry_if_not_exception_type, stop_after_attempt, wait_fixed

from engines import trino
from engines.errors import EngineUnavailable
from meterlake import boundary as boundaries
from meterlake import merged
from meterlake.boundary import BEGINNING
from meterlake.errors import LeaseLost, TransientError
from serving_layer.publish import records, tables
from serving_layer.publish.errors import OfEarlierVersion, Overtaken
from serving_layer.publish.folders import Changes, Tables, applied, difference, is_sliced
from serving_layer.publish.history import ERASURE, History, Record
from serving_layer.reconcile.reconcile import Pending, reconcile
from serving_layer.sql import views

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.lease import Lease
    from serving_layer.publish.tables import ViewTable

Step = Callable[[str], None]
"""Called with the name of each step before it is done; tests stop there."""

SPEED: Final = "speed"
"""Key of a record's details: whether the speed layer answers the minutes from its boundary on."""
RECONCILIATION: Final = "reconciliation"
"""Key of a record's details: how the layers compared for the minutes that the boundary moved over."""

ROLLED_BACK_FROM: Final = "rolled_back_from"
"""Key of a record's details: the run that readers saw before a roll-back."""
UNCOVERED: Final = "uncovered"
"""Key of a record's details: minutes that a roll-back has lost, as it was allowed to."""
OF_ONE_MOVE: Final = (RECONCILIATION, ROLLED_BACK_FROM, UNCOVERED, ERASURE)
"""Keys of details that a later record of the same run does not have."""

_RETRY_FOR: Final = timedelta(seconds=30)
"""So long a roll-back waits for queries that may still read the newer tables up to the newer boundary."""

_TRIES: Final = 3
"""So often views are put right that somebody else replaces at the same time."""

_again: Final = Retrying(
    retry=retry_if_exception_type(TransientError) & retry_if_not_exception_type(LeaseLost),
    stop=stop_after_attempt(4),
    wait=wait_fixed(2),
    reraise=True,
)
"""Does a step, and does it again where a server was busy for a moment; then it is left to the next command."""


@dataclass(frozen=True)
class Publication:
    """A run that is written and audited, and the boundary that goes with it.

    based_on: the record from which it was computed. changes: to the partitions that readers saw then.
    """

    run_id: str
    boundary: datetime
    snapshot: int | None
    based_on: int
    changes: Changes = field(hash=False)
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls,
        history: History,
        about: tuple[str, datetime, int | None],
        tables: Tables,
        details: Mapping[str, Any] | None = None,
    ) -> Publication:
        """Return the publication of a run that leaves all partitions at ``tables``.

        history: as it was when the run began. about: run, boundary and snapshot.
        """
        return cls(*about, history.seq, difference(history.tables, tables), details or {})


@dataclass(frozen=True)
class Publisher:
    """Changes what readers of a data set see, as long as ``lease`` is held. step: called before each step."""

    settings: Settings
    dataset: MeterSeries
    lease: Lease
    clock: Clock
    step: Step = lambda _: None

    def publish(self, publication: Publication, shapes: list[ViewTable]) -> History:
        """Let readers see a run; return the history with it.

        Raises Overtaken where another was published since the one that it was computed from; LeaseLost.
        """
        history = self.roll_forward()
        if history.seq != publication.based_on:
            raise Overtaken(self.dataset.name, publication.run_id, publication.based_on, history.seq)
        self.lease.check()
        tables.ensure(self.settings, shapes, replace=bool(publication.changes))
        begun = Record(
            dataset=self.dataset.name,
            seq=history.seq + 1,
            run_id=publication.run_id,
            event="publishing",
            at=self.clock(),
            boundary=publication.boundary,
            snapshot=publication.snapshot,
            changes=publication.changes,
            details={**publication.details, SPEED: self._speed_layer(history.current)},
        )
        return self._finish(self._append(history, begun))

    def roll_forward(self) -> History:
        """Finish a publish or roll-back that was interrupted, if there is one; return the history."""
        self._fence_off()
        history = records.load(self.settings, self.dataset.name)
        if history.begun is not None:
            return self._finish(history)
        self._restore_views(history)
        return history

    def roll_back(self, run_id: str, *, allow_gap: bool = False) -> History:
        """Let readers see an earlier run again; return the history with that.

        Raises UnknownName for a run that cannot be reached, OfEarlierVersion for one whose partitions the tables do not
        have any more; RollbackLosesMinutes where the speed rows after the older
        boundary have expired, unless ``allow_gap``: then the record lists what is uncovered.
        """
        ttl = self.settings.speed_ttl
        history = self.roll_forward()
        run, present = history.target(self.dataset.name, run_id), history.current
        if not is_sliced(run.tables):
            raise OfEarlierVersion(self.dataset.name, run_id)
        wanted = run.record
        details = {key: value for key, value in wanted.details.items() if key not in OF_ONE_MOVE}
        details[SPEED] = self._speed_layer(present)
        if present is not None:
            details[ROLLED_BACK_FROM] = present.run_id
            now = self.clock()
            uncovered = (
                boundaries.uncovered_by_rollback(wanted.boundary, present.boundary, now, ttl)
                if details[SPEED]
                else None
            )
            if uncovered:
                boundaries.check_rollback(self.dataset.name, uncovered, ttl, allow_gap=allow_gap)
                details[UNCOVERED] = [uncovered.since.isoformat(), uncovered.until.isoformat()]
        begun = replace(
            wanted,
            seq=history.seq + 1,
            event="rolling_back",
            at=self.clock(),
            changes=difference(history.tables, run.tables),
            details=details,
        )
        return self._finish(self._append(history, begun))

    def prepare(self, shapes: list[ViewTable]) -> None:
        """Make tables and views that can be queried, as of the run that readers see, also before there is one.

        To be called when the speed layer's tables have been made: from then on, the merged views show what they hold.
        An unfinished publish is left to the next run, which makes the views, too.
        """
        self._fence_off()
        tables.ensure(self.settings, shapes)
        history = records.load(self.settings, self.dataset.name)
        if history.begun is None:
            boundary = history.current.boundary if history.current else BEGINNING
            self._replace_views(boundary, history.seq, speed=self._speed_layer(history.current))

    def turn(self, history: History) -> dict[str, Any]:
        """Do all that readers can see of the publish or roll-back under way; return what else there is to record.

        It may be done again after any of its steps.
        """
        begun, present = _begun(history), history.current
        speed, shown_by = bool(begun.details.get(SPEED)), begun.seq + 1
        rises = present is None or begun.boundary >= present.boundary
        if not rises:
            self._before("views")
            _again(self._replace_views, begun.boundary, shown_by, speed=speed)
            self._before("settle")
            _again(trino.settle, self.settings, _RETRY_FOR)
        whole = applied(history.tables, begun.changes)
        for table in sorted(begun.changes, reverse=not rises):
            self._before(table)
            _again(tables.switch, self.settings, table, begun.changes[table], whole.get(table, {}), self.lease)
        if rises:
            self._before("views")
            _again(self._replace_views, begun.boundary, shown_by, speed=speed)
        self._before("reconcile")
        return self._reconciliation(present, begun) if speed else {}

    def _finish(self, history: History) -> History:
        """Do the steps after a record's beginning, and record its end."""
        begun = _begun(history)
        try:
            details = {**begun.details, **self.turn(history)}
            end = replace(begun, seq=begun.seq + 1, event=begun.finished_event, at=self.clock(), details=details)
            after = self._append(history, end)
        except (LeaseLost, Overtaken):
            self._restore_views(records.load(self.settings, self.dataset.name))
            raise
        self._restore_views(after)
        return after

    def _append(self, history: History, record: Record) -> History:
        self._before(record.event)
        return records.append(self.settings, history, record)

    def _before(self, step: str) -> None:
        """Begin a step. Raises LeaseLost if somebody else has the lease."""
        self.step(step)
        self.lease.check()

    def _fence_off(self) -> None:
        """See to it that an owner who lost the lease, and sleeps, can switch nothing any more."""
        if self.lease.took_over:
            self.lease.check()
            tables.fence_off(self.settings, self.dataset.name, self.lease.token)
            self.lease.settled()

    def _restore_views(self, history: History) -> None:
        """Make the views what the record says, if a process that woke up late has left others.

        While a publish is under way they are left to it.
        """
        for _ in range(_TRIES):
            present = history.current
            if present is None or history.begun or views.shown(self.settings, self.dataset) == history.seq:
                return
            speed = bool(present.details.get(SPEED))
            cutover = (
                merged.cutover(self.dataset, present.boundary, self.clock(), self.settings.speed_ttl) if speed else None
            )
            _again(views.replace, self.settings, self.dataset, cutover, history.seq)
            history = records.load(self.settings, self.dataset.name)

    def _reconciliation(self, present: Record | None, begun: Record) -> dict[str, Any]:
        """Compare the layers for the minutes over which the boundary has moved, and those that were left to be done.

        Readers see the run already: this does not hold it up.
        """
        living = boundaries.first_living(self.clock(), self.settings.speed_ttl)
        cutover = merged.cutover_at(self.dataset, begun.boundary)
        since = max(living, merged.cutover_at(self.dataset, present.boundary if present else BEGINNING))
        left = Pending.of(present.details.get(RECONCILIATION, {}), living, cutover) if present else None
        if left is None and since >= cutover:
            return {}
        snapshot = begun.details.get("read_snapshot", begun.snapshot)
        return {RECONCILIATION: reconcile(self.settings, self.dataset, (since, cutover), snapshot, left)}

    def _replace_views(self, boundary: datetime, seq: int, *, speed: bool) -> None:
        cutover = merged.cutover(self.dataset, boundary, self.clock(), self.settings.speed_ttl) if speed else None
        views.replace(self.settings, self.dataset, cutover, seq, self.lease.check)

    def _speed_layer(self, present: Record | None) -> bool:
        """Return whether there is a speed layer. Where Cassandra is away and readers never saw it, there is none.

        Raises EngineUnavailable where they did: by the run that they see, or by the views that ``prepare`` has made.
        """
        try:
            return views.has_speed_layer(self.settings, self.dataset)
        except EngineUnavailable:
            was_shown = present is not None and present.details.get(SPEED)
            if was_shown or views.current_cutover(self.settings, self.dataset) is not None:
                raise
            return False


def _begun(history: History) -> Record:
    if history.begun is None:
        raise ValueError("no publish is under way")
    return history.begun
