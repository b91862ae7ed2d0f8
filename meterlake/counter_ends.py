"""The ends of a counter's readings in a file, by which the readings of several files go on from each other. Pure.

Between the last reading of one file and the first of the next lies an amount that neither file has alone. The file that
is loaded later makes it: it begins with the readings that end the file before it, and ends with those that begin the
file after it. So files may come in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from meterlake.registers import CounterReading

HEAD: Final = "head"
TAIL: Final = "tail"


class Neighbours(NamedTuple):
    """Readings of other files: those that end the file before, and those that begin the file after."""

    before: tuple[CounterReading, ...] = ()
    after: tuple[CounterReading, ...] = ()


@dataclass(frozen=True)
class Ends:
    """The first and the last readings of a counter in a file, in order of time.

    head: up to the first interval's end, and tail: from the last one on; that is all that a neighbour needs. load_id:
    of the file. revision: of its amounts. is_stored: whether it was loaded before.
    """

    head: tuple[CounterReading, ...]
    tail: tuple[CounterReading, ...]
    load_id: str = ""
    revision: int = 0
    is_stored: bool = False

    @classmethod
    def of(cls, readings: Sequence[CounterReading], interval_s: int) -> Ends:
        """Return the ends of readings in order of time; there is at least one."""
        first, last = readings[0].at, readings[-1].at
        begin, end = first + -first % interval_s, last - last % interval_s
        cut = next((n for n, one in enumerate(readings) if one.at >= begin), len(readings) - 1)
        start = next((n for n in reversed(range(len(readings))) if readings[n].at <= end), 0)
        return cls(tuple(readings[: cut + 1]), tuple(readings[start:]))

    @property
    def first(self) -> int:
        """Time of the first reading."""
        return self.head[0].at

    @property
    def last(self) -> int:
        """Time of the last reading."""
        return self.tail[-1].at


class Place(NamedTuple):
    """Where a file stands among others. revision: of its amounts: higher than those that it makes again, if it does."""

    neighbours: Neighbours
    revision: int = 0


def place(mine: Ends, others: Iterable[Ends], interval_s: int) -> Place:
    """Return where the readings of a counter in one file stand among those of other files.

    A file inside which its first reading lies, or its last, has made the amount there. A file that is loaded together
    with it begins with its readings, if it is the later one. Where it comes between two that were loaded before, an
    amount may have been estimated over its time: its own replace that.
    """
    known = list(others)
    stored = [one for one in known if one.is_stored]
    before, after = [mine], [mine]
    while earlier := _earlier(before[-1], known):
        before.append(earlier)
        if earlier.tail[0].at <= _floor(before[1].last, interval_s):
            break
    while later := _later(after[-1], known, stored):
        after.append(later)
        if later.head[-1].at >= -_floor(-after[1].first, interval_s):
            break
    between = [*before[1:], *after[1:]] if len(before) > 1 and len(after) > 1 else []
    return Place(
        Neighbours(
            tuple(reading for one in reversed(before[1:]) for reading in one.tail),
            tuple(reading for one in after[1:] for reading in one.head),
        ),
        max((one.revision for one in between), default=-1) + 1,
    )


def _earlier(mine: Ends, known: Sequence[Ends]) -> Ends | None:
    """Return the file whose readings end last before those of a file begin; None inside another file."""
    if any(one.first <= mine.first < one.last for one in known if one is not mine):
        return None
    ended = [one for one in known if one.last <= mine.first and one.first < mine.first]
    return max(ended, key=lambda one: one.last, default=None)


def _later(mine: Ends, known: Sequence[Ends], stored: Sequence[Ends]) -> Ends | None:
    """Return the stored file whose readings begin first after those of a file have ended; None inside another file."""
    if any(one.first < mine.last <= one.last for one in known if one is not mine):
        return None
    begun = [one for one in stored if one.first >= mine.last and one.last > mine.last]
    return min(begun, key=lambda one: one.first, default=None)


def _floor(second: int, interval_s: int) -> int:
    return second - second % interval_s
