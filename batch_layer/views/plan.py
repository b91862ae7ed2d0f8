"""What a run has to do: which days it recomputes, from which snapshot, and which partitions that rewrites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from meterlake import slices
from meterlake.errors import PermanentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from batch_layer.views.tables import Locations
    from engines.table_format import Table as Master
    from meterlake.declaration import MeterSeries

Mode = Literal["full", "incremental", "range", "merge"]


class NothingLoaded(PermanentError):
    """The master data set is empty."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        super().__init__(
            f"The master data set of {dataset} is empty: there is nothing to compute.",
            hint=f"Load its history first (`meterlake load {dataset} FILE`).",
        )


@dataclass(frozen=True)
class Current:
    """What is published: the run, the input snapshot whose changes are all in it, and its folders."""

    run_id: str
    snapshot: int | None
    tables: Locations = field(hash=False)

    def folders(self, table: str) -> Mapping[str, str]:
        """Return where the partitions of a table lie, by their names in Hive."""
        return self.tables.get(table, {})

    @property
    def is_sliced(self) -> bool:
        """Whether all partitions are of this version's form; those of an earlier one are written again."""
        names = (name for folders in self.tables.values() for name in folders)
        return all(f"{slices.COLUMN}=" in name for name in names)


@dataclass(frozen=True)
class Request:
    """What was asked for: everything, a range of UTC days (both included), or, by default, what has changed."""

    full: bool = False
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.full and self.is_range:
            raise UsageError("--full recomputes all days.", hint="Leave --since and --until out, or --full.")
        if self.since and self.until and self.since > self.until:
            raise UsageError(f"--since {self.since} is after --until {self.until}.", hint="Swap them.")

    @property
    def is_range(self) -> bool:
        """Whether a range of days was asked for."""
        return self.since is not None or self.until is not None


@dataclass(frozen=True)
class Plan:
    """A run before it has begun.

    read_snapshot: the master data set as it is read. snapshot: up to which all its changes are in the views afterwards.
    since: the snapshot after which what was added is read; None: whole days are. days: UTC days that are recomputed;
    None for all, or for what ``since`` tells. readings: how many are read at most; earlier ones that ``since`` needs
    are not counted.
    """

    run_id: str
    mode: Mode
    read_snapshot: int
    snapshot: int | None
    days: tuple[date, ...] | None = None
    since: int | None = None
    readings: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing has changed: the views are as they should be."""
        return self.days == ()


def make(dataset: MeterSeries, request: Request, current: Current | None, master: Master, now: datetime) -> Plan:
    """Plan a run from the metadata of the master data set.

    Raises NothingLoaded; SnapshotExpired where the changes since the published run are not known any more.
    """
    newest = master.current()
    if newest is None:
        raise NothingLoaded(dataset.name)
    run_id = new_run_id(now)
    if request.is_range and (current is None or current.is_sliced):
        days = _within(master.changed_days(None, newest.id), request)
        snapshot = current.snapshot if current else None
        return Plan(run_id, "range", newest.id, snapshot, days, readings=newest.total_rows)
    if request.full or current is None or current.snapshot is None or not current.is_sliced:
        return Plan(run_id, "full", newest.id, newest.id, readings=newest.total_rows)
    added = master.added(current.snapshot, newest.id)
    if added.only and added.size.rows:
        rows = added.size.rows
        return Plan(run_id, "incremental", newest.id, newest.id, since=current.snapshot, readings=rows)
    days = () if added.only else tuple(master.changed_days(current.snapshot, newest.id))
    return Plan(run_id, "incremental", newest.id, newest.id, days, readings=newest.total_rows)


def new_run_id(now: datetime) -> str:
    """Return the name of a run: the moment in UTC, so that names sort, and four random digits."""
    return f"{now:%Y%m%dT%H%M%S}-{uuid4().hex[:4]}"


def _within(days: Iterable[date], request: Request) -> tuple[date, ...]:
    return tuple(
        day
        for day in days
        if (request.since is None or day >= request.since) and (request.until is None or day <= request.until)
    )
