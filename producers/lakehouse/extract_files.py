"""How an extract is written: a CSV, a Parquet file with the declared types, or XML as SAP sends IDocs."""

from __future__ import annotations

import csv
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from meterlake.columns import PRECISION
from meterlake.lakehouse.sources import DELETED, ExtractKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from meterlake.columns import LogicalType
    from meterlake.lakehouse.records import Record

    Row = tuple[Any, ...]
    Writer = Callable[[Path, Record, Sequence[str], Iterator[Row]], int]

_AT_ONCE: Final = 50_000
_TYPES: Final = {
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}


def _csv(path: Path, _: Record, names: Sequence[str], rows: Iterator[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for count, row in enumerate(rows, start=1):  # noqa: B007 - how many there were
            writer.writerow(row)
    return count


def _parquet(path: Path, record: Record, names: Sequence[str], rows: Iterator[Row]) -> int:
    """Write columns that are declared with their types, others as text."""
    types, count = _types(record, names), 0
    with pq.ParquetWriter(path, pa.schema(zip(names, types.values(), strict=True))) as writer:
        while part := list(islice(rows, _AT_ONCE)):
            columns = [
                _column(values, kind) for values, kind in zip(zip(*part, strict=True), types.values(), strict=True)
            ]
            writer.write_table(pa.table(dict(zip(names, columns, strict=True))))
            count += len(part)
    return count


def _types(record: Record, names: Sequence[str]) -> dict[str, pa.DataType]:
    assert record.extract is not None  # noqa: S101 - only such records have extracts
    declared = {record.extract.column(field.name): _type(field.type) for field in record.fields}
    declared |= {record.extract.watermark: _TYPES["timestamp"], DELETED: _TYPES["boolean"]}
    return {name: declared.get(name, pa.string()) for name in names}


def _type(declared: LogicalType) -> pa.DataType:
    if declared.kind == "decimal":
        return pa.decimal128(PRECISION, declared.scale)
    return _TYPES.get(declared.kind, pa.string())


def _column(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Return values, whatever type a database had for them."""
    texts = pa.array([None if value is None else str(value) for value in values], pa.string())
    return texts.cast(kind)


def _xml(path: Path, record: Record, names: Sequence[str], rows: Iterator[Row]) -> int:
    """Write an IDoc: a control record, and a segment a row. Without rows there is none."""
    assert record.extract is not None  # noqa: S101 - only such records have extracts
    kind, count = record.extract.table.upper(), 0
    if (first := next(rows, None)) is None:
        return 0
    with path.open("wb") as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<Z{kind}01><IDOC BEGIN="1">\n'.encode())
        file.write(_segment("EDI_DC40", {"TABNAM": "EDI_DC40", "IDOCTYP": f"Z{kind}01", "MESTYP": f"Z{kind}"}))
        for count, row in enumerate(chain([first], rows), start=1):  # noqa: B007 - how many there were
            file.write(_segment(f"Z1{kind}", dict(zip(names, row, strict=True))))
        file.write(f"</IDOC></Z{kind}01>\n".encode())
    return count


def _segment(name: str, fields: Mapping[str, Any]) -> bytes:
    segment = Element(name, SEGMENT="1")
    for field, value in fields.items():
        SubElement(segment, field).text = None if value is None else str(value)
    return f"{tostring(segment, encoding='unicode')}\n".encode()


WRITERS: Final[Mapping[ExtractKind, Writer]] = {
    ExtractKind.CSV: _csv,
    ExtractKind.PARQUET: _parquet,
    ExtractKind.XML: _xml,
}
