"""Cassandra, written by many rows at a time, so that writing again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engines import cassandra, cassandra_values
from meterlake import ddl
from speed_layer.views import rows as decisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from speed_layer.views.rows import Write

IN_FLIGHT: Final = 128
"""So many statements are under way at once: most updates have a row or two of each partition."""


class Sink:
    """Writes the speed tables of a data set through an open session."""

    def __init__(self, settings: Settings, dataset: MeterSeries, session: Any) -> None:  # noqa: ANN401 - the driver's own
        self._settings, self._session = settings, session
        with cassandra.translated(settings):
            inserts = [
                session.prepare(_insert(name, [column.name for column in columns]))
                for name, columns in ddl.speed_tables(dataset).items()
            ]
            minute, columns = next(iter(ddl.speed_tables(dataset).items()))
            self._gone = session.prepare(_delete(minute, [column.name for column in columns[:3]]))
        self._minute, self._latest, self._recent = inserts

    def write_minutes(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Write or delete what ``rows.minute_writes`` decides; return how many rows."""
        return self._write(self._minute, decisions.minute_writes(rows))

    def write_latest(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Write the latest reading of each meter, as ``rows.keep_latest`` takes them."""
        return self._write(self._latest, decisions.latest_writes(rows))

    def write_recent(self, rows: Iterable[tuple[Any, ...]], first_ms: float) -> int:
        """Write readings as ``write_latest`` takes them, from a start on: earlier ones would have expired."""
        return self._write(self._recent, decisions.recent_writes(rows, first_ms))

    def _write(self, insert: Any, writes: Iterable[Write]) -> int:  # noqa: ANN401
        from cassandra.concurrent import execute_concurrent

        rows = list(writes)
        with cassandra.translated(self._settings):
            statements = [(self._statement(some), None) for some in decisions.batches(self._bound(insert, rows))]
            execute_concurrent(self._session, statements, concurrency=IN_FLIGHT)
        return len(rows)

    def _bound(self, insert: Any, writes: Sequence[Write]) -> Iterator[tuple[tuple[Any, ...], Any]]:  # noqa: ANN401
        """Return the partition of each row, and what writes or deletes it."""
        kept = [write for write in writes if write.values is not None]
        gone = [write for write in writes if write.values is None]
        inserts = [(*write.partition, *write.cluster, *(write.values or ()), write.at) for write in kept]
        deletes = [(write.at, *write.partition, *write.cluster) for write in gone]
        for some, statement, rows in ((kept, insert, inserts), (gone, self._gone, deletes)):
            bound = cassandra_values.bound(statement, rows)
            yield from zip((write.partition for write in some), bound, strict=True)

    def _statement(self, bound: Sequence[Any]) -> Any:  # noqa: ANN401
        """Return what writes rows of one partition: a single statement for a single row."""
        from cassandra.query import BatchStatement, BatchType

        if len(bound) == 1:
            return bound[0]
        batch = BatchStatement(BatchType.UNLOGGED)
        for one in bound:
            batch.add(one)
        return batch


# Names come from the declaration; values are bound.
# ruff: noqa: S608


def _insert(table: str, columns: Sequence[str]) -> str:
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    return f"INSERT INTO {ddl.CASSANDRA_KEYSPACE}.{table} ({names}) VALUES ({marks}) USING TIMESTAMP ?"


def _delete(table: str, key: Sequence[str]) -> str:
    where = " AND ".join(f"{name} = ?" for name in key)
    return f"DELETE FROM {ddl.CASSANDRA_KEYSPACE}.{table} USING TIMESTAMP ? WHERE {where}"
