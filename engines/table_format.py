"""The port to a table format: what the layers ask of a table that is appended to and never recomputed.

``engines.master`` opens tables through it; ``engines.table_format_iceberg`` is the implementation.
Every change of a table is one commit: readers see all of it or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Snapshot:
    """One commit of a table.

    operation: ``append``, ``overwrite``, ``delete``, or ``replace`` (a rewrite that changes no row).
    summary: counts by the format (``added-records`` …), and the properties given to the commit.
    """

    id: int
    parent: int | None
    committed_at: datetime
    operation: str
    summary: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def added_rows(self) -> int:
        """Rows that the commit added."""
        return int(self.summary.get("added-records", 0))

    @property
    def total_rows(self) -> int:
        """Rows of the table as of the commit; those that were deleted within files count."""
        return int(self.summary.get("total-records", 0))

    @property
    def added_files(self) -> int:
        """Data files that the commit added."""
        return int(self.summary.get("added-data-files", 0))

    @property
    def added_bytes(self) -> int:
        """Bytes of the data files that the commit added."""
        return int(self.summary.get("added-files-size", 0))


@dataclass(frozen=True)
class Size:
    """What a read of a table opens. rows: as they were written; of those, some may have been deleted since."""

    files: int
    bytes: int
    rows: int


@dataclass(frozen=True)
class Added:
    """What was added between two snapshots, from metadata.

    only: whether nothing else happened, so that the rows before are all there still. size: of the files added.
    """

    only: bool
    size: Size


@dataclass(frozen=True)
class Span:
    """Rows whose time lies in [begin, end), of the keys from ``first`` to ``last``, both included. Times are UTC."""

    begin: datetime
    end: datetime
    first: str
    last: str


@dataclass(frozen=True)
class Compaction:
    """Small files that were rewritten into larger ones: how many, into how many, and their bytes."""

    files_before: int
    files_after: int
    bytes: int


class Table(Protocol):
    """A table of one data set. Methods raise EngineUnavailable when the metastore or the storage does not answer."""

    @property
    def name(self) -> str:
        """Full name in Spark and Trino, such as ``iceberg.master.<data set>``."""
        ...

    def append(self, rows: DataFrame, properties: Mapping[str, str]) -> Snapshot:
        """Append ``rows`` (the table's columns) in one commit that carries ``properties``."""
        ...

    def stage(self, rows: DataFrame, token: str, properties: Mapping[str, str]) -> Snapshot:
        """Write ``rows`` without showing them to any reader; ``publish`` shows them.

        token: identity of the rows; two staged snapshots of one token cannot both be published.
        """
        ...

    def publish(self, staged: Snapshot) -> Snapshot:
        """Show staged rows to readers, in one commit; appends by others in between stay.

        Raises AlreadyPublished if rows of the same token have been published.
        """
        ...

    def current(self) -> Snapshot | None:
        """Return the snapshot that readers see, or None while the table is empty."""
        ...

    def find(self, properties: Mapping[str, str]) -> Snapshot | None:
        """Return the newest published snapshot whose summary has all ``properties``, if any.

        Only snapshots that have not expired are found.
        """
        ...

    def changed_days(self, since: int | None, until: int | None = None) -> list[date]:
        """Return the UTC days whose rows changed after snapshot ``since``, up to ``until`` (default: current).

        From metadata only. Rewrites that change no row (``replace``) do not count. Each data file counts with
        all days from its first to its last reading: never too few, and exact for files of one day. Where rows were
        deleted within files, all days of their partition count.
        since: None for all days that have rows. Raises SnapshotExpired if ``since`` is not known any more.
        """
        ...

    def added(self, since: int, until: int) -> Added:
        """Return what was added after snapshot ``since`` up to ``until``, from metadata.

        Raises SnapshotExpired if ``since`` is not known any more.
        """
        ...

    def read_added(self, since: int, until: int) -> DataFrame:
        """Return the rows that were added after snapshot ``since`` up to ``until``, and no others."""
        ...

    def read_spans(self, spans: Sequence[Span], snapshot: int) -> DataFrame:
        """Return the rows of some spans, as of ``snapshot``."""
        ...

    def span_size(self, spans: Sequence[Span], snapshot: int) -> Size:
        """Return the files, bytes and rows that ``read_spans`` of the same arguments opens, from metadata."""
        ...

    def has_deleted_rows(self, snapshot: int) -> bool:
        """Return whether files hold rows that were deleted since, so that ``size`` counts more rows than there are."""
        ...

    def read(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> DataFrame:
        """Return the rows of UTC ``days`` (default: all), as of ``snapshot`` (default: current)."""
        ...

    def size(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> Size:
        """Return the files, bytes and rows that ``read`` of the same arguments opens, from metadata."""
        ...

    def newest_day(self, until: date, snapshot: int) -> date | None:
        """Return the last UTC day up to ``until`` that has rows, as of ``snapshot``; None if none has.

        From metadata, but for tables that have rows after ``until``.
        """
        ...

    def delete(self, condition: str) -> Snapshot | None:
        """Delete the rows of a condition, in Spark's SQL, in one commit; return the snapshot that readers see then.

        Appends by others in between stay. Files that hold such rows are written again without them; those of earlier
        snapshots stay until ``forget``.
        """
        ...

    def forget(self, before: int, staged_before: datetime) -> int:
        """Forget all snapshots before one, and the files that only they hold; return how many.

        Staged ones that were committed before a moment go, too.
        """
        ...

    def compact(self) -> Compaction:
        """Rewrite small files into larger, sorted ones; no row changes, and no reader notices."""
        ...

    def expire(self, before: datetime, needed: Iterable[int], newest_of: str) -> int:
        """Forget snapshots committed before a moment, and the files that only they hold; return how many.

        needed: snapshots from which ``changed_days`` will still be asked: they and all after them stay.
        newest_of: a commit's property; the newest commit of each of its values stays, and all after it.
        """
        ...

    def remove_orphans(self, before: datetime) -> int:
        """Remove files written before a moment that no snapshot holds, left by writers that died; return how many."""
        ...


class NotYetAvailable(PermanentError):
    """The declaration asks for a table format that cannot be written yet."""


class SnapshotExpired(PermanentError):
    """A snapshot that is asked for is not part of the table's history (any more)."""

    def __init__(self, table: str, snapshot: int) -> None:
        self.table, self.snapshot = table, snapshot
        super().__init__(
            f"{table} has no snapshot {snapshot} in its history: it has expired, or the table was made again.",
            hint="What changed since then is unknown; recompute all (`meterlake batch … --full`).",
        )


class AlreadyPublished(PermanentError):
    """Rows of the same identity are in the table already: another process was first."""

    def __init__(self, table: str, token: str) -> None:
        self.table, self.token = table, token
        super().__init__(f"{table} already has the rows of {token}.", hint="Nothing was added, and nothing is missing.")
