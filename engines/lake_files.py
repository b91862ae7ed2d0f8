"""The data files of a lakehouse's table by period, from its metadata: what a second engine loads, what has changed."""

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
_LONGEST: Final = timedelta(days=31)


@dataclass(frozen=True)
class Files:
    """A state of a table. rows: how many it has.

    manifests: path of each list of files -> the periods that it speaks of, by their first days; only of those that were
    not known. period: of a file, ``month`` or ``day``.
    """

    rows: int
    manifests: Mapping[str, frozenset[date]]
    all_manifests: frozenset[str]
    table: Any
    period: str

    def of(self, starts: Collection[date]) -> dict[date, list[str]]:
        """Return the data files of periods; what is listed for others is not read."""
        result: dict[date, list[str]] = defaultdict(list)
        if not starts:
            return result
        time = self.table.schema().find_field(self.table.spec().fields[0].source_id).name
        first, end = min(starts).isoformat(), (max(starts) + _LONGEST).isoformat()
        kept = f"{time} >= '{first}T00:00:00' and {time} < '{end}T00:00:00'"
        for task in self.table.scan(row_filter=kept).plan_files():
            start = _start(self.table, task.file.spec_id, task.file.partition, self.period)
            if start in starts:
                result[start].append(task.file.file_path)
        return result


def files(settings: Settings, table: str, ref: str, known: Collection[str], period: str) -> Files:
    """Return the state of a table that is partitioned by a period. known: manifests that need not be read again.

    Files of before it was partitioned so count for the period that they lie in.
    """
    loaded = lake_tables.table(settings, table, ref)
    snapshot = loaded.current_snapshot()
    if snapshot is None:
        return Files(0, {}, frozenset(), loaded, period)
    manifests = snapshot.manifests(loaded.io)
    new = {}
    for manifest in manifests:
        if manifest.manifest_path not in known:
            entries = manifest.fetch_manifest_entry(loaded.io, discard_deleted=False)
            spec = manifest.partition_spec_id
            new[manifest.manifest_path] = frozenset(
                _start(loaded, spec, entry.data_file.partition, period) for entry in entries
            )
    paths = frozenset(manifest.manifest_path for manifest in manifests)
    return Files(int(snapshot.summary["total-records"]), new, paths, loaded, period)


def whole(settings: Settings, table: str, ref: str) -> tuple[int, list[str]]:
    """Return how many rows a table has, and all its data files. For small ones."""
    loaded = lake_tables.table(settings, table, ref)
    snapshot = loaded.current_snapshot()
    if snapshot is None:
        return 0, []
    return int(snapshot.summary["total-records"]), [task.file.file_path for task in loaded.scan().plan_files()]


def _start(table: Any, spec: int, partition: Any, period: str) -> date:
    """Return the first day of the period that a file lies in."""
    (field,), value = table.specs()[spec].fields, partition[0]
    if str(field.transform) == "month":
        return date(1970 + value // 12, value % 12 + 1, 1)
    day = value if isinstance(value, date) else _EPOCH + timedelta(days=value)
    return day.replace(day=1) if period == "month" else day
