"""Text files of readings: what a line looks like, as a declaration.

What a line is, ``lines`` decides; what it says, ``rows``; how one file has it, ``head``. Values are neither
rounded nor range-checked: that is the views' business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from meterlake import timepattern, wallclock
from meterlake.errors import UsageError
from meterlake.text import check
from meterlake.text.columns import (
    ClockFlag,
    DayValue,
    DayValues,
    Epoch,
    ExcelDay,
    MeasureColumn,
    MeterColumn,
    Moment,
    SerialColumn,
    Skipped,
    TextColumn,
    UnitColumn,
    UtcOffset,
    Value,
)

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.text.columns import Holder
    from meterlake.text.encoding import Encoding
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
    "SerialColumn",
    "Skipped",
    "TextColumn",
    "TextFormat",
    "UnitColumn",
    "UtcOffset",
    "Value",
    "offset_text",
    "parse_offset",
]

_OFFSET: Final = re.compile(r"([+-])(\d{2}):([0-5]\d)")
_FARTHEST: Final = timedelta(hours=18)


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

    Its counters (``Value.register``): estimated: a measure that is 1 where amounts are interpolated, and else 0.

    meter_id: of all lines, where no column says it. meter_from_name: a regular expression that finds it in the file's
    name. meter_id, meter_from_name, utc_offset, time_zone: unless the command says otherwise.

    written, head_lines, day_values, absent: as one file has it, see ``head``: its header; the lines above its first
    reading; the declared ``DayValues``; the columns that it lacks.
    """

    dataset: MeterSeries
    columns: tuple[TextColumn, ...]
    interval_s: int
    name: str = ""
    meter_id: str = ""
    meter_from_name: str = ""
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
    estimated: str = ""
    written: str = ""
    head_lines: int | None = None
    day_values: tuple[DayValues, ...] = ()
    absent: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        check.check(self)

    @property
    def clock(self) -> FileClock:
        """The clock of its files."""
        return wallclock.zone(self.time_zone) if self.time_zone else self.utc_offset

    @property
    def counter_interval_s(self) -> int:
        """Length of the intervals for which counters count, which go on from file to file; 0 where there are none."""
        return self.interval_s if self.counts else 0

    @property
    def counts(self) -> bool:
        """Whether its values are those of counters."""
        return any(column.register for column in [*self.values, *self.absent])

    @property
    def is_fractional(self) -> bool:
        """Whether a time may have a fraction of a second, which is then cut off or snapped."""
        return bool(self.snap_s) or self.counts

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
    def instead(self) -> dict[str, str]:
        """Measures that readings of this file may lack -> the value that they have then."""
        of_lines = [pair for column in self.columns if isinstance(column, MeasureColumn) for pair in column.absent]
        return dict([*((column.measure, column.absent) for column in self.absent), *of_lines])

    @property
    def moments(self) -> list[Moment]:
        """The columns with the time; one with an offset in it comes last."""
        result = [column for column in self.columns if isinstance(column, Moment)]
        return sorted(result, key=lambda column: timepattern.has_offset(column.pattern))

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


def parse_offset(text: str) -> timedelta:
    """Return the offset from UTC that ``+01:00`` or ``Z`` means. Raises UsageError."""
    if text == "Z":
        return timedelta(0)
    result = _OFFSET.fullmatch(text)
    if result:
        sign, hours, minutes = result.groups()
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
