"""Lines of a text file for DuckDB, as Arrow tables, what its clock on the wall means, and the rows that they are."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped]

from meterlake.textencoding import Encoding, as_utf8
from meterlake.textjoin import CELLS, joined_sql
from meterlake.textlines import Block, blocks
from meterlake.textrows import LINES, PLACES, SEGMENTS, doubtful_sql, rows_sql
from meterlake.texttimes import asks_order, is_on_the_wall
from meterlake.wallclock import Doubtful, places, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from duckdb import DuckDBPyConnection

    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration.

_AT_ONCE: Final = 8
"""Blocks of lines: planning a query costs more than decoding a few thousand lines."""

_ROWS: Final = 100_000


def line_tables(read: Callable[[int], bytes], encoding: Encoding = "utf-8") -> Iterator[pa.Table]:
    """Yield the input of ``textrows.rows_sql``, some 100,000 lines at a time. read: as of ``textlines.blocks``."""
    tables = map(_table, blocks(as_utf8(read, encoding), encoding))
    while some := list(islice(tables, _AT_ONCE)):
        yield pa.concat_tables(some)


def row_tables(
    connection: DuckDBPyConnection, form: TextFormat, clock: FileClock, lines: Iterable[pa.Table]
) -> Iterator[pa.Table]:
    """Yield what ``textrows.rows_sql`` says of the lines of a file, in order, a bounded number at a time.

    Of a format whose lines name their measure, all lines are read before the first row comes; DuckDB keeps them, and
    puts them on disk where they do not fit into its memory.
    """
    sql = rows_sql(form, clock)
    made = False
    for table in lines:
        connection.register(LINES, table)
        if not form.is_long:
            yield connection.execute(sql).to_arrow_table()
        elif made:
            connection.execute(f"INSERT INTO {CELLS} {sql}")
        else:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {CELLS} AS {sql}")
            made = True
        connection.unregister(LINES)
    if made:
        for batch in connection.sql(joined_sql(form)).to_arrow_reader(_ROWS):
            yield pa.Table.from_batches([batch])
        connection.execute(f"DROP TABLE {CELLS}")


def _table(block: Block) -> pa.Table:
    numbers = pa.array(range(block.first, block.first + len(block.texts)), pa.int64())
    undecoded = pa.nulls(len(block.texts), pa.string())
    if block.undecoded:
        undecoded = pa.array([block.undecoded.get(at) for at in range(len(block.texts))], pa.string())
    return pa.table([numbers, pa.array(block.texts, pa.string()), undecoded], ["line", "text", "undecoded"])


def set_clock(connection: DuckDBPyConnection, form: TextFormat, clock: FileClock, read: Callable[[int], bytes]) -> None:
    """Register what ``textrows.rows_sql`` needs of a clock on the wall.

    Where the order of the lines says which of two equal times is which, the whole file is read once; else, and of a
    fixed clock, it is not read.
    """
    if not isinstance(clock, ZoneInfo) or not is_on_the_wall(form, clock):
        return
    begins, offsets, later, skipped = zip(*segments(clock), strict=True)
    moments = pa.array([datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in begins], pa.timestamp("us"))
    numbers = [pa.array(values, pa.int64()) for values in (offsets, later, skipped)]
    names = ["begins", "offset_s", "later_s", "skipped_at"]
    connection.register(SEGMENTS, pa.table([moments, *numbers], names))
    if not asks_order(form, clock):
        return
    doubtful: list[Doubtful] = []
    for table in line_tables(read, form.encoding):
        connection.register(LINES, table)
        doubtful += [Doubtful(*row) for row in connection.execute(doubtful_sql(form)).fetchall()]
        connection.unregister(LINES)
    found = places(doubtful, clock)
    columns = [pa.array(list(values), pa.int64()) for values in (found.keys(), found.values())]
    connection.register(PLACES, pa.table(columns, ["line", "place"]))
