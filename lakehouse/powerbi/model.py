"""The semantic model of a lakehouse: its gold tables as ClickHouse has them, how they relate, and its figures.

Relations are all active, from facts to dimensions: a member that plays several roles in a fact has a table for each
role after the first. What is money of several currencies has no sum until one of them is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lakehouse.clickhouse import shapes
from lakehouse.layers import tables
from lakehouse.powerbi.dax import NoDax, Rows, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.clickhouse.shapes import Shape
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.fields import Field
    from meterlake.lakehouse.model import Dimension, Fact, Lookup
    from meterlake.lakehouse.records import Event

MONEY: Final = "#,##0.00"
COUNT: Final = "#,##0"
SHARE: Final = "0.00%"
_TYPES: Final = {
    "String": ("string", ""),
    "Int32": ("int64", "0"),
    "Int64": ("int64", "0"),
    "Float64": ("double", ""),
    "Bool": ("boolean", ""),
    "Date32": ("dateTime", "yyyy-mm-dd"),
    "DateTime64(6, 'UTC')": ("dateTime", "yyyy-mm-dd hh:nn:ss"),
}
_KEYS: Final = ("date_sk", "time_sk", "transaction_sk")
_CALENDAR: Final = {
    tables.DATE: ("The days that occur", ("year", "month", "date_value")),
    tables.TIME: ("The seconds of a day", ("time_period", "hour", "minute")),
}
_MEANINGS: Final = {
    "transaction_sk": "Key of the row",
    "date_sk": "Key of the local day",
    "time_sk": "Second of the local day",
    "valid_from": "Since when the member is so; blank: since ever",
    "valid_to": "Until when the member is so; blank: until now",
    "is_current": "Whether the member is so now",
    "is_placeholder": "Whether only the key of the member is known",
}


@dataclass(frozen=True)
class Column:
    """A column: its type and format in Power BI, what it means, and whether people see it."""

    name: str
    type: str
    format: str
    description: str
    hidden: bool = False


@dataclass(frozen=True)
class Measure:
    """A figure in DAX."""

    name: str
    dax: str
    format: str
    folder: str
    description: str


@dataclass(frozen=True)
class Table:
    """A table. source: its name in ClickHouse; levels: those of its hierarchy, the coarsest first, if it has one."""

    name: str
    source: str
    description: str
    columns: tuple[Column, ...]
    measures: tuple[Measure, ...] = ()
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """Many rows of a fact to one member of a dimension. table: that of the dimension in the member's role."""

    fact: str
    column: str
    table: str
    key: str
    dimension: str


@dataclass(frozen=True)
class Model:
    """A semantic model. left_out: figures that it does not have, and why."""

    name: str
    title: str
    tables: tuple[Table, ...]
    relations: tuple[Relation, ...]
    left_out: tuple[str, ...] = ()

    def table(self, name: str) -> Table:
        """Return a table by name."""
        return next(table for table in self.tables if table.name == name)


def model(lakehouse: Lakehouse) -> Model:
    """Return the semantic model of a lakehouse."""
    relations = tuple(relation for fact in lakehouse.facts for relation in _relations(lakehouse, fact))
    result = [
        _dimension(lakehouse, item, name)
        for item in lakehouse.dimensions
        for name in sorted({relation.table for relation in relations if relation.dimension == item.name})
    ]
    result += [_calendar(table) for table in (tables.DIM_DATE, tables.DIM_TIME)]
    of_views = [kpi.name for kpi in lakehouse.kpis if lakehouse.view(kpi.fact)]
    left_out = [f"figures of views: {', '.join(of_views)}"] if of_views else []
    for fact in lakehouse.facts:
        hidden = {relation.column for relation in relations if relation.fact == fact.name}
        table = _fact(lakehouse, fact, hidden)
        measures, without = _measures(lakehouse, fact)
        result.append(replace(table, measures=measures))
        left_out += without
    return Model(lakehouse.name, lakehouse.title, tuple(result), relations, tuple(left_out))


def _relations(lakehouse: Lakehouse, fact: Fact) -> Iterator[Relation]:
    yield Relation(fact.name, "date_sk", tables.DATE, "date_sk", tables.DATE)
    yield Relation(fact.name, "time_sk", tables.TIME, "time_sk", tables.TIME)
    played = set[str]()
    for lookup in fact.lookups:
        name = lookup.dimension if lookup.dimension not in played else _role(lakehouse, lookup)
        played.add(lookup.dimension)
        key = lakehouse.dimension(lookup.dimension).key
        yield Relation(fact.name, lookup.column, name, key, lookup.dimension)


def _role(lakehouse: Lakehouse, lookup: Lookup) -> str:
    """Return the table of a further role: ``dim_user_to`` of the column ``to_user_sk``."""
    role = lookup.column.removesuffix(lakehouse.dimension(lookup.dimension).key).strip("_")
    return f"{lookup.dimension}_{role}"


def _dimension(lakehouse: Lakehouse, item: Dimension, name: str) -> Table:
    reference = lakehouse.reference(item.reference)
    meanings = {field.name: _meaning(field) for field in reference.fields}
    shape = shapes.dimension(lakehouse, item)
    columns = _columns(shape, {**meanings, **_MEANINGS, item.key: "Key of the member"}, {item.key})
    role = name.removeprefix(item.name).strip("_")
    title = f"{reference.title}, in the role: {role}" if role else reference.title
    return Table(name, item.name, title, columns, levels=item.levels)


def _calendar(table: tables.Table) -> Table:
    title, levels = _CALENDAR[table.name]
    shape = shapes.calendar(table)
    meanings = {name: name.replace("_", " ").capitalize() for name, _ in shape.columns} | _MEANINGS
    return Table(table.name, table.name, title, _columns(shape, meanings, set(_KEYS)), levels=levels)


def _fact(lakehouse: Lakehouse, fact: Fact, hidden: set[str]) -> Table:
    event = lakehouse.event(fact.event)
    meanings = {field.name: _meaning(field) for field in event.fields}
    keys = {lookup.column: f"Key of the member of {lookup.dimension}, by {lookup.field}" for lookup in fact.lookups}
    shape = shapes.fact(lakehouse, fact)
    columns = _columns(shape, {**meanings, **keys, **_MEANINGS}, {*hidden, "transaction_sk"})
    return Table(fact.name, fact.name, fact.grain, columns)


def _columns(shape: Shape, meanings: dict[str, str], hidden: set[str]) -> tuple[Column, ...]:
    return tuple(_column(name, kind, meanings[name], hidden=name in hidden) for name, kind in shape.columns)


def _column(name: str, kind: str, meaning: str, *, hidden: bool) -> Column:
    plain = kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind
    known = ("decimal", MONEY) if plain.startswith("Decimal") else _TYPES[plain]
    return Column(name, *known, meaning, hidden)


def _meaning(field: Field) -> str:
    return f"{field.title}{'' if field.unit == '1' else f' ({field.unit})'}{'. Personal' if field.pii else ''}"


def _measures(lakehouse: Lakehouse, fact: Fact) -> tuple[tuple[Measure, ...], list[str]]:
    """Return the figures of a fact, each formula once: its rows, those of marts, its measures, its KPIs."""
    event = lakehouse.event(fact.event)
    rows = Rows(fact.name, {field.name for field in event.fields if field.nullable})
    result: dict[str, Measure] = {}
    left_out: list[str] = []

    def add(name: str, sql: str, folder: str, description: str, *, form: str = "", of: str = "") -> None:
        try:
            dax = rows.figure(sql)
        except NoDax as error:
            left_out.append(f"{fact.name}, {name}: {error.what}")
            return
        guarded, money = _in_one_currency(event, fact, dax)
        taken = {measure.name for measure in result.values()}
        full = f"{event.title}: {name}"
        unique = full if full not in taken else f"{full} ({of})"
        result.setdefault(guarded, Measure(unique, guarded, form or _format(dax, money), folder, description))

    add("count", "COUNT(*)", "Figures", fact.grain)
    for mart in lakehouse.marts:
        if mart.fact == fact.name:
            for name, sql in mart.figures:
                add(name.replace("_", " "), sql, "Figures", f"{mart.title}: {sql}", of=mart.name)
    for item in fact.measures:
        title = event.field(item.field).title
        word, function = ("sum", "SUM") if item.additivity == "additive" else ("average", "AVG")
        add(f"{word} of {item.field.replace('_', ' ')}", f"{function}({item.field})", "Figures", title)
    for kpi in lakehouse.kpis:
        if kpi.fact == fact.name and not kpi.per:
            note = f"{kpi.source}. {kpi.better.capitalize()} is better"
            add(kpi.title, kpi.sql, "KPIs", note, form=SHARE if kpi.unit == "1" else "", of=kpi.name)
        elif kpi.fact == fact.name:
            left_out.append(f"{kpi.name}: it is summed up by {', '.join(kpi.per)} first")
    return tuple(result.values()), left_out


def _in_one_currency(event: Event, fact: Fact, dax: str) -> tuple[str, bool]:
    """Return a figure that is blank where it would mix units that a field names ("of its currency"), if it would."""
    names = {field.name for field in event.fields}
    for field in event.fields:
        of = field.unit.removeprefix("of its ")
        if of != field.unit and of in names and f"[{field.name}]" in dax:
            return f"IF(HASONEVALUE({quoted(fact.name)}[{of}]), {dax})", True
    return dax, False


def _format(dax: str, money: bool) -> str:
    return MONEY if money or "DIVIDE(" in dax or "AVERAGE(" in dax else COUNT
