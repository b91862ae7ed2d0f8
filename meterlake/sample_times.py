"""The times of a sample: which columns hold them, in which pattern, and how far apart they are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from meterlake import timepattern

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOCK: Final = r"(?P<H>\d{1,2}):(?P<M>\d{2})(?P<S>:\d{2})?(?P<F>[.,]\d{1,9})?(?P<A> ?[AaPp][Mm])?"
_DIGITS: Final = r"(?P<a>\d{1,4})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<c>\d{1,4})"
_NAMED: Final = r"(?P<d>\d{1,2})(?P<t>[-/. ])(?P<n>[A-Za-z]{3,9})(?P=t)(?P<y>\d{4}|\d{2})"
_DATE: Final = f"(?:{_DIGITS}|{_NAMED})"
_ZONE: Final = r"(?P<Z> ?(?:Z|[+-]\d{2}(?::?\d{2})?))?"
_WHOLE: Final = re.compile(f"{_DATE}(?P<T>[ T]){_CLOCK}{_ZONE}")
_DAY: Final = re.compile(_DATE)
_TIME: Final = re.compile(f"{_CLOCK}{_ZONE}")
_COMPACT: Final = {8: "yyyyMMdd", 12: "yyyyMMddHHmm", 14: "yyyyMMddHHmmss"}
_STAMPED: Final = re.compile(r"time|date|datum|day|stamp|epoch|(^|[^a-z])ts([^a-z]|$)|unix", re.IGNORECASE)
_EXCEL: Final = re.compile(r"(2[6-9]|[3-5]\d)\d{3}([.,]\d+)?")
_MOST_ODD: Final = 0.1
"""So many of a column's fields may be no times."""

_INTERVALS: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
_TOLERANCES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900)

TimeKind = Literal["time", "epoch", "excel"]


@dataclass(frozen=True)
class Times:
    """columns: place -> pattern; of an epoch its unit. seconds: of each line since 1970 by the file's clock, or UTC
    where each line says its offset; None for no time."""

    columns: dict[int, str]
    seconds: list[int | None]
    kind: TimeKind = "time"
    has_offset: bool = False
    is_fractional: bool = False
    decide: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_day(self) -> bool:
        """Whether the times are days."""
        return self.kind == "time" and not timepattern.has_hours(" ".join(self.columns.values()))


def times(headers: Sequence[str], fields: Sequence[Sequence[str]]) -> Times | None:
    """Return the times of a sample, or nothing where no column holds any."""
    for at, cells in enumerate(fields):
        if _mostly(_WHOLE, cells):
            return _of_pattern({at: cells}, _WHOLE)
    days = [at for at, cells in enumerate(fields) if _mostly(_DAY, cells)]
    clocks = [at for at, cells in enumerate(fields) if _mostly(_TIME, cells)]
    if days and clocks:
        return _of_two(days[0], clocks[0], fields)
    for at, cells in enumerate(fields):
        length = len(cells[0])
        if length in _COMPACT and all(re.fullmatch(rf"(19|20)\d{{{length - 2}}}", cell) for cell in cells):
            return _parsed({at: _COMPACT[length]}, cells)
    if days:
        return _of_pattern({days[0]: fields[days[0]]}, _DAY)
    return _epoch(headers, fields) or _excel(headers, fields)


def is_time(cell: str) -> bool:
    """Return whether a field is a date or a time, so that it is no name of a column."""
    return bool(_WHOLE.fullmatch(cell) or _DAY.fullmatch(cell))


class Grid(NamedTuple):
    """interval_s: how far apart times are. snap_s: how far they lie beside its multiples, where most of them do."""

    interval_s: int
    snap_s: int


def grid(times: Times, meters: Sequence[str]) -> Grid | None:
    """Return the grid on which the times of a sample are; None where no meter has two different times."""
    step = interval(times.seconds, meters)
    if step is None:
        return None
    length = next((nice for nice in _INTERVALS if abs(step - nice) * 10 <= nice), step)
    beside = sorted(min(at % length, -at % length) for at in times.seconds if at is not None)
    off = [distance for distance in beside if distance]
    if len(off) <= len(beside) * _MOST_ODD:
        return Grid(length, 0)
    far = beside[int(len(beside) * (1 - _MOST_ODD))] + times.is_fractional
    snap = next((tolerance for tolerance in _TOLERANCES if tolerance >= far), 0)
    return Grid(length, snap) if 0 < snap * 4 <= length else Grid(step, 0)


def interval(seconds: Sequence[int | None], meters: Sequence[str]) -> int | None:
    """Return the most frequent distance of a meter's times, in seconds."""
    steps: Counter[int] = Counter()
    last: dict[str, int] = {}
    for second, meter in zip(seconds, meters, strict=True):
        if second is None:
            continue
        if meter in last and second != last[meter]:
            steps[abs(second - last[meter])] += 1
        last[meter] = second
    return steps.most_common(1)[0][0] if steps else None


def text(second: int) -> str:
    """Return a time of the file's clock."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def _mostly(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    odd = sum(not pattern.fullmatch(cell) for cell in cells)
    return odd <= len(cells) * _MOST_ODD


def _of_two(day: int, clock: int, fields: Sequence[Sequence[str]]) -> Times:
    dates, notes = _date_pattern([match for cell in fields[day] if (match := _DAY.fullmatch(cell))])
    times = [match for cell in fields[clock] if (match := _TIME.fullmatch(cell))]
    clocks = _clock_pattern(times, padded=dates.startswith("yyyy")) + _zone_pattern(times)
    parts = {day: dates, clock: clocks}
    joined = [f"{fields[day][at]} {fields[clock][at]}" for at in range(len(fields[day]))]
    return _parsed(dict(sorted(parts.items())), joined, notes, f"{dates} {clocks}")


def _of_pattern(columns: dict[int, Sequence[str]], kind: re.Pattern[str]) -> Times:
    ((at, cells),) = columns.items()
    matches = [match for cell in cells if (match := kind.fullmatch(cell))]
    pattern, notes = _date_pattern(matches)
    if kind is _DAY:
        return _parsed({at: pattern}, cells, notes)
    pattern += "'T'" if matches[0]["T"] == "T" else " "
    pattern += _clock_pattern(matches, padded=pattern.startswith("yyyy")) + _zone_pattern(matches)
    return _parsed({at: pattern}, cells, notes)


def _zone_pattern(matches: Sequence[re.Match[str]]) -> str:
    """Return the letters of the offset; of times without one, nothing."""
    zones = {(match["Z"] or "").strip() for match in matches}
    longest = max(zones, key=len)
    blank = " " if (matches[0]["Z"] or "").startswith(" ") else ""
    letters = {0: "", 1: "XXX", 3: "X", 5: "XX", 6: "XXX"}[len(longest)]
    return blank + letters if letters else ""


def _date_pattern(matches: Sequence[re.Match[str]]) -> tuple[str, list[str]]:
    if matches[0]["n"]:
        sign, month = matches[0]["t"], "MMM" if all(len(match["n"] or "") == 3 for match in matches) else "MMMM"
        return f"d{sign}{month}{sign}{'y' * len(matches[0]['y'])}", []
    sign = matches[0]["s"]
    year_first = len(matches[0]["a"]) == 4
    # One letter stands for one or two digits: a short sample may show two by chance.
    padded = year_first and all(len(match["b"]) == len(match["c"]) == 2 for match in matches)
    day, month = ("dd", "MM") if padded else ("d", "M")
    if year_first:
        return f"yyyy{sign}{month}{sign}{day}", []
    short = len(matches[0]["c"]) == 2
    year = "yy" if short else "yyyy"
    doubt = ["years of two digits: is the year last? It is assumed"] if short else []
    if max(int(match["b"]) for match in matches) > 12:
        return f"{month}{sign}{day}{sign}{year}", doubt
    if max(int(match["a"]) for match in matches) <= 12:
        doubt.append("day first or month first? No date of the sample says it; day first is assumed")
    return f"{day}{sign}{month}{sign}{year}", doubt


def _clock_pattern(matches: Sequence[re.Match[str]], *, padded: bool) -> str:
    half = matches[0]["A"]
    hours = "h" if half else "HH" if padded and all(len(match["H"]) == 2 for match in matches) else "H"
    fractions = [match["F"] for match in matches if match["F"]]
    longest = max(fractions, key=len, default="")
    fraction = f"{longest[:1]}{'S' * (len(longest) - 1)}"
    return f"{hours}:mm{':ss' if matches[0]['S'] else ''}{fraction}{half[:-2] + 'a' if half else ''}"


def _parsed(patterns: dict[int, str], cells: Sequence[str], notes: Sequence[str] = (), whole: str = "") -> Times:
    pattern = whole or " ".join(patterns.values())
    parts = re.compile(r"[.,]0*[1-9]\d*( ?[Z+-]|$)")
    fractional = timepattern.has_fraction(pattern) and any(parts.search(cell) for cell in cells)
    result = Times(
        patterns, [], has_offset=timepattern.has_offset(pattern), is_fractional=fractional, decide=list(notes)
    )
    result.seconds.extend(_second(pattern, cell) for cell in cells)
    if timepattern.problem(pattern) or all(second is None for second in result.seconds):
        result.unread.append(f"no time could be read by the pattern {pattern!r}")
    return result


def _second(pattern: str, cell: str) -> int | None:
    offset = 0
    if timepattern.has_offset(pattern):
        result = re.search(timepattern.offset_regex(pattern), cell)
        if result is None:
            return None
        digits = result[0].strip().replace(":", "")
        offset = 0 if digits == "Z" else int(digits[1:3]) * 3600 + int(digits[3:5] or 0) * 60
        cell, offset = cell[: result.start()], -offset if digits[0] == "-" else offset
    text_ = re.sub(timepattern.ANY_FRACTION, "", cell) if timepattern.has_fraction(pattern) else cell
    try:
        return int(datetime.strptime(text_, timepattern.strptime(pattern)).replace(tzinfo=UTC).timestamp()) - offset
    except ValueError:
        return None


def _epoch(headers: Sequence[str], fields: Sequence[Sequence[str]]) -> Times | None:
    for at, cells in enumerate(fields):
        if _STAMPED.search(headers[at]) and all(re.fullmatch(r"\d{10}(\d{3})?", cell) for cell in cells):
            unit = "ms" if len(cells[0]) == 13 else "s"
            return Times({at: unit}, [int(cell[:10]) for cell in cells], "epoch", has_offset=True)
    return None


def _excel(headers: Sequence[str], fields: Sequence[Sequence[str]]) -> Times | None:
    for at, cells in enumerate(fields):
        if _STAMPED.search(headers[at]) and all(_EXCEL.fullmatch(cell) for cell in cells):
            days = [float(cell.replace(",", ".")) - 25_569 for cell in cells]
            return Times({at: ""}, [round(day * 86_400) for day in days], "excel")
    return None
