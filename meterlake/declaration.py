"""The declaration of a meter series: plain frozen values, checked when they are made.

Everything else is derived from it: schemas, decoders, validation, aggregation, DDL, dashboards.
A contradiction raises ``DeclarationError`` at construction, so that no engine ever meets one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from meterlake.columns import DOUBLE, LogicalType
from meterlake.durations import parse_duration
from meterlake.errors import DeclarationError
from meterlake.expressions import Expression, parse_expression
from meterlake.grains import GRAIN_SECONDS, Grain, is_calendar, parse_grain
from meterlake.kinds import Declaration, Field, Flag, Reject, Retention, Rule, TableFormat, check_expression
from meterlake.names import check_name
from meterlake.ranges import Range, Rate, per_hour
from meterlake.validation import check_resolution, validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from meterlake.quality import Check

__all__ = [
    "MAX_UNITS",
    "PARTITION_FORMATS",
    "Amount",
    "Derived",
    "Flag",
    "Level",
    "Measure",
    "MeterSeries",
    "Partition",
    "Reject",
    "Retention",
    "Rule",
    "TableFormat",
    "View",
    "per_hour",
]

Partition = Literal["month", "year"]

MAX_UNITS: Final = 10**11
"""Largest magnitude of one value, in units of its resolution; declared ranges must stay within it.

A local day has at most 25 h = 90,000 s and coverage is at most 100 %, so a day's sum is at most
10^11 · 90,000 = 9.0·10^15. That is below 2^53 = 9.007·10^15 (every sum becomes a DOUBLE without
rounding, in all engines). A month's is at most 2.7·10^17, below 10^18 (DECIMAL(18, s)) and 2^63 (BIGINT):
exact, too; as a DOUBLE it is rounded once, where values of more than 3·10^9 units fill the month.
"""


@dataclass(frozen=True)
class Measure(Field):
    """Something a meter reports; use ``Level`` or ``Amount``.

    resolution: the unit of counting, a power of ten such as ``"0.001"``; finer digits are rounded away.
    between: lowest and highest physical value, both allowed; ``None`` leaves a side open (it then ends
    at MAX_UNITS). For an amount ``per_hour(lowest, highest)``: limits in proportion to the interval.
    Values outside are rejected.
    """

    resolution: str
    between: Range | Rate = (None, None)

    kind: ClassVar[Literal["level", "amount"]]

    def __post_init__(self) -> None:
        where = f"Measure {self.name!r}"
        check_name(self.name, where)
        if type(self) is Measure:
            raise DeclarationError(where, "is neither a Level nor an Amount", expected="Use one of the two")
        if not self.unit:
            raise DeclarationError(where, "has no unit", expected="Give one, '1' for a ratio")
        check_resolution(self.resolution, where)
        if isinstance(self.between, Rate) and self.kind == "level":
            raise DeclarationError(
                where,
                f"its range {self.between} is a rate, but a level is the same in any interval",
                expected="Give (lowest, highest)",
            )
        low, high = self.limits(GRAIN_SECONDS["hour"])
        if low >= high:
            raise DeclarationError(
                where, f"its range {self.between} is empty or reversed", expected="Give (lowest, highest)"
            )
        if max(abs(low), abs(high)) > self.limit:
            raise DeclarationError(
                where,
                f"its range {self.between} passes ±{self.limit:g} {self.unit} ({MAX_UNITS:.0e} resolutions)",
                expected="Narrow the range or coarsen the resolution: a day's sum must stay exact",
            )

    @property
    def type(self) -> LogicalType:
        """A double: the value as it arrived."""
        return DOUBLE

    @property
    def scale(self) -> int:
        """s of the resolution 10^-s: digits after the point."""
        exponent = Decimal(self.resolution).normalize().as_tuple().exponent
        return -int(exponent)

    @property
    def limit(self) -> float:
        """Largest magnitude that can be counted, in physical units."""
        return float(Decimal(MAX_UNITS).scaleb(-self.scale))

    def limits(self, interval_s: int) -> tuple[float, float]:
        """Return the lowest and highest value accepted in an interval; an open side ends at ``limit``."""
        low, high = self.between.limits(interval_s) if isinstance(self.between, Rate) else self.between
        return (-self.limit if low is None else float(low), self.limit if high is None else float(high))


@dataclass(frozen=True)
class Level(Measure):
    """Holds over its interval (kW, V, A). Its sum is Σ value · interval_s."""

    kind = "level"


@dataclass(frozen=True)
class Amount(Measure):
    """Belongs to its interval (Wh, litres). Its sum is Σ value."""

    kind = "amount"


@dataclass(frozen=True)
class Derived:
    """A value of every view, computed when it is read, from the state of its row.

    sql: reads ``readings``, ``covered_s``, ``flagged``, ``<measure>_sum|_min|_max`` (physical units; the
    sum of a level in unit · s), ``<level>_avg``, other derived values, and the names in ``where``.
    One formula serves all grains, so it must be written over sums, not over averages of them.
    where: names for parts of the formula.
    """

    name: str
    unit: str
    sql: str
    where: Mapping[str, str] = field(default_factory=dict, hash=False)
    title: str = ""

    def __post_init__(self) -> None:
        where = f"Derived {self.name!r}"
        object.__setattr__(self, "where", dict(self.where))
        check_name(self.name, where)
        check_expression(self.sql, where, "number")
        for name, sql in self.where.items():
            check_name(name, f"{where}, where")
            check_expression(sql, f"{where}, where {name!r}", "number")

    @cached_property
    def expression(self) -> Expression:
        """The parsed formula, the names of ``where`` replaced."""
        parts = {name: parse_expression(sql) for name, sql in self.where.items()}
        return parse_expression(self.sql).inline(parts)


_ROWS_WAITED: Final = 10
PARTITION_FORMATS: Final[dict[Partition, str]] = {"month": "%Y-%m", "year": "%Y"}
"""Form of a partition's value, as Python and Trino write it."""


@dataclass(frozen=True, init=False)
class View:
    """A table of states: one row a meter and grain; its table and its time column are named after the grain.

    grain: a duration of a minute to an hour (``"30 min"``; rows begin at UTC boundaries), ``day`` or ``month`` (local).
    partition: the unit in which rows are stored, ``month`` or ``year`` of the row's own time; months for durations
    and years for days and months where it is left out.
    """

    grain: Grain
    partition: Partition

    def __init__(self, grain: str, partition: Partition | None = None) -> None:
        try:
            known = parse_grain(grain)
        except ValueError as error:
            raise DeclarationError("View", f"its grain {error}", expected="Use one of these") from None
        held: Partition = partition or ("year" if is_calendar(known) else "month")
        where = f"View {known!r}"
        if held not in PARTITION_FORMATS:
            raise DeclarationError(where, f"its partition {held!r} is unknown", expected="Use month or year")
        if known == held:
            raise DeclarationError(
                where, f"its partition {held!r} has the name of its time column", expected="Partition it by year"
            )
        object.__setattr__(self, "grain", known)
        object.__setattr__(self, "partition", held)

    def partition_value(self, day: date) -> str:
        """Return the value of the partition that holds a day, such as ``2026-11``."""
        return day.strftime(PARTITION_FORMATS[self.partition])


class _Lengths:
    """Interval lengths: declared in seconds or as durations such as ``"30 min"``, read in seconds."""

    def __get__(self, series: MeterSeries | None, owner: type[MeterSeries]) -> tuple[int, ...]:
        if series is None:
            raise AttributeError("intervals")  # a dataclass takes this for: no default
        lengths: tuple[int, ...] = series.__dict__["intervals"]
        return lengths

    def __set__(self, series: MeterSeries, lengths: Sequence[int | str]) -> None:
        listed = [lengths] if isinstance(lengths, str) else lengths
        series.__dict__["intervals"] = tuple(
            _seconds(length) if isinstance(length, str) else length for length in listed
        )


class _Lateness:
    """How long the speed layer waits: as declared, or ten rows of the finest view."""

    def __get__(self, series: MeterSeries | None, owner: type[MeterSeries]) -> timedelta:
        declared: timedelta | None = None if series is None else series.__dict__["lateness"]
        if series is not None and declared is None:
            return timedelta(seconds=_ROWS_WAITED * series.cell_s)
        return declared  # type: ignore[return-value] # a dataclass takes None for the default

    def __set__(self, series: MeterSeries, declared: timedelta | None) -> None:
        series.__dict__["lateness"] = declared


@dataclass(frozen=True, kw_only=True)
class MeterSeries(Declaration):
    """A data set of metered readings; what every kind has is described in ``Declaration``.

    key, event_time, interval: columns of the meter, the start of the interval, and its length in seconds.
    intervals: the lengths that occur; each divides a minute or is a multiple of one, up to an hour.
    views: the finest one has a row for each longest interval, or for several.
    lateness: how long the speed layer waits for readings after the end of their row of the finest view, by the broker's
    clock; by default ten rows. What comes later is left to the batch layer (``meterlake.lateness``).
    earliest: no reading is from before this day (UTC); one that says so has its meter's factory date, and is rejected.
    jump_limit: a few readings of a file that lie further than this from all others are set aside, as ``jumps`` says.
    quality: checks that need readings in order (``meterlake.quality``).
    """

    kind = "meter series"

    measures: tuple[Measure, ...]
    intervals: _Lengths = _Lengths()
    views: tuple[View, ...]
    key: str = "meter_id"
    event_time: str = "ts"
    interval: str = "interval_s"
    derived: tuple[Derived, ...] = ()
    lateness: _Lateness = _Lateness()
    earliest: date | None = None
    jump_limit: timedelta = timedelta(days=366)
    quality: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        validate(self)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The measures."""
        return self.measures

    @property
    def identity(self) -> tuple[str, ...]:
        """Meter, start and length of the interval."""
        return (self.key, self.event_time, self.interval)

    @property
    def readings_topic(self) -> str:
        """Kafka topic of its messages."""
        return f"meterlake.{self.name}.readings"

    @property
    def rejected_topic(self) -> str:
        """Kafka topic of undecodable messages."""
        return f"meterlake.{self.name}.rejected"

    @property
    def levels(self) -> tuple[Measure, ...]:
        """The measures that hold over their interval."""
        return tuple(measure for measure in self.measures if measure.kind == "level")

    @property
    def finest(self) -> View:
        """The view computed from readings, in both layers; coarser ones roll up from it."""
        return min(self.views, key=lambda view: GRAIN_SECONDS[view.grain])

    @property
    def cell_s(self) -> int:
        """Seconds of a row of the finest view: the cell in which one interval length is chosen."""
        return GRAIN_SECONDS[self.finest.grain]

    def measure(self, name: str) -> Measure:
        """Return a measure by name; raises KeyError."""
        return {measure.name: measure for measure in self.measures}[name]

    def view(self, grain: Grain) -> View:
        """Return the view of a grain; raises KeyError where it is not declared."""
        return {view.grain: view for view in self.views}[grain]


def _seconds(duration: str) -> int | float:
    try:
        length = parse_duration(duration).total_seconds()
    except ValueError as error:
        raise DeclarationError("Interval", str(error), expected="Write it such as '30 min', or in seconds") from None
    return int(length) if length.is_integer() else length
