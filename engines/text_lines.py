"""Lines of a text file for DuckDB, as Arrow tables, and what its clock on the wall means."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped]

from meterlake.textlines import Block, blocks
from meterlake.textrows import LINES, PLACES, SEGMENTS, doubtful_sql
from meterlake.wallclock import Doubtful, places, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock


_AT_ONCE: Final = 8
"""Blocks of lines: planning a query costs more than decoding a few thousand lines."""


def line_tables(read: Callable[[int], bytes]) -> Iterator[pa.Table]:
    """Yield the input of ``textrows.rows_sql``, some 100,000 lines at a time. read: as of ``textlines.blocks``."""
    tables = map(_table, blocks(read))
    while some := list(islice(tables, _AT_ONCE)):
        yield pa.concat_tables(some)


def _table(block: Block) -> pa.Table:
    numbers = pa.array(range(block.first, block.first + len(block.texts)), pa.int64())
    undecoded = pa.nulls(len(block.texts), pa.string())
    if block.undecoded:
        undecoded = pa.array([block.undecoded.get(at) for at in range(len(block.texts))], pa.string())
    return pa.table([numbers, pa.array(block.texts, pa.string()), undecoded], ["line", "text", "undecoded"])


def set_clock(connection: DuckDBPyConnection, form: TextFormat, clock: FileClock, read: Callable[[int], bytes]) -> None:
    """Register what ``textrows.rows_sql`` needs of a clock on the wall; for it the whole file is read once.

    A fixed clock needs nothing, and the file is not read.
    """
    if not isinstance(clock, ZoneInfo):
        return
    begins, offsets, later, _ = zip(*segments(clock), strict=True)
    moments = pa.array([datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in begins], pa.timestamp("us"))
    numbers = [pa.array(values, pa.int64()) for values in (offsets, later)]
    connection.register(SEGMENTS, pa.table([moments, *numbers], ["begins", "offset_s", "later_s"]))
    doubtful: list[Doubtful] = []
    for table in line_tables(read):
        connection.register(LINES, table)
        doubtful += [Doubtful(*row) for row in connection.execute(doubtful_sql(form)).fetchall()]
        connection.unregister(LINES)
    found = places(doubtful, clock)
    columns = [pa.array(list(values), pa.int64()) for values in (found.keys(), found.values())]
    connection.register(PLACES, pa.table(columns, ["line", "place"]))
