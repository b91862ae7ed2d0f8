"""What is known of each meter's counters, in a small SQLite file: what changed is written, all of it or nothing."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Final

from meterlake.live.intervals import MeterState
from producers.bridge.errors import StateInUse, StateUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meterlake.live.sources import LiveSource

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS meters (
    source TEXT NOT NULL, meter TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (source, meter)
) WITHOUT ROWID
"""


def source_id(source: LiveSource) -> str:
    """Return what changes with whatever a remembered counter depends on."""
    counters = [(value.field, value.measure, value.unit) for value in source.counters]
    values = [value.measure for value in source.values]
    scales = [(measure.name, measure.unit, measure.scale) for measure in source.dataset.measures]
    made_by = (source.topic, source.interval_s, counters, values, scales)
    return f"{source.topic} {hashlib.sha256(repr(made_by).encode()).hexdigest()[:16]}"


class StateStore:
    """The states of all meters of a data set. One process at a time: it locks the file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises StateInUse or StateUnreadable."""
        self._path = str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute(_TABLE)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._connection.close()
            if error.sqlite_errorname == "SQLITE_BUSY":
                raise StateInUse(self._path) from None
            raise StateUnreadable(self._path, error) from error

    def load(self, source: str, meter: str) -> MeterState | None:
        """Return what was saved of a meter. source: a ``source_id``."""
        row = self._connection.execute(
            "SELECT state FROM meters WHERE source = ? AND meter = ?", (source, meter)
        ).fetchone()
        return MeterState.parsed(row[0]) if row else None

    def save(self, changes: Iterable[tuple[str, str, MeterState]]) -> None:
        """Save states, by source and meter, on the disk. Raises StateUnreadable where it cannot be written."""
        rows = [(source, meter, state.text()) for source, meter, state in changes]
        if not rows:
            return
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO meters VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StateUnreadable(self._path, error) from error

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
