"""One value of a file: what is a number, what is a time. Each odd one is refused with its reason."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from meterlake import timepattern, wallclock
from meterlake.text.values import NUMBER
from meterlake.timegrid import utc
from meterlake.wallclock import AMBIGUOUS_TIME, NO_SUCH_LOCAL_TIME, SECOND, FileClock

if TYPE_CHECKING:
    from fractions import Fraction

BAD_TIME: Final = "bad_time"
ISO, EPOCH_S, EPOCH_MS, EXCEL_DAYS = "iso", "epoch_s", "epoch_ms", "excel_days"
KNOWN_TIMES: Final = (ISO, EPOCH_S, EPOCH_MS, EXCEL_DAYS)
"""Patterns of times that Java's letters do not say."""

_NUMBER: Final = re.compile(NUMBER)
_ISO: Final = re.compile(r"\d{4}-?\d\d-?\d\d([T ].+)?")
_PARTS: Final = {"Y": "year", "m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second"}
_EXCEL_BEGINS: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - of no zone
_WALL_BEGINS: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of no zone
_LONG: Final = Context(prec=60)
"""More digits than any value has, and many more than a double."""
_DAY_S: Final = 86_400
_LARGEST: Final = 308
_SMALLEST: Final = -330


class RefusedValue(Exception):
    """A value is none. reason: of quarantine, for a number without its measure."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def of(self, measure: str) -> RefusedValue:
        """Return the same of a measure; a missing field is named already."""
        return self if ":" in self.reason else RefusedValue(f"{self.reason}:{measure}")


class Stamp(NamedTuple):
    """A time in whole seconds since 1970: of UTC, or of the clock on the wall."""

    seconds: int
    is_utc: bool


def number(given: object, missing: tuple[str, ...] = ("",)) -> Decimal | None:
    """Return a number as it is written, or None for no value.

    Raises RefusedValue(``bad_value``), or RefusedValue(``not_finite``) for what no double holds.
    """
    if given is None:
        return None
    if isinstance(given, str):
        text = given.strip()
        if text in missing:
            return None
        if not _NUMBER.fullmatch(text):
            raise RefusedValue("bad_value")
        value = Decimal(text)
    elif isinstance(given, Decimal):
        value = given
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        value = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
    else:
        raise RefusedValue("bad_value")
    if not value.is_finite() or (value and value.adjusted() > _LARGEST):
        raise RefusedValue("not_finite")
    return value if not value or value.adjusted() > _SMALLEST else Decimal(0)


def physical(value: Decimal, factor: Fraction) -> float:
    """Return the double nearest to a number in a measure's unit. Raises RefusedValue(``not_finite``)."""
    moved = value if factor == 1 else _LONG.divide(_LONG.multiply(value, factor.numerator), factor.denominator)
    result = float(moved)
    if not math.isfinite(result):
        raise RefusedValue("not_finite")
    return result


def stamp(given: object, pattern: str) -> Stamp:
    """Return a time as the file says it.

    given: text, a number, or a date or datetime, which is taken whatever the pattern. pattern: one of KNOWN_TIMES, or
    in Java's letters. Raises RefusedValue(``bad_time``), also where it is not at a whole second.
    """
    if isinstance(given, datetime):
        return _of_datetime(given)
    if isinstance(given, date):
        return _of_datetime(datetime.combine(given, time(0)))
    if pattern in (EPOCH_S, EPOCH_MS):
        return Stamp(_whole(given, 1 if pattern == EPOCH_S else 1000), is_utc=True)
    if pattern == EXCEL_DAYS:
        return _of_excel(given)
    if not isinstance(given, str):
        raise RefusedValue(BAD_TIME)
    text = given.strip()
    return _of_iso(text) if pattern == ISO else _of_pattern(text, pattern)


def _of_datetime(moment: datetime) -> Stamp:
    if moment.microsecond:
        raise RefusedValue(BAD_TIME)
    if moment.tzinfo is not None and moment.utcoffset() is not None:
        return Stamp(int(utc(moment).timestamp()), is_utc=True)
    return Stamp((moment.replace(tzinfo=None) - _WALL_BEGINS) // timedelta(seconds=1), is_utc=False)


def _whole(given: object, per_second: int) -> int:
    try:
        value = number(given)
    except RefusedValue:
        raise RefusedValue(BAD_TIME) from None
    if value is None or value.adjusted() > 14:
        raise RefusedValue(BAD_TIME)
    seconds, rest = divmod(value, per_second)
    if rest:
        raise RefusedValue(BAD_TIME)
    return int(seconds)


def _of_excel(given: object) -> Stamp:
    try:
        days = number(given)
    except RefusedValue:
        raise RefusedValue(BAD_TIME) from None
    if days is None or not 0 <= days < 100_000:
        raise RefusedValue(BAD_TIME)
    # A day's fraction as a double is right to some microseconds.
    seconds = round(days * 86_400)
    if abs(days * 86_400 - seconds) > Decimal("0.001"):
        raise RefusedValue(BAD_TIME)
    return _of_datetime(_EXCEL_BEGINS + timedelta(seconds=seconds))


def _of_iso(text: str) -> Stamp:
    if not _ISO.fullmatch(text):
        raise RefusedValue(BAD_TIME)
    try:
        return _of_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise RefusedValue(BAD_TIME) from None


def _of_pattern(text: str, pattern: str) -> Stamp:
    form = _compiled(pattern)
    offset, text = _cut_off(form.offset, text)
    offset = offset.strip()
    _, text = _cut_off(form.fraction, text)
    if not form.regex.fullmatch(text):
        raise RefusedValue(BAD_TIME)
    midnight = form.midnight and form.midnight.fullmatch(text)
    if midnight:  # 24:00, the end of the day
        text = f"{midnight[1]}00{midnight[2]}"
    try:
        said = _of_datetime(_parsed(form, text))
    except ValueError:
        raise RefusedValue(BAD_TIME) from None
    seconds = said.seconds + (_DAY_S if midnight else 0)
    if not form.offset:
        return Stamp(seconds, is_utc=False)
    return Stamp(seconds - _offset_seconds(offset.strip()), is_utc=True)


def _cut_off(end: re.Pattern[str] | None, text: str) -> tuple[str, str]:
    """Return the end of a text that a pattern takes, and the text without it."""
    result = end.search(text) if end else None
    return (result[0], text[: result.start()]) if result else ("", text)


def _offset_seconds(text: str) -> int:
    digits = text[1:].replace(":", "")
    if not text or (text != "Z" and int(digits[2:] or 0) > 59):
        raise RefusedValue(BAD_TIME)
    if text == "Z":
        return 0
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return -seconds if text[0] == "-" else seconds


def _parsed(form: _Compiled, text: str) -> datetime:
    result = form.parts.fullmatch(text) if form.parts else None
    if result is None:
        return datetime.strptime(text, form.strptime)  # noqa: DTZ007 - of the file's clock
    numbers = {name: int(part) for name, part in result.groupdict().items()}
    return datetime(**numbers)  # type: ignore[arg-type] # noqa: DTZ001 - of the file's clock


class _Compiled(NamedTuple):
    """A pattern of times. parts: its numbers by what they are, where it has nothing else: faster than strptime."""

    regex: re.Pattern[str]
    strptime: str
    fraction: re.Pattern[str] | None
    offset: re.Pattern[str] | None
    midnight: re.Pattern[str] | None
    parts: re.Pattern[str] | None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> _Compiled:
    midnight, strptime = timepattern.midnight_regex(pattern), timepattern.strptime(pattern)
    return _Compiled(
        regex=re.compile(timepattern.regex(pattern), re.ASCII),
        strptime=strptime,
        fraction=re.compile(timepattern.FRACTION) if timepattern.has_fraction(pattern) else None,
        offset=re.compile(timepattern.offset_regex(pattern)) if timepattern.has_offset(pattern) else None,
        midnight=re.compile(midnight, re.ASCII) if midnight else None,
        parts=_parts(strptime),
    )


def _parts(strptime: str) -> re.Pattern[str] | None:
    pieces = re.split(r"%(.)", strptime)
    names = [_PARTS.get(letter, "") for letter in pieces[1::2]]
    if not {"year", "month", "day"} <= set(names) or "" in names or len(set(names)) < len(names):
        return None
    groups = [f"(?P<{name}>[0-9]{{{4 if name == 'year' else '1,2'}}})" for name in names]
    texts = [re.escape(text) for text in pieces[0::2]]
    return re.compile(texts[0] + "".join(group + text for group, text in zip(groups, texts[1:], strict=True)))


def time_problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, or nothing."""
    return None if pattern in KNOWN_TIMES else timepattern.problem(pattern) if pattern else "it is empty"


def instant(moment: Stamp, clock: FileClock, place: int | None) -> int:
    """Return a time in seconds since 1970 UTC. Raises RefusedValue.

    place: of a time that the clock on the wall shows twice, as ``wallclock.places`` says.
    """
    if moment.is_utc:
        return moment.seconds
    if isinstance(clock, timedelta):
        return moment.seconds - round(clock.total_seconds())
    segment = wallclock.segment(clock, moment.seconds)
    if segment is None:
        raise RefusedValue(BAD_TIME)
    if segment.offset_s is None:
        raise RefusedValue(NO_SUCH_LOCAL_TIME)
    if segment.later_s is None:
        return moment.seconds - segment.offset_s
    if place is None:
        raise RefusedValue(AMBIGUOUS_TIME)
    return moment.seconds - (segment.later_s if place == SECOND else segment.offset_s)


def is_doubtful(moment: Stamp, clock: FileClock) -> bool:
    """Return whether the clock shows a time twice."""
    if moment.is_utc or isinstance(clock, timedelta):
        return False
    segment = wallclock.segment(clock, moment.seconds)
    return segment is not None and segment.later_s is not None
