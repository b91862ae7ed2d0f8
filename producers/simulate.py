"""One run: the script is played at its pace, faults are put in, and everything goes to a sink."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from meterlake.rebase import whole_weeks
from producers import faults
from producers.fleet import fleet
from producers.history import load
from producers.injection import Injection
from producers.script import Script
from producers.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.replay import Replay
    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock
    from producers.injection import Oracle
    from producers.pace import Pace, Schedule
    from producers.sinks import Sink


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to simulate. The same request makes the same messages, to the byte.

    rebase: the history is moved by whole weeks so that it ends at or after this moment; or, if given, by ``shift``.
    offset: of the history's clock from UTC, or its zone. others: further formats of which the
    history may be. shares: of faults, by name.
    """

    replay: Replay
    history: Path
    offset: FileClock
    meter_id: str
    meters: int
    seed: int
    rebase: datetime
    shift: timedelta | None = None
    fill_gaps: bool = False
    others: tuple[TextFormat, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)


def script(request: Request, cache: Path) -> Script:
    """Read the history and return the script of a run. Raises HistoryUnreadable or UsageError."""
    history = load(cache, request.replay.form, request.history, request.offset, request.others)
    days = (history.end - history.first) // 86_400
    shift = request.shift
    if shift is None:
        shift = whole_weeks(datetime.fromtimestamp(history.end, UTC), request.rebase)
    return Script(
        request.replay,
        history,
        fleet(request.meter_id, request.meters, request.seed, days),
        request.seed,
        shift,
        request.fill_gaps,
        faults.skews(request.shares, request.seed, request.meters),
    )


def begun(script: Script, plan: Schedule) -> Totals:
    """Return the totals of a run that has done nothing yet."""
    return Totals(len(script.fleet.ids), plan.start, script.replay.interval_s, script.shift.days)


def simulate(  # noqa: PLR0913, PLR0917 - the parts of a run
    script: Script, plan: Schedule, shares: Mapping[str, float], pace: Pace, sink: Sink, totals: Totals,
    oracle: Oracle | None = None,
) -> None:  # fmt: skip
    """Send the readings of a schedule; on a stop, send what is under way and return.

    Raises what the sink raises where messages cannot be delivered.
    """
    begin = time.monotonic()
    injection = Injection(script, shares, totals, oracle)
    try:
        _play(script, plan, injection, pace, sink, totals)
        rest = list(injection.rest())
        totals.held_back += len(rest) - sink.send(rest)
        sink.flush()
        if oracle:
            oracle.flush()
    finally:
        totals.seconds = time.monotonic() - begin


def _play(script: Script, plan: Schedule, injection: Injection, pace: Pace, sink: Sink, totals: Totals) -> None:
    for step in script.steps(plan.start, plan.end):
        if not pace.wait(step.ts):
            return
        messages = injection.messages(step)
        totals.readings += len(step.meters)
        totals.silent += step.silent
        totals.raised += step.raised
        totals.until = step.ts + totals.interval_s
        missed = len(messages) - sink.send(messages)
        if missed:
            totals.held_back += missed
            return
