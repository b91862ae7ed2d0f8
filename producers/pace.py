"""When a reading is sent: its own time, made to run as fast as is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from meterlake.errors import UsageError
from meterlake.schema import LATEST_TS

if TYPE_CHECKING:
    from threading import Event

    from meterlake.clock import Clock

FASTEST: Final = math.inf
"""Nothing is waited for."""


@dataclass(frozen=True)
class Schedule:
    """The readings from ``start`` up to, not including, ``end`` are sent from ``begin`` on, ``speed`` times as fast.

    start, end: seconds since 1970, multiples of the interval.
    """

    start: int
    end: int
    begin: datetime
    speed: float

    def due(self, ts: int) -> datetime:
        """Return when the readings of an instant are to be sent."""
        return self.begin + timedelta(seconds=(ts - self.start) / self.speed)


def schedule(
    now: datetime, interval_s: int, speed: float, duration: timedelta | None, start: datetime | None
) -> Schedule:
    """Return the schedule of a run that begins now.

    duration: of the readings' own time; None for ever. Without a start, the readings' time meets the clock at the end
    of the run: at speed 1 it is the clock's all the time, and each is sent in the last second of its interval. Raises
    UsageError.
    """
    if duration is None and speed != 1:
        raise UsageError("An accelerated run needs to know how long it is.", hint="Say how much time passes: --for 1h.")
    if duration is not None and duration.total_seconds() < interval_s:
        raise UsageError("The run is shorter than one interval.", hint=f"Let --for be at least {interval_s}s.")
    length = duration.total_seconds() if duration else 0.0
    wanted = start.timestamp() if start else now.timestamp() - length * (1 - 1 / speed) - (interval_s - 1)
    first = (math.floor if start else math.ceil)(wanted / interval_s) * interval_s
    end = first + int(length) // interval_s * interval_s if duration else LATEST_TS
    if not 0 <= first < end <= LATEST_TS:
        raise UsageError(
            f"The readings would reach from {datetime.fromtimestamp(first, UTC):%Y-%m-%d} beyond 1970 or 2100.",
            hint="Choose --start and --for within.",
        )
    ahead = 0.0 if start else (first - wanted) / speed
    return Schedule(first, end, now + timedelta(seconds=ahead), speed)


class Pace:
    """Waits until readings are due, or until somebody says stop."""

    def __init__(self, plan: Schedule, clock: Clock, stop: Event) -> None:
        self._plan, self._clock, self._stop = plan, clock, stop
        self.behind_s = 0.0

    def wait(self, ts: int) -> bool:
        """Wait until the readings of an instant are due; return False if the run is to stop."""
        if self._plan.speed == FASTEST:
            return not self._stop.is_set()
        early = (self._plan.due(ts) - self._clock()).total_seconds()
        self.behind_s = max(0.0, -early)
        return not self._stop.wait(early) if early > 0 else not self._stop.is_set()
