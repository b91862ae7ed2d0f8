"""NEM12, the interval data of Australia's market (AEMO, "Meter Data File Format Specification NEM12 & NEM13").

A meter is an NMI; each measure a channel: a 200 record a month, and a 300 record a day with the values of all its
intervals. An interval without readings has the value 0 and quality N, in 400 records as soon as a day has both kinds.
Days and times are those of a fixed clock, UTC+10 in that market.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TextIO

from meterlake.errors import UsageError
from meterlake.fileformats.nem import MARKET_TIME, UNITS
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from decimal import Decimal

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

MINUTES: Final = (5, 15, 30)
"""Lengths of an interval that the format knows."""

_DAY_MINUTES: Final = 1440
_ACTUAL, _NONE, _BOTH = "A", "N", "V"


@dataclass(frozen=True)
class Channel:
    """A measure of the data set as a channel: its column of the view, suffix (``E1``) and unit as written there."""

    column: str
    suffix: str
    unit: str


@dataclass(frozen=True)
class Layout:
    """What holds for a whole file. minutes: of an interval. written: aware. offset: of its days' clock from UTC."""

    channels: Sequence[Channel]
    minutes: int
    written: datetime
    offset: timedelta = MARKET_TIME

    def stamp(self, pattern: str) -> str:
        """Return when the file was written, by its own clock."""
        return self.written.astimezone(timezone(self.offset)).strftime(pattern)

    def day(self, start: datetime) -> date:
        """Return the day of an interval, by the file's clock."""
        return (start + self.offset).date()


def channels(dataset: MeterSeries, grain: Grain) -> tuple[Channel, ...]:
    """Return the channels of a data set: its amounts of energy, E1 onwards as they are declared.

    Raises UsageError where the format does not know such intervals, or where there is no such amount.
    """
    if GRAIN_SECONDS.get(grain, 0) not in {60 * minutes for minutes in MINUTES}:
        views = ", ".join(view.grain for view in dataset.views)
        raise UsageError(
            f"NEM12 has intervals of 5, 15 or 30 minutes, not of a {grain}.",
            hint=f"Give --grain five_minutes, quarter_hour or half_hour; {dataset.name} has views of: {views}.",
        )
    amounts = [measure for measure in dataset.measures if measure.kind == "amount"]
    energies = [measure for measure in amounts if measure.unit.upper() in UNITS and measure.unit.endswith("h")]
    if not energies:
        raise UsageError(
            f"{dataset.name} has no amount of energy.", hint="NEM12 holds energy: export it as csv, parquet or xlsx."
        )
    return tuple(
        Channel(f"{measure.name}_sum", f"E{number}", measure.unit.upper())
        for number, measure in enumerate(energies, start=1)
    )


def write(file: TextIO, layout: Layout, rows: Iterable[Sequence[Any]]) -> int:
    """Write a file; return how many rows of the view are in it.

    rows: meter, start (UTC), then a value for each channel; month by month of the file's clock, in each by meter and
    time. Those of a meter and month are in memory at once.
    """
    line = csv.writer(file, lineterminator="\r\n").writerow
    line([100, "NEM12", layout.stamp("%Y%m%d%H%M"), "METERLAKE", "METERLAKE"])
    configuration = "".join(part.suffix for part in layout.channels)
    count = 0
    for (meter, _), month in groupby(rows, lambda row: (row[0], layout.day(row[1]).replace(day=1))):
        days = [(day, list(some)) for day, some in groupby(month, lambda row: layout.day(row[1]))]
        for place, part in enumerate(layout.channels, start=2):
            line([200, meter, configuration, "", part.suffix, "", "", part.unit, layout.minutes, ""])
            for day, some in days:
                for record in _day_records(layout, day, {row[1]: row[place] for row in some}):
                    line(record)
        count += sum(len(some) for _, some in days)
    line([900])
    return count


def _day_records(layout: Layout, day: date, values: dict[datetime, Decimal]) -> Iterator[list[Any]]:
    begin = datetime(day.year, day.month, day.day) - layout.offset  # noqa: DTZ001 - UTC wall clock, as the view has it
    starts = [begin + timedelta(minutes=layout.minutes * at) for at in range(_DAY_MINUTES // layout.minutes)]
    here = [start in values for start in starts]
    quality = _ACTUAL if all(here) else _BOTH
    numbers = [f"{values[start]:f}" if start in values else "0" for start in starts]
    yield [300, f"{day:%Y%m%d}", *numbers, quality, "", "", layout.stamp("%Y%m%d%H%M%S"), ""]
    if quality == _BOTH:
        at = 1
        for known, run in groupby(here):
            length = len(list(run))
            yield [400, at, at + length - 1, _ACTUAL if known else _NONE, "", ""]
            at += length
