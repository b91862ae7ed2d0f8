"""Text files of readings, through the port: ``lines`` says what a line is, ``rows`` what it says, by DuckDB."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines.readers.counted_text import counted_rows
from engines.readers.port import PAYLOAD, PAYLOAD_BYTES, PLACE, REASON, row_schema
from meterlake.schema import LATEST_TS
from meterlake.text.encoding import as_utf8
from meterlake.text.join import CELLS, joined_sql
from meterlake.text.lines import Block, blocks
from meterlake.text.rows import LINES, PLACES, SEGMENTS, doubtful_sql, rows_sql
from meterlake.text.times import asks_order, is_on_the_wall
from meterlake.wallclock import Doubtful, places, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engines.readers.port import Options
    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration.
# ruff: noqa: S608

_AT_ONCE: Final = 8
"""Blocks of lines: planning a query costs more than decoding a few thousand lines."""

_ROWS_AT_ONCE: Final = 100_000
_EARLIEST, _LATEST = (pa.scalar(second * 1_000_000, pa.timestamp("us")) for second in (0, LATEST_TS))
_FILE_BITS: Final = 40
_SOME: Final = "some_cells"


def read(form: TextFormat, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a file whose head ``head.layout`` has seen; see ``port.Reader``.

    Where the order of the lines says which of two equal times is which, the stream is read twice: it must be one that
    can seek. Where lines name their measure, all are read before the first row comes; what does not fit into DuckDB's
    memory, it puts on disk.
    """
    with _database().cursor() as connection:
        _set_clock(connection, form, options.clock)
        if asks_order(form, options.clock):
            begin = stream.tell()
            _set_places(connection, form, options.clock, stream.read)
            stream.seek(begin)
        if form.counts:
            yield from counted_rows(form, options, _decoded_tables(connection, form, options, stream))
            return
        rows = _joined if form.is_long else _rows
        yield from rows(connection, form, options, _line_tables(form, stream.read))


def read_part(form: TextFormat, stream: IO[bytes], options: Options, first: int) -> Iterator[pa.Table]:
    """Yield the rows of a part of a file, which begins with line ``first`` and ends with a line; see ``is_divisible``.

    The part from line 1 on begins with the header.
    """
    with _database().cursor() as connection:
        _set_clock(connection, form, options.clock)
        yield from _rows(connection, form, options, _line_tables(form, stream.read, first))


def read_many(form: TextFormat, files: Iterable[tuple[IO[bytes], Options]]) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of whole files of one format and clock, each with its place among them; see ``is_divisible``.

    Planning a query takes as long as decoding ten small files: those of some 100,000 lines are decoded together.
    """
    waiting: dict[int, tuple[Options, list[pa.Table]]] = {}
    count = 0
    with _database().cursor() as connection:
        for place, (stream, options) in enumerate(files):
            _set_clock(connection, form, options.clock)
            for table in _line_tables(form, stream.read):
                below = table.filter(pc.greater_equal(table["line"], form.first_line))
                waiting.setdefault(place, (options, []))[1].append(below)
                count += len(below)
            if count >= _ROWS_AT_ONCE:
                yield from _rows_of_many(connection, form, waiting)
                waiting, count = {}, 0
        if count:
            yield from _rows_of_many(connection, form, waiting)


def _rows_of_many(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, files: dict[int, tuple[Options, list[pa.Table]]]
) -> Iterator[tuple[int, pa.Table]]:
    schema = row_schema(form.dataset)
    clock = next(options.clock for options, _ in files.values())
    # The number of a line says its file, too.
    lines = [
        table.set_column(0, "line", pc.add(table["line"], place << _FILE_BITS))
        for place, (_, tables) in files.items()
        for table in tables
    ]
    rows = _decoded(connection, rows_sql(form, clock), pa.concat_tables(lines).combine_chunks())
    places = rows[PLACE].to_numpy()
    for place, (options, _) in files.items():
        begin, end = np.searchsorted(places, [place << _FILE_BITS, (place + 1) << _FILE_BITS])
        part = rows.slice(begin, end - begin)
        numbers = pc.subtract(part[PLACE], place << _FILE_BITS)
        yield place, _shaped(form, options, part.set_column(0, PLACE, numbers), schema)


def is_divisible(form: TextFormat, clock: FileClock) -> bool:
    """Return whether each line of a file can be found by its bytes, and be read without the others."""
    return not (asks_order(form, clock) or form.is_long or form.counts or form.encoding.startswith("utf-16"))


class Expected(NamedTuple):
    """How many rows a file must give, and the sum of their places."""

    rows: int
    line_sum: int


def expected_rows(form: TextFormat, lines: int) -> Expected | None:
    """Return what a file of so many lines must give, each below the header one row; None where a line is no row."""
    if form.is_long or form.is_wide or form.counts or form.encoding.startswith("utf-16"):
        return None
    above = form.first_line - 1
    return Expected(lines - above, (lines * (lines + 1) - above * (above + 1)) // 2)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """Return the database of this process: nothing is stored in it, and making one takes longer than a small file.

    One thread: whoever reads many files reads them side by side, and rows keep their order.
    """
    spill = Path(tempfile.gettempdir()) / f"meterlake-duckdb-{os.getpid()}"
    return duckdb.connect(":memory:", config={"threads": 1, "temp_directory": str(spill)})


def _rows(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, options: Options, lines: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    sql, schema = rows_sql(form, options.clock), row_schema(form.dataset)
    for table in lines:
        yield _shaped(form, options, _decoded(connection, sql, table), schema)


def _decoded_tables(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, options: Options, stream: IO[bytes]
) -> Iterator[pa.Table]:
    """Yield what lines say, each by itself, in their order."""
    sql = rows_sql(form, options.clock)
    for table in _line_tables(form, stream.read):
        yield _decoded(connection, sql, table)


def _decoded(connection: duckdb.DuckDBPyConnection, sql: str, lines: pa.Table) -> pa.Table:
    """Return what lines say, in their order, and the lines themselves as payload."""
    connection.register(LINES, lines)
    rows = cast("pa.Table", connection.sql(sql).to_arrow_table())
    connection.unregister(LINES)
    if not _in_order(rows):  # DuckDB scans Arrow's chunks as they come
        rows = rows.sort_by(PLACE)
    return rows.append_column(PAYLOAD, _payload(lines, rows))


def _joined(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, options: Options, lines: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    """Yield the rows of lines that name their measure: of all lines together."""
    sql, schema = rows_sql(form, options.clock), row_schema(form.dataset)
    is_made = False
    for table in lines:
        connection.register(_SOME, _decoded(connection, sql, table))
        make = f"INSERT INTO {CELLS}" if is_made else f"CREATE OR REPLACE TEMP TABLE {CELLS} AS"
        connection.execute(f"{make} SELECT * FROM {_SOME}")
        connection.unregister(_SOME)
        is_made = True
    if not is_made:
        return
    for batch in connection.sql(joined_sql(form)).to_arrow_reader(_ROWS_AT_ONCE):
        yield _shaped(form, options, pa.Table.from_batches([batch]), schema)
    connection.execute(f"DROP TABLE {CELLS}")


def _shaped(form: TextFormat, options: Options, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = {name: rows[name] for name in rows.column_names}
    if rows[REASON].null_count < len(rows):  # what is no reading may have a time that Python does not have
        time = rows[form.dataset.event_time]
        likely = pc.and_(pc.greater_equal(time, _EARLIEST), pc.less_equal(time, _LATEST))
        columns[form.dataset.event_time] = pc.if_else(likely, time, None)
    if not form.has_meters:
        columns[form.dataset.key] = pa.repeat(pa.scalar(options.meter_id, pa.string()), len(rows))
    return pa.table([columns[name].cast(kind) for name, kind in zip(schema.names, schema.types, strict=True)], schema)


def _in_order(rows: pa.Table) -> bool:
    places = rows[PLACE].to_numpy()
    return bool((places[1:] >= places[:-1]).all())


def _payload(lines: pa.Table, rows: pa.Table) -> pa.Array:
    """Return the line of each row; of one that is no text, its bytes in Base64."""
    texts = lines["text"].combine_chunks()
    if len(texts) and pc.max(pc.binary_length(texts)).as_py() > PAYLOAD_BYTES:
        whole = pc.is_valid(lines["undecoded"])
        texts = pc.if_else(whole, texts, pc.utf8_slice_codeunits(texts, 0, PAYLOAD_BYTES))
    return pc.take(texts, pa.array(np.searchsorted(lines["line"].to_numpy(), rows[PLACE].to_numpy())))


def _line_tables(form: TextFormat, read: Callable[[int], bytes], first: int = 1) -> Iterator[pa.Table]:
    """Yield the input of ``rows.rows_sql``, some 100,000 lines at a time. read: as of ``lines.blocks``."""
    tables = map(_table, blocks(as_utf8(read, form.encoding), first, form.encoding))
    while some := list(islice(tables, _AT_ONCE)):
        yield pa.concat_tables(some).combine_chunks()


def _table(block: Block) -> pa.Table:
    numbers = pa.array(np.arange(block.first, block.first + len(block.texts)))
    undecoded = pa.nulls(len(block.texts), pa.string())
    if block.undecoded:
        undecoded = pa.array([block.undecoded.get(at) for at in range(len(block.texts))], pa.string())
    return pa.table([numbers, pa.array(block.texts, pa.string()), undecoded], ["line", "text", "undecoded"])


def _set_clock(connection: duckdb.DuckDBPyConnection, form: TextFormat, clock: FileClock) -> None:
    """Register the segments of a clock on the wall."""
    if not isinstance(clock, ZoneInfo) or not is_on_the_wall(form, clock):
        return
    begins, *others = zip(*segments(clock), strict=True)
    moments = pa.array([datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in begins], pa.timestamp("us"))
    numbers = [pa.array(values, pa.int64()) for values in others]
    connection.register(SEGMENTS, pa.table([moments, *numbers], ["begins", "offset_s", "later_s", "skipped_at"]))


def _set_places(
    connection: duckdb.DuckDBPyConnection, form: TextFormat, clock: FileClock, read: Callable[[int], bytes]
) -> None:
    """Register which of two equal times the lines of a file are: for it, the whole file is read once."""
    doubtful: list[Doubtful] = []
    for table in _line_tables(form, read):
        connection.register(LINES, table)
        doubtful += [Doubtful(*row) for row in connection.execute(doubtful_sql(form)).fetchall()]
        connection.unregister(LINES)
    result = places(doubtful, clock) if isinstance(clock, ZoneInfo) else {}
    columns = [pa.array(list(values), pa.int64()) for values in (result.keys(), result.values())]
    connection.register(PLACES, pa.table(columns, ["line", "place"]))
