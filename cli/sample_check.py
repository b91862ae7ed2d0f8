"""What a data set's format makes of a file, read here and now, without the servers."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat


@dataclass(frozen=True)
class Seen:
    """Lines below the header, and what they are. first, last: UTC without zone. example: the first line."""

    lines: int
    readings: int
    gaps: int
    meters: int
    first: datetime
    last: datetime
    example: str


def read(form: TextFormat, path: Path) -> Seen:
    """Read a file by its format. Raises UnreadableFile, and what ``check_head`` raises."""
    import duckdb

    from batch_layer.ingest.lines import check_head
    from serving_layer.verify.raw_text import RawText, check_paths, unpack

    check_paths([path])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        unpacked = Path(folder) / "lines.txt"
        unpack(path, unpacked)
        with unpacked.open("rb") as file:
            check_head(form, str(path), file.read(1 << 20))
            file.seek(0)
            lines = sum(1 for _ in file) - 1
            file.seek(0)
            file.readline()
            example = file.readline().decode(errors="replace").rstrip("\r\n")
        connection = stack.enter_context(duckdb.connect())
        source = RawText(form, [unpacked], form.meter_id, form.utc_offset, datetime(1970, 1, 1, tzinfo=UTC))
        source.fetch(Path(folder))
        source.read(connection)
        event, key, measure = form.dataset.event_time, form.dataset.key, form.dataset.measures[0].name
        row = connection.execute(
            f"SELECT count({measure}), count(*) - count({measure}), count(DISTINCT {key}),"  # noqa: S608
            f" min({event}), max({event}) FROM readings"
        ).fetchone()
    readings, gaps, meters, first, last = row or (0, 0, 0, None, None)
    return Seen(lines, readings, gaps, meters, first, last, example)
