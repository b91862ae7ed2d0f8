"""Upkeep of a lakehouse: landed objects are removed whose retention is over, and of which bronze has all (ADR 56).

A manifest says that its object is removed before it is: killed in between, the next upkeep removes what is left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from engines import lake, lake_tables
from lakehouse import history, lease
from lakehouse.erase import record as erasures
from lakehouse.landing import objects, removed, retention
from lakehouse.landing.objects import Source
from lakehouse.landing.retention import Fate
from lakehouse.layers import tables
from lakehouse.parallel import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from engines.lake import Listed
    from lakehouse.landing.objects import Manifest
    from lakehouse.landing.removed import Bronze
    from lakehouse.lease import Lease
    from meterlake.clock import Clock
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings


@dataclass
class Ended:
    """What became of the landed objects of a record whose time is over: how many went, and why others stay.

    left: objects of writers that were killed; they have no manifest, and went, too.
    """

    record: str
    retention: timedelta
    objects: int = 0
    records: int = 0
    bytes: int = 0
    left: int = 0
    stay: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Work:
    """What upkeep works with. report: told of each step before it begins."""

    settings: Settings
    lakehouse: Lakehouse
    clock: Clock
    report: Callable[[str], None]


def prevented(settings: Settings, dataset: str) -> str:
    """Return why nothing may be removed now; '' where something may."""
    runs = history.runs(settings, dataset)
    if not runs:
        return "no run has read what was landed"
    if runs[-1][1] != "current":
        return f"readers were taken back: nothing is removed until a run follows (the last one is {runs[-1][0].run})"
    begun = next((item for item in erasures.every(settings, dataset) if not item.done_at), None)
    return f"the erasure {begun.id} is unfinished: run it again" if begun else ""


def look(work: Work) -> list[Ended]:
    """Return what ``remove`` would do; nothing is changed. Raises BrokenObject."""
    return list(_every(work, None))


def remove(work: Work) -> list[Ended]:
    """Remove landed objects whose retention is over; return what was done, by record.

    Raises RunUnderWay, LeaseLost, BrokenObject where an object is not what was landed.
    """
    with lease.held(work.settings, work.lakehouse.name, "upkeep", work.clock) as held:
        return list(_every(work, held))


def _every(work: Work, held: Lease | None) -> Iterator[Ended]:
    """Yield what becomes of each record's objects. held: None where nothing is changed."""
    settings, lakehouse = work.settings, work.lakehouse
    if prevented(settings, lakehouse.name):
        return
    last = history.latest(settings, lakehouse.name)
    name = f"{lakehouse.namespace('bronze')}.{tables.OBJECTS.name}"
    rows = lake_tables.read(settings, name, ("object", "sha256"), last).to_pylist()
    read = {row["object"]: row["sha256"] for row in rows}
    bronze = removed.Bronze(settings, last)
    for record in lakehouse.records:
        if record.topic in lakehouse.retentions:
            yield _Upkeep(work, held, record, bronze).run(read)


class _Upkeep:
    """Upkeep of one record's landed objects."""

    def __init__(self, work: Work, held: Lease | None, record: Record, bronze: Bronze) -> None:
        self._work, self._held, self._record, self._bronze = work, held, record, bronze
        self._settings, self._now = work.settings, work.clock()
        self._table = f"{work.lakehouse.namespace('bronze')}.{record.name}"
        self._ended = Ended(record.name, work.lakehouse.retentions[record.topic])

    def run(self, read: Mapping[str, str]) -> Ended:
        """Remove what may go. read: SHA-256 of objects that the last run's state has read, by object."""
        place = f"landing/{self._work.lakehouse.name}/{self._record.topic}/"
        listed = [item for item in lake.listed(self._settings, place) if retention.manifest_of(item.key)]
        over = [item for item in listed if retention.is_over(item, self._ended.retention, self._now)]
        found = side_by_side(self._manifest, over)
        begin = self._begin_of_extract() if over else ""
        sizes = {item.key: item.size for item in over}
        compared: list[Manifest] = []
        for item, manifest in zip(over, found, strict=True):
            fate = retention.fate(item, manifest, read, begin, self._now)
            if manifest and fate is Fate.COMPARED:
                compared.append(manifest)
            elif manifest and fate is Fate.GOES:
                self._count(manifest, item.size)
                self._delete([item.key])
            elif fate is Fate.LEFT:
                self._ended.left += 1
                self._delete([item.key])
            else:
                self._ended.stay[fate] += 1
        for window in removed.windows(compared):
            self._end(window, sizes)
        return self._ended

    def _manifest(self, item: Listed) -> Manifest | None:
        key = retention.manifest_of(item.key)
        return objects.find(self._settings, key) if key else None

    def _begin_of_extract(self) -> str:
        """Return from which watermark on the next extract reads what was landed; '' where the record has no table."""
        source = Source(self._work.lakehouse.name, self._record.topic, objects.TABLE)
        latest = objects.latest(self._settings, source) if self._record.extract else None
        if latest is None or self._record.extract is None:
            return ""
        return retention.begin_of_extract(latest, self._record.extract.overlap)

    def _end(self, window: Sequence[Manifest], sizes: Mapping[str, int]) -> None:
        """End the objects of manifests that follow each other, those that bronze has: first in the manifests."""
        rows = self._bronze.rows(window, self._table).cast(objects.SCHEMA)
        going: list[tuple[Manifest, str]] = []
        for manifest, in_bronze in zip(window, removed.parted(rows, window), strict=True):
            if objects.table(self._settings, manifest).equals(in_bronze):
                going.append((manifest, objects.sum_of(in_bronze)))
                self._count(manifest, sizes[manifest.object])
            else:
                self._ended.stay[Fate.DIFFERS] += 1
        if self._held is None or not going:
            return
        self._work.report(f"manifests of {self._record.name}")
        for manifest, content in going:
            self._held.check()
            objects.end(self._settings, manifest, self._table, self._now, content)
        self._work.report(f"objects of {self._record.name}")
        self._delete([manifest.object for manifest, _ in going])

    def _count(self, manifest: Manifest, size: int) -> None:
        self._ended.objects += 1
        self._ended.records += manifest.rows
        self._ended.bytes += size

    def _delete(self, keys: Sequence[str]) -> None:
        if self._held is None:
            return
        self._held.check()
        side_by_side(partial(lake.delete, self._settings), keys)
