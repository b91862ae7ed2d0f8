"""What a data set's format makes of a file, read here and now, without the servers."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterlake.contents import NotText
from meterlake.errors import PermanentError
from meterlake.packed import DAMAGED, opened
from meterlake.text.head import layout
from meterlake.text.lines import CHUNK

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from meterlake.text.format import TextFormat

# Names come from the declaration.
# ruff: noqa: S608

GAP: Final = "gap"
_ROWS: Final = "rows_of_file"


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

    from engines.readers import text
    from engines.readers.held import held
    from engines.readers.port import Options
    from meterlake.meter_names import meter_of_file

    seen = Seen()
    try:
        with ExitStack() as stack:
            file = stack.enter_context(held(opened(path, stack).read))
            laid_out = layout(form, str(path), file.read(CHUNK))
            file.seek(0)
            connection = stack.enter_context(duckdb.connect())
            for rows in text.read(laid_out, file, Options(meter_of_file(form, str(path), path.name), form.clock)):
                connection.register(_ROWS, rows)
                _add(seen, laid_out, connection)
                connection.unregister(_ROWS)
    except (*DAMAGED, NotText, OSError) as error:
        raise UnreadableSample(f"{path} cannot be read: {error}.", hint="Give a text file, plain or packed.") from error
    return seen


def _add(seen: Seen, form: TextFormat, connection: DuckDBPyConnection) -> None:
    """Count what the lines of one table are."""
    event, measure = form.dataset.event_time, form.dataset.measures[0].name
    reasons = f"SELECT reason, count(*) FROM {_ROWS} WHERE reason IS NOT NULL GROUP BY ALL"
    seen.reasons.update(dict(connection.execute(reasons).fetchall()))
    rows = connection.execute(
        f"SELECT {form.dataset.key}, count({measure}), count(*) - count({measure}), min({event}), max({event})"
        f" FROM {_ROWS} WHERE reason IS NULL GROUP BY 1"
    ).fetchall()
    for meter, readings, gaps, first, last in rows:
        seen.meters.add(meter)
        seen.readings += readings
        seen.gaps += gaps
        seen.first = min(seen.first or first, first)
        seen.last = max(seen.last or last, last)
