"""Files of records with named fields: Parquet, JSON, workbooks, and text whose columns are cumulative registers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from meterlake.errors import DeclarationError
from meterlake.fileformats.base import FileFormat, conversion
from meterlake.fileformats.values import EPOCH_MS, EPOCH_S, ISO, KNOWN_TIMES, RefusedValue, number, time_problem
from meterlake.registers import AcrossGap, KnownExchange, Rule
from meterlake.units import exact_units

if TYPE_CHECKING:
    from datetime import datetime
    from fractions import Fraction

    from meterlake.declaration import Measure, MeterSeries


_DIGITS: Final = 12
"""So many digits before the point are enough for any counter, and its units fit into 64 bits."""


@dataclass(frozen=True)
class Time:
    """The field with the reading's time.

    pattern: of text, in Java's letters such as ``d/M/yyyy H:mm:ss``, or ``iso`` (with an offset or without), or
    ``epoch_s``, ``epoch_ms``, ``excel_days``. A field that holds a date and time itself is taken as it is.
    """

    field: str
    pattern: str = ISO


@dataclass(frozen=True)
class Value:
    """The field with a measure. unit: of the file, turned exactly into the measure's; the same where left out."""

    field: str
    measure: str
    unit: str = ""


@dataclass(frozen=True)
class Exchange:
    """A meter that was exchanged: what the old one showed at last, and the new one at first, in the file's unit.

    at: an aware datetime. measure: whose register it is.
    """

    meter_id: str
    measure: str
    at: datetime
    final: str
    first: str = "0"

    def check(self, where: str) -> None:
        """Raise DeclarationError where its values are no numbers, or its time has no zone."""
        try:
            given = [number(text) for text in (self.final, self.first)]
        except RefusedValue:
            given = [None]
        if None in given or self.at.tzinfo is None:
            raise DeclarationError(
                where,
                f"the exchange {self.at.isoformat()} from {self.final!r} to {self.first!r} cannot be used",
                expected="Write both values as numbers such as '0.0', and the time with its zone",
            )


@dataclass(frozen=True, kw_only=True)
class Register:
    """The values of a file are those of cumulative counters; amounts of intervals are made of them (``registers``).

    digits: before the point, after which the counter begins at 0 again. resets: a smaller value means that it began at
    0 again. across_gap: what becomes of the amount across several intervals: spread evenly, put into the last one, or
    dropped (quarantine ``across_gap``). snap_s: a reading so near to the end of an interval counts as at it.
    """

    digits: int | None = None
    resets: bool = False
    across_gap: AcrossGap = "drop"
    snap_s: int = 0
    exchanges: tuple[Exchange, ...] = ()

    def check(self, dataset: MeterSeries, measures: tuple[str, ...], estimated: str, where: str) -> None:
        """Raise DeclarationError where it does not fit a format. measures: those that the counters count."""
        for name in measures:
            if dataset.measure(name).kind != "amount":
                raise DeclarationError(
                    where, f"a register counts {name!r}, which is a level", expected="Declare it as an Amount"
                )
        if self.across_gap != "drop" and not estimated:
            raise DeclarationError(
                where,
                f"across_gap={self.across_gap!r} estimates amounts, and nothing would tell them from measured ones",
                expected="Name a measure of 0 and 1 as estimated=, or use across_gap='drop'",
            )
        for exchange in self.exchanges:
            if exchange.measure not in measures:
                raise DeclarationError(
                    where, f"an exchange is of {exchange.measure!r}", expected=f"Use one of {list(measures)}"
                )
            exchange.check(where)

    def rule(self, dataset: MeterSeries, measure: Measure, factor: Fraction, interval_s: int, meter_id: str) -> Rule:
        """Return how the counter of a measure and a meter is read, in units of the measure."""

        def units(text: str) -> int:
            return counter_units(Decimal(text), factor, measure)

        mine = [one for one in self.exchanges if (one.meter_id, one.measure) == (meter_id, measure.name)]
        return Rule(
            interval_s=interval_s,
            modulus=None if self.digits is None else units(f"1E{self.digits}"),
            resets=self.resets,
            across_gap=self.across_gap,
            longest_gap_s=int(dataset.jump_limit.total_seconds()),
            snap_s=self.snap_s,
            exchanges=tuple(
                KnownExchange(int(one.at.timestamp()), units(one.final), units(one.first))
                for one in sorted(mine, key=lambda one: one.at)
            ),
        )


def counter_units(value: Decimal, factor: Fraction, measure: Measure) -> int:
    """Return what a counter shows in units of the measure's resolution, exactly rounded as all values are.

    Raises RefusedValue for what no counter shows.
    """
    if value and value.adjusted() > _DIGITS:
        raise RefusedValue("bad_value")
    if factor.denominator == 1:
        return exact_units(value * factor.numerator, measure.scale)
    # floor(v · 10^s + 1/2) of a fraction.
    numerator, denominator = value.as_integer_ratio()
    top = 2 * numerator * factor.numerator * int(10**measure.scale) + denominator * factor.denominator
    return top // (2 * denominator * factor.denominator)


@dataclass(frozen=True, kw_only=True)
class RecordFormat(FileFormat):
    """A file of records.

    A field of an object in an object is named by its path: ``sensor.power``. meter: the field with the meter's id.
    interval_s: of each record. marks: which end of its interval a time is. missing: texts that stand for no value.
    register: where the values are counters. serial: the field with the number of the meter itself, which changes when
    it is exchanged.
    """

    time: Time
    values: tuple[Value, ...]
    interval_s: int
    meter: str = ""
    marks: Literal["start", "end"] = "start"
    missing: tuple[str, ...] = ("",)
    register: Register | None = None
    serial: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        problem = time_problem(self.time.pattern)
        if problem:
            raise DeclarationError(
                self.where,
                f"the time {self.time.pattern!r} cannot be read: {problem}",
                expected=f"Write d/M/yyyy H:mm:ss or so, or one of {', '.join(KNOWN_TIMES)}",
            )
        self._check_intervals([self.interval_s])
        for value in self.values:
            conversion(self.dataset.measure(value.measure), value.unit, self.where)
        if self.register:
            self.register.check(self.dataset, self.measures, self.estimated, self.where)
            if self.marks == "end":
                raise DeclarationError(
                    self.where, "a register is read at an instant, not over an interval", expected="Leave marks out"
                )
        elif self.estimated:
            raise DeclarationError(
                self.where, "only amounts of a register are estimated here", expected="Leave estimated out"
            )

    @property
    def has_own_offset(self) -> bool:
        """Whether times are counted from 1970; a text may say its offset or not."""
        return self.time.pattern in (EPOCH_S, EPOCH_MS)

    @property
    def counter_interval_s(self) -> int:
        """Length of the intervals for which counters count; 0 where there are none."""
        return self.interval_s if self.register else 0

    @property
    def lead(self) -> timedelta:
        """How long before a record's time its interval begins."""
        return timedelta(seconds=self.interval_s if self.marks == "end" else 0)

    @property
    def has_meters(self) -> bool:
        """Whether a field says the meter."""
        return bool(self.meter)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures, in the order of the declaration of the format."""
        return tuple(value.measure for value in self.values)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are read."""
        named = (self.meter, self.time.field, *(value.field for value in self.values), self.serial)
        return tuple(dict.fromkeys(name for name in named if name))

    @cached_property
    def factors(self) -> dict[str, Fraction]:
        """Measure -> by what the file's value is multiplied."""
        return {
            value.measure: conversion(self.dataset.measure(value.measure), value.unit, self.where)
            for value in self.values
        }


@dataclass(frozen=True, kw_only=True)
class Parquet(RecordFormat):
    """A Parquet file, one record a row."""

    content: ClassVar = "parquet"
    title: ClassVar = "Parquet"


@dataclass(frozen=True, kw_only=True)
class JsonLines(RecordFormat):
    """A JSON object a line."""

    content: ClassVar = "json"
    title: ClassVar = "JSON lines"


@dataclass(frozen=True, kw_only=True)
class JsonList(RecordFormat):
    """A JSON list of objects. at: the path of the list in an object, such as ``result.readings``."""

    at: str = ""

    content: ClassVar = "json"
    title: ClassVar = "JSON list"


@dataclass(frozen=True, kw_only=True)
class JsonTable(RecordFormat):
    """A JSON object with the names of columns and lists of their values: ``{"columns": […], "data": [[…], …]}``."""

    columns: str = "columns"
    data: str = "data"

    content: ClassVar = "json"
    title: ClassVar = "JSON table"


@dataclass(frozen=True, kw_only=True)
class Workbook(RecordFormat):
    """A sheet of an Excel workbook (xlsx). sheet: its name, or the first one. Its first row is the header."""

    sheet: str = ""

    content: ClassVar = "xlsx"
    title: ClassVar = "Workbook"


@dataclass(frozen=True, kw_only=True)
class ObisText(RecordFormat):
    """Text of DLMS registers, one column a register (``1-0:1.8.0``), as suppliers give it.

    A value may be followed by its unit (``001234.567*kWh``), which then counts. Columns are found by their names; the
    part before ``:`` and a storage number (``*255``) may be missing in either. decimal: before a fraction's digits.
    """

    separator: str = ";"
    decimal: Literal[".", ","] = "."

    content: ClassVar = "text"
    title: ClassVar = "OBIS"
