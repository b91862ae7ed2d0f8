"""Text files of readings: what a line looks like, as a declaration.

A file has one header line, one separator, one interval length, and a clock of fixed offset; it is that of one meter,
or has a column with the meter of each line. Each line is a reading, a gap row (no value at all), or goes to quarantine
with the first reason that applies:

``line_too_long`` · ``nul_byte`` · ``not_utf8`` · ``empty_line`` · ``header_again`` · ``missing_column`` ·
``extra_column`` · ``bad_meter`` · ``ambiguous_time`` · ``bad_time`` (no such moment, or not between 1970 and 2100) ·
for each measure in order ``bad_value:<measure>`` and ``not_finite:<measure>`` · ``off_grid`` · ``missing_measure``.

What a line is, ``textlines`` decides; ``textrows`` decodes it. A field may stand between double quotes. Values are
neither rounded nor range-checked: that is the views' business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from meterlake import timepattern, wallclock
from meterlake.errors import DeclarationError, UsageError
from meterlake.schema import KEY_PATTERN

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.wallclock import FileClock

NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""What a number looks like, as a regular expression."""

_OFFSET: Final = re.compile(r"([+-])(\d{2}):([0-5]\d)")
_FARTHEST: Final = timedelta(hours=18)


@dataclass(frozen=True)
class Moment:
    """A column with the reading's local time or a part of it; parts are joined by a blank.

    pattern: Java's letters, such as ``d/M/yyyy`` or ``H:mm:ss`` (``meterlake.timepattern``).
    """

    header: str
    pattern: str


@dataclass(frozen=True)
class Epoch:
    """A column with the reading's time in whole seconds since 1970, UTC."""

    header: str


@dataclass(frozen=True)
class MeterColumn:
    """A column with the meter's id."""

    header: str


@dataclass(frozen=True)
class Value:
    """A column with a measure."""

    header: str
    measure: str


@dataclass(frozen=True)
class Skipped:
    """A column that is not read."""

    header: str


TextColumn: TypeAlias = Moment | Epoch | MeterColumn | Value | Skipped


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """A text file of readings.

    columns: in the file's order. missing: texts that stand for no value. padded: whether blanks around fields mean
    nothing. decimal: what stands before the digits of a fraction. marks: which end of its interval a time is.
    meter_id: of all lines, where no column says it. time_zone: the IANA zone whose clock on the wall the times are of
    (``wallclock``), instead of utc_offset. meter_id, utc_offset, time_zone: unless the command says otherwise.
    written: the header as one file has it, see ``texthead``.
    """

    dataset: MeterSeries
    columns: tuple[TextColumn, ...]
    interval_s: int
    meter_id: str = ""
    separator: str = ","
    missing: tuple[str, ...] = ("",)
    utc_offset: timedelta = timedelta(0)
    time_zone: str = ""
    padded: bool = False
    decimal: Literal[".", ","] = "."
    marks: Literal["start", "end"] = "start"
    written: str = ""

    def __post_init__(self) -> None:
        where = f"Text format of {self.dataset.name!r}"
        measures = [measure.name for measure in self.dataset.measures]
        if sorted(self.measures) != sorted(measures):
            raise DeclarationError(
                where, f"its columns hold {self.measures}", expected=f"Give each of {measures} one column"
            )
        self._check_time(where)
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
        if self.decimal == self.separator:
            raise DeclarationError(
                where, f"{self.decimal!r} separates columns and fractions", expected="Give another separator or decimal"
            )
        if self.has_meters == bool(self.meter_id):
            problem = "names a meter, and a column does, too" if self.has_meters else "no column holds the meter"
            raise DeclarationError(where, problem, expected="Give either one MeterColumn or meter_id")
        if self.meter_id:
            check_meter_id(self.meter_id)

    def _check_time(self, where: str) -> None:
        epochs = [column for column in self.columns if isinstance(column, Epoch)]
        if not self.pattern and not epochs:
            raise DeclarationError(where, "no column holds the time", expected="Give a Moment or an Epoch")
        if len(epochs) > 1 or (epochs and self.pattern):
            raise DeclarationError(where, "two columns hold the time", expected="Give Moments, or one Epoch")
        if epochs and (self.utc_offset or self.time_zone):
            raise DeclarationError(where, "an Epoch is UTC", expected="Leave utc_offset and time_zone out")
        if self.time_zone and self.utc_offset:
            raise DeclarationError(where, "has an offset and a time zone", expected="Give one of the two")
        if self.time_zone:
            wallclock.zone(self.time_zone)
        problem = timepattern.problem(self.pattern)
        if problem:
            raise DeclarationError(
                where, f"the time {self.pattern!r} cannot be read: {problem}", expected="Write d/M/yyyy H:mm:ss or so"
            )

    @property
    def clock(self) -> FileClock:
        """The clock of its files."""
        return wallclock.zone(self.time_zone) if self.time_zone else self.utc_offset

    @property
    def has_meters(self) -> bool:
        """Whether a column says the meter of each line."""
        return any(isinstance(column, MeterColumn) for column in self.columns)

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
        """The pattern of the joined time in C's letters, without the fraction of a second."""
        return timepattern.strptime(self.pattern)

    @property
    def time_regex(self) -> str:
        """What the joined time looks like, without the fraction of a second, as a regular expression."""
        return timepattern.regex(self.pattern)

    @property
    def pattern(self) -> str:
        """The pattern of the joined time."""
        return " ".join(column.pattern for column in self.columns if isinstance(column, Moment))

    @property
    def lead(self) -> timedelta:
        """How long before a line's time its interval begins."""
        return timedelta(seconds=self.interval_s if self.marks == "end" else 0)


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
