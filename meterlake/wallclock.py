"""Files whose clock is that on the wall: their times have no offset, and follow a zone with its summer time.

When the clock goes back, the same times come twice. The file's own order says which is which: up to the line at which
its times step back they are those before the change, from there on those after it. Where the order does not say it
(the hour comes once, or not in order), its lines are ``ambiguous_time``. Times that the clock skips are
``no_such_local_time``.

Local times are seconds of the clock on the wall, counted as if they were UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from meterlake.errors import DeclarationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable

FileClock: TypeAlias = timedelta | ZoneInfo
"""A file's clock: a fixed offset from UTC, or the zone whose clock on the wall it shows."""

AMBIGUOUS_TIME: Final = "ambiguous_time"
NO_SUCH_LOCAL_TIME: Final = "no_such_local_time"

FIRST, SECOND = 1, 2
"""Places of a time that comes twice."""

_YEARS: Final = (1970, 2100)


class Segment(NamedTuple):
    """Local times from ``begins`` up to the next segment.

    offset_s: from UTC; None for times that the clock skips. later_s: the offset at the second time, where they come
    twice. skipped_at: the instant at which the clock skips them.
    """

    begins: int
    offset_s: int | None
    later_s: int | None = None
    skipped_at: int | None = None


class Doubtful(NamedTuple):
    """A line whose time comes twice: its number, its meter, and the local time."""

    line: int
    meter: str
    local: int


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(available_timezones())


def zone(name: str) -> ZoneInfo:
    """Return a zone by its IANA name. Raises UnknownName."""
    if name not in zones():
        rule = "Give an IANA name such as Europe/Paris; a clock without summer time has a UTC offset instead."
        raise UnknownName("time zone", name, zones(), rule)
    return ZoneInfo(name)


def check_zone(name: str, where: str) -> None:
    """Raise DeclarationError where a declaration names a zone that does not exist. where: what declares it."""
    try:
        zone(name)
    except UnknownName as error:
        raise DeclarationError(
            where, f"there is no time zone {name!r}", expected=error.hint.removesuffix(".")
        ) from None


def clock_text(clock: FileClock) -> str:
    """Return a clock as ``+01:00``, or the zone's name."""
    if isinstance(clock, ZoneInfo):
        return clock.key
    minutes = round(clock.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


@lru_cache(maxsize=16)
def segments(clock: ZoneInfo) -> tuple[Segment, ...]:
    """Return the segments of a zone between 1970 and 2100, in order."""
    start, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in _YEARS)
    before = _offset(clock, start)
    result = [Segment(start - 2 * 86_400, before)]
    for at in _changes(clock, start, end):
        after = _offset(clock, at)
        if after > before:
            result += [Segment(at + before, None, None, at), Segment(at + after, after)]
        else:
            result += [Segment(at + after, before, after), Segment(at + before, after)]
        before = after
    return tuple(result)


def segment(clock: ZoneInfo, local: int) -> Segment | None:
    """Return the segment that holds a local time; None before the first."""
    at = bisect_right(segments(clock), local, key=lambda one: one.begins)
    return segments(clock)[at - 1] if at else None


def repeats(clock: ZoneInfo) -> list[tuple[int, int]]:
    """Return the spans of local times that come twice: begin and end."""
    return [(one.begins, following.begins) for one, following in pairwise(segments(clock)) if one.later_s is not None]


def places(lines: Iterable[Doubtful], clock: ZoneInfo) -> dict[int, int]:
    """Return number of a line -> FIRST or SECOND, for the lines of which the order of the file says it."""
    groups: dict[tuple[str, int], list[Doubtful]] = defaultdict(list)
    spans = repeats(clock)
    for line in lines:
        begin = next((begin for begin, end in spans if begin <= line.local < end), None)
        if begin is not None:
            groups[line.meter, begin].append(line)
    return {number: place for group in groups.values() for number, place in _by_order(sorted(group)).items()}


def _by_order(group: list[Doubtful]) -> dict[int, int]:
    """Return the places of lines of one meter and one change of the clock, in the order of the file."""
    steps = [two.local - one.local for one, two in pairwise(group)]
    back = [at for at, step in enumerate(steps, start=1) if step <= 0]
    forth = [at for at, step in enumerate(steps, start=1) if step >= 0]
    if len(back) == 1:
        cut, places_ = back[0], (FIRST, SECOND)
    elif len(forth) == 1:  # the newest line stands first
        cut, places_ = forth[0], (SECOND, FIRST)
    else:
        return {}
    return {line.line: places_[at >= cut] for at, line in enumerate(group)}


def _offset(clock: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, clock).utcoffset() or timedelta(0)
    return int(offset.total_seconds())


def _changes(clock: ZoneInfo, start: int, end: int) -> Iterable[int]:
    """Yield the seconds at which the offset of a zone changes; looked at every day, for some fasts last weeks only."""
    for day in range(start, end, 86_400):
        first = _offset(clock, day)
        if first != _offset(clock, day + 86_400):
            seconds = range(day, day + 86_401)
            yield seconds[bisect_left(seconds, True, key=lambda at: _offset(clock, at) != first)]
