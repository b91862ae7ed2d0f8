"""Columns of tables and messages: a name, a logical type, and that type's text in each engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Dialect = Literal["spark", "trino", "hive", "duckdb"]
"""The engines for which SQL is generated (names as sqlglot knows them)."""

DIALECTS: Final[tuple[Dialect, ...]] = ("spark", "trino", "hive", "duckdb")

Target = Literal["spark", "trino", "hive", "duckdb", "cassandra"]
"""The engines for which a type has a name: the dialects, and Cassandra's CQL."""

Kind = Literal["string", "int", "bigint", "double", "decimal", "timestamp", "date", "boolean"]

PRECISION: Final = 18
"""Digits of every exact decimal: DECIMAL(18, s) is an 8-byte integer in Parquet and in all engines."""


@dataclass(frozen=True)
class LogicalType:
    """A column's type, apart from any engine.

    ``decimal`` is DECIMAL(18, scale). ``timestamp`` is UTC wall clock **without** zone
    (Spark ``timestamp_ntz``), microseconds; ``date`` is a calendar day.
    """

    kind: Kind
    scale: int = 0

    def sql(self, target: Target) -> str:
        """Return the type's name in an engine, such as ``DECIMAL(18,3)`` or ``TIMESTAMP_NTZ``.

        Cassandra has no exact 18-digit decimal worth using: there a decimal is BIGINT units.
        """
        if self.kind == "decimal":
            return "BIGINT" if target == "cassandra" else f"DECIMAL({PRECISION},{self.scale})"
        return _NAMES[self.kind].get(target, _DEFAULT_NAMES[self.kind])


_DEFAULT_NAMES: Final[dict[Kind, str]] = {
    "string": "STRING",
    "int": "INT",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "decimal": "DECIMAL",
}
_NAMES: Final[dict[Kind, dict[Target, str]]] = {
    "string": {"trino": "VARCHAR", "duckdb": "VARCHAR", "cassandra": "TEXT"},
    "int": {"trino": "INTEGER", "duckdb": "INTEGER"},
    "bigint": {},
    "double": {},
    "timestamp": {"spark": "TIMESTAMP_NTZ", "trino": "TIMESTAMP(6)"},
    "date": {},
    "boolean": {},
    "decimal": {},
}

STRING: Final = LogicalType("string")
INT: Final = LogicalType("int")
BIGINT: Final = LogicalType("bigint")
DOUBLE: Final = LogicalType("double")
TIMESTAMP: Final = LogicalType("timestamp")
DATE: Final = LogicalType("date")
BOOLEAN: Final = LogicalType("boolean")


def decimal(scale: int) -> LogicalType:
    """Return DECIMAL(18, scale)."""
    return LogicalType("decimal", scale)


@dataclass(frozen=True)
class Column:
    """One column of a table or field of a message. ``doc`` says what it holds, with its unit."""

    name: str
    type: LogicalType
    nullable: bool = False
    doc: str = ""
