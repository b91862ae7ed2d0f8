"""Slices: the unit in which a batch table is written. Pure.

A slice holds the rows whose time lies in one hour, day, month or year; its name is the beginning of those times as text
(``2026-11-26T14``, ``2026-11-26``, ``2026-11``, ``2026``), so one slice lies within another where its name begins with
the other's. The slices of a table never overlap. New time is written in small slices, older time in large ones; upkeep
merges small ones when their time has become old. Rows never move between slices but by that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from meterlake.declaration import Partition

Level = Literal["year", "month", "day", "hour"]

LEVELS: Final[tuple[Level, ...]] = ("year", "month", "day", "hour")
"""From the largest slices to the smallest."""
NAME_LENGTH: Final[dict[Level, int]] = {"year": 4, "month": 7, "day": 10, "hour": 13}
COLUMN: Final = "slice"
"""Name of the partition column that holds a slice's name, beside ``month`` or ``year``."""

HOURS_FOR: Final = timedelta(days=1)
"""The newest day and so much before it are written in slices of an hour."""
MONTH_AFTER: Final = timedelta(days=7)
"""A month is one slice when so much time has been covered after it."""
YEAR_AFTER: Final = timedelta(days=31)
"""A year is one slice when so much time has been covered after it."""
BEYOND: Final = timedelta(days=62)
"""What lies so far after the newest day comes from a clock that is wrong; it is written in the largest slices."""


def name_of(time: date, level: Level) -> str:
    """Return the name of the slice of a level that holds a time (UTC, without zone) or date."""
    return time.isoformat()[: NAME_LENGTH[level]]


def level_of(name: str) -> Level:
    """Return the level of a slice. Raises KeyError for what is not the name of one."""
    return {length: level for level, length in NAME_LENGTH.items()}[len(name)]


def lies_in(inner: str, outer: str) -> bool:
    """Return whether a slice is part of another, or the same."""
    return inner.startswith(outer)


def last_day(name: str) -> date:
    """Return the last day of a slice."""
    level = level_of(name)
    if level == "year":
        return date(int(name), 12, 31)
    if level == "month":
        return _next_month(date.fromisoformat(f"{name}-01")) - timedelta(days=1)
    return date.fromisoformat(name[:10])


@dataclass(frozen=True)
class Layout:
    """The slices of one table, and which a time belongs to.

    partition: the largest slices there are. smallest: the smallest. newest: the newest day that has data. existing:
    slices that have files.
    """

    partition: Partition
    smallest: Level
    newest: date
    existing: frozenset[str] = field(default=frozenset())

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels of this table, the largest slices first."""
        return LEVELS[LEVELS.index(self.partition) : LEVELS.index(self.smallest) + 1]

    @cached_property
    def limits(self) -> dict[Level, date]:
        """Level -> the day before which time is old enough for slices of it; the smallest level has none."""
        month = (self.newest - MONTH_AFTER).replace(day=1)
        year = (self.newest - YEAR_AFTER).replace(month=1, day=1)
        result: dict[Level, date] = {"day": self.newest - HOURS_FOR, "month": month, "year": year}
        return {level: result[level] for level in self.levels[:-1]}

    @property
    def beyond(self) -> date:
        """The first day that is beyond all data: its slices are the largest."""
        return self.newest + BEYOND

    @cached_property
    def named(self) -> dict[Level, frozenset[str]]:
        """Level -> existing slices."""
        return {level: frozenset(n for n in self.existing if level_of(n) == level) for level in self.levels}

    @cached_property
    def split(self) -> dict[Level, frozenset[str]]:
        """Level -> names of slices that cannot be written, for there are smaller ones in them."""
        return {
            level: frozenset(name[: NAME_LENGTH[level]] for name in self.existing if len(name) > NAME_LENGTH[level])
            for level in self.levels[:-1]
        }

    def slice_of(self, time: date) -> str:
        """Return the slice in which the rows of a time are written: the one that exists, or by the time's age."""
        for level in self.levels:
            if name_of(time, level) in self.named[level]:
                return name_of(time, level)
        day = time.date() if isinstance(time, datetime) else time
        for level, limit in self.limits.items():
            name = name_of(time, level)
            if name not in self.split[level] and (day < limit or (level == self.partition and day >= self.beyond)):
                return name
        return name_of(time, self.smallest)

    def merges(self) -> dict[str, list[str]]:
        """Return the slices that are old enough to be one: the larger slice -> those that it is made of.

        A slice is as large as its age allows at once: hours become a month without having been days.
        """
        result: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.existing):
            target = next(
                (
                    name[: NAME_LENGTH[level]]
                    for level, limit in self.limits.items()
                    if NAME_LENGTH[level] < len(name) and last_day(name[: NAME_LENGTH[level]]) < limit
                ),
                None,
            )
            if target is not None:
                result[target].append(name)
        return dict(result)


class Change(NamedTuple):
    """What becomes of one partition: the folders where it lay and lies; None where there is no such partition."""

    before: str | None
    after: str | None


def changed(before: Mapping[str, str], changes: Mapping[str, Change]) -> dict[str, str]:
    """Return partition -> folder after ``changes``."""
    after = {name: changes[name].after if name in changes else folder for name, folder in before.items()}
    after |= {name: change.after for name, change in changes.items()}
    return {name: folder for name, folder in sorted(after.items()) if folder is not None}


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
