"""What bad hours do to freshness: readings wait at the brokers, then for the next update of the speed views.

Readings arrive as a fluid, so many a second in each phase. The brokers pass on at most what they can. The stream takes
what is there, at most so many, in updates that begin at multiples of its interval or when the one before has ended; an
update takes a constant time, a time for each reading, and a time for each row that it writes: one for each reading, but
no more than there are meters. A reading can be read when its update has ended, and it is as old then as it has waited.

How long an update takes varies as it was measured to vary: by random factors, the same ones each time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEED: Final = 1
_POINTS: Final = 20
_POINTS_OF_MANY: Final = 40
"""So many readings of an update, evenly spread, stand for all of it: of a usual one, and of a larger one."""
_MOST_UPDATES: Final = 20_000
"""So many updates after the trouble are looked at."""
_USUAL: Final = 1.5
"""The stream has caught up when an update has no more than so many times the readings of a usual one."""


@dataclass(frozen=True)
class Server:
    """The stream. An update begins every ``every`` seconds, and takes at most ``most`` readings.

    fixed: seconds of an update, whatever is in it. work: seconds for a reading and for a row, of each server that works
    at it; all do at once, and the slowest counts. rows: the most that an update writes. spread: standard deviation of
    the logarithm of an update's time.
    """

    every: float
    fixed: float
    work: tuple[tuple[float, float], ...]
    rows: float = math.inf
    most: float = math.inf
    spread: float = 0.0

    def seconds(self, readings: float) -> float:
        """Return the time of an update."""
        rows = min(readings, self.rows)
        return self.fixed + max(readings * a_reading + rows * a_row for a_reading, a_row in self.work)


@dataclass(frozen=True)
class Phase:
    """So many seconds in which readings arrive at a rate. brokers: the most that they pass on, a second.

    streaming: whether the stream runs.
    """

    seconds: float
    rate: float
    brokers: float = math.inf
    streaming: bool = True


@dataclass(frozen=True)
class Freshness:
    """How old readings are when they can be read, in seconds, from a moment until the stream has caught up.

    caught_up: seconds from the end of the trouble; None where it never does. behind: most readings that waited.
    """

    p50: float
    p99: float
    worst: float
    caught_up: float | None
    behind: float


class Fluid:
    """How many have come by a moment: straight between corners (time, count)."""

    def __init__(self, corners: Sequence[tuple[float, float]]) -> None:
        self.times, self.counts = (list(one) for one in zip(*corners, strict=True))

    def at(self, time: float) -> float:
        """Return how many have come by a moment."""
        return _between(self.times, self.counts, time)

    def when(self, count: float) -> float:
        """Return the moment at which so many have come."""
        return _between(self.counts, self.times, count)


def _between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    at = min(max(bisect_right(xs, x), 1), len(xs) - 1)
    width = xs[at] - xs[at - 1]
    return ys[at] if width == 0 else ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / width


def arrived(phases: Sequence[Phase]) -> Fluid:
    """Return what meters have sent."""
    corners = [(0.0, 0.0)]
    for phase in phases:
        time, count = corners[-1]
        corners.append((time + phase.seconds, count + phase.seconds * phase.rate))
    return Fluid(corners)


def passed_on(phases: Sequence[Phase]) -> Fluid:
    """Return what the brokers have passed on: what waits before them goes as fast as they can."""
    time = sent = waiting = 0.0
    corners = [(time, sent)]
    for phase in phases:
        left, spare = phase.seconds, phase.brokers - phase.rate
        if waiting and spare > 0:
            part = min(left, waiting / spare)
            waiting = waiting - part * spare if part < waiting / spare else 0.0
            time, sent, left = time + part, sent + part * phase.rate, left - part
            corners.append((time, sent - waiting))
        waiting += max(0.0, -spare) * left
        time, sent = time + left, sent + left * phase.rate
        corners.append((time, sent - waiting))
    return Fluid(corners)


def updates(server: Server, phases: Sequence[Phase], seed: int) -> Iterator[tuple[float, float, float, float]]:
    """Yield each update: when it begins and ends, how many had been taken before, and with it."""
    taken_in, varied = passed_on(phases), Random(seed)  # noqa: S311 - no secret
    away = [
        (a, b) for (a, b), phase in zip(pairwise(arrived(phases).times), phases, strict=True) if not phase.streaming
    ]
    now = done = 0.0
    while now < taken_in.times[-1]:
        now = next((b for a, b in away if a <= now < b), now)
        count = min(taken_in.at(now) - done, server.most)
        # Of a mean of 1: what is measured is the mean update.
        factor = math.exp(varied.gauss(-(server.spread**2) / 2, server.spread))
        end = now + server.seconds(count) * factor
        yield now, end, done, done + count
        done += count
        now = max(end, math.ceil((now + 1e-9) / server.every) * server.every)


def simulate(server: Server, phases: Sequence[Phase], seed: int = SEED) -> Freshness:
    """Return freshness from the second phase's begin until the stream has caught up with the last one's rate.

    phases: the usual rate; the trouble, in one phase or several; the usual rate again, for as long as may be looked at.
    """
    sent = arrived(phases)
    begin, end = sent.times[1], sent.times[-2]
    usual = phases[-1].rate * max(server.every, server.seconds(phases[-1].rate * server.every)) * _USUAL
    ages: list[tuple[float, float]] = []
    behind, caught_up, looked_at = 0.0, None, 0
    for start, readable, before, after in updates(server, phases, seed):
        if readable >= begin and after > before:
            points = _POINTS if after - before <= usual else _POINTS_OF_MANY
            step = (after - before) / points
            ages += ((readable - sent.when(before + (i + 0.5) * step), step) for i in range(points))
            behind = max(behind, sent.at(start) - before)
        if start >= end and after - before <= usual and sent.at(start) - after <= 1:
            caught_up = readable - end
            break
        looked_at += start >= end
        if looked_at > _MOST_UPDATES:
            break
    p50, p99, worst = quantiles(ages, (0.5, 0.99, 1.0))
    return Freshness(p50, p99, worst, caught_up, behind)


def quantiles(weighted: Sequence[tuple[float, float]], which: Sequence[float]) -> list[float]:
    """Return the smallest values that so large a part of all weight does not exceed."""
    ordered = sorted(weighted)
    total, sums = 0.0, []
    for _, weight in ordered:
        sums.append(total := total + weight)
    return [ordered[min(bisect_right(sums, part * total - 1e-9 * total), len(ordered) - 1)][0] for part in which]
