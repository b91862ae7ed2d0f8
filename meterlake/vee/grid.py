"""A meter's rows on their time grid: an array element for each interval from the first to the last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from meterlake import timegrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_EPOCH = date(1970, 1, 1)
_DAY_S = 86_400


@dataclass(frozen=True)
class Gap:
    """Intervals first to last (not included) that cannot be used, with usable ones on both sides."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many intervals."""
        return self.last - self.first


@dataclass(frozen=True, eq=False)
class Cells:
    """Intervals of one meter, from ``begin`` on, ``step`` seconds each.

    values: sums in units, of a whole interval. known: it has readings. usable: and no rule replaces them.
    day: local day as days since 1970. slot: number of the interval in the day by the clock on the wall.
    """

    begin: int
    step: int
    values: Integers
    known: Flags
    usable: Flags
    day: Integers
    slot: Integers

    @property
    def count(self) -> int:
        """How many intervals."""
        return len(self.values)

    @property
    def slots(self) -> int:
        """How many intervals a day of 24 hours has."""
        return _DAY_S // self.step

    @property
    def weekend(self) -> Flags:
        """Which intervals are of a Saturday or Sunday."""
        return (self.day + 3) % 7 >= 5  # 1970 began on a Thursday

    def starts(self, place: int) -> int:
        """Return the start of an interval, seconds since 1970; one after the last is the end."""
        return self.begin + place * self.step

    def place(self, ts: int) -> int:
        """Return the number of the interval that an instant is in; it may lie outside."""
        return (ts - self.begin) // self.step

    def gaps(self) -> list[Gap]:
        """Return the gaps between the first and the last usable interval."""
        places = np.flatnonzero(self.usable)
        after = np.flatnonzero(np.diff(places) > 1)
        return [Gap(int(places[at]) + 1, int(places[at + 1])) for at in after]


def cells(starts: Integers, values: Integers, usable: Flags, step: int, time_zone: str) -> Cells:
    """Bring rows onto the grid. starts: of each row, seconds since 1970, each once, in any order."""
    if not len(starts):
        raise ValueError("There are no rows to bring onto a grid.")
    begin, end = int(starts.min()), int(starts.max()) + step
    count = (end - begin) // step
    at = (starts - begin) // step
    held, known, good = np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    held[at], known[at], good[at] = values, True, usable
    day, slot = local(begin + step * np.arange(count, dtype=np.int64), step, time_zone)
    return Cells(begin, step, held, known, good, day, slot)


def local(starts: Integers, step: int, time_zone: str) -> tuple[Integers, Integers]:
    """Return local days (since 1970) and slots of instants, by the clock on the wall."""
    offsets = np.zeros(len(starts), np.int64)
    utc_days = starts // _DAY_S
    for utc_day in np.unique(utc_days):
        here = utc_days == utc_day
        changes = _offsets(int(utc_day), time_zone)
        offsets[here] = changes[0][1]
        for since, offset in changes[1:]:
            offsets[here & (starts >= since)] = offset
    walls = starts + offsets
    return walls // _DAY_S, walls % _DAY_S // step


@lru_cache(maxsize=8192)
def _offsets(utc_day: int, time_zone: str) -> list[tuple[int, int]]:
    """Return (since when, offset from UTC in seconds) within a UTC day, to the quarter of an hour."""
    zone = ZoneInfo(time_zone)
    begin = utc_day * _DAY_S
    result = [(begin, _offset(begin, zone))]
    if _offset(begin + _DAY_S, zone) != result[0][1]:
        for ts in range(begin, begin + _DAY_S, 900):
            if (offset := _offset(ts, zone)) != result[-1][1]:
                result.append((ts, offset))
    return result


def _offset(ts: int, zone: ZoneInfo) -> int:
    return int((datetime.fromtimestamp(ts, zone).utcoffset() or timedelta(0)).total_seconds())


def day_of(number: int) -> date:
    """Return a day from its number since 1970."""
    return _EPOCH + timedelta(days=int(number))


def moment(ts: int) -> datetime:
    """Return an instant as tables have it: UTC without zone."""
    return datetime.fromtimestamp(int(ts), UTC).replace(tzinfo=None)


def expected_cells(day: date, step: int, time_zone: str) -> int:
    """Return how many intervals a local day has."""
    return timegrid.day_seconds(day, time_zone) // step
