"""What every meter measures when: a pure function of history, fleet and seed, in steps of one live interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from meterlake import randomness
from meterlake.randomness import RandomValues
from meterlake.wire import encode_units
from producers.fleet import THOUSAND
from producers.history import MISSING

if TYPE_CHECKING:
    from datetime import timedelta

    from meterlake.randomness import Numbers
    from meterlake.replay import Marks, Replay
    from producers.fleet import Fleet
    from producers.history import History

_WEEK_S: Final = 7 * 86_400
_AT_ONCE: Final = 1000
"""Recorded intervals that are split at once: enough to make numpy worth it, few enough for the processor's cache."""
_ENCODED_AT_ONCE: Final = 4000
"""Readings: what a real-time run computes ahead must not hold up the second that is due."""


@dataclass(frozen=True, slots=True)
class Step:
    """All readings of one instant, by meter. meters: their numbers. units: one row a reading. values: the messages.

    raised: recorded intervals that contradict themselves and begin here. silent: meters in a gap of their history.
    """

    ts: int
    meters: Numbers
    units: Numbers
    values: list[bytes]
    raised: int
    silent: int


@dataclass(frozen=True)
class Script:
    """The readings to be sent.

    shift: what is added to the history's times. fill_gaps: live through the same hours of an earlier week where the
    history has no values. skews: seconds by which each meter's clock runs ahead.
    """

    replay: Replay
    history: History
    fleet: Fleet
    seed: int
    shift: timedelta
    fill_gaps: bool
    skews: Numbers

    def steps(self, start: int, end: int) -> Iterator[Step]:
        """Yield the steps from ``start`` up to, not including, ``end``; both multiples of the live interval."""
        length = self.history.interval_s
        at_once = max(1, _AT_ONCE // len(self.fleet.ids)) * length
        first = start - start % length
        for begin in range(first, end, at_once):
            starts = np.arange(begin, min(begin + at_once, end), length)
            for ts, (meters, units, marks) in zip(starts.tolist(), self._intervals(starts), strict=True):
                yield from self._spread(ts, meters, units, marks, start, end)

    def _spread(
        self, begin: int, meters: Numbers, units: Numbers, marks: Marks, start: int, end: int
    ) -> Iterator[Step]:
        """Yield the steps of one recorded interval. units: (meters, parts, measures)."""
        length, parts = self.replay.interval_s, self.replay.parts
        by_time = units.transpose(1, 0, 2)
        width = max(1, _ENCODED_AT_ONCE // max(1, len(meters)))
        first, last = max(0, start - begin) // length, min(parts, (end - begin) // length)
        raised, silent = int(marks.sum()), len(self.fleet.ids) - len(meters)
        for low in range(first, last, width):
            high = min(low + width, last)
            messages = self._encoded(begin + low * length, meters, by_time[low:high])
            for part in range(low, high):
                values = messages[(part - low) * len(meters) : (part - low + 1) * len(meters)]
                yield Step(begin + part * length, meters, by_time[part], values, raised if part == first else 0, silent)

    def _encoded(self, ts: int, meters: Numbers, units: Numbers) -> list[bytes]:
        """Return the messages of steps from ``ts`` on. units: (steps, meters, measures)."""
        steps, count, measures = units.shape
        length = self.replay.interval_s
        times = (np.arange(steps)[:, None] * length + ts + self.skews[meters]).ravel().tolist()
        ids = [self.fleet.ids[number] for number in meters.tolist()] * steps
        columns = units.reshape(steps * count, measures).T.tolist()
        return encode_units(self.replay.dataset, ids, times, length, columns)

    def _intervals(self, starts: Numbers) -> Iterator[tuple[Numbers, Numbers, Marks]]:
        """Return for each recorded interval the meters that have values, their units and marks."""
        meters = len(self.fleet.ids)
        at = self._rows(np.repeat(starts, meters), np.tile(self.fleet.phases, len(starts)))
        numbers = np.tile(self.fleet.numbers, len(starts))
        present = self.history.units[at, 0] != MISSING
        counts = present.reshape(len(starts), meters).sum(axis=1)
        keys = randomness.keys(self.seed, numbers[present], np.repeat(starts, meters)[present])
        units, marks = self._split(at[present], numbers[present], keys)
        ends = np.cumsum(counts)[:-1]
        return zip(np.split(numbers[present], ends), np.split(units, ends), np.split(marks, ends), strict=True)

    def _split(self, at: Numbers, numbers: Numbers, keys: randomness.Keys) -> tuple[Numbers, Marks]:
        result = [
            self.replay.split(
                self._scaled(at[low : low + _AT_ONCE], numbers[low : low + _AT_ONCE]),
                RandomValues(keys[low : low + _AT_ONCE], self.replay.parts),
            )
            for low in range(0, max(1, len(at)), _AT_ONCE)
        ]
        return np.concatenate([units for units, _ in result]), np.concatenate([marks for _, marks in result])

    def _scaled(self, at: Numbers, numbers: Numbers) -> Numbers:
        """Return recorded intervals with the ones before and after, as large as the meters are."""
        units = self.history.units
        here = np.asarray(units[at])
        around = [np.asarray(units[np.clip(at + step, 0, len(units) - 1)]) for step in (-1, 0, 1)]
        rows = np.stack([np.where(rows == MISSING, here, rows) for rows in around], axis=1)
        measures = [measure.name for measure in self.replay.dataset.measures]
        scaled = [measures.index(name) for name in self.replay.scaled]
        rows[:, :, scaled] = rows[:, :, scaled] * self.fleet.scales[numbers][:, None, None] // THOUSAND
        return rows

    def _rows(self, starts: Numbers, phases: Numbers) -> Numbers:
        """Return the rows of the history that meters of these phases live through at these times."""
        length, rows = self.history.interval_s, len(self.history.units)
        end = self.history.end + int(self.shift.total_seconds())
        back = _wrapped((starts - end - phases) // length, rows, length)
        if self.fill_gaps:
            week = max(1, min(_WEEK_S // length, rows))
            for _ in range(rows // week):
                gaps = self.history.units[rows + back, 0] == MISSING
                if not gaps.any():
                    break
                back = np.where(gaps, _wrapped(back - week, rows, length), back)
        return rows + back


def _wrapped(back: Numbers, rows: int, length: int) -> Numbers:
    """Return rows counted back from the end (-1 is the last), each within the history.

    After its end the last week is lived again and again; before its beginning, the weeks at its end.
    """
    week = min(_WEEK_S // length, rows)
    weeks = rows // week * week
    return np.where(back >= 0, back % week - week, np.where(back < -rows, back % weeks - weeks, back))
