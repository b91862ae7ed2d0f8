"""Parquet files: one row group after the other, only the columns that are read."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import IO, TYPE_CHECKING, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from engines.readers.records import Record, read_records
from engines.readers.streams import seekable
from meterlake.fileformats.base import WrongFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.readers.port import Options
    from meterlake.fileformats.records import Parquet

_BATCH: Final = 8192


def read(form: Parquet, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file."""
    return read_records(form, partial(_records, form), stream, options)


def _records(form: Parquet, stream: IO[bytes]) -> Iterator[Record]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(pq.ParquetFile(seekable(stream, stack), pre_buffer=False))
            number = 0
            for batch in file.iter_batches(_BATCH, columns=_columns(form, file.schema_arrow)):
                for fields in pa.table(_readable(batch)).to_pylist():
                    number += 1
                    yield Record(number, fields)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            problem = f"is damaged, or no Parquet file ({error})"
            raise WrongFile(problem, "Get it again; `parquet-tools` or DuckDB say more.") from error


def _columns(form: Parquet, schema: pa.Schema) -> list[str]:
    """Return the columns to read: of a field in a struct, the struct."""
    wanted = {field: field if field in schema.names else field.partition(".")[0] for field in form.fields}
    missing = [field for field, column in wanted.items() if column not in schema.names]
    if missing:
        raise WrongFile(
            f"has no column {', '.join(missing)}; it has {', '.join(schema.names)[:500]}",
            f"Mend the names in the {form.where}.",
        )
    return list(dict.fromkeys(wanted.values()))


def _readable(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Return columns as Python can hold them: its times have microseconds."""
    found = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            found[name] = column.cast(pa.timestamp("us", kind.tz), safe=False)
        elif pa.types.is_dictionary(kind):
            found[name] = column.dictionary_decode()
        else:
            found[name] = column
    return found
