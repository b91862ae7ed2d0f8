"""Cassandra, written by many rows at a time, so that writing again changes nothing.

Each row carries its write time: of two writers, or of a replay and what it repeats, the row that knows more stays,
whatever comes last.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import cassandra
from meterlake import ddl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meterlake.declaration import Dataset
    from meterlake.settings import Settings

BATCH_ROWS: Final = 30
"""Rows of one unlogged batch: ten times as fast as single rows. A node passes on what another one holds."""
IN_FLIGHT: Final = 8
_DAY_MS: Final = 86_400_000


class Sink:
    """Writes the speed tables of a data set through an open session."""

    def __init__(self, settings: Settings, dataset: Dataset, session: Any) -> None:  # noqa: ANN401 - the driver's own
        self._settings, self._session = settings, session
        with cassandra.translated(settings):
            inserts = [
                session.prepare(_insert(name, [column.name for column in columns]))
                for name, columns in ddl.speed_tables(dataset).items()
            ]
        self._minute, self._latest, self._recent = inserts
        self._recent_life = dataset.retention.recent

    def write_minutes(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Write rows of (key, minute in milliseconds, state …, write time); return how many."""
        return self._write(self._minute, [(key, _day(minute), minute, *rest) for key, minute, *rest in rows])

    def write_latest(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write readings of (key, start in milliseconds, interval, measures …, offset): a meter's latest stays."""
        latest: dict[str, tuple[Any, ...]] = {}
        for row in rows:
            if row[0] not in latest or row[1] >= latest[row[0]][1]:
                latest[row[0]] = row
        return self._write(self._latest, [_timed(row) for row in latest.values()])

    def write_recent(self, rows: Iterable[tuple[Any, ...]], now: datetime) -> int:
        """Write readings as ``write_latest`` takes them; those that would have expired are left out."""
        first = (now - self._recent_life).timestamp() * 1000
        return self._write(self._recent, [_timed(row) for row in rows if row[1] >= first])

    def _write(self, insert: Any, rows: Sequence[tuple[Any, ...]]) -> int:  # noqa: ANN401
        from cassandra.concurrent import execute_concurrent
        from cassandra.query import BatchStatement, BatchType

        batches = []
        for first in range(0, len(rows), BATCH_ROWS):
            batch = BatchStatement(BatchType.UNLOGGED)
            for row in rows[first : first + BATCH_ROWS]:
                batch.add(insert, row)
            batches.append((batch, None))
        with cassandra.translated(self._settings):
            execute_concurrent(self._session, batches, concurrency=IN_FLIGHT)
        return len(rows)


def _insert(table: str, columns: Sequence[str]) -> str:
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    return f"INSERT INTO {ddl.CASSANDRA_KEYSPACE}.{table} ({names}) VALUES ({marks}) USING TIMESTAMP ?"  # noqa: S608


def _timed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Put a write time in the place of the offset: the reading's start; two of one start are never mixed."""
    *values, offset = row
    return (*values, row[1] * 1000 + offset % 1_000_000)


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // _DAY_MS * 86_400, UTC).date().isoformat()
