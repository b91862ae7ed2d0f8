"""What every kind of data set declares: its name, its fields with their ranges, rules, retention, message version.

A kind adds what it needs, and says what identifies a record of it. ``meterlake.declaration.MeterSeries`` is one;
nothing here knows of intervals or measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from meterlake.errors import DeclarationError, ExpressionError
from meterlake.expressions import Expression, ExpressionKind, parse_expression
from meterlake.names import check_name, check_unique
from meterlake.wallclock import check_zone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.columns import LogicalType

TableFormat = Literal["iceberg", "delta"]
TABLE_FORMATS: Final[tuple[TableFormat, ...]] = ("iceberg", "delta")
_MAX_MESSAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Field(ABC):
    """A value that each record has. unit: ``1`` for a ratio. title: for people."""

    name: str
    unit: str
    title: str = field(default="", kw_only=True)

    @property
    @abstractmethod
    def type(self) -> LogicalType:
        """Its type in messages and in the master table."""


@dataclass(frozen=True)
class Rule:
    """A condition on one record, in SQL over its values; use ``Reject`` or ``Flag``.

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
        check_expression(self.sql, where, "boolean")

    @cached_property
    def expression(self) -> Expression:
        """The parsed condition."""
        return parse_expression(self.sql)


@dataclass(frozen=True)
class Reject(Rule):
    """A record that meets the condition is left out of the views and recorded with the rule's name."""


@dataclass(frozen=True)
class Flag(Rule):
    """A record that meets the condition is counted as flagged; its values are used as they are."""


@dataclass(frozen=True)
class Retention:
    """How long the speed layer keeps rows.

    speed: states and latest records. recent: records as they came, for live panels.
    """

    speed: timedelta = timedelta(days=3)
    recent: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Declaration(ABC):
    """A data set of any kind.

    name: names topics, tables and commands. title: for people; the name where it is left out.
    key: column of what a record is about. event_time: column of when it happened.
    time_zone: IANA name; local days and months follow it, daylight saving included.
    clock_tolerance: how far a source's clock may run ahead of the time of arrival.
    table_format: of the master data set. wire_version: ``v`` of its messages.
    max_message_bytes: longer messages are quarantined as ``too_large``.
    """

    kind: ClassVar[str]

    name: str
    title: str = ""
    key: str
    event_time: str
    time_zone: str = "UTC"
    rules: tuple[Rule, ...] = ()
    clock_tolerance: timedelta = timedelta(minutes=1)
    table_format: TableFormat = "iceberg"
    retention: Retention = Retention()
    wire_version: int = 1
    max_message_bytes: int = 16_384

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name.replace("_", " ").capitalize())

    @property
    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The values of a record, in order."""

    @property
    @abstractmethod
    def identity(self) -> tuple[str, ...]:
        """The columns that identify a record: of several with the same values in them, one counts."""

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """The rules that reject, in order."""
        return tuple(rule for rule in self.rules if isinstance(rule, Reject))

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The rules that flag, in order."""
        return tuple(rule for rule in self.rules if isinstance(rule, Flag))


def check_expression(sql: str, where: str, kind: ExpressionKind) -> None:
    """Raise DeclarationError unless a text is an expression of a kind."""
    try:
        expression = parse_expression(sql)
    except ExpressionError as error:
        raise DeclarationError(where, error.what.rstrip("."), expected=error.hint.rstrip(".")) from None
    if expression.kind != kind:
        expected = {"boolean": "Write a condition", "number": "Write a formula"}[kind]
        raise DeclarationError(where, f"{sql!r} is a {expression.kind}, not a {kind}", expected=expected)


def check_reads(columns: Iterable[str], known: tuple[str, ...], where: str) -> None:
    """Raise DeclarationError where an expression reads a column that it may not."""
    for column in columns:
        if column not in known:
            raise DeclarationError(
                where, f"it reads the unknown column {column!r}", expected=f"It may read {', '.join(known)}"
            )


def check_rules(declaration: Declaration, known: tuple[str, ...], generated: Iterable[str], where: str) -> None:
    """Raise DeclarationError where a rule reads what is not there, or has the name of another or a generated one."""
    check_unique([rule.name for rule in declaration.rules], where, "rule")
    taken = set(generated)
    for rule in declaration.rules:
        if rule.name in taken:
            raise DeclarationError(
                where, f"the rule {rule.name!r} has the name of a generated one", expected="Choose another name"
            )
        check_reads(rule.expression.columns, known, f"{where}, rule {rule.name!r}")


def check_base(declaration: Declaration, where: str) -> None:
    """Raise DeclarationError at the first contradiction of what every kind declares."""
    for name in (declaration.name, *declaration.identity):
        check_name(name, where)
    check_zone(declaration.time_zone, where)
    check_durations(
        {
            "clock_tolerance": declaration.clock_tolerance,
            "retention.speed": declaration.retention.speed,
            "retention.recent": declaration.retention.recent,
        },
        where,
    )
    if not timedelta(0) < declaration.retention.recent <= declaration.retention.speed:
        raise DeclarationError(
            where,
            f"it keeps recent records {declaration.retention.recent} and states {declaration.retention.speed}",
            expected="Keep recent records longer than 0 and no longer than states",
        )
    if declaration.table_format not in TABLE_FORMATS:
        raise DeclarationError(
            where,
            f"the table format {declaration.table_format!r} is unknown",
            expected=f"Use {' or '.join(TABLE_FORMATS)}",
        )
    if declaration.wire_version < 1:
        raise DeclarationError(where, f"wire_version is {declaration.wire_version}", expected="Count from 1")
    if not 1 <= declaration.max_message_bytes <= _MAX_MESSAGE_BYTES:
        raise DeclarationError(
            where, f"max_message_bytes is {declaration.max_message_bytes}", expected="Give 1 byte to 1 MiB"
        )


def check_durations(durations: dict[str, timedelta], where: str) -> None:
    """Raise DeclarationError where one is negative or no whole seconds."""
    for name, value in durations.items():
        if value < timedelta(0) or value % timedelta(seconds=1):
            raise DeclarationError(where, f"its {name} of {value} is not whole seconds", expected="Use timedelta")
