"""What a record is made of: fields with what is allowed in them, conditions between them, and what must be known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from meterlake.columns import Column, LogicalType
from meterlake.errors import DeclarationError

if TYPE_CHECKING:
    from sqlglot import exp

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NUMBERS: Final = ("int", "bigint", "double", "decimal")
Digits = Literal["", "luhn"]


def check_word(name: str, where: str) -> None:
    """Raise DeclarationError unless a name is lower-case words joined by ``_``; engines are given it in quotes."""
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise DeclarationError(
            where, f"the name {name!r} is none", expected="Use lower-case words joined by '_', at most 40 characters"
        )


@dataclass(frozen=True)
class Field:
    """A value of a record, and what is allowed in it. What is not allowed rejects the record.

    type: money and quantities are decimals with their scale; a timestamp is an instant, with its zone on the wire.
    pattern: a regular expression that the whole text must match. between: the least and the greatest number, either
    may be None. one_of: the texts that may occur. digits: ``luhn`` demands a check digit (IMEI). pii: whether it says
    something about a person. person: the reference of people whose key it holds, where neither its name, nor a lookup,
    nor what must be known says so.
    """

    name: str
    type: LogicalType
    title: str
    unit: str = "1"
    nullable: bool = False
    pattern: str = ""
    between: tuple[Decimal | int | None, Decimal | int | None] = (None, None)
    one_of: tuple[str, ...] = ()
    digits: Digits = ""
    pii: bool = False
    person: str = ""

    def __post_init__(self) -> None:
        where = f"Field {self.name!r}"
        check_word(self.name, where)
        if self.name in META:
            raise DeclarationError(where, "the tables have a column of that name", expected="Choose another name")
        if (self.pattern or self.one_of or self.digits) and self.type.kind != "string":
            raise DeclarationError(
                where,
                f"a {self.type.kind} has no pattern, no texts to choose from and no check digit",
                expected="Declare these of strings only",
            )
        low, high = self.between
        if (low is not None or high is not None) and self.type.kind not in _NUMBERS:
            raise DeclarationError(where, f"a {self.type.kind} has no range", expected="Declare one of numbers only")
        if low is not None and high is not None and low > high:
            raise DeclarationError(where, f"nothing is between {low} and {high}", expected="Put the smaller one first")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise DeclarationError(
                where, f"the pattern {self.pattern!r} is none: {error}", expected="Write a regular expression"
            ) from None

    def column(self, *, nullable: bool = True) -> Column:
        """Return its column. In tables of judged records everything may be missing."""
        unit = "" if self.unit == "1" else f" ({self.unit})"
        return Column(self.name, self.type, nullable, f"{self.title}{unit}")


@dataclass(frozen=True)
class Check:
    """A condition between fields, in SQL, that an accepted record meets. Where a field is NULL it counts as met."""

    name: str
    sql: str
    title: str

    def __post_init__(self) -> None:
        where = f"Check {self.name!r}"
        check_word(self.name, where)
        parse(self.sql, where)

    def columns(self) -> set[str]:
        """Return the fields that the condition asks for."""
        from sqlglot import exp

        return {column.name for column in parse(self.sql, self.name).find_all(exp.Column)}


@dataclass(frozen=True)
class Known:
    """A field holds the key of a record of a reference: others are rejected until that record is there."""

    field: str
    reference: str


def parse(sql: str, where: str) -> exp.Expr:
    """Return an expression as sqlglot has it. Raises DeclarationError where it is none."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.parse_one(sql, read="spark")
    except SqlglotError as error:
        problem = str(error).splitlines()[0]
        raise DeclarationError(where, f"{sql!r} is no expression: {problem}", expected="Write Spark's SQL") from None


META: Final = (
    "record_id",
    "revision",
    "is_rejected",
    "rejection_reasons",
    "versions",
    "payload_md5",
    "arrived_at",
    "source_topic",
    "source_partition",
    "source_offset",
    "run_id",
)
"""Columns of judged tables beside the fields."""
