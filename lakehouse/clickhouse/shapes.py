"""ClickHouse's tables of a lakehouse, from its declaration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlglot

from lakehouse.layers import tables

if TYPE_CHECKING:
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Dimension, Fact, Mart
    from meterlake.lakehouse.records import Event

MANIFESTS: Final = "loaded_manifests"
"""Lists of files that have been loaded, and the periods that they speak of, by their first days."""
_TYPES: Final = {
    "STRING": "String",
    "INT": "Int32",
    "BIGINT": "Int64",
    "DOUBLE": "Float64",
    "BOOLEAN": "Bool",
    "DATE": "Date32",
    "TIMESTAMP_NTZ": "DateTime64(6, 'UTC')",
}
_LAST: Final = "toDateTime64('2299-01-01', 6, 'UTC')"


@dataclass(frozen=True)
class Shape:
    """A table. columns: name and type; order: its sorting key; partition: the expression by which it is replaced."""

    name: str
    columns: tuple[tuple[str, str], ...]
    order: str
    partition: str = ""

    @property
    def names(self) -> str:
        """Its columns, to be written into a statement."""
        return ", ".join(f"`{name}`" for name, _ in self.columns)

    @property
    def structure(self) -> str:
        """Its columns with their types, as ClickHouse writes them."""
        return ", ".join(f"`{name}` {kind}" for name, kind in self.columns)

    @property
    def mark(self) -> str:
        """What tells this shape from another one of the same name."""
        return hashlib.md5(self._body.encode(), usedforsecurity=False).hexdigest()

    def create(self, database: str) -> str:
        """Return the statement that creates it where it is missing."""
        return f"CREATE TABLE IF NOT EXISTS {database}.`{self.name}` {self._body} COMMENT '{self.mark}'"

    @property
    def _body(self) -> str:
        partition = f" PARTITION BY {self.partition}" if self.partition else ""
        return (
            f"({self.structure}) ENGINE = MergeTree{partition} ORDER BY ({self.order}) SETTINGS allow_nullable_key = 1"
        )


def database(lakehouse: Lakehouse) -> str:
    """Return the database of a lakehouse."""
    return f"`{lakehouse.name}`"


def manifests() -> Shape:
    """Return the table of what has been loaded."""
    return Shape(MANIFESTS, (("fact", "String"), ("path", "String"), ("days", "Array(Date)")), "fact, path")


def fact(lakehouse: Lakehouse, item: Fact) -> Shape:
    """Return the table of a fact: replaced by UTC month or day, sorted by local day and the first member it looks up.

    That is how facts are asked: of a time, and of a member.
    """
    event = lakehouse.event(item.event)
    optional = {field.name for field in event.fields if field.nullable}
    members = [lookup.column for lookup in item.lookups[:1]]
    return Shape(
        item.name,
        tuple((name, _type(kind, nullable=name in optional)) for name, kind in tables.fact(lakehouse, item).columns),
        ", ".join(["date_sk", *members, "transaction_sk"]),
        start(event),
    )


def start(event: Event) -> str:
    """Return the expression of the first day of the period in which an event lies."""
    return f"{'toDate' if event.partition == 'day' else 'toStartOfMonth'}(`{event.time}`)"


def dimension(lakehouse: Lakehouse, item: Dimension) -> Shape:
    """Return the table of a dimension. Its validity is NULL at the ends, which ClickHouse's times do not reach."""
    columns = tables.dimension(lakehouse, item).columns
    always = {item.key, "is_current", "is_placeholder"}
    return Shape(item.name, tuple((name, _type(kind, nullable=name not in always)) for name, kind in columns), item.key)


def calendar(table: tables.Table) -> Shape:
    """Return the table of days, or of the seconds of a day."""
    columns = tuple((name, _type(kind, nullable=False)) for name, kind in table.columns)
    return Shape(table.name, columns, table.names[0])


def dimension_values(shape: Shape) -> str:
    """Return what is read of a dimension's file: times beyond those that ClickHouse has become NULL."""
    ends = {"valid_from": "toYear(valid_from) <= 1900", "valid_to": f"valid_to >= {_LAST}"}
    return ", ".join(
        f"if({ends[name]}, NULL, `{name}`) AS `{name}`" if name in ends else f"`{name}`" for name, _ in shape.columns
    )


def mart_select(lakehouse: Lakehouse, mart: Mart) -> str:
    """Return the query of a mart, without its days."""
    by = [f"{_clickhouse(sql)} AS `{name}`" for name, sql in mart.by]
    figures = [f"{_clickhouse(sql)} AS `{name}`" for name, sql in mart.figures]
    return f"SELECT date_sk, {', '.join([*by, *figures])} FROM {database(lakehouse)}.`{mart.fact}`"


def mart_group(mart: Mart) -> str:
    """Return how the rows of a mart's query are grouped."""
    return f"GROUP BY {', '.join(['date_sk', *(_clickhouse(sql) for _, sql in mart.by)])}"


def mart_order(mart: Mart) -> str:
    """Return the sorting key of a mart."""
    return ", ".join(["date_sk", *(f"`{name}`" for name, _ in mart.by)])


def _clickhouse(sql: str) -> str:
    return sqlglot.transpile(sql, read="spark", write="clickhouse")[0]


def _type(kind: str, *, nullable: bool) -> str:
    name = _TYPES.get(kind) or kind.replace("DECIMAL", "Decimal")
    return f"Nullable({name})" if nullable else name
