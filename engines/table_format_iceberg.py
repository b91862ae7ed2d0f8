"""Iceberg tables in the Hive metastore, through Spark's catalog ``iceberg``."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engines import iceberg_upkeep, metastore
from engines.snapshots import expendable
from engines.spark import CATALOG
from engines.spark_failures import translated
from engines.table_format import AlreadyPublished, Compaction, Size, Snapshot, SnapshotExpired
from engines.table_layout import create_sql, literal, spans, within
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from engines.table_layout import Layout
    from meterlake.settings import Settings

_WAP_ID = "spark.wap.id"
_STAGED_TOKEN = "wap.id"  # noqa: S105 - a key of a snapshot's summary
_PUBLISHED_TOKEN = "published-wap-id"  # noqa: S105
_SOURCE = "source-snapshot-id"
_MARK = "write-id"
_PROPERTY = "snapshot-property."
# Commits that change no row: compaction.
_REPLACE = "replace"


class IcebergTable:
    """A table; see ``engines.table_format.Table`` for what its methods promise."""

    def __init__(self, spark: SparkSession, settings: Settings, database: str, table: str, layout: Layout) -> None:
        self._spark, self._settings, self._layout = spark, settings, layout
        self._database, self._table = f"{CATALOG}.{database}", f"{CATALOG}.{database}.{table}"

    @property
    def name(self) -> str:
        """Full name in Spark and Trino."""
        return self._table

    def create(self) -> bool:
        """Create the table unless it is there; return whether it was not.

        Raises TableDiffers if it is there with other columns.
        """
        with self._translated():
            if not self._spark.catalog.tableExists(self._table):
                self._spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {self._database}")
                self._spark.sql(create_sql(self._table, self._layout))
                order = f"days({self._layout.time}), {self._layout.key}, {self._layout.time}"
                self._spark.sql(f"ALTER TABLE {self._table} WRITE LOCALLY ORDERED BY {order}")
                return True
            found = {name: kind.upper() for name, kind in self._spark.table(self._table).dtypes}
        wanted = {column.name: column.type.sql("spark") for column in self._layout.columns}
        if found != wanted:
            raise TableDiffers(self._table, wanted, found)
        return False

    def append(self, rows: DataFrame, properties: Mapping[str, str]) -> Snapshot:
        """Append ``rows`` in one commit that carries ``properties``."""
        return self._write(rows, properties)

    def stage(self, rows: DataFrame, token: str, properties: Mapping[str, str]) -> Snapshot:
        """Write ``rows`` unseen, under ``token``."""
        self._spark.conf.set(_WAP_ID, token)
        try:
            return self._write(rows, properties)
        finally:
            self._spark.conf.unset(_WAP_ID)

    def publish(self, staged: Snapshot) -> Snapshot:
        """Show staged rows to readers."""
        token = staged.summary[_STAGED_TOKEN]
        self._release_stale_locks()
        with self._translated():
            try:
                self._java().manageSnapshots().cherrypick(staged.id).commit()
            except Exception as error:
                if "DuplicateWAPCommit" in str(error):
                    raise AlreadyPublished(self._table, token) from error
                raise
        return next(
            found for found in self._history() if found.id == staged.id or found.summary.get(_SOURCE) == str(staged.id)
        )

    def current(self) -> Snapshot | None:
        """Return the snapshot that readers see."""
        with self._translated():
            return _snapshot(self._java().currentSnapshot())

    def find(self, properties: Mapping[str, str]) -> Snapshot | None:
        """Return the newest published snapshot that has all ``properties``."""
        staged = {snapshot.id: snapshot for snapshot in self._snapshots()}
        for snapshot in self._history():
            source = staged.get(int(snapshot.summary.get(_SOURCE, 0)))
            summary = {**(source.summary if source else {}), **snapshot.summary}
            if all(summary.get(key) == value for key, value in properties.items()):
                return snapshot
        return None

    def changed_days(self, since: int | None, until: int | None = None) -> list[date]:
        """Return the UTC days whose rows changed between two snapshots."""
        changed = self._between(since, until)
        if not changed:
            return []
        ids = ", ".join(str(snapshot.id) for snapshot in changed)
        with self._translated():
            if since is None:  # not from the history, whose beginning may have expired
                files = self._spark.read.options(**_as_of(until)).table(f"{self._table}.files")
            else:
                entries = self._spark.table(f"{self._table}.all_entries")
                files = entries.where(f"snapshot_id IN ({ids}) AND status <> 0")
            bounds = f"readable_metrics.{self._layout.time}"
            span = (f"to_date({bounds}.lower_bound) AS first", f"to_date({bounds}.upper_bound) AS last")
            rows = files.selectExpr(*span).distinct().collect()
        days: set[date] = set()
        for first, last in rows:
            days.update(first + timedelta(days=step) for step in range((last - first).days + 1))
        return sorted(days)

    def read(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> DataFrame:
        """Return the rows of some days, as of a snapshot."""
        with self._translated():
            rows = self._spark.read.options(**_as_of(snapshot)).table(self._table)
            return rows if days is None else rows.where(within(self._layout.time, days))

    def size(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> Size:
        """Return the files, bytes and rows that ``read`` opens."""
        bounds = f"readable_metrics.{self._layout.time}"
        with self._translated():
            files = self._spark.read.options(**_as_of(snapshot)).table(f"{self._table}.files")
            if days is not None:
                held = [
                    f"({bounds}.lower_bound < {literal(last)} AND {bounds}.upper_bound >= {literal(first)})"
                    for first, last in spans(days)
                ]
                files = files.where(" OR ".join(held) or "false")
            row = files.selectExpr("count(*)", "sum(file_size_in_bytes)", "sum(record_count)").first()
        counts = [int(value or 0) for value in row or ()]
        return Size(*counts)

    def compact(self) -> Compaction:
        """Rewrite small files into larger, sorted ones."""
        self._release_stale_locks()
        with self._translated():
            return iceberg_upkeep.compact(self._spark, self._table)

    def expire(self, before: datetime, needed: Iterable[int], newest_of: str) -> int:
        """Forget old snapshots that nobody needs."""
        published = self._history()
        seen = {snapshot.id for snapshot in published}
        staged = [snapshot for snapshot in self._snapshots() if snapshot.id not in seen]
        old = expendable(published, staged, before, set(needed), newest_of)
        self._release_stale_locks()
        with self._translated():
            return iceberg_upkeep.expire(self._java(), [snapshot.id for snapshot in old])

    def remove_orphans(self, before: datetime) -> int:
        """Remove files that no snapshot holds."""
        with self._translated():
            return iceberg_upkeep.remove_orphans(self._spark, self._table, before)

    def _write(self, rows: DataFrame, properties: Mapping[str, str]) -> Snapshot:
        """Write ``rows`` and return the commit, told from those of other writers by a mark of its own."""
        mark = uuid.uuid4().hex
        names = [column.name for column in self._layout.columns]
        writer = rows.select(names).writeTo(self._table)
        for key, value in {**properties, _MARK: mark}.items():
            writer = writer.option(f"{_PROPERTY}{key}", value)
        self._release_stale_locks()
        with self._translated():
            writer.append()
        # Most often it is the newest; reading them all takes seconds where there are thousands.
        newest = self.current()
        if newest is not None and newest.summary.get(_MARK) == mark:
            return newest
        return next(found for found in self._snapshots() if found.summary.get(_MARK) == mark)

    def _release_stale_locks(self) -> None:
        """Free the table from a writer that died in its commit: nobody else would, and each commit would wait."""
        _, database, table = self._table.split(".")
        with metastore.client(self._settings) as client:
            metastore.release_stale_locks(client, database, table)

    def _between(self, since: int | None, until: int | None) -> list[Snapshot]:
        """Return the snapshots after ``since`` up to ``until`` that changed rows, newest first."""
        history = self._history()
        ids = [snapshot.id for snapshot in history]
        for wanted in (since, until):
            if wanted is not None and wanted not in ids:
                raise SnapshotExpired(self._table, wanted)
        begin = ids.index(until) if until is not None else 0
        end = ids.index(since) if since is not None else len(ids)
        return [snapshot for snapshot in history[begin:end] if snapshot.operation != _REPLACE]

    def _history(self) -> list[Snapshot]:
        """Return the published snapshots, newest first."""
        with self._translated():
            table = self._java()
            known = {snapshot.id: snapshot for snapshot in map(_snapshot, table.snapshots()) if snapshot}
            current = table.currentSnapshot()
        found = []
        at = known.get(current.snapshotId()) if current else None
        while at is not None:
            found.append(at)
            at = known.get(at.parent) if at.parent is not None else None
        return found

    def _snapshots(self) -> list[Snapshot]:
        """Return all snapshots, the staged ones too."""
        with self._translated():
            return [found for found in map(_snapshot, self._java().snapshots()) if found]

    def _java(self) -> Any:
        """Return Iceberg's own table object, as it is in the metastore now."""
        return iceberg_upkeep.load(self._spark, self._table)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self._settings, self._table):
            yield


class TableDiffers(PermanentError):
    """A table is there with other columns than the declaration has."""

    def __init__(self, table: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
        self.table = table
        missing = sorted(f"{name} {kind}" for name, kind in wanted.items() if found.get(name) != kind)
        extra = sorted(f"{name} {kind}" for name, kind in found.items() if wanted.get(name) != kind)
        super().__init__(
            f"{table} does not have the columns of the declaration: expected {', '.join(missing) or 'nothing more'};"
            f" found {', '.join(extra) or 'nothing instead'}.",
            hint="The declaration has changed since the table was made: change it back, or ALTER the table to it.",
        )


def _snapshot(java: Any) -> Snapshot | None:
    if java is None:
        return None
    return Snapshot(
        id=java.snapshotId(),
        parent=java.parentId(),
        committed_at=datetime.fromtimestamp(java.timestampMillis() / 1000, UTC),
        operation=java.operation(),
        summary=dict(java.summary()),
    )


def _as_of(snapshot: int | None) -> dict[str, str]:
    return {} if snapshot is None else {"snapshot-id": str(snapshot)}
