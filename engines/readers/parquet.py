"""Parquet files: one row group after the other, only the columns that are read.

A batch all of whose rows are good is decoded by columns; any other row by row, as all records are.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from engines.readers.port import PAYLOAD, PLACE, REASON, row_schema
from engines.readers.records import Record, read_records
from engines.readers.rows import Rows
from engines.readers.streams import seekable
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.values import RefusedValue, number, physical
from meterlake.schema import LATEST_TS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from engines.readers.port import Options
    from meterlake.fileformats.records import Parquet

_BATCH: Final = 1 << 16
_SECOND: Final = 1_000_000
_DAY_S: Final = 86_400
_UNITS: Final = {"s": 1, "ms": 1000, "us": _SECOND, "ns": 1_000_000_000}


def read(form: Parquet, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file."""
    if form.register or not isinstance(options.clock, timedelta):
        yield from read_records(form, partial(_records, form), stream, options)
        return
    first = 1
    for batch in _batches(form, stream):
        whole = _by_columns(form, batch, options, first)
        if whole is None:
            records = partial(_numbered, batch, first)
            yield from read_records(form, lambda _, records=records: records(), stream, options)  # type: ignore[misc]
        else:
            yield whole
        first += len(batch)


def _records(form: Parquet, stream: IO[bytes]) -> Iterator[Record]:
    first = 1
    for batch in _batches(form, stream):
        yield from _numbered(batch, first)
        first += len(batch)


def _numbered(batch: pa.RecordBatch, first: int) -> Iterator[Record]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError as error:
        raise _damaged(error) from error
    for place, fields in enumerate(rows, start=first):
        yield Record(place, fields)


def _batches(form: Parquet, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(pq.ParquetFile(seekable(stream, stack), pre_buffer=False))
            for batch in file.iter_batches(_BATCH, columns=_columns(form, file.schema_arrow)):
                yield _readable(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> WrongFile:
    return WrongFile(f"is damaged, or no Parquet file ({error})"[:600], "Get it again, or write it again.")


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


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return columns as Python can hold them."""
    result = []
    for column in batch.columns:
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            result.append(_times(column if pa.types.is_timestamp(kind) else column.cast(pa.timestamp("ms"))))
        elif pa.types.is_dictionary(kind):
            result.append(column.dictionary_decode())
        else:
            result.append(column)
    return pa.record_batch(result, names=batch.schema.names)


def _times(column: pa.Array) -> pa.Array:
    """Return times in microseconds, nanoseconds left out; null for those that no reading can have."""
    per_second, numbers = _UNITS[column.type.unit], column.cast(pa.int64())
    first, last = -_DAY_S * per_second, (LATEST_TS + _DAY_S) * per_second  # of any clock
    likely = pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
    kept = pc.if_else(likely, column, pa.scalar(None, column.type))
    return kept.cast(pa.timestamp("us", column.type.tz), safe=False)


def _by_columns(form: Parquet, batch: pa.RecordBatch, options: Options, first: int) -> pa.Table | None:
    """Return the rows of a batch; None where one may be no reading, or a column must be looked at row by row."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    if not set(form.fields) <= columns.keys():
        return None  # fields of structs
    seconds = _seconds(form, columns[form.time.field], options)
    meters = _meters(form, columns[form.meter] if form.meter else pa.repeat(options.meter_id, len(batch)))
    result = {
        value.measure: _values(columns[value.field], form.factors[value.measure], form.missing) for value in form.values
    }
    nulls = [column.is_null() for column in result.values() if column is not None]
    whole = len(nulls) == len(result) and all(column.equals(nulls[0]) for column in nulls)
    if seconds is None or meters is None or not whole:
        return None
    return pa.table(
        {
            PLACE: pa.array(np.arange(first, first + len(batch))),
            form.dataset.key: meters,
            form.dataset.event_time: pa.array(seconds * _SECOND).cast(pa.timestamp("us")),
            form.dataset.interval: pa.array(np.full(len(batch), form.interval_s, np.int32)),
            **{measure.name: result[measure.name] for measure in form.dataset.measures},
            REASON: pa.nulls(len(batch), pa.string()),
            PAYLOAD: pa.nulls(len(batch), pa.string()),
        },
        schema=row_schema(form.dataset),
    )


def _seconds(form: Parquet, column: pa.Array, options: Options) -> NDArray[np.int64] | None:
    """Return the starts of intervals in seconds, if all are whole seconds on the grid."""
    if not pa.types.is_timestamp(column.type) or column.null_count or not isinstance(options.clock, timedelta):
        return None
    seconds, rest = np.divmod(column.cast(pa.int64()).to_numpy(), _SECOND)
    lead = form.interval_s if form.marks == "end" else 0
    starts = seconds - lead - (0 if column.type.tz else round(options.clock.total_seconds()))
    good = (rest == 0) & (starts % form.interval_s == 0) & (starts >= 0) & (starts <= LATEST_TS)
    return starts if good.all() else None


def _meters(form: Parquet, column: pa.Array) -> pa.Array | None:
    """Return the ids of meters, if all can be used."""
    if not pa.types.is_string(column.type) or column.null_count:
        return None
    encoded = column.dictionary_encode()
    names, rows = _texts(encoded.dictionary), Rows(form.dataset)
    if names is None or any(rows.problem(name.strip(), 0) for name in names):
        return None
    return pa.array([name.strip() for name in names], pa.string()).take(encoded.indices)


def _values(column: pa.Array, factor: Fraction, missing: tuple[str, ...]) -> pa.Array | None:
    """Return values in a measure's unit, if all are numbers or null. Each different one is converted once."""
    kind = column.type
    numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    if not numeric or pa.types.is_float16(kind):
        return None
    encoded = column.dictionary_encode()
    converted: list[float | None] = []
    try:
        for given in encoded.dictionary.to_pylist():
            value = number(given, missing)
            converted.append(None if value is None else physical(value, factor))
    except RefusedValue:
        return None
    return pa.array(converted, pa.float64()).take(encoded.indices)


def _texts(dictionary: Any) -> list[str] | None:
    try:
        texts: list[str] = dictionary.to_pylist()
    except UnicodeDecodeError:
        return None
    return texts
