"""Text files of readings: what a line looks like, as a declaration, and the Spark SQL that decodes it.

A file has one header line, one separator, one interval length, and a clock of fixed offset. Each line is a
reading, a gap row (no value at all), or goes to quarantine with the first reason that applies:

``line_too_long`` · ``nul_byte`` · ``not_utf8`` · ``empty_line`` · ``header_again`` · ``missing_column`` ·
``extra_column`` · ``bad_time`` (no such moment, or not between 1970 and 2100) · for each measure in order
``bad_value:<measure>`` and ``not_finite:<measure>`` · ``off_grid`` · ``missing_measure``.

What a line is, ``textlines`` decides. A field may stand between double quotes. Values are neither rounded nor
range-checked: that is the views' business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake.errors import DeclarationError, UsageError
from meterlake.rules import quarantine_reason_sql
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.textlines import LINE_TOO_LONG, MAX_LINE_BYTES, NOT_UTF8, NUL_BYTE

if TYPE_CHECKING:
    from meterlake.declaration import Dataset

NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""What a number looks like, as a regular expression."""

PAYLOAD_BYTES: Final = 4096
"""Of such a line, quarantine keeps this much; the whole stands in the raw file."""

_OFFSET: Final = re.compile(r"([+-])(\d{2}):([0-5]\d)")
_FARTHEST: Final = timedelta(hours=18)
# Java reads more as a number than people do: "1d", "0x1p3", "Infinity"; of these characters, only what NUMBER is.
_NUMBER_CHARACTERS: Final = "0123456789.+-eE"
_TIME_CHARACTERS: Final = "/:"
_STRPTIME: Final = {
    "d": "%d",
    "dd": "%d",
    "M": "%m",
    "MM": "%m",
    "yyyy": "%Y",
    "H": "%H",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
}
_REGEX_SIGNS: Final = ".$|()[{^?*+"


@dataclass(frozen=True)
class Moment:
    """A column with the reading's local time or a part of it; parts are joined by a blank.

    pattern: Java's letters, such as ``d/M/yyyy`` or ``H:mm:ss``.
    """

    header: str
    pattern: str


@dataclass(frozen=True)
class Value:
    """A column with a measure."""

    header: str
    measure: str


@dataclass(frozen=True)
class Skipped:
    """A column that is not read."""

    header: str


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """A text file of readings of one meter.

    columns: in the file's order. missing: texts that stand for no value.
    meter_id, utc_offset: unless the command says otherwise. written: the header as one file has it, see ``texthead``.
    """

    dataset: Dataset
    columns: tuple[Moment | Value | Skipped, ...]
    interval_s: int
    meter_id: str
    separator: str = ","
    missing: tuple[str, ...] = ("",)
    utc_offset: timedelta = timedelta(0)
    written: str = ""

    def __post_init__(self) -> None:
        where = f"Text format of {self.dataset.name!r}"
        measures = [measure.name for measure in self.dataset.measures]
        if sorted(self.measures) != sorted(measures):
            raise DeclarationError(
                where, f"its columns hold {self.measures}", expected=f"Give each of {measures} one column"
            )
        if not self.pattern:
            raise DeclarationError(where, "no column holds the time", expected="Give a Moment")
        if self.interval_s not in self.dataset.intervals:
            raise DeclarationError(
                where,
                f"its interval of {self.interval_s} s is not one of the data set's",
                expected=f"Use one of {self.dataset.intervals}",
            )
        if len(self.separator) != 1 or self.separator in "\n\r\"'\\":
            raise DeclarationError(
                where, f"the separator {self.separator!r} cannot be used", expected="Use one character such as ;"
            )
        check_meter_id(self.meter_id)

    @property
    def header(self) -> str:
        """The first line of a file."""
        return self.written or self.separator.join(column.header for column in self.columns)

    @property
    def values(self) -> list[Value]:
        """The columns with measures, in the order of the file."""
        return [column for column in self.columns if isinstance(column, Value)]

    @property
    def measures(self) -> list[str]:
        """Measures in the order of the file."""
        return [column.measure for column in self.values]

    @property
    def strptime(self) -> str:
        """The pattern of the joined time in C's letters."""
        return re.sub(r"[A-Za-z]+", lambda found: _STRPTIME[found[0]], self.pattern)

    @property
    def time_regex(self) -> str:
        """What the joined time looks like, as a regular expression."""
        parts = re.split(r"([A-Za-z]+)", self.pattern)
        return "".join(_time_part(part) if part.isalpha() else re.escape(part) for part in parts)

    @property
    def pattern(self) -> str:
        """The pattern of the joined time."""
        return " ".join(column.pattern for column in self.columns if isinstance(column, Moment))


def _time_part(letters: str) -> str:
    return "[0-9]{4}" if letters == "yyyy" else "[0-9]{2}" if len(letters) > 1 else "[0-9]{1,2}"


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
    minutes = round(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


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


def time_sql(form: TextFormat, shift: timedelta) -> str:
    """Return Spark SQL of the start, the file's clock moved by ``shift``, over ``fields``; NULL for no such moment."""
    parts = ", ' ', ".join(f"get(fields, {at})" for at, part in enumerate(form.columns) if isinstance(part, Moment))
    seconds = round(shift.total_seconds())
    clock = f"concat({parts})"
    moment = f"CAST(try_to_timestamp({clock}, {_quoted(form.pattern)}) AS TIMESTAMP_NTZ)"
    like = f"{clock} RLIKE {_quoted(f'^{form.time_regex}$')}"
    return f"CASE WHEN {like} THEN {moment} + INTERVAL '{seconds}' SECOND END"


def likely_time_sql(time: str) -> str:
    """Return the condition that a time lies between 1970 and 2100."""
    return f"{_seconds(time)} BETWEEN 0 AND {LATEST_TS}"


def value_columns(form: TextFormat) -> list[tuple[str, str]]:
    """Return (measure, Spark SQL of its DOUBLE over ``fields``); NULL where missing or not a number."""
    missing = ", ".join(map(_quoted, form.missing))
    found = {}
    for at, column in enumerate(form.columns):
        if isinstance(column, Value):
            field = f"get(fields, {at})"
            found[column.measure] = f"CASE WHEN {field} NOT IN ({missing}) THEN try_cast({field} AS DOUBLE) END"
    return [(measure.name, found[measure.name]) for measure in form.dataset.measures]


def odd_sql(form: TextFormat) -> str:
    """Return Spark SQL of whether a line has characters that numbers do not have, over ``text``.

    One look at the line saves one at each of its fields.
    """
    missing = {character for character in "".join(form.missing) if not character.isalpha()}
    plain = "".join(sorted({*_NUMBER_CHARACTERS, *_TIME_CHARACTERS, form.separator, *missing}))
    return f"translate(text, {_quoted(plain)}, '') <> ''"


def reason_sql(form: TextFormat) -> str:
    """Return Spark SQL of the first reason why a line is no reading, or NULL.

    Over ``text``, ``fields``, ``odd``, the event time, the interval, and the measures.
    """
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
        (f"{time} IS NULL OR NOT ({likely_time_sql(time)})", "bad_time"),
        *_value_cases(form),
    ]
    whens = " ".join(f"WHEN {condition} THEN '{reason}'" for condition, reason in cases)
    return f"CASE {whens} ELSE {quarantine_reason_sql(form.dataset, 'spark', _seconds(time))} END"


def _value_cases(form: TextFormat) -> list[tuple[str, str]]:
    missing = ", ".join(map(_quoted, form.missing))
    cases = []
    for at, column in enumerate(form.columns):
        if isinstance(column, Value):
            field, name = f"get(fields, {at})", column.measure
            odd = f"odd AND NOT {field} RLIKE {_quoted(f'^{NUMBER}$')}"
            cases += [
                (f"{field} NOT IN ({missing}) AND ({name} IS NULL OR ({odd}))", f"bad_value:{name}"),
                (f"abs({name}) = DOUBLE('Infinity')", f"not_finite:{name}"),
            ]
    return cases


def _seconds(time: str) -> str:
    return f"unix_seconds(CAST({time} AS TIMESTAMP_LTZ))"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
