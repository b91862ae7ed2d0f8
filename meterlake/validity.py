"""Which of several rows is valid at a time: one timeline of a meter, made of periods that may overlap. Pure.

A period is valid from its begin up to, and without, its end. Where several are valid, the one that began last counts,
then the one with the highest id; the piece is marked. A period that ends when it begins, or before, never counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOREVER: Final = date.max
"""The end of what has none."""


@dataclass(frozen=True)
class Period:
    """A row that is valid in [begin, end). id: of the row. end: None where it has none."""

    begin: date
    end: date | None
    id: Any

    @property
    def until(self) -> date:
        """Its end, or FOREVER."""
        return FOREVER if self.end is None else self.end

    @property
    def is_empty(self) -> bool:
        """Whether it is valid at no time."""
        return self.until <= self.begin


@dataclass(frozen=True)
class Piece:
    """A part of a timeline, [begin, end), in which ``period`` counts. overlapping: others are valid, too."""

    begin: date
    end: date
    period: Period
    overlapping: bool


def timeline(periods: Iterable[Period]) -> list[Piece]:
    """Return the pieces of time in which some period is valid, in order; nothing is valid between them."""
    valid = [period for period in periods if not period.is_empty]
    bounds = sorted({bound for period in valid for bound in (period.begin, period.until)})
    pieces: list[Piece] = []
    for begin, end in pairwise(bounds):
        there = [period for period in valid if period.begin <= begin and end <= period.until]
        if not there:
            continue
        piece = Piece(begin, end, max(there, key=lambda period: (period.begin, period.id)), len(there) > 1)
        last = pieces[-1] if pieces else None
        if last and last.end == begin and (last.period, last.overlapping) == (piece.period, piece.overlapping):
            pieces[-1] = Piece(last.begin, end, piece.period, piece.overlapping)
        else:
            pieces.append(piece)
    return pieces


@dataclass(frozen=True)
class Stretch:
    """What holds in [begin, end)."""

    begin: datetime
    end: datetime
    what: object


def differing(before: Sequence[Stretch], after: Sequence[Stretch]) -> list[tuple[datetime, datetime]]:
    """Return the stretches of time in which something else holds than before, in order and joined where they touch.

    before, after: in order, none overlapping another.
    """
    bounds = sorted({bound for stretch in (*before, *after) for bound in (stretch.begin, stretch.end)})
    result: list[tuple[datetime, datetime]] = []
    for begin, end in pairwise(bounds):
        if _at(before, begin) == _at(after, begin):
            continue
        if result and result[-1][1] == begin:
            result[-1] = (result[-1][0], end)
        else:
            result.append((begin, end))
    return result


def _at(stretches: Sequence[Stretch], time: datetime) -> object:
    return next((stretch.what for stretch in stretches if stretch.begin <= time < stretch.end), None)
