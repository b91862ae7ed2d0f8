"""The columns of a text file of readings, as its declaration names them: what each of them holds.

aliases: further names that the header may give a column. Names are the same in other letters, quotes and blanks aside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from meterlake.fileformats.records import Register

_NUMBERED: Final = re.compile(r"\{(n(?::0?[0-9])?|time)\}")


@dataclass(frozen=True)
class Moment:
    """A column with the reading's local time or a part of it; parts are joined by a blank.

    pattern: Java's letters, such as ``d/M/yyyy``, ``H:mm:ss`` or ``yyyy-MM-dd'T'HH:mm:ssXXX`` (``timepattern``). With
    an offset in it, each line says its own.
    """

    header: str
    pattern: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """A column with the reading's time in seconds (``s``) or milliseconds (``ms``) since 1970, UTC."""

    header: str
    unit: Literal["s", "ms"] = "s"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExcelDay:
    """A column with the reading's local time as a spreadsheet's number of days (the 1900 system).

    Of several, such as a date and a part of a day, the sum is meant. It is rounded to the second.
    """

    header: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class UtcOffset:
    """A column with the offset from UTC of the line's time: ``+01:00``, ``+0100``, ``+1`` or ``Z``."""

    header: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClockFlag:
    """A column that says which of two a time is, where the clock goes back and shows it twice.

    summer, winter: its texts before and after that. Of other times, it is not looked at.
    """

    header: str
    summer: tuple[str, ...]
    winter: tuple[str, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeterColumn:
    """A column with the meter's id. Blanks around it are no part of it."""

    header: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Value:
    """A column with a measure; where a ``MeasureColumn`` says which, the one column of all values.

    unit: that of the file, turned exactly into the measure's (``physical_units``). factor: a number to multiply by, as
    text, such as ``"0.001"``. absent: what readings have in a file without the column, in the measure's unit, such as
    ``"0"``; empty where every file must have it. register: the values are those of a cumulative counter, of which
    amounts of intervals are made.
    """

    header: str
    measure: str = ""
    unit: str = ""
    factor: str = ""
    absent: str = ""
    aliases: tuple[str, ...] = ()
    register: Register | None = None


@dataclass(frozen=True)
class UnitColumn:
    """A column with the unit of the line's values, of those that declare neither unit nor factor."""

    header: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class SerialColumn:
    """A column with the number of the meter itself, which changes when it is exchanged; of counters only."""

    header: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasureColumn:
    """A column that says which measure a line holds: the lines of a meter and time are joined to one reading.

    names: (text in the file, measure), where they differ. ignored: texts whose lines are skipped. absent:
    (measure, what a reading without a line of it has).
    """

    header: str
    names: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayValues:
    """Columns with the values of a day, one an interval; the file's time is the day.

    header: their names, with ``{n}`` (1, 2, …), ``{n:02}`` (01, 02, …) or ``{time}`` (00:00, 00:30, …; of a format that
    marks the end 00:30, …, 24:00). days: on a day on which the clock changes, either the ``real`` intervals stand there
    one after the other (46 or 50 half-hours), or the ``nominal`` ones, each at the place of its time (always 48).
    """

    header: str
    measure: str = ""
    days: Literal["real", "nominal"] = "nominal"
    unit: str = ""
    factor: str = ""

    @property
    def is_named(self) -> bool:
        """Whether its header says what differs between its columns."""
        return len(_NUMBERED.findall(self.header)) == 1

    def names(self, number: int, start_s: int) -> tuple[str, ...]:
        """Return the names of one of its columns. start_s: what ``{time}`` says, in seconds of the day."""
        hours, minutes = divmod(start_s // 60, 60)
        times = [f"{hours:02}:{minutes:02}", f"{hours}:{minutes:02}"]
        if hours == 24:
            times += [f"00:{minutes:02}", f"0:{minutes:02}"]
        return tuple(self.header.format(n=number, time=time) for time in times)


@dataclass(frozen=True)
class DayValue:
    """One of the columns of ``DayValues``, as one file has it. of: their place among the declared. number: from 1."""

    header: str
    of: int
    number: int


@dataclass(frozen=True)
class Skipped:
    """A column that is not read."""

    header: str
    aliases: tuple[str, ...] = ()


Holder: TypeAlias = Value | DayValues
"""What holds values."""

TextColumn: TypeAlias = (
    Moment
    | Epoch
    | ExcelDay
    | UtcOffset
    | ClockFlag
    | MeterColumn
    | SerialColumn
    | Value
    | UnitColumn
    | MeasureColumn
    | DayValues
    | DayValue
    | Skipped
)
