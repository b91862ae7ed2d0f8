"""The declaration of a data set: plain frozen values, checked when they are made.

Everything else is derived from it: schemas, decoders, validation, aggregation, DDL, dashboards.
A contradiction raises ``DeclarationError`` at construction, so that no engine ever meets one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from meterlake.errors import DeclarationError, ExpressionError
from meterlake.expressions import Expression, ExpressionKind, parse_expression
from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.names import check_name
from meterlake.validation import check_resolution, validate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from meterlake.quality import Check

Partition = Literal["month", "year"]
TableFormat = Literal["iceberg", "delta"]

MAX_UNITS: Final = 10**11
"""Largest magnitude of one value, in units of its resolution; declared ranges must stay within it.

A local day has at most 25 h = 90,000 s and coverage is at most 100 %, so a day's sum is at most
10^11 · 90,000 = 9.0·10^15. That is below 2^53 = 9.007·10^15 (every sum becomes a DOUBLE without
rounding, in all engines), far below 10^18 (DECIMAL(18, s)) and 2^63 (BIGINT).
"""


@dataclass(frozen=True)
class Measure:
    """Something a meter reports; use ``Level`` or ``Amount``.

    resolution: the unit of counting, a power of ten such as ``"0.001"``; finer digits are rounded away.
    between: lowest and highest physical value, both allowed; ``None`` leaves a side open (it then ends
    at MAX_UNITS). Values outside are rejected.
    """

    name: str
    unit: str
    resolution: str
    between: tuple[float | None, float | None] = (None, None)
    title: str = ""

    kind: ClassVar[Literal["level", "amount"]]

    def __post_init__(self) -> None:
        where = f"Measure {self.name!r}"
        check_name(self.name, where)
        if type(self) is Measure:
            raise DeclarationError(where, "is neither a Level nor an Amount", expected="Use one of the two")
        if not self.unit:
            raise DeclarationError(where, "has no unit", expected="Give one, '1' for a ratio")
        check_resolution(self.resolution, where)
        low, high = self.range
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
    def scale(self) -> int:
        """s of the resolution 10^-s: digits after the point."""
        exponent = Decimal(self.resolution).normalize().as_tuple().exponent
        return -int(exponent)

    @property
    def limit(self) -> float:
        """Largest magnitude that can be counted, in physical units."""
        return float(Decimal(MAX_UNITS).scaleb(-self.scale))

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value accepted; an open side ends at ``limit``."""
        low, high = self.between
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
class Rule:
    """A condition on one reading, in SQL over the measures and the interval; use ``Reject`` or ``Flag``.

    It applies where the condition is true (NULL does not apply).
    """

    name: str
    sql: str
    doc: str = ""

    def __post_init__(self) -> None:
        where = f"Rule {self.name!r}"
        check_name(self.name, where)
        if type(self) is Rule:
            raise DeclarationError(where, "is neither a Reject nor a Flag", expected="Use one of the two")
        _expression(self.sql, where, "boolean")

    @cached_property
    def expression(self) -> Expression:
        """The parsed condition."""
        return parse_expression(self.sql)


@dataclass(frozen=True)
class Reject(Rule):
    """A reading that meets the condition is left out of the views and recorded with the rule's name."""


@dataclass(frozen=True)
class Flag(Rule):
    """A reading that meets the condition is counted as flagged; its values are used as they are."""


@dataclass(frozen=True)
class Derived:
    """A value of every view, computed when it is read, from the state of its row.

    sql: reads ``readings``, ``covered_s``, ``flagged``, ``<measure>_sum|_min|_max`` (physical units; the
    sum of a level in unit · s), ``<level>_avg``, other derived values, and the names in ``where``.
    One formula serves minute, hour and day, so it must be written over sums, not over averages of them.
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
        _expression(self.sql, where, "number")
        for name, sql in self.where.items():
            check_name(name, f"{where}, where")
            _expression(sql, f"{where}, where {name!r}", "number")

    @cached_property
    def expression(self) -> Expression:
        """The parsed formula, the names of ``where`` replaced."""
        parts = {name: parse_expression(sql) for name, sql in self.where.items()}
        return parse_expression(self.sql).inline(parts)


PARTITION_FORMATS: Final[dict[Partition, str]] = {"month": "%Y-%m", "year": "%Y"}
"""Form of a partition's value, as Python and Trino write it."""


@dataclass(frozen=True)
class View:
    """A table of states: one row a meter and minute, hour (both UTC) or local day.

    partition: the unit of rewrite, ``month`` or ``year`` of the row's own time.
    """

    grain: Grain
    partition: Partition

    def __post_init__(self) -> None:
        if self.grain not in GRAIN_SECONDS:
            raise DeclarationError("View", f"its grain {self.grain!r} is unknown", expected="Use minute, hour or day")
        if self.partition not in ("month", "year"):
            raise DeclarationError(
                f"View {self.grain!r}",
                f"its partition {self.partition!r} is unknown",
                expected="Use month or year",
            )

    def partition_value(self, day: date) -> str:
        """Return the value of the partition that holds a day, such as ``2026-11``."""
        return day.strftime(PARTITION_FORMATS[self.partition])


@dataclass(frozen=True)
class Retention:
    """How long the speed layer keeps rows.

    speed: minute states and latest readings. recent: raw readings for live panels.
    """

    speed: timedelta = timedelta(days=3)
    recent: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set of metered readings.

    name: names topics, tables and commands. title: for people.
    key, event_time, interval: columns of the meter, the start of the interval, and its length in seconds.
    intervals: the lengths that occur; each divides a minute or is a multiple of one.
    time_zone: IANA name; local days follow it, daylight saving included.
    lateness: how long the speed layer waits for late readings.
    clock_tolerance: how far a meter's clock may run ahead of the time of arrival.
    table_format: of the master data set. wire_version: ``v`` of its messages.
    max_message_bytes: longer messages are quarantined as ``too_large``.
    quality: checks that need readings in order (``meterlake.quality``).
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    intervals: tuple[int, ...]
    time_zone: str
    views: tuple[View, ...]
    key: str = "meter_id"
    event_time: str = "ts"
    interval: str = "interval_s"
    rules: tuple[Rule, ...] = ()
    derived: tuple[Derived, ...] = ()
    lateness: timedelta = timedelta(minutes=10)
    clock_tolerance: timedelta = timedelta(minutes=1)
    table_format: TableFormat = "iceberg"
    retention: Retention = Retention()
    wire_version: int = 1
    max_message_bytes: int = 16_384
    quality: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        validate(self)

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
    def rejects(self) -> tuple[Reject, ...]:
        """The rules that reject, in order."""
        return tuple(rule for rule in self.rules if isinstance(rule, Reject))

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The rules that flag, in order."""
        return tuple(rule for rule in self.rules if isinstance(rule, Flag))

    @property
    def cell_s(self) -> int:
        """Seconds of the cell in which one interval length is chosen: a minute, or the longest interval."""
        return max(60, *self.intervals)

    @property
    def finest(self) -> View:
        """The view computed from readings; coarser ones roll up from it."""
        return min(self.views, key=lambda view: GRAIN_SECONDS[view.grain])

    def measure(self, name: str) -> Measure:
        """Return a measure by name; raises KeyError."""
        return {measure.name: measure for measure in self.measures}[name]

    def view(self, grain: Grain) -> View:
        """Return the view of a grain; raises KeyError where it is not declared."""
        return {view.grain: view for view in self.views}[grain]


def _expression(sql: str, where: str, kind: ExpressionKind) -> None:
    try:
        expression = parse_expression(sql)
    except ExpressionError as error:
        raise DeclarationError(where, error.what.rstrip("."), expected=error.hint.rstrip(".")) from None
    if expression.kind != kind:
        expected = {"boolean": "Write a condition", "number": "Write a formula"}[kind]
        raise DeclarationError(where, f"{sql!r} is a {expression.kind}, not a {kind}", expected=expected)
