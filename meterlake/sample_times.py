"""The times of a sample: which columns hold them, in which pattern, and how far apart they are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from meterlake import timepattern

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOCK: Final = r"(?P<H>\d{1,2}):(?P<M>\d{2})(?P<S>:\d{2})?(?P<F>[.,]\d{1,9})?"
_DATE: Final = r"(?P<a>\d{1,4})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<c>\d{1,4})"
_ZONE: Final = r"(?P<Z>Z|[+-]\d{2}:\d{2})?"
_WHOLE: Final = re.compile(f"{_DATE}(?P<T>[ T]){_CLOCK}{_ZONE}")
_DAY: Final = re.compile(_DATE)
_TIME: Final = re.compile(_CLOCK)
_COMPACT: Final = {8: "yyyyMMdd", 12: "yyyyMMddHHmm", 14: "yyyyMMddHHmmss"}
_STAMPED: Final = re.compile(r"time|date|stamp|epoch|(^|[^a-z])ts([^a-z]|$)|unix", re.IGNORECASE)
_MOST_ODD: Final = 0.1
"""So many of a column's fields may be no times."""


@dataclass(frozen=True)
class Times:
    """columns: place -> pattern. seconds: of each line since 1970 by the file's clock, None for no time."""

    columns: dict[int, str]
    seconds: list[int | None]
    is_epoch: bool = False
    offset: str = ""
    decide: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


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
    return _epoch(headers, fields)


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
    clocks = _clock_pattern(times, padded=dates.startswith("yyyy"))
    parts = {day: dates, clock: clocks}
    joined = [" ".join(cells) for cells in zip(*(fields[at] for at in sorted(parts)), strict=True)]
    return _parsed({at: parts[at] for at in sorted(parts)}, joined, notes)


def _of_pattern(columns: dict[int, Sequence[str]], kind: re.Pattern[str]) -> Times:
    ((at, cells),) = columns.items()
    matches = [match for cell in cells if (match := kind.fullmatch(cell))]
    pattern, notes = _date_pattern(matches)
    if kind is _DAY:
        return _parsed({at: pattern}, cells, notes)
    pattern += "'T'" if matches[0]["T"] == "T" else " "
    pattern += _clock_pattern(matches, padded=pattern.startswith("yyyy"))
    zones = {match["Z"] or "" for match in matches}
    zone = max(zones)
    result = _parsed({at: f"{pattern}'{zone}'" if zone else pattern}, cells, notes, "" if zone == "Z" else zone)
    if len(zones) > 1:
        result.unread.append(f"its times have several offsets ({', '.join(sorted(zones))}): write them as UTC")
    return result


def _date_pattern(matches: Sequence[re.Match[str]]) -> tuple[str, list[str]]:
    sign = matches[0]["s"]
    year_first = len(matches[0]["a"]) == 4
    # One letter stands for one or two digits: a short sample may show two by chance.
    padded = year_first and all(len(match["b"]) == len(match["c"]) == 2 for match in matches)
    day, month = ("dd", "MM") if padded else ("d", "M")
    if year_first:
        return f"yyyy{sign}{month}{sign}{day}", []
    if max(int(match["b"]) for match in matches) > 12:
        return f"{month}{sign}{day}{sign}yyyy", []
    sure = max(int(match["a"]) for match in matches) > 12
    doubt = [] if sure else ["day first or month first? No date of the sample says it; day first is assumed"]
    return f"{day}{sign}{month}{sign}yyyy", doubt


def _clock_pattern(matches: Sequence[re.Match[str]], *, padded: bool) -> str:
    hours = "HH" if padded and all(len(match["H"]) == 2 for match in matches) else "H"
    fractions = [match["F"] for match in matches if match["F"]]
    longest = max(fractions, key=len, default="")
    return f"{hours}:mm{':ss' if matches[0]['S'] else ''}{longest[:1]}{'S' * (len(longest) - 1)}"


def _parsed(patterns: dict[int, str], cells: Sequence[str], notes: Sequence[str] = (), offset: str = "") -> Times:
    pattern = " ".join(patterns.values())
    c = timepattern.strptime(pattern)
    seconds: list[int | None] = []
    for cell in cells:
        whole = re.sub(timepattern.FRACTION, "", cell) if timepattern.has_fraction(pattern) else cell
        try:
            seconds.append(int(datetime.strptime(whole, c).replace(tzinfo=UTC).timestamp()))
        except ValueError:
            seconds.append(None)
    result = Times(patterns, seconds, offset=offset, decide=list(notes))
    if all(second is None for second in seconds):
        result.unread.append(f"no time could be read by the pattern {pattern!r}")
    return result


def _epoch(headers: Sequence[str], fields: Sequence[Sequence[str]]) -> Times | None:
    for at, cells in enumerate(fields):
        if _STAMPED.search(headers[at]) and all(re.fullmatch(r"\d{10}(\d{3})?", cell) for cell in cells):
            seconds: list[int | None] = [int(cell[:10]) for cell in cells]
            result = Times({at: ""}, seconds, is_epoch=True)
            if len(cells[0]) == 13:
                result.unread.append("its times are milliseconds: divide them by 1000")
            return result
    return None
