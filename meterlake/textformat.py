"""Text files of readings: what a line looks like, as a declaration, and the Spark SQL that decodes it.

A file has one header line, one separator, one interval length, and a clock of fixed offset; it is that of one meter,
or has a column with the meter of each line. Each line is a reading, a gap row (no value at all), or goes to quarantine
with the first reason that applies:

``line_too_long`` · ``nul_byte`` · ``not_utf8`` · ``empty_line`` · ``header_again`` · ``missing_column`` ·
``extra_column`` · ``bad_meter`` · ``ambiguous_time`` · ``bad_time`` (no such moment, or not between 1970 and 2100) ·
for each measure in order ``bad_value:<measure>`` and ``not_finite:<measure>`` · ``off_grid`` · ``missing_measure``.

What a line is, ``textlines`` decides. A field may stand between double quotes. Values are neither rounded nor
range-checked: that is the views' business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from meterlake import textcheck, timepattern, wallclock
from meterlake.errors import UsageError
from meterlake.rules import quarantine_reason_sql
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.textcolumns import (
    ClockFlag,
    DayValue,
    DayValues,
    Epoch,
    ExcelDay,
    MeasureColumn,
    MeterColumn,
    Moment,
    Skipped,
    TextColumn,
    UnitColumn,
    UtcOffset,
    Value,
)
from meterlake.textlines import LINE_TOO_LONG, MAX_LINE_BYTES, NOT_UTF8, NUL_BYTE

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from meterlake.declaration import MeterSeries
    from meterlake.textcolumns import Holder
    from meterlake.textencoding import Encoding
    from meterlake.wallclock import FileClock

__all__ = [
    "ClockFlag",
    "DayValue",
    "DayValues",
    "Epoch",
    "ExcelDay",
    "MeasureColumn",
    "MeterColumn",
    "Moment",
    "Skipped",
    "TextColumn",
    "TextFormat",
    "UnitColumn",
    "UtcOffset",
    "Value",
    "check_meter_id",
    "offset_text",
    "parse_offset",
]

NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""What a number looks like, as a regular expression."""

PAYLOAD_BYTES: Final = 4096
"""Of such a line, quarantine keeps this much; the whole stands in the raw file."""

_OFFSET: Final = re.compile(r"([+-])(\d{2}):([0-5]\d)")
_FARTHEST: Final = timedelta(hours=18)
# Java reads more as a number than people do: "1d", "0x1p3", "Infinity"; of these characters, only what NUMBER is.
_NUMBER_CHARACTERS: Final = "0123456789.+-eE"
_REGEX_SIGNS: Final = ".$|()[{^?*+"


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """A text file of readings.

    columns: by name, in any order; where there is no header, by their place. name: tells formats of a data set apart.

    The file: encoding. separator. has_header. skip_lines: lines above the header or the first reading, or
    ``"to_header"``: until the header is seen. footer: regular expression of whole lines that are skipped, wherever they
    stand. extra: whether columns that are not declared are an error or ignored.

    Its fields: missing: texts that stand for no value. padded: whether blanks around fields mean nothing. decimal: what
    stands before the digits of a fraction. thousands: what may stand between groups of three digits; a blank or an
    apostrophe stands for all signs that look like it.

    Its times: marks: which end of its interval a time is. utc_offset, or time_zone: the IANA zone whose clock on the
    wall the times are of (``wallclock``). snap_s: times so many seconds beside the grid are moved to it.

    meter_id: of all lines, where no column says it. meter_id, utc_offset, time_zone: unless the command says otherwise.

    written, head_lines, day_values, absent: as one file has it, see ``texthead``: its header; the lines above its first
    reading; the declared ``DayValues``; the optional columns that it lacks.
    """

    dataset: MeterSeries
    columns: tuple[TextColumn, ...]
    interval_s: int
    name: str = ""
    meter_id: str = ""
    encoding: Encoding = "utf-8"
    separator: str = ","
    has_header: bool = True
    skip_lines: int | Literal["to_header"] = 0
    footer: str = ""
    extra: Literal["error", "ignore"] = "error"
    missing: tuple[str, ...] = ("",)
    padded: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    utc_offset: timedelta = timedelta(0)
    time_zone: str = ""
    marks: Literal["start", "end"] = "start"
    snap_s: int = 0
    written: str = ""
    head_lines: int | None = None
    day_values: tuple[DayValues, ...] = ()
    absent: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        textcheck.check(self)
        if self.meter_id:
            check_meter_id(self.meter_id)

    @property
    def clock(self) -> FileClock:
        """The clock of its files."""
        return wallclock.zone(self.time_zone) if self.time_zone else self.utc_offset

    @property
    def has_meters(self) -> bool:
        """Whether a column says the meter of each line."""
        return any(isinstance(column, MeterColumn) for column in self.columns)

    @property
    def has_own_offset(self) -> bool:
        """Whether each line says its offset from UTC, so that no clock of the file matters."""
        own = any(isinstance(column, Epoch | UtcOffset) for column in self.columns)
        return own or timepattern.has_offset(self.pattern)

    @property
    def flag(self) -> ClockFlag | None:
        """The column that says which of two equal times is which."""
        return next((column for column in self.columns if isinstance(column, ClockFlag)), None)

    @property
    def is_long(self) -> bool:
        """Whether several lines make a reading."""
        return any(isinstance(column, MeasureColumn) for column in self.columns)

    @property
    def is_wide(self) -> bool:
        """Whether a line holds the readings of a day."""
        return bool(self.days)

    @property
    def days(self) -> tuple[DayValues, ...]:
        """The declared columns of a day's values."""
        return self.day_values or tuple(column for column in self.columns if isinstance(column, DayValues))

    @property
    def intervals_a_day(self) -> int:
        """How many intervals a day of 24 hours has."""
        return 86_400 // self.interval_s

    @property
    def first_line(self) -> int:
        """Number of the first line that is not above the readings, counted from 1."""
        if self.head_lines is not None:
            return self.head_lines + 1
        return (self.skip_lines if isinstance(self.skip_lines, int) else 0) + self.has_header + 1

    @property
    def header(self) -> str:
        """The header of a file."""
        return self.written or self.separator.join(column.header for column in self.columns)

    @property
    def values(self) -> list[Value]:
        """The columns with measures, in the order of the file."""
        return [column for column in self.columns if isinstance(column, Value)]

    @property
    def holders(self) -> list[Holder]:
        """The columns with values, of lines and of days."""
        return [*self.values, *self.days]

    @property
    def measures(self) -> list[str]:
        """Measures in the order of the file; those that it lacks come last."""
        listed = [measure for column in self.columns for measure in self._measures_of(column)]
        listed += [column.measure for column in self.day_values if column.measure]
        return list(dict.fromkeys([*listed, *(column.measure for column in self.absent)]))

    def _measures_of(self, column: TextColumn) -> list[str]:
        if isinstance(column, Value | DayValues):
            return [column.measure] if column.measure else []
        if isinstance(column, MeasureColumn):
            return [measure for _, measure in column.names] or [measure.name for measure in self.dataset.measures]
        return []

    @property
    def optional(self) -> tuple[str, ...]:
        """Measures without which a reading is one."""
        held = [*self.holders, *self.absent]
        named = [measure for column in self.columns if isinstance(column, MeasureColumn) for measure in column.optional]
        return (*(column.measure for column in held if column.optional), *named)

    @property
    def moments(self) -> list[Moment]:
        """The columns with the time; one with an offset in it comes last."""
        found = [column for column in self.columns if isinstance(column, Moment)]
        return sorted(found, key=lambda column: timepattern.has_offset(column.pattern))

    @property
    def strptime(self) -> str:
        """The pattern of the joined time in C's letters, without fraction and offset."""
        return timepattern.strptime(self.pattern)

    @property
    def time_regex(self) -> str:
        """What the joined time looks like, without fraction and offset, as a regular expression."""
        return timepattern.regex(self.pattern)

    @property
    def pattern(self) -> str:
        """The pattern of the joined time."""
        return " ".join(column.pattern for column in self.moments)

    @property
    def lead(self) -> timedelta:
        """How long before a line's time its interval begins."""
        ends = self.marks == "end" and not self.is_wide
        return timedelta(seconds=self.interval_s if ends else 0)


def check_meter_id(meter_id: str) -> str:
    """Return ``meter_id``. Raises UsageError if it cannot be a meter's name."""
    if not re.fullmatch(KEY_PATTERN.strip("^$"), meter_id):
        raise UsageError(
            f"The meter id {meter_id!r} cannot be used.",
            hint="Use 1 to 64 letters, digits and . _ : - with a letter or digit first.",
        )
    return meter_id


def parse_offset(text: str) -> timedelta:
    """Return the offset from UTC that ``+01:00`` or ``Z`` means. Raises UsageError."""
    if text == "Z":
        return timedelta(0)
    found = _OFFSET.fullmatch(text)
    if found:
        sign, hours, minutes = found.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset <= _FARTHEST:
            return -offset if sign == "-" else offset
    raise UsageError(
        f"The offset {text!r} is not one from UTC.",
        hint="Write a sign, hours and minutes, such as +01:00 or -03:30, or Z. It is the file's clock, fixed all year.",
    )


def offset_text(offset: timedelta) -> str:
    """Return an offset as ``+01:00``."""
    return wallclock.clock_text(offset)


def fields_sql(form: TextFormat) -> str:
    """Return Spark SQL of a line's fields, an array, over the column ``text`` (a line without its line end)."""
    # A plain character, escaped only where it must be: Java splits by anything else with a regular expression.
    separator = f"\\{form.separator}" if form.separator in _REGEX_SIGNS else form.separator
    fields = f"split(text, {_quoted(separator)}, -1)"
    plain = (
        f"transform({fields}, field -> CASE WHEN length(field) > 1 AND startswith(field, '\"') AND"
        " endswith(field, '\"') THEN substring(field, 2, length(field) - 2) ELSE field END)"
    )
    return f"CASE WHEN instr(text, '\"') > 0 THEN {plain} ELSE {fields} END"


def time_sql(form: TextFormat, clock: FileClock, shift: timedelta) -> str:
    """Return Spark SQL of the start, in UTC and moved by ``shift``, over ``said``; NULL for no such moment.

    Of a clock on the wall also over ``place``: ``wallclock.places`` of a line whose time comes twice.
    """
    moved = shift - form.lead
    if isinstance(clock, timedelta):
        return f"said + INTERVAL '{round((moved - clock).total_seconds())}' SECOND"
    later = f"coalesce(CASE WHEN place = {wallclock.SECOND} THEN {repeat_sql(clock)} END, 0)"
    utc = f"{_utc_sql(clock)} + make_dt_interval(0, 0, 0, {later}) + INTERVAL '{round(moved.total_seconds())}' SECOND"
    return f"CASE WHEN {_local_sql(clock, _utc_sql(clock))} = said THEN {utc} END"


def repeat_sql(clock: ZoneInfo) -> str:
    """Return Spark SQL of the seconds after which a line's time ``said`` comes again; NULL where it does not."""
    lengths = wallclock.repeat_lengths(clock)
    again = (f"{_utc_sql(clock)} + INTERVAL '{length}' SECOND" for length in lengths)
    whens = [f"WHEN {_local_sql(clock, at)} = said THEN {n}" for n, at in zip(lengths, again, strict=True)]
    return f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS INT)"


def _utc_sql(clock: ZoneInfo) -> str:
    # Of a time that comes twice, the first.
    return f"convert_timezone('{clock.key}', 'UTC', said)"


def _local_sql(clock: ZoneInfo, utc: str) -> str:
    return f"convert_timezone('UTC', '{clock.key}', {utc})"


def said_sql(form: TextFormat) -> str:
    """Return Spark SQL of a line's time as the file says it, over ``fields``; NULL for no such time."""
    for at, column in enumerate(form.columns):
        if isinstance(column, Epoch):
            field = _field(form, at)
            whole = f"CASE WHEN {field} RLIKE '^[0-9]{{1,10}}$' THEN CAST({field} AS BIGINT) END"
            return f"CAST(timestamp_seconds({whole}) AS TIMESTAMP_NTZ)"
    parts = ", ' ', ".join(_field(form, at) for at, part in enumerate(form.columns) if isinstance(part, Moment))
    text = f"concat({parts})"
    if timepattern.has_fraction(form.pattern):
        text = f"regexp_replace({text}, '{timepattern.FRACTION}', '')"
    pattern = _quoted(timepattern.whole_seconds(form.pattern))
    like = f"{text} RLIKE {_quoted(f'^{form.time_regex}$')}"
    return f"CASE WHEN {like} THEN CAST(try_to_timestamp({text}, {pattern}) AS TIMESTAMP_NTZ) END"


def meter_sql(form: TextFormat) -> str | None:
    """Return Spark SQL of a line's meter over ``fields``, if a column says it."""
    places = [at for at, column in enumerate(form.columns) if isinstance(column, MeterColumn)]
    return _field(form, places[0]) if places else None


def _field(form: TextFormat, at: int) -> str:
    return f"trim(get(fields, {at}))" if form.padded else f"get(fields, {at})"


def _number(form: TextFormat, field: str) -> str:
    """Return Spark SQL of a field's number with a point; of one with a point instead of a comma, nothing usable."""
    return field if form.decimal == "." else f"translate({field}, ',.', '.x')"


def likely_time_sql(time: str) -> str:
    """Return the condition that a time lies between 1970 and 2100."""
    return f"{_seconds(time)} BETWEEN 0 AND {LATEST_TS}"


def value_columns(form: TextFormat) -> list[tuple[str, str]]:
    """Return (measure, Spark SQL of its DOUBLE over ``fields``); NULL where missing or not a number."""
    missing = ", ".join(map(_quoted, form.missing))
    found = {}
    for at, column in enumerate(form.columns):
        if isinstance(column, Value):
            field = _field(form, at)
            number = _number(form, field)
            found[column.measure] = f"CASE WHEN {field} NOT IN ({missing}) THEN try_cast({number} AS DOUBLE) END"
    return [(measure.name, found[measure.name]) for measure in form.dataset.measures]


def odd_sql(form: TextFormat) -> str:
    """Return Spark SQL of whether a line has characters that numbers do not have, over ``text``.

    One look at the line saves one at each of its fields.
    """
    others = timepattern.characters(form.pattern) + "".join(form.missing) + form.decimal
    # Never a blank or a letter: they may stand beside a number, and are then taken for a part of it.
    signs = {sign for sign in others if not (sign.isalnum() or sign.isspace())}
    plain = "".join(sorted({*_NUMBER_CHARACTERS, *signs, form.separator}))
    return f"translate(text, {_quoted(plain)}, '') <> ''"


def reason_sql(form: TextFormat, clock: FileClock) -> str:
    """Return Spark SQL of the first reason why a line is no reading, or NULL.

    Over ``text``, ``fields``, ``odd``, the event time, the interval, and the measures; of a clock on the wall also over
    ``said`` and ``place``.
    """
    doubtful = [] if isinstance(clock, timedelta) else [f"place IS NULL AND {repeat_sql(clock)} IS NOT NULL"]
    count = len(form.columns)
    time = form.dataset.event_time
    cases = [
        (f"octet_length(text) > {MAX_LINE_BYTES}", LINE_TOO_LONG),
        ("instr(text, '\\0') > 0", NUL_BYTE),
        ("NOT is_valid_utf8(text)", NOT_UTF8),
        ("text = ''", "empty_line"),
        (f"text = {_quoted(form.header)}", "header_again"),
        (f"size(fields) < {count}", "missing_column"),
        (f"size(fields) > {count}", "extra_column"),
        *_meter_cases(form),
        *((condition, wallclock.AMBIGUOUS_TIME) for condition in doubtful),
        *([] if isinstance(clock, timedelta) else [(f"said IS NOT NULL AND {time} IS NULL", "no_such_local_time")]),
        (f"{time} IS NULL OR NOT ({likely_time_sql(time)})", "bad_time"),
        *_value_cases(form),
    ]
    whens = " ".join(f"WHEN {condition} THEN '{reason}'" for condition, reason in cases)
    return f"CASE {whens} ELSE {quarantine_reason_sql(form.dataset, 'spark', _seconds(time))} END"


def _meter_cases(form: TextFormat) -> list[tuple[str, str]]:
    meter = meter_sql(form)
    return [(f"NOT {meter} RLIKE {_quoted(KEY_PATTERN)}", "bad_meter")] if meter else []


def _value_cases(form: TextFormat) -> list[tuple[str, str]]:
    missing = ", ".join(map(_quoted, form.missing))
    cases = []
    for at, column in enumerate(form.columns):
        if isinstance(column, Value):
            field, name = _field(form, at), column.measure
            odd = f"odd AND NOT {_number(form, field)} RLIKE {_quoted(f'^{NUMBER}$')}"
            cases += [
                (f"{field} NOT IN ({missing}) AND ({name} IS NULL OR ({odd}))", f"bad_value:{name}"),
                (f"abs({name}) = DOUBLE('Infinity')", f"not_finite:{name}"),
            ]
    return cases


def _seconds(time: str) -> str:
    return f"unix_seconds(CAST({time} AS TIMESTAMP_LTZ))"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
