"""A semantic model as TMDL: one file a table, indented by tabs."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.powerbi.model import Column, Measure, Model, Relation, Table

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMES: Final = uuid.UUID("3f1c7a52-52a1-4d0e-9a57-6c1f2a0f4b11")
"""From it and an object's place come the tags by which Power BI knows an object again."""
PARAMETERS: Final = (("ClickHouse server", '"127.0.0.1"', "Text"), ("ClickHouse port", "8123", "Number"))
LEVEL: Final = 1600


def definition(model: Model) -> dict[str, str]:
    """Return path -> text of a model's definition."""
    return {
        "database.tmdl": f"database\n\tcompatibilityLevel: {LEVEL}\n",
        "model.tmdl": _text(_model(model)),
        "expressions.tmdl": _text(_parameters(model)),
        "relationships.tmdl": _text(line for relation in model.relations for line in _relation(model, relation)),
        **{f"tables/{table.name}.tmdl": _text(_table(model, table)) for table in model.tables},
    }


def name(text: str) -> str:
    """Return a name as TMDL writes it: in quotes where it is more than one word."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "''") + "'"


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines).strip("\n") + "\n"


def _tag(model: Model, *place: str) -> str:
    return str(uuid.uuid5(_NAMES, "/".join((model.name, *place))))


def _model(model: Model) -> Iterator[str]:
    yield f"/// {model.title}: made of its declaration by `meterlake powerbi {model.name} --write`"
    yield "model Model"
    yield "\tculture: en-US"
    yield "\tdefaultPowerBIDataSourceVersion: powerBI_V3"
    yield "\tdiscourageImplicitMeasures"
    yield "\tsourceQueryCulture: en-US"
    yield ""
    yield "annotation __PBI_TimeIntelligenceEnabled = 0"
    yield ""
    yield from (f"ref table {name(table.name)}" for table in model.tables)


def _parameters(model: Model) -> Iterator[str]:
    for title, value, kind in PARAMETERS:
        meta = f'[IsParameterQuery=true, Type="{kind}", IsParameterQueryRequired=true]'
        yield f"expression {name(title)} = {value} meta {meta}"
        yield f"\tlineageTag: {_tag(model, 'expression', title)}"
        yield ""


def _relation(model: Model, relation: Relation) -> Iterator[str]:
    yield f"relationship {_tag(model, 'relation', relation.fact, relation.column)}"
    yield f"\tfromColumn: {name(relation.fact)}.{name(relation.column)}"
    yield f"\ttoColumn: {name(relation.table)}.{name(relation.key)}"
    yield ""


def _table(model: Model, table: Table) -> Iterator[str]:
    yield f"/// {table.description}"
    yield f"table {name(table.name)}"
    yield f"\tlineageTag: {_tag(model, table.name)}"
    yield ""
    for measure in table.measures:
        yield from _measure(model, table, measure)
    for column in table.columns:
        yield from _column(model, table, column)
    if table.levels:
        yield from _hierarchy(model, table)
    yield f"\tpartition {name(table.name)} = m"
    yield "\t\tmode: import"
    yield "\t\tsource ="
    server, port = (f'#"{title}"' for title, _, _ in PARAMETERS)
    for line in (
        "let",
        f'    Source = ClickHouse.Database({server}, {port}, "{model.name}", []),',
        f'    Database = Source{{[Name = "{model.name}"]}}[Data],',
        f'    Rows = Database{{[Name = "{table.source}"]}}[Data]',
        "in",
        "    Rows",
    ):
        yield f"\t\t\t\t{line}"


def _measure(model: Model, table: Table, measure: Measure) -> Iterator[str]:
    yield f"\t/// {measure.description}"
    yield f"\tmeasure {name(measure.name)} = {measure.dax}"
    yield f"\t\tformatString: {measure.format}"
    yield f"\t\tdisplayFolder: {measure.folder}"
    yield f"\t\tlineageTag: {_tag(model, table.name, 'measure', measure.name)}"
    yield ""


def _column(model: Model, table: Table, column: Column) -> Iterator[str]:
    yield f"\t/// {column.description}"
    yield f"\tcolumn {name(column.name)}"
    yield f"\t\tdataType: {column.type}"
    if column.hidden:
        yield "\t\tisHidden"
    if column.format:
        yield f"\t\tformatString: {column.format}"
    yield f"\t\tlineageTag: {_tag(model, table.name, 'column', column.name)}"
    yield "\t\tsummarizeBy: none"
    yield f"\t\tsourceColumn: {column.name}"
    yield ""


def _hierarchy(model: Model, table: Table) -> Iterator[str]:
    title = " / ".join(table.levels)
    yield f"\thierarchy {name(title)}"
    yield f"\t\tlineageTag: {_tag(model, table.name, 'hierarchy')}"
    yield ""
    for level in table.levels:
        yield f"\t\tlevel {name(level)}"
        yield f"\t\t\tlineageTag: {_tag(model, table.name, 'level', level)}"
        yield f"\t\t\tcolumn: {name(level)}"
        yield ""
