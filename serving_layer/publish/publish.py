"""Publishing a run, finishing what was interrupted, and rolling back. Call all of them under the data set's lease.

A publish is: the record ``publishing``; the tables, one call each; the Trino views; the record ``published``. Whoever
comes after an interruption finds the first record without the second, and does the rest: each step may be repeated.
A roll-back goes through the same steps in the reverse order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from meterlake import boundary as boundaries
from serving_layer.publish import history as past
from serving_layer.publish import records, tables
from serving_layer.publish.history import Record, Tables
from serving_layer.sql import views

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import Dataset
    from meterlake.settings import Settings
    from serving_layer.publish.tables import ViewTable

Step = Callable[[str], None]
"""Called with the name of each step before it is done; tests stop there."""


@dataclass(frozen=True)
class Publication:
    """A run that is written and audited, and the boundary that goes with it."""

    run_id: str
    boundary: datetime
    snapshot: int | None
    tables: Tables = field(hash=False)
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)


def publish(
    settings: Settings,
    dataset: Dataset,
    publication: Publication,
    shapes: list[ViewTable],
    clock: Clock,
    step: Step = lambda _: None,
) -> Record:
    """Let readers see a run; return its record."""
    history = roll_forward(settings, dataset, clock)
    present = past.current(history)
    tables.ensure(settings, shapes)
    begun = Record(
        dataset=dataset.name,
        seq=history[-1].seq + 1 if history else 1,
        run_id=publication.run_id,
        event="publishing",
        at=clock(),
        boundary=publication.boundary,
        snapshot=publication.snapshot,
        before=present.after if present else {},
        after=publication.tables,
        details=publication.details,
    )
    step("publishing")
    records.append(settings, begun)
    return _finish(settings, dataset, begun, clock, step)


def roll_forward(settings: Settings, dataset: Dataset, clock: Clock) -> list[Record]:
    """Finish a publish or roll-back that was interrupted, if there is one; return the history."""
    history = records.load(settings, dataset.name)
    begun = past.unfinished(history)
    if begun is not None:
        history.append(_finish(settings, dataset, begun, clock))
    return history


def roll_back(
    settings: Settings,
    dataset: Dataset,
    run_id: str,
    clock: Clock,
    *,
    allow_gap: bool = False,
    step: Step = lambda _: None,
) -> Record:
    """Let readers see an earlier run again; return the record of that.

    Raises UnknownName for a run that cannot be reached; RollbackLosesMinutes where the speed rows after the older
    boundary have expired, unless ``allow_gap``.
    """
    ttl = settings.speed_ttl
    history = roll_forward(settings, dataset, clock)
    wanted = past.target(history, dataset.name, run_id)
    present = past.reachable(history)[0]
    hole = boundaries.rollback_hole(wanted.boundary, present.boundary, clock(), ttl)
    if _has_speed_layer(present):
        boundaries.check_rollback(dataset.name, hole, ttl, allow_gap=allow_gap)
    begun = replace(
        wanted,
        seq=history[-1].seq + 1,
        event="rolling_back",
        at=clock(),
        before=present.after,
        details={**wanted.details, "rolled_back_from": present.run_id},
    )
    step("rolling_back")
    records.append(settings, begun)
    return _finish(settings, dataset, begun, clock, step)


def _finish(settings: Settings, dataset: Dataset, begun: Record, clock: Clock, step: Step = lambda _: None) -> Record:
    backwards = begun.event == "rolling_back"
    if backwards:
        step("views")
        views.replace(settings, dataset)
    for table in sorted(begun.after.keys() | begun.before.keys(), reverse=backwards):
        step(table)
        tables.switch(settings, table, begun.after.get(table, {}))
    if not backwards:
        step("views")
        views.replace(settings, dataset)
    done = replace(begun, seq=begun.seq + 1, event=begun.finished_event, at=clock())
    step(done.event)
    records.append(settings, done)
    return done


def _has_speed_layer(record: Record) -> bool:
    """Return whether the speed layer answers the minutes after the boundary; batch alone has none to lose."""
    return bool(record.details.get("archive"))
