"""Files of rows: CSV, Parquet and workbooks, written batch by batch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from meterlake.columns import PRECISION, Column
from meterlake.errors import PermanentError

Batches: TypeAlias = Iterable[Sequence[Sequence[Any]]]
Writer: TypeAlias = Callable[[Path, Sequence[Column], Batches], int]
"""Writes a file and returns how many rows it has."""

MOST_ROWS: Final = 1_048_576
"""Rows of a sheet of a workbook, its header included; more go to the next sheet."""


ROW_GROUP: Final = 100_000
"""Rows of a row group of Parquet, which are in memory at once: readers want few and large ones."""


class UnwritableFile(PermanentError):
    """A file cannot be written."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield where to write; the file takes its name when it is whole. Raises UnwritableFile."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename is None or Path(error.filename) != partial:
            raise
        raise UnwritableFile(
            f"{path} cannot be written: {error.strerror}.", hint="Give a path in a folder of yours."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def write_csv(path: Path, columns: Sequence[Column], batches: Batches) -> int:
    """Write UTF-8 with a header, times as ISO 8601 in UTC with Z, decimals with all their digits, null as nothing."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        for rows in batches:
            writer.writerows([_text(value) for value in row] for row in rows)
            count += len(rows)
    return count


def write_parquet(path: Path, columns: Sequence[Column], batches: Batches) -> int:
    """Write the types of the view: exact decimals, timestamps in UTC."""
    schema = pa.schema([pa.field(column.name, _arrow(column)) for column in columns])
    count, held = 0, list[pa.Table]()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in batches:
            arrays = [_array(values, field) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
            held.append(pa.table(arrays, schema=schema))
            count += len(rows)
            if sum(table.num_rows for table in held) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(held))
                held.clear()
        if held:
            writer.write_table(pa.concat_tables(held))
    return count


def write_xlsx(path: Path, columns: Sequence[Column], batches: Batches) -> int:
    """Write a workbook, its times in UTC; a sheet holds MOST_ROWS. Numbers are what the format has: doubles."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    header = [f"{column.name} (UTC)" if column.type.kind == "timestamp" else column.name for column in columns]
    count, sheet = 0, None
    for rows in batches:
        for row in rows:
            if sheet is None or not count % (MOST_ROWS - 1):
                sheet = book.create_sheet(f"rows {count + 1}")
                sheet.append(header)
            sheet.append([_cell(value, sheet) for value in row])
            count += 1
    book.save(path)
    return count


WRITERS: Final[dict[str, Writer]] = {"csv": write_csv, "parquet": write_parquet, "xlsx": write_xlsx}


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else value


def _cell(value: object, sheet: object) -> object:
    if isinstance(value, str) and value.startswith("="):  # a meter's name, no formula
        from openpyxl.cell import WriteOnlyCell

        cell = WriteOnlyCell(sheet, value)
        cell.data_type = "s"
        return cell
    return float(value) if isinstance(value, Decimal) else value


def _arrow(column: Column) -> pa.DataType:
    types = {"string": pa.string(), "bigint": pa.int64(), "double": pa.float64(), "date": pa.date32()}
    if column.type.kind == "decimal":
        return pa.decimal128(PRECISION, column.type.scale)
    if column.type.kind == "timestamp":
        return pa.timestamp("us", tz="UTC")
    return types[column.type.kind]


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_timestamp(field.type):  # UTC wall clock, as the view has it
        return pa.array(values, pa.timestamp("us")).cast(field.type)
    return pa.array(values, field.type)
