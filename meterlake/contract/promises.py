"""What a contract promises: tables and columns, apart from any standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from meterlake.columns import LogicalType

Kind = Literal["table", "view", "topic"]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A column, or the field of a message.

    key: its place in the primary key, from 1; 0: not in it. refers: the table and column of which it holds a key.
    between, one_of, pattern: what values may be. pii: whether it says something about a person.
    """

    name: str
    type: LogicalType
    doc: str
    nullable: bool = False
    unit: str = ""
    key: int = 0
    refers: str = ""
    pattern: str = ""
    between: tuple[float | None, float | None] = (None, None)
    one_of: tuple[str, ...] = ()
    pii: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Something that holds for every row. sql: a condition, as Trino writes it; rows where it is NULL meet it."""

    name: str
    sql: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, a view, or a topic. place: its name in the engine. grain: what a row is, in a sentence."""

    name: str
    place: str
    kind: Kind
    doc: str
    grain: str
    columns: tuple[Promise, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Level:
    """A promise about the service: an ODCS property (``latency``, ``retention``), its value, unit and words."""

    property: str
    value: float
    unit: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a data set promises its readers."""

    name: str
    title: str
    purpose: str
    limits: str
    tables: tuple[Table, ...]
    levels: tuple[Level, ...] = ()
