"""Live minutes in Cassandra: what differs from what is there is written, each row as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import cassandra
from meterlake import ddl
from meterlake.lakehouse import live

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.live.minutes import Row
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings

_TIMEOUT_S: Final = 60
_IN_FLIGHT: Final = 64


class Sink:
    """The tables of a lakehouse. session: Cassandra's, open as long as this is used."""

    def __init__(self, settings: Settings, lakehouse: Lakehouse, session: Any) -> None:  # noqa: ANN401 - the driver's
        self._settings, self._lakehouse, self._session = settings, lakehouse, session
        copies = ddl.replication(settings.cassandra_datacenter, settings.cassandra_replication)
        space = f"CREATE KEYSPACE IF NOT EXISTS {ddl.CASSANDRA_KEYSPACE} WITH replication = {copies}"
        with cassandra.translated(settings):
            for statement in (space, *live.cassandra_ddl(lakehouse, settings.speed_ttl)):
                session.execute(statement, timeout=_TIMEOUT_S)
            names = ", ".join(column.name for column in live.COLUMNS)
            marks = ", ".join("?" for _ in live.COLUMNS)
            table = f"{ddl.CASSANDRA_KEYSPACE}.{live.table(lakehouse)}"
            self._insert = session.prepare(f"INSERT INTO {table} ({names}) VALUES ({marks})")
            self._select = session.prepare(
                f"SELECT event, minute, place, currency, events, amount FROM {table}"
                " WHERE event = ? AND day = ? AND minute >= ?"
            )
            self._bound = session.prepare(
                f"INSERT INTO {ddl.CASSANDRA_KEYSPACE}.{live.BOUNDARIES} (dataset, boundary) VALUES (?, ?)"
            )
        self._boundary: datetime | None = None
        self._written: dict[tuple[str, datetime, str, str], tuple[int, int]] = {}

    def write(self, rows: Sequence[Row], boundary: datetime, now: datetime) -> int:
        """Let readers see the minutes since a boundary; return how many rows differed. Raises EngineUnavailable.

        First the rows, then the boundary: one that rises leaves out rows that gold has, one that falls finds its rows.
        """
        with cassandra.translated(self._settings):
            if self._boundary is None or boundary < self._boundary:
                self._written = self._there(boundary, now)
            wanted = {(event, minute, place, currency): counts for event, minute, place, currency, *counts in rows}
            living = {key: counts for key, counts in self._written.items() if key[1] >= boundary.replace(tzinfo=None)}
            changed = {key: (events, amount) for key, (events, amount) in wanted.items()}
            # Who is not there any more has moved, or was taken back.
            changed |= dict.fromkeys(living.keys() - wanted.keys(), (0, 0))
            differing = {key: counts for key, counts in changed.items() if living.get(key) != counts}
            self._put(differing)
            self._written = changed
            if boundary != self._boundary:
                self._session.execute(self._bound, (self._lakehouse.name, boundary), timeout=_TIMEOUT_S)
                self._boundary = boundary
        return len(differing)

    def _there(self, boundary: datetime, now: datetime) -> dict[tuple[str, datetime, str, str], tuple[int, int]]:
        """Return the rows since a boundary that live."""
        assert self._lakehouse.live is not None  # noqa: S101 - the caller has asked for it
        first = max(boundary, now - self._settings.speed_ttl).astimezone(UTC).date()
        days = [first + timedelta(days=step) for step in range((now.astimezone(UTC).date() - first).days + 2)]
        result = {}
        for item in self._lakehouse.live.events:
            for day in days:
                asked = (item.event, day.isoformat(), boundary)
                for row in self._session.execute(self._select, asked, timeout=_TIMEOUT_S):
                    result[(row.event, row.minute, row.place, row.currency)] = (row.events, row.amount)
        return result

    def _put(self, rows: dict[tuple[str, datetime, str, str], tuple[int, int]]) -> None:
        from cassandra.concurrent import execute_concurrent_with_args

        values = [
            (event, f"{minute:%Y-%m-%d}", minute, place, currency, *counts)
            for (event, minute, place, currency), counts in rows.items()
        ]
        execute_concurrent_with_args(self._session, self._insert, values, concurrency=_IN_FLIGHT)
