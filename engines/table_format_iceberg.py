"""Iceberg tables in the Hive metastore, through Spark's catalog ``iceberg``."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import iceberg_scan, iceberg_upkeep, metastore
from engines.snapshots import expendable
from engines.spark import CATALOG
from engines.spark_failures import translated
from engines.table_format import Added, AlreadyPublished, Compaction, Size, Snapshot, SnapshotExpired
from engines.table_layout import create_sql, in_spans, literal, spans, within
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from engines.table_format import Span
    from engines.table_layout import Layout
    from meterlake.settings import Settings

_WAP_ID = "spark.wap.id"
_STAGED_TOKEN = "wap.id"  # noqa: S105 - a key of a snapshot's summary
_PUBLISHED_TOKEN = "published-wap-id"  # noqa: S105
_SOURCE = "source-snapshot-id"
_MARK = "write-id"
_PROPERTY = "snapshot-property."
_APPEND = "append"
# How rows are deleted; others may append meanwhile.
_REWRITTEN = "'write.delete.mode' = 'copy-on-write', 'write.delete.isolation-level' = 'snapshot'"
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
            result = {name: kind.upper() for name, kind in self._spark.table(self._table).dtypes}
        wanted = {column.name: column.type.sql("spark") for column in self._layout.columns}
        if result != wanted:
            raise TableDiffers(self._table, wanted, result)
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
            snapshot
            for snapshot in self._history()
            if snapshot.id == staged.id or snapshot.summary.get(_SOURCE) == str(staged.id)
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
        with self._translated():
            if since is None:  # not from the history, whose beginning may have expired
                files = [self._files(until)]
            else:
                files = self._changed_files(since, until, [snapshot.id for snapshot in changed])
            bounds = f"readable_metrics.{self._layout.time}"
            span = (f"to_date({bounds}.lower_bound) AS first", f"to_date({bounds}.upper_bound) AS last")
            rows = {row for part in files for row in part.selectExpr(*span).distinct().collect()}
        days: set[date] = set()
        for first, last in rows:
            days.update(first + timedelta(days=step) for step in range((last - first).days + 1))
        return sorted(days)

    def added(self, since: int, until: int) -> Added:
        """Return what was added between two snapshots."""
        changed = self._between(since, until)
        counts = [
            (snapshot.added_files, snapshot.added_bytes, snapshot.added_rows)
            for snapshot in changed
            if snapshot.operation == _APPEND
        ]
        files, size, rows = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
        return Added(len(counts) == len(changed), Size(files, size, rows))

    def read_added(self, since: int, until: int) -> DataFrame:
        """Return the rows that were added between two snapshots."""
        options = {"start-snapshot-id": str(since), "end-snapshot-id": str(until)}
        with self._translated():
            return self._spark.read.options(**options).table(self._table)

    def read_spans(self, spans: Sequence[Span], snapshot: int) -> DataFrame:
        """Return the rows of some spans, as of a snapshot."""
        return self.read(None, snapshot).where(in_spans(self._layout.time, self._layout.key, spans))

    def span_size(self, spans: Sequence[Span], snapshot: int) -> Size:
        """Return the files, bytes and rows that a read of some spans opens."""
        if not spans:
            return Size(0, 0, 0)
        with self._translated():
            return iceberg_scan.size(self._spark, self._java(), self._layout.time, self._layout.key, spans, snapshot)

    def has_deleted_rows(self, snapshot: int) -> bool:
        """Return whether files hold rows that were deleted since."""
        with self._translated():
            result = _snapshot(self._java().snapshot(snapshot))
        return result is None or result.summary.get("total-delete-files", "0") != "0"

    def read(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> DataFrame:
        """Return the rows of some days, as of a snapshot."""
        with self._translated():
            rows = self._spark.read.options(**_as_of(snapshot)).table(self._table)
            return rows if days is None else rows.where(within(self._layout.time, days))

    def size(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> Size:
        """Return the files, bytes and rows that ``read`` opens."""
        bounds = f"readable_metrics.{self._layout.time}"
        with self._translated():
            if days is None and (whole := self._whole_size(snapshot)):
                return whole
            files = self._files(snapshot)
            if days is not None:
                held = [
                    f"({bounds}.lower_bound < {literal(last)} AND {bounds}.upper_bound >= {literal(first)})"
                    for first, last in spans(days)
                ]
                files = files.where(" OR ".join(held) or "false")
            row = files.selectExpr("count(*)", "sum(file_size_in_bytes)", "sum(record_count)").first()
        counts = [int(value or 0) for value in row or ()]
        return Size(*counts)

    def newest_day(self, until: date, snapshot: int) -> date | None:
        """Return the last day up to ``until`` that has rows, as of a snapshot."""
        time, rows = self._layout.time, self.read(None, snapshot)
        with self._translated():
            # Iceberg knows this from its metadata, and no file is opened.
            last = _day(rows.agg(F.max(time)).first())
            if last is not None and last > until:
                before = F.col(time) < F.lit(until + timedelta(days=1)).cast("timestamp_ntz")
                last = _day(rows.where(before).agg(F.max(time)).first())
        return last

    def delete(self, condition: str) -> Snapshot | None:
        """Delete the rows of a condition in one commit, the files written again without them."""
        self._release_stale_locks()
        with self._translated():
            self._spark.sql(f"ALTER TABLE {self._table} SET TBLPROPERTIES ({_REWRITTEN})")
            self._spark.sql(f"DELETE FROM {self._table} WHERE {condition}")  # noqa: S608 - of our own making
            # Manifests still tell the bounds of removed files.
            self._spark.sql(f"CALL {CATALOG}.system.rewrite_manifests(table => '{self._table}')")
        return self.current()

    def forget(self, before: int, staged_before: datetime) -> int:
        """Forget all snapshots before one."""
        published = [snapshot.id for snapshot in self._history()]
        earlier = [snapshot.id for snapshot in self._history(before)][1:]
        staged = [
            snapshot.id
            for snapshot in self._snapshots()
            if snapshot.id not in published and snapshot.committed_at < staged_before
        ]
        self._release_stale_locks()
        with self._translated():
            return iceberg_upkeep.expire(self._java(), [*earlier, *staged])

    def compact(self) -> Compaction:
        """Rewrite small files into larger, sorted ones."""
        self._release_stale_locks()
        with self._translated():
            return iceberg_upkeep.compact(self._spark, self._table)

    def expire(self, before: datetime, needed: Iterable[int], newest_of: str) -> int:
        """Forget old snapshots that nobody needs."""
        published = list(self._history())
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
        """Write ``rows`` and return the commit, distinguished from those of other writers by a mark of its own."""
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
        return next(snapshot for snapshot in self._snapshots() if snapshot.summary.get(_MARK) == mark)

    def _release_stale_locks(self) -> None:
        """Free the table from a writer that died in its commit: nobody else would, and each commit would wait."""
        _, database, table = self._table.split(".")
        with metastore.client(self._settings) as client:
            metastore.release_stale_locks(client, database, table)

    def _files(self, snapshot: int | None) -> DataFrame:
        """Return metadata of the data files as of a snapshot, without those that only say what is deleted."""
        return self._spark.read.options(**_as_of(snapshot)).table(f"{self._table}.files").where("content = 0")

    def _whole_size(self, snapshot: int | None) -> Size | None:
        """Return the size of all data files as a snapshot's summary gives it; None where that counts others, too."""
        table = self._java()
        result = _snapshot(table.currentSnapshot() if snapshot is None else table.snapshot(snapshot))
        summary = result.summary if result else {}
        names = ("total-data-files", "total-files-size", "total-records")
        if summary.get("total-delete-files", "0") != "0" or not all(name in summary for name in names):
            return None
        return Size(*(int(summary[name]) for name in names))

    def _changed_files(self, since: int, until: int | None, snapshots: list[int]) -> list[DataFrame]:
        """Return metadata of the data files that some snapshots added or removed, or deleted rows of."""
        ids = ", ".join(map(str, snapshots))
        entries = self._spark.table(f"{self._table}.all_entries").where(f"snapshot_id IN ({ids}) AND status <> 0")
        data = entries.where("data_file.content = 0")
        deletes = entries.where("data_file.content <> 0").select(F.col("data_file.partition").alias("partition"))
        if deletes.isEmpty():
            return [data]
        # Which rows were deleted is not in the metadata; all days of the partition count.
        held = [self._files(known).join(deletes.distinct(), "partition", "left_semi") for known in (since, until)]
        return [data, *held]

    def _between(self, since: int | None, until: int | None) -> list[Snapshot]:
        """Return the snapshots after ``since`` up to ``until`` that changed rows, newest first."""
        result = []
        for snapshot in self._history(until):
            if snapshot.id == since:
                break
            result.append(snapshot)
        else:
            if since is not None:
                raise SnapshotExpired(self._table, since)
        return [snapshot for snapshot in result if snapshot.operation != _REPLACE]

    def _history(self, until: int | None = None) -> Iterator[Snapshot]:
        """Return the published snapshots, newest first, from ``until`` on; each is asked for when it is needed.

        Raises SnapshotExpired where ``until`` is not one of them.
        """
        with self._translated():
            table = self._java()
            result = table.currentSnapshot()
            begun = until is None
            while result is not None:
                snapshot = _snapshot(result) if begun or result.snapshotId() == until else None
                if snapshot is not None:
                    begun = True
                    yield snapshot
                parent = result.parentId()
                result = table.snapshot(parent) if parent is not None else None
        if not begun and until is not None:
            raise SnapshotExpired(self._table, until)

    def _snapshots(self) -> list[Snapshot]:
        """Return all snapshots, the staged ones too."""
        with self._translated():
            return [snapshot for snapshot in map(_snapshot, self._java().snapshots()) if snapshot]

    def _java(self) -> Any:
        """Return Iceberg's own table object, as it is in the metastore now."""
        return iceberg_upkeep.load(self._spark, self._table)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self._settings, self._table):
            yield


class TableDiffers(PermanentError):
    """A table is there with other columns than the declaration has."""

    def __init__(self, table: str, wanted: Mapping[str, str], actual: Mapping[str, str]) -> None:
        self.table = table
        missing = sorted(f"{name} {kind}" for name, kind in wanted.items() if actual.get(name) != kind)
        extra = sorted(f"{name} {kind}" for name, kind in actual.items() if wanted.get(name) != kind)
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


def _day(row: Any) -> date | None:
    return row[0].date() if row and row[0] is not None else None


def _as_of(snapshot: int | None) -> dict[str, str]:
    return {} if snapshot is None else {"snapshot-id": str(snapshot)}
