"""Columns of a sample that are the values of a day, one an interval: told by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERVALS: Final = {24: 24, 25: 24, 48: 48, 50: 48, 96: 96, 100: 96, 144: 144, 288: 288, 1440: 1440}
"""Columns -> intervals of a day of 24 hours; more are for the hour that comes again."""

_TIMED: Final = re.compile(r"(.*?)(\d{1,2}):(\d{2})")
_NUMBERED: Final = re.compile(r"(.*?)(\d+)(\D*)")


@dataclass(frozen=True)
class Day:
    """places: of the columns. intervals: of a normal day. header, marks: as ``DayValues`` and its format have them."""

    places: range
    intervals: int
    header: str
    marks: Literal["start", "end"]

    @property
    def is_real(self) -> bool:
        """Whether there are columns for the hour that comes again."""
        return len(self.places) > self.intervals


def day_columns(headers: Sequence[str]) -> Day | None:
    """Return the columns of a day, if there are any. headers: of columns with numbers; empty for the others."""
    numbered = groupby(enumerate(headers), key=lambda pair: bool(pair[1]))
    runs = [[at for at, _ in run] for is_value, run in numbered if is_value]
    places = max(runs, key=len, default=[])
    intervals = _INTERVALS.get(len(places))
    if intervals is None:
        return None
    names = [headers[at].strip() for at in places]
    span = range(places[0], places[-1] + 1)
    return _timed(names, span, intervals) or _by_number(names, span, intervals)


def _timed(names: Sequence[str], places: range, intervals: int) -> Day | None:
    result = [_TIMED.fullmatch(name) for name in names]
    if not all(result) or len(names) != intervals:
        return None
    minutes = [int(match[2]) * 60 + int(match[3]) for match in result if match]
    step = 1440 // intervals
    for marks, first in (("start", 0), ("end", step)):
        if [minute % 1440 for minute in minutes] == [(first + at * step) % 1440 for at in range(intervals)]:
            prefix = result[0][1] if result[0] else ""
            return Day(places, intervals, f"{prefix}{{time}}", "end" if marks == "end" else "start")
    return None


def _by_number(names: Sequence[str], places: range, intervals: int) -> Day | None:
    result = [_NUMBERED.fullmatch(name) for name in names]
    parts = [(match[1], int(match[2]), match[3]) for match in result if match]
    if not result[0] or parts != [(result[0][1], at, result[0][3]) for at in range(1, len(names) + 1)]:
        return None
    width = len(result[0][2])
    number = "{n}" if width == 1 else f"{{n:0{width}}}"
    return Day(places, intervals, f"{result[0][1]}{number}{result[0][3]}", "start")
