"""Three data sets that are not ours (``tests/foreign``), and what files of theirs look like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from meterlake import discovery
from meterlake.declaration import MeterSeries
from meterlake.textformat import TextFormat

FOLDER: Final = Path(__file__).parent / "foreign"

Row = tuple[str, datetime, int, float | None]
"""Meter, start of the interval, its seconds, value."""


def at(text: str) -> datetime:
    """Return a time in UTC without zone, as the tables have it."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Sample:
    """A file's lines, each with what it is: a reading (a gap row has no value), or why it is none."""

    name: str
    header: str
    lines: tuple[tuple[str, Row | str], ...]

    @property
    def text(self) -> str:
        """The file."""
        return "".join(f"{line}\n" for line in (self.header, *(line for line, _ in self.lines)))

    @property
    def rows(self) -> list[Row]:
        """The readings and gap rows, in order."""
        return [row for _, row in self.lines if not isinstance(row, str)]

    @property
    def reasons(self) -> dict[int, str]:
        """Number of each line that is no reading -> why."""
        return {number: row for number, (_, row) in enumerate(self.lines, start=2) if isinstance(row, str)}

    @property
    def declaration(self) -> MeterSeries:
        """The data set."""
        return discovery.in_folder(FOLDER).entries[self.name].declaration

    @property
    def form(self) -> TextFormat:
        """The format of its files."""
        return discovery.in_folder(FOLDER).entries[self.name].text_format()


LONDON: Final = Sample(
    "london",
    "LCLid,stdorToU,DateTime,KWH/hh (per half hour) ",
    (
        ("MAC000002,Std,2012-10-12 00:30:00.0000000, 0 ", ("MAC000002", at("2012-10-11 23:30"), 1800, 0.0)),
        ("MAC000002,Std,2012-10-12 01:00:00.0000000, 0.143 ", ("MAC000002", at("2012-10-12 00:00"), 1800, 0.143)),
        ("MAC000002,Std,2012-10-12 01:30:00, 0.663 ", ("MAC000002", at("2012-10-12 00:30"), 1800, 0.663)),
        ("MAC000002,Std,2012-12-18 15:13:41.0000000,Null", "off_grid"),
        ("MAC000003,ToU,2012-10-12 00:30:00.0000000,Null", ("MAC000003", at("2012-10-11 23:30"), 1800, None)),
        ("MAC000003,ToU,2012-10-12 01:00:00.0000000, ", ("MAC000003", at("2012-10-12 00:00"), 1800, None)),
        ("MAC000003,ToU,2012-10-12 01:30:00.5000000, 0.1 ", "bad_time"),
        ("MAC\x07,ToU,2012-10-12 02:00:00.0000000, 0.1 ", "bad_meter"),
        ("MAC000003,ToU,2012-10-32 02:00:00.0000000, 0.1 ", "bad_time"),
        ("MAC000003,ToU,2012-10-12 02:00:00.0000000, 0,1 ", "extra_column"),
        ("MAC000003,ToU,2012-10-12 02:00:00.0000000, null ", "bad_value:energy"),
        ("MAC000003,ToU,2012-10-12 02:00:00.0000000, 1d ", "bad_value:energy"),
        # The clock goes back at 02:00: the order of each meter's lines says which is which.
        ("MAC000002,Std,2012-10-28 00:30:00.0000000, 0.1 ", ("MAC000002", at("2012-10-27 23:30"), 1800, 0.1)),
        ("MAC000002,Std,2012-10-28 01:00:00.0000000, 0.2 ", ("MAC000002", at("2012-10-28 00:00"), 1800, 0.2)),
        ("MAC000003,ToU,2012-10-28 01:00:00.0000000, 0.3 ", ("MAC000003", at("2012-10-28 00:00"), 1800, 0.3)),
        ("MAC000002,Std,2012-10-28 01:30:00.0000000, 0.4 ", ("MAC000002", at("2012-10-28 00:30"), 1800, 0.4)),
        ("MAC000002,Std,2012-10-28 01:00:00.0000000, 0.5 ", ("MAC000002", at("2012-10-28 01:00"), 1800, 0.5)),
        ("MAC000003,ToU,2012-10-28 01:00:00.0000000, 0.6 ", ("MAC000003", at("2012-10-28 01:00"), 1800, 0.6)),
        ("MAC000002,Std,2012-10-28 01:30:00.0000000, 0.7 ", ("MAC000002", at("2012-10-28 01:30"), 1800, 0.7)),
        ("MAC000002,Std,2012-10-28 02:00:00.0000000, 0.8 ", ("MAC000002", at("2012-10-28 02:00"), 1800, 0.8)),
        ("MAC000002,Std,2012-03-25 01:30:00.0000000, 0.9 ", "no_such_local_time"),
    ),
)

PLUGS: Final = Sample(
    "plugs",
    "timestamp,power_w",
    (
        ("1672574400,12.5", ("plug-1", at("2023-01-01 12:00:00"), 1, 12.5)),
        ("1672574401,0", ("plug-1", at("2023-01-01 12:00:01"), 1, 0.0)),
        ("1672574402,", ("plug-1", at("2023-01-01 12:00:02"), 1, None)),
        ("1672574403.5,12.5", "bad_time"),
        ("1672574403000,12.5", "bad_time"),
        ("-5,12.5", "bad_time"),
        (" 1672574404,12.5", "bad_time"),
        ("1672574405,12,5", "extra_column"),
        ("1672574405, 12.5", "bad_value:power"),
    ),
)

WORKS: Final = Sample(
    "works",
    "End;Meter;kWh",
    (
        ("2024-03-31T02:00:00;north;1201,5", ("north", at("2024-03-31 00:00"), 3600, 1201.5)),
        ("2024-03-31T03:00:00;north;0,0", ("north", at("2024-03-31 01:00"), 3600, 0.0)),
        ("2024-03-31T03:00:00;south;n/a", ("south", at("2024-03-31 01:00"), 3600, None)),
        ("2024-03-31T04:00:00;south;17", ("south", at("2024-03-31 02:00"), 3600, 17.0)),
        ("2024-03-31T05:00:00;south;17.5", "bad_value:energy"),
        ("2024-03-31 06:00:00;south;17,5", "bad_time"),
        ("2024-03-31T06:30:00;south;17,5", "off_grid"),
    ),
)

SAMPLES: Final = (LONDON, PLUGS, WORKS)
