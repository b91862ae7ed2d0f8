"""The port to a table that is merged into: rows have keys, and a commit inserts, updates and deletes some of them.

``engines.table_format`` is the port to what is only appended to. ``engines.table_format_delta`` is the implementation;
``engines.curated`` opens the tables. Every change is one commit: readers see all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame

    from engines.table_format import Compaction
    from meterlake.columns import Column

Scope = Callable[["DataFrame"], "DataFrame"]
"""Takes rows of a table, and returns those that a merge is about."""

SAFE_RETENTION: Final = timedelta(hours=24)
"""Files that are younger than this may still be read by a query, or belong to a commit under way."""
OPERATION: Final = "operation"
"""Column of changes: ``insert``, ``update`` or ``delete``."""


@dataclass(frozen=True)
class Shape:
    """What a table holds and how it lies.

    database, name: as readers name it. keys: no two rows have the same values in them. partition: columns of its
    folders. order: columns by which upkeep clusters rows. checks: name of a constraint -> SQL that holds of every row.
    """

    database: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    partition: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    doc: str = ""
    checks: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Merged:
    """What a merge has changed. version: of the table afterwards; no commit was made where nothing has changed."""

    inserted: int
    updated: int
    deleted: int
    version: int

    @property
    def rows(self) -> int:
        """How many rows have changed."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class Version:
    """One commit of a table: its number, when it was made, what it did, and the note that it carries."""

    number: int
    committed_at: datetime
    operation: str
    note: str


class Merging(Protocol):
    """A table whose rows change. Methods raise EngineUnavailable when the storage does not answer."""

    @property
    def shape(self) -> Shape:
        """What it holds."""
        ...

    @property
    def name(self) -> str:
        """Full name in Trino, such as ``delta.presentation.<data set>_<table>``."""
        ...

    @property
    def location(self) -> str:
        """The folder it lies in."""
        ...

    def exists(self) -> bool:
        """Return whether the table has been created."""
        ...

    def create(self) -> bool:
        """Create the table unless it is there, and add optional columns that are new; return whether it was not there.

        Raises TableDiffers if it is there with other columns, or a new one is not optional.
        """
        ...

    def read(self, version: int | None = None) -> DataFrame:
        """Return the rows, as of ``version`` (default: now)."""
        ...

    def version(self) -> int:
        """Return the number of the newest commit."""
        ...

    def versions(self) -> list[Version]:
        """Return the commits that are known, newest first."""
        ...

    def merge(self, rows: DataFrame, scope: Scope | None) -> Merged:
        """Make the rows within ``scope`` equal to ``rows``, in one commit.

        Rows of equal keys are updated where a value differs, others inserted; those of the table that ``rows`` has not
        are deleted. Where nothing differs, no commit is made. scope: takes rows of the table and returns
        those within; all ``rows`` are. None: the whole table. ``rows`` must not have a key twice.
        """
        ...

    def add(self, rows: DataFrame, count: int) -> Merged:
        """Insert rows, ``count`` of them, whose keys are not there, in one commit."""
        ...

    def apply(self, changes: DataFrame) -> Merged:
        """Insert, update and delete the rows of ``changes``, as their column ``operation`` says, in one commit."""
        ...

    def changes(self, since: int, until: int) -> DataFrame:
        """Return the rows that commits after ``since`` up to ``until`` changed, as the format's change feed has them.

        Beside the table's columns: ``_change_type`` (``insert``, ``update_preimage``, ``update_postimage``,
        ``delete``), ``_commit_version`` and ``_commit_timestamp``.
        """
        ...

    def optimize(self) -> Compaction:
        """Rewrite small files into larger ones, clustered by the shape's order; no row changes."""
        ...

    def vacuum(self, keep: timedelta) -> int:
        """Remove files that no version younger than ``keep`` reads; return how many.

        Raises UnsafeRetention where that is shorter than a query or a writer may take.
        """
        ...
