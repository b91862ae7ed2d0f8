"""Lines of a text file as Arrow tables, for DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa  # type: ignore[import-untyped]

from meterlake.textlines import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def line_tables(read: Callable[[int], bytes]) -> Iterator[pa.Table]:
    """Yield the input of ``textrows.rows_sql``, some thousand lines at a time. read: as of ``textlines.blocks``."""
    for block in blocks(read):
        numbers = pa.array(range(block.first, block.first + len(block.texts)), pa.int64())
        undecoded = pa.nulls(len(block.texts), pa.string())
        if block.undecoded:
            undecoded = pa.array([block.undecoded.get(at) for at in range(len(block.texts))], pa.string())
        yield pa.table([numbers, pa.array(block.texts, pa.string()), undecoded], ["line", "text", "undecoded"])
