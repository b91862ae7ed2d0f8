"""The data files of a lakehouse's table by day, from its metadata: what a second engine loads, and what has changed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import lake_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meterlake.settings import Settings

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Files:
    """A state of a table. rows: how many it has.

    manifests: path of each list of files -> the days that it speaks of; only of those that were not known.
    """

    rows: int
    manifests: Mapping[str, frozenset[date]]
    all_manifests: frozenset[str]
    table: Any

    def of_days(self, days: Collection[date]) -> dict[date, list[str]]:
        """Return the data files of days; what is listed for other days is not read."""
        result: dict[date, list[str]] = defaultdict(list)
        if not days:
            return result
        time = self.table.schema().find_field(self.table.spec().fields[0].source_id).name
        first, end = min(days).isoformat(), (max(days) + timedelta(days=1)).isoformat()
        kept = f"{time} >= '{first}T00:00:00' and {time} < '{end}T00:00:00'"
        for task in self.table.scan(row_filter=kept).plan_files():
            day = _day(task.file.partition[0])
            if day in days:
                result[day].append(task.file.file_path)
        return result


def files(settings: Settings, table: str, ref: str, known: Collection[str]) -> Files:
    """Return the state of a table that is partitioned by day. known: manifests that need not be read again."""
    loaded = lake_tables.table(settings, table, ref)
    snapshot = loaded.current_snapshot()
    if snapshot is None:
        return Files(0, {}, frozenset(), loaded)
    manifests = snapshot.manifests(loaded.io)
    new = {}
    for manifest in manifests:
        if manifest.manifest_path not in known:
            entries = manifest.fetch_manifest_entry(loaded.io, discard_deleted=False)
            new[manifest.manifest_path] = frozenset(_day(entry.data_file.partition[0]) for entry in entries)
    paths = frozenset(manifest.manifest_path for manifest in manifests)
    return Files(int(snapshot.summary["total-records"]), new, paths, loaded)


def whole(settings: Settings, table: str, ref: str) -> tuple[int, list[str]]:
    """Return how many rows a table has, and all its data files. For small ones."""
    loaded = lake_tables.table(settings, table, ref)
    snapshot = loaded.current_snapshot()
    if snapshot is None:
        return 0, []
    return int(snapshot.summary["total-records"]), [task.file.file_path for task in loaded.scan().plan_files()]


def _day(value: int | date) -> date:
    return value if isinstance(value, date) else _EPOCH + timedelta(days=value)
