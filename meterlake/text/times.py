"""The times of a text file in DuckDB's SQL: what a line says, and which instant that is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake import timepattern
from meterlake.text.columns import Epoch, ExcelDay, UtcOffset
from meterlake.text.fields import field_sql
from meterlake.text.values import number_sql, quoted
from meterlake.wallclock import FIRST, SECOND

if TYPE_CHECKING:
    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are quoted.
# ruff: noqa: S608

SEGMENTS: Final = "clock_segments"
"""Of a clock on the wall: ``begins``, ``offset_s``, ``later_s``, ``skipped_at``, as ``wallclock.segments``."""

PLACES: Final = "clock_places"
"""``line`` and ``place``, as ``wallclock.places``."""

_EXCEL_1970: Final = 25_569
_EXCEL: Final = "[0-9]{1,6}([.][0-9]*)?"
_OFFSET: Final = "^([+-]?)([0-9]{1,2}?)(?::?([0-5][0-9]))?$"
_FARTHEST_S: Final = 18 * 3600


def asks_order(form: TextFormat, clock: FileClock) -> bool:
    """Return whether the order of the lines says which of two equal times is which."""
    on_the_wall = not isinstance(clock, timedelta) and not form.has_own_offset
    return on_the_wall and not form.is_wide and form.flag is None


def is_on_the_wall(form: TextFormat, clock: FileClock) -> bool:
    """Return whether a line's time is one of a clock with summer time."""
    return not isinstance(clock, timedelta) and not form.has_own_offset


def said_sql(form: TextFormat) -> str:
    """Return SQL of a line's time as the file says it, over ``fields``; NULL for no such time."""
    for place, column in enumerate(form.columns):
        if isinstance(column, Epoch):
            return _epoch(form, field_sql(form, place), column.unit)
    days = [place for place, column in enumerate(form.columns) if isinstance(column, ExcelDay)]
    if days:
        return _excel(form, days)
    return _moment(form)


def own_offset_sql(form: TextFormat) -> str | None:
    """Return SQL of the offset from UTC in seconds that a line says; None where no line says any."""
    for place, column in enumerate(form.columns):
        if isinstance(column, Epoch):
            return "0"
        if isinstance(column, UtcOffset):
            return _offset(field_sql(form, place))
    if timepattern.has_offset(form.pattern):
        return _offset(f"trim(regexp_extract({_joined(form)}, {quoted(timepattern.offset_regex(form.pattern))}))")
    return None


def placed_sql(form: TextFormat, clock: FileClock, source: str) -> str:
    """Return SQL of ``source`` with ``offset_s`` of the time ``said``, and ``is_skipped``: there is no such time.

    Where a time comes twice, ``later_s`` is the offset at the second one, and ``place`` says which of them it is.
    """
    own = own_offset_sql(form)
    none = "CAST(NULL AS INT)"
    if own is not None or isinstance(clock, timedelta):
        offset = own if own is not None else str(round(clock.total_seconds())) if isinstance(clock, timedelta) else ""
        return f"SELECT *, {offset} AS offset_s, {none} AS later_s, {none} AS place, false AS is_skipped FROM {source}"
    segment = "offset_s, later_s, begins IS NOT NULL AND offset_s IS NULL AS is_skipped"
    joined = f"{source} ASOF LEFT JOIN {SEGMENTS} ON said >= begins"
    if asks_order(form, clock):
        named = f"{joined} LEFT JOIN {PLACES} ON {PLACES}.line = {source}.line"
        return f"SELECT {source}.*, {segment}, place FROM {named}"
    return f"SELECT {source}.*, {segment}, {_flagged(form)} AS place FROM {joined}"


def instant_sql(form: TextFormat) -> str:
    """Return SQL of the start in UTC over what ``placed_sql`` returns."""
    lead = int(form.lead.total_seconds())
    start = f"said - to_seconds(CASE WHEN place = {SECOND} THEN later_s ELSE offset_s END + {lead})"
    if not form.snap_s:
        return start
    step, most = form.interval_s * 1_000_000, form.snap_s * 1_000_000
    micros = f"epoch_us({start})"
    near = f"(({micros} + {step // 2}) // {step} * {step})"
    return f"CASE WHEN abs({micros} - {near}) <= {most} THEN make_timestamp({near}) ELSE {start} END"


def may_be_fractional(form: TextFormat) -> bool:
    """Return whether a time may lie within a second."""
    return form.is_fractional or any(isinstance(column, Epoch) and column.unit == "ms" for column in form.columns)


def _epoch(form: TextFormat, field: str, unit: str) -> str:
    if unit == "ms":
        whole = f"regexp_full_match({field}, '[0-9]{{1,13}}')"
        return f"make_timestamp(CASE WHEN {whole} THEN CAST({field} AS BIGINT) * 1000 END)"
    if form.is_fractional:
        micros = f"CAST(CAST({field} AS DECIMAL(20,6)) * 1000000 AS BIGINT)"
        return f"make_timestamp(CASE WHEN regexp_full_match({field}, '[0-9]{{1,10}}([.][0-9]*)?') THEN {micros} END)"
    whole = f"regexp_full_match({field}, '[0-9]{{1,10}}')"
    return f"make_timestamp(CASE WHEN {whole} THEN CAST({field} AS BIGINT) * 1000000 END)"


def _excel(form: TextFormat, places: list[int]) -> str:
    numbers = [number_sql(form, field_sql(form, place)) for place in places]
    whole = " AND ".join(f"regexp_full_match({number}, {quoted(_EXCEL)})" for number in numbers)
    days = " + ".join(f"CAST({number} AS DOUBLE)" for number in numbers)
    seconds = f"CAST(round(({days} - {_EXCEL_1970}) * 86400) AS BIGINT)"
    return f"make_timestamp(CASE WHEN {whole} THEN {seconds} * 1000000 END)"


def _moment(form: TextFormat) -> str:
    text, pattern = _joined(form), form.pattern
    conditions = []
    if timepattern.has_offset(pattern):
        offset = quoted(timepattern.offset_regex(pattern))
        conditions.append(f"regexp_matches({text}, {offset})")
        text = f"regexp_replace({text}, {offset}, '')"
    fraction = ""
    if timepattern.has_fraction(pattern):
        allowed = timepattern.ANY_FRACTION if form.is_fractional else timepattern.FRACTION
        if form.is_fractional:
            digits = f"substr(regexp_extract({text}, {quoted(allowed)}), 2)"
            fraction = f" + to_microseconds(CAST(substr(rpad({digits}, 6, '0'), 1, 6) AS BIGINT))"
        text = f"regexp_replace({text}, {quoted(allowed)}, '')"
    conditions.append(f"regexp_full_match({text}, {quoted(form.time_regex)})")
    read = f"try_strptime({text}, {quoted(form.strptime)}){fraction}"
    midnight = timepattern.midnight_regex(pattern) if form.marks == "end" else None
    if midnight:  # the end of a day, as its 24th hour
        begun = f"regexp_replace({text}, {quoted(midnight)}, '\\100\\2')"
        next_day = f"try_strptime({begun}, {quoted(form.strptime)}) + INTERVAL 1 DAY"
        read = f"CASE WHEN regexp_matches({text}, {quoted(midnight)}) THEN {next_day} ELSE {read} END"
    return f"CASE WHEN {' AND '.join(conditions)} THEN {read} END"


def _joined(form: TextFormat) -> str:
    places = [form.columns.index(moment) for moment in form.moments]
    return " || ' ' || ".join(field_sql(form, place) for place in places) or "''"


def _offset(text: str) -> str:
    sign, hours, minutes = (f"regexp_extract({text}, {quoted(_OFFSET)}, {group})" for group in (1, 2, 3))
    seconds = f"(CAST({hours} AS INT) * 3600 + CAST(coalesce(nullif({minutes}, ''), '0') AS INT) * 60)"
    signed = f"CASE WHEN {sign} = '-' THEN -1 ELSE 1 END * {seconds}"
    like = f"regexp_matches({text}, {quoted(_OFFSET)})"
    return (
        f"CASE WHEN {text} = 'Z' THEN 0 WHEN {like} THEN CASE WHEN abs({signed}) <= {_FARTHEST_S} THEN {signed} END END"
    )


def _flagged(form: TextFormat) -> str:
    if form.flag is None:
        return "CAST(NULL AS INT)"
    field = field_sql(form, form.columns.index(form.flag))
    summer, winter = (", ".join(map(quoted, texts)) for texts in (form.flag.summer, form.flag.winter))
    return f"CASE WHEN {field} IN ({summer}) THEN {FIRST} WHEN {field} IN ({winter}) THEN {SECOND} END"
