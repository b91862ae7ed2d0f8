"""A correction from end to end: files of readings that replace what is there, and the record of who brought them.

It holds the lease of the data set: no other correction, erasure or batch run is under way meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch_layer import lease
from batch_layer.ingest.load import load
from meterlake.changes import LOADS, Change
from serving_layer.publish import changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_layer.ingest.request import Commit, Progress, Request, Result
    from meterlake.clock import Clock
    from meterlake.settings import Settings

RETRY_FOR: Final = timedelta(minutes=10)
"""So long a change waits for a run that is under way."""


@dataclass(frozen=True)
class Reason:
    """Who makes a change, and why."""

    by: str
    why: str


def correct(
    settings: Settings,
    request: Request,
    reason: Reason,
    clock: Clock,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Load files whose readings replace those that are there; one that was interrupted is completed.

    Raises RunUnderWay where a run of the data set lasts too long, and what ``load`` raises.
    """
    request, name = replace(request, corrects=True), request.dataset.name

    def begin(commit: Commit) -> None:
        details = {LOADS: list(commit.load_ids), "revision": commit.revision, "files": list(request.paths)}
        change = Change(name, commit.load_id, "correction", clock(), reason.by, reason.why, request.meter_id, details)
        changes.append(settings, change)

    with lease.held(settings, name, f"correction of {name}", clock, RETRY_FOR):
        result = load(settings, request, clock, on_progress, begin)
        _finish(settings, result, clock)
    return result


def _finish(settings: Settings, result: Result, clock: Clock) -> None:
    """Record as done what is: this correction, and one that was interrupted after its commit."""
    there = {file.load_id for file in result.files if file.status != "set aside"}
    for change in changes.load(settings, result.dataset):
        if change.kind == "correction" and not change.is_done and there.issuperset(change.details[LOADS]):
            figures = {"readings": result.readings, "withdrawals": result.gaps, "differing": result.overlap.differing}
            changes.append(settings, change.done(clock(), {} if result.already_loaded else figures))
