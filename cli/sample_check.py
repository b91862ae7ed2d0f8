"""What a data set's format makes of a file, read here and now, without the servers."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterlake.errors import PermanentError
from meterlake.packed import DAMAGED, NotText, opened
from meterlake.texthead import layout
from meterlake.textlines import CHUNK
from meterlake.textrows import LINES, rows_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from meterlake.textformat import TextFormat

# Names come from the declaration.
# ruff: noqa: S608

GAP: Final = "gap"


class UnreadableSample(PermanentError):
    """A file cannot be opened or unpacked."""


@dataclass
class Seen:
    """What the lines below the header are. first, last: UTC without zone. reasons: why lines are no readings."""

    readings: int = 0
    gaps: int = 0
    meters: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def lines(self) -> int:
        """All of them."""
        return self.readings + self.gaps + self.reasons.total()


def read(form: TextFormat, path: Path) -> Seen:
    """Read a file by its format, as it is or packed. Raises UnreadableSample, and what ``layout`` raises."""
    import duckdb

    from engines.text_lines import line_tables, set_clock

    seen = Seen()
    try:
        with ExitStack() as stack:
            with opened(path, stack) as file:
                laid_out = layout(form, str(path), file.read(CHUNK))
            connection = stack.enter_context(duckdb.connect())
            set_clock(connection, laid_out, form.clock, opened(path, stack).read)
            for table in line_tables(opened(path, stack).read):
                connection.register(LINES, table)
                _add(seen, laid_out, connection)
                connection.unregister(LINES)
    except (*DAMAGED, NotText, OSError) as error:
        raise UnreadableSample(f"{path} cannot be read: {error}.", hint="Give a text file, plain or packed.") from error
    return seen


def _add(seen: Seen, form: TextFormat, connection: DuckDBPyConnection) -> None:
    """Count what the lines of one table are."""
    event, measure = form.dataset.event_time, form.dataset.measures[0].name
    key = form.dataset.key if form.has_meters else f"'{form.meter_id}'"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE seen AS {rows_sql(form, form.clock)}")
    seen.reasons.update(
        dict(connection.execute("SELECT reason, count(*) FROM seen WHERE reason IS NOT NULL GROUP BY ALL").fetchall())
    )
    rows = connection.execute(
        f"SELECT {key}, count({measure}), count(*) - count({measure}), min({event}), max({event})"
        " FROM seen WHERE reason IS NULL GROUP BY 1"
    ).fetchall()
    for meter, readings, gaps, first, last in rows:
        seen.meters.add(meter)
        seen.readings += readings
        seen.gaps += gaps
        seen.first = min(seen.first or first, first)
        seen.last = max(seen.last or last, last)
