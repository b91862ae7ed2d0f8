"""A contract as a document of the Open Data Contract Standard 3.1 (https://bitol.io)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from meterlake.columns import Kind
    from meterlake.contract.promises import Contract, Promise, Table

STANDARD: Final = "v3.1.0"
_LOGICAL: Final[dict[Kind, str]] = {
    "string": "string",
    "int": "integer",
    "bigint": "integer",
    "double": "number",
    "decimal": "number",
    "timestamp": "timestamp",
    "date": "date",
    "boolean": "boolean",
}


def document(contract: Contract, version: str) -> dict[str, Any]:
    """Return the document. version: of the contract, ``major.minor.patch``."""
    return {
        "apiVersion": STANDARD,
        "kind": "DataContract",
        "id": f"meterlake.{contract.name}",
        "name": contract.title or contract.name,
        "version": version,
        "status": "active",
        "description": {"purpose": contract.purpose, "limitations": contract.limits},
        "schema": [_table(table) for table in contract.tables],
        "slaProperties": [
            {"property": level.property, "value": level.value, "unit": level.unit, "description": level.doc}
            for level in contract.levels
        ],
    }


def text(document: dict[str, Any]) -> str:
    """Return a document as YAML."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _table(table: Table) -> dict[str, Any]:
    quality: list[dict[str, Any]] = [
        {
            "name": rule.name,
            "type": "sql",
            "description": rule.doc,
            "dimension": "consistency",
            "query": f"SELECT count(*) FROM {table.place} WHERE NOT ({rule.sql})",  # noqa: S608 - of a declaration
            "mustBe": 0,
        }
        for rule in table.rules
    ]
    keys = [column.name for column in sorted(table.columns, key=lambda column: column.key) if column.key]
    if keys:
        quality.append(
            {
                "name": "one_row_a_key",
                "type": "library",
                "description": "No two rows have the same key.",
                "dimension": "uniqueness",
                "metric": "duplicateValues",
                "arguments": {"properties": keys},
                "mustBe": 0,
            }
        )
    result: dict[str, Any] = {
        "name": table.name,
        "physicalName": table.place,
        "physicalType": table.kind,
        "description": table.doc,
        "dataGranularityDescription": table.grain,
        "properties": [_column(column) for column in table.columns],
    }
    return {**result, "quality": quality} if quality else result


def _column(column: Promise) -> dict[str, Any]:
    low, high = column.between
    options = {"pattern": column.pattern or None, "minimum": low, "maximum": high}
    options = {name: value for name, value in options.items() if value is not None}
    custom: list[dict[str, Any]] = [{"property": "unit", "value": column.unit}] if column.unit else []
    custom += [{"property": "allowed", "value": list(column.one_of)}] if column.one_of else []
    result: dict[str, Any] = {
        "name": column.name,
        "logicalType": _LOGICAL[column.type.kind],
        "physicalType": column.type.sql("trino").lower(),
        "description": column.doc,
        "required": not column.nullable,
    }
    if column.key:
        result |= {"primaryKey": True, "primaryKeyPosition": column.key}
    if column.pii:
        result["classification"] = "personal"
    if options:
        result["logicalTypeOptions"] = options
    if column.refers:
        result["relationships"] = [{"type": "foreignKey", "to": column.refers}]
    return {**result, "customProperties": custom} if custom else result
