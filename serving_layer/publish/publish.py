"""Publishing a run, finishing what was interrupted, and rolling back. Call all of them under the data set's lease.

A publish is: the record ``publishing``; the tables, one call each; the comparison of both layers up to the new
boundary; the Trino views; the record ``published``. Whoever comes after an interruption finds the first record without
the second, and does the rest: each step may be repeated.

The views never reach beyond what the tables hold. So where the boundary rises the tables come first, where it falls the
views do; and then the tables wait for the queries that were planned on the views as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from engines import trino
from engines.errors import EngineUnavailable
from meterlake import boundary as boundaries
from meterlake import merged
from meterlake.boundary import BEGINNING
from meterlake.errors import TransientError
from serving_layer.publish import records, tables
from serving_layer.publish.folders import Changes, Tables, applied, difference
from serving_layer.publish.history import History, Record
from serving_layer.reconcile.reconcile import reconcile
from serving_layer.sql import views

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import Dataset
    from meterlake.settings import Settings
    from serving_layer.publish.tables import ViewTable

Step = Callable[[str], None]
"""Called with the name of each step before it is done; tests stop there."""

SPEED: Final = "speed"
"""Key of a record's details: whether the speed layer answers the minutes from its boundary on."""
RECONCILIATION: Final = "reconciliation"
"""Key of a record's details: how the layers compared for the minutes that the boundary moved over."""

ROLLED_BACK_FROM: Final = "rolled_back_from"
"""Key of a record's details: the run that readers saw before a roll-back."""
HOLE: Final = "hole"
"""Key of a record's details: minutes that a roll-back has lost, as it was allowed to."""
_OF_ONE_MOVE: Final = (RECONCILIATION, ROLLED_BACK_FROM, HOLE)

_PATIENCE: Final = timedelta(seconds=30)
"""So long a roll-back waits for queries that may still read the newer tables up to the newer boundary."""

_again: Final = Retrying(
    retry=retry_if_exception_type(TransientError), stop=stop_after_attempt(4), wait=wait_fixed(2), reraise=True
)
"""Does a step, and does it again where a server was busy for a moment; then it is left to the next command."""


@dataclass(frozen=True)
class Publication:
    """A run that is written and audited, and the boundary that goes with it. changes: to what readers see now."""

    run_id: str
    boundary: datetime
    snapshot: int | None
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
        return cls(*about, changes=difference(history.tables, tables), details=details or {})


def publish(
    settings: Settings,
    dataset: Dataset,
    publication: Publication,
    shapes: list[ViewTable],
    clock: Clock,
    step: Step = lambda _: None,
) -> History:
    """Let readers see a run; return the history with it."""
    history = roll_forward(settings, dataset, clock)
    tables.ensure(settings, shapes)
    begun = Record(
        dataset=dataset.name,
        seq=history.seq + 1,
        run_id=publication.run_id,
        event="publishing",
        at=clock(),
        boundary=publication.boundary,
        snapshot=publication.snapshot,
        changes=publication.changes,
        details={**publication.details, SPEED: _speed_layer(settings, dataset, history.current)},
    )
    step("publishing")
    return _finish(settings, dataset, records.append(settings, history, begun), clock, step)


def roll_forward(settings: Settings, dataset: Dataset, clock: Clock) -> History:
    """Finish a publish or roll-back that was interrupted, if there is one; return the history."""
    history = records.load(settings, dataset.name)
    return history if history.begun is None else _finish(settings, dataset, history, clock)


def roll_back(
    settings: Settings,
    dataset: Dataset,
    run_id: str,
    clock: Clock,
    *,
    allow_gap: bool = False,
    step: Step = lambda _: None,
) -> History:
    """Let readers see an earlier run again; return the history with that.

    Raises UnknownName for a run that cannot be reached; RollbackLosesMinutes where the speed rows after the older
    boundary have expired, unless ``allow_gap``: then the record lists the hole.
    """
    ttl = settings.speed_ttl
    history = roll_forward(settings, dataset, clock)
    run, present = history.target(dataset.name, run_id), history.current
    wanted = run.record
    details = {key: value for key, value in wanted.details.items() if key not in _OF_ONE_MOVE}
    details[SPEED] = _speed_layer(settings, dataset, present)
    if present is not None:
        details[ROLLED_BACK_FROM] = present.run_id
        hole = boundaries.rollback_hole(wanted.boundary, present.boundary, clock(), ttl) if details[SPEED] else None
        if hole:
            boundaries.check_rollback(dataset.name, hole, ttl, allow_gap=allow_gap)
            details[HOLE] = [hole.since.isoformat(), hole.until.isoformat()]
    begun = replace(
        wanted,
        seq=history.seq + 1,
        event="rolling_back",
        at=clock(),
        changes=difference(history.tables, run.tables),
        details=details,
    )
    step("rolling_back")
    return _finish(settings, dataset, records.append(settings, history, begun), clock, step)


def prepare(settings: Settings, dataset: Dataset, shapes: list[ViewTable], clock: Clock) -> None:
    """Make tables and views that can be queried, as of the run that readers see, before there is one or a speed layer.

    To be called when the speed layer's tables have been made: from then on, the merged views show what they hold. An
    unfinished publish is left to the next run, which makes the views, too.
    """
    tables.ensure(settings, shapes)
    history = records.load(settings, dataset.name)
    if history.begun is not None:
        return  # the next run finishes it, and makes the views
    present = history.current
    boundary = present.boundary if present else BEGINNING
    _replace_views(settings, dataset, boundary, clock, speed=_speed_layer(settings, dataset, present))


def turn(
    settings: Settings, dataset: Dataset, history: History, clock: Clock, step: Step = lambda _: None
) -> dict[str, Any]:
    """Do all that readers can see of the publish or roll-back that is under way; return what else there is to record.

    It may be done again after any of its steps.
    """
    begun, present = _begun(history), history.current
    speed = bool(begun.details.get(SPEED))
    rises = present is None or begun.boundary >= present.boundary
    found: dict[str, Any] = {}
    if not rises:
        step("views")
        _again(_replace_views, settings, dataset, begun.boundary, clock, speed=speed)
        step("settle")
        _again(trino.settle, settings, _PATIENCE)
    whole = applied(history.tables, begun.changes)
    for table in sorted(begun.changes, reverse=not rises):
        step(table)
        _again(tables.switch, settings, table, begun.changes[table], whole.get(table, {}))
    if rises:
        step("reconcile")
        found = _again(_reconciliation, settings, dataset, present, begun, clock) if speed else {}
        step("views")
        _again(_replace_views, settings, dataset, begun.boundary, clock, speed=speed)
    return found


def _begun(history: History) -> Record:
    if history.begun is None:
        raise ValueError("no publish is under way")
    return history.begun


def _finish(
    settings: Settings, dataset: Dataset, history: History, clock: Clock, step: Step = lambda _: None
) -> History:
    """Do the steps after a record's beginning, and record its end."""
    begun = _begun(history)
    details = {**begun.details, **turn(settings, dataset, history, clock, step)}
    done = replace(begun, seq=begun.seq + 1, event=begun.finished_event, at=clock(), details=details)
    step(done.event)
    return records.append(settings, history, done)


def _reconciliation(
    settings: Settings, dataset: Dataset, present: Record | None, begun: Record, clock: Clock
) -> dict[str, Any]:
    """Compare the layers for the minutes that the boundary is about to move over."""
    line = merged.line_at(dataset, begun.boundary)
    before = merged.line_at(dataset, present.boundary if present else BEGINNING)
    since = max(before, boundaries.first_living(clock(), settings.speed_ttl))
    if since >= line:
        return {}
    snapshot = begun.details.get("read_snapshot", begun.snapshot)
    return {RECONCILIATION: reconcile(settings, dataset, since, line, snapshot)}


def _replace_views(settings: Settings, dataset: Dataset, boundary: datetime, clock: Clock, *, speed: bool) -> None:
    line = merged.line(dataset, boundary, clock(), settings.speed_ttl) if speed else None
    views.replace(settings, dataset, line)


def _speed_layer(settings: Settings, dataset: Dataset, present: Record | None) -> bool:
    """Return whether there is a speed layer. Where Cassandra is away and readers were never shown it, there is none.

    Raises EngineUnavailable where they were: by the run that they see, or by the views that ``prepare`` has made.
    """
    try:
        return views.has_speed_layer(settings, dataset)
    except EngineUnavailable:
        was_shown = present is not None and present.details.get(SPEED)
        if was_shown or views.line_in_force(settings, dataset) is not None:
            raise
        return False
