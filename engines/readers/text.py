"""Text files of readings, through the port: ``textlines`` says what a line is, ``textrows`` what it says, by DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines.readers.port import PAYLOAD, PAYLOAD_BYTES, PLACE, row_schema
from meterlake.textlines import Block, blocks
from meterlake.textrows import LINES, PLACES, SEGMENTS, doubtful_sql, rows_sql
from meterlake.wallclock import Doubtful, places, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engines.readers.port import Options
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

_AT_ONCE: Final = 8
"""Blocks of lines: planning a query costs more than decoding a few thousand lines."""


def read(form: TextFormat, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a file whose head ``texthead.layout`` has seen; see ``port.Reader``.

    Of a clock on the wall the stream is read twice: it must be one that can seek.
    """
    begin = stream.tell() if isinstance(options.clock, ZoneInfo) else 0
    with _database().cursor() as connection:
        if isinstance(options.clock, ZoneInfo):
            _set_clock(connection, form, options.clock, stream.read)
            stream.seek(begin)
        yield from _rows(connection, form, options, _line_tables(stream.read))


def read_part(form: TextFormat, stream: IO[bytes], options: Options, first: int) -> Iterator[pa.Table]:
    """Yield the rows of a part of a file, which begins with line ``first`` and ends with a line; see ``is_divisible``.

    The part from line 1 on begins with the header.
    """
    with _database().cursor() as connection:
        yield from _rows(connection, form, options, _line_tables(stream.read, first))


def is_divisible(form: TextFormat, clock: FileClock) -> bool:  # noqa: ARG001 - the format will say more
    """Return whether each line of a file can be read without the others."""
    return not isinstance(clock, ZoneInfo)


class Expected(NamedTuple):
    """How many rows a file must give, and the sum of their places."""

    rows: int
    line_sum: int


def expected_rows(form: TextFormat, lines: int) -> Expected | None:  # noqa: ARG001 - the format will say more
    """Return what a file of so many lines must give, each below the header one row; None where a line is no row."""
    return Expected(lines - 1, lines * (lines + 1) // 2 - 1)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """Return the database of this process: nothing is stored in it, and making one takes longer than a small file.

    One thread: whoever reads many files reads them side by side, and rows keep their order.
    """
    return duckdb.connect(":memory:", config={"threads": 1})


def _rows(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, options: Options, lines: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    sql, schema = rows_sql(form, options.clock), row_schema(form.dataset)
    for table in lines:
        connection.register(LINES, table)
        rows = cast("pa.Table", connection.sql(sql).to_arrow_table())
        connection.unregister(LINES)
        if not _in_order(rows):  # DuckDB scans Arrow's chunks as they come
            rows = rows.sort_by(PLACE)
        columns = {name: rows[name] for name in rows.column_names} | {PAYLOAD: _payload(table, rows)}
        if not form.has_meters:
            columns[form.dataset.key] = pa.repeat(pa.scalar(options.meter_id, pa.string()), len(rows))
        yield pa.table(
            [columns[name].cast(kind) for name, kind in zip(schema.names, schema.types, strict=True)], schema
        )


def _in_order(rows: pa.Table) -> bool:
    places = rows[PLACE].to_numpy()
    return bool((places[1:] >= places[:-1]).all())


def _payload(lines: pa.Table, rows: pa.Table) -> pa.Array:
    """Return the line of each row; of one that is no text, its bytes in Base64."""
    texts = lines["text"].combine_chunks()
    if len(texts) and pc.max(pc.binary_length(texts)).as_py() > PAYLOAD_BYTES:
        whole = pc.is_valid(lines["undecoded"])
        texts = pc.if_else(whole, texts, pc.utf8_slice_codeunits(texts, 0, PAYLOAD_BYTES))
    return pc.take(texts, pc.subtract(rows[PLACE], lines["line"][0] if len(lines) else 0))


def _line_tables(read: Callable[[int], bytes], first: int = 1) -> Iterator[pa.Table]:
    """Yield the input of ``textrows.rows_sql``, some 100,000 lines at a time. read: as of ``textlines.blocks``."""
    tables = map(_table, blocks(read, first))
    while some := list(islice(tables, _AT_ONCE)):
        yield pa.concat_tables(some).combine_chunks()


def _table(block: Block) -> pa.Table:
    numbers = pa.array(range(block.first, block.first + len(block.texts)), pa.int64())
    undecoded = pa.nulls(len(block.texts), pa.string())
    if block.undecoded:
        undecoded = pa.array([block.undecoded.get(at) for at in range(len(block.texts))], pa.string())
    return pa.table([numbers, pa.array(block.texts, pa.string()), undecoded], ["line", "text", "undecoded"])


def _set_clock(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, clock: ZoneInfo, read: Callable[[int], bytes]
) -> None:
    """Register what ``textrows.rows_sql`` needs of a clock on the wall; for it the whole file is read once."""
    begins, offsets, later = zip(*segments(clock), strict=True)
    moments = pa.array([datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in begins], pa.timestamp("us"))
    numbers = [pa.array(values, pa.int64()) for values in (offsets, later)]
    connection.register(SEGMENTS, pa.table([moments, *numbers], ["begins", "offset_s", "later_s"]))
    doubtful: list[Doubtful] = []
    for table in _line_tables(read):
        connection.register(LINES, table)
        doubtful += [Doubtful(*row) for row in connection.execute(doubtful_sql(form)).fetchall()]
        connection.unregister(LINES)
    found = places(doubtful, clock)
    columns = [pa.array(list(values), pa.int64()) for values in (found.keys(), found.values())]
    connection.register(PLACES, pa.table(columns, ["line", "place"]))
