"""Records of objects that retention has removed: bronze has them, as they came (ADR 56)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from engines import lake_tables
from lakehouse import history
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa  # type: ignore[import-untyped]

    from lakehouse.landing.objects import Manifest
    from meterlake.settings import Settings

_MOST: Final = 200_000
"""Records that bronze is asked for at once, about."""
_COLUMNS: Final = ("source_offset", "arrived_at", "key", "value")

Span = tuple[str, int, int]
"""Offsets of a partition: from the first up to, not with, the last."""


class LostRecords(PermanentError):
    """Bronze does not have what objects had when they were removed."""

    def __init__(self, what: str, table: str, actual: int, wanted: int) -> None:
        count = f"{actual} of the {wanted} records" if actual != wanted else "other records than those"
        super().__init__(
            f"{table} has {count} of landed objects that retention has removed: {what}.",
            hint="Somebody has changed the table, or what lies under it. Go back to a run that has them: `meterlake"
            " rollback`. Nothing was changed.",
        )


def windows(manifests: Iterable[Manifest]) -> list[list[Manifest]]:
    """Return manifests by what bronze is asked for at once: those of a source that follow each other."""
    result: list[list[Manifest]] = []
    count = 0
    for manifest in sorted(manifests, key=lambda item: (item.topic, item.partition, item.first)):
        if result and _follows(result[-1][-1], manifest) and count + manifest.rows <= _MOST:
            result[-1].append(manifest)
            count += manifest.rows
        else:
            result.append([manifest])
            count = manifest.rows
    return result


def spans(manifests: Iterable[Manifest]) -> list[Span]:
    """Return the offsets of manifests of one topic: those that follow each other as one span."""
    result: list[Span] = []
    for manifest in sorted(manifests, key=lambda item: (item.partition, item.first)):
        if result and result[-1][::2] == (manifest.partition, manifest.first):
            result[-1] = (manifest.partition, result[-1][1], manifest.end)
        else:
            result.append((manifest.partition, manifest.first, manifest.end))
    return result


def counted(manifests: Iterable[Manifest]) -> Counter[str]:
    """Return how many records manifests have, by partition."""
    result: Counter[str] = Counter()
    for manifest in manifests:
        result[manifest.partition] += manifest.rows
    return result


def parted(rows: pa.Table, window: Sequence[Manifest]) -> list[pa.Table]:
    """Return the rows of each manifest of a window, which lie in order."""
    places = rows["source_offset"].to_numpy().searchsorted([manifest.end for manifest in window]).tolist()
    return [rows.slice(begin, end - begin) for begin, end in pairwise([0, *places])]


class Bronze:
    """Tables of bronze as a run has left them, each opened once; by default those of the last run.

    ref: a branch or tag of the catalog.
    """

    def __init__(self, settings: Settings, ref: str = "") -> None:
        self._settings, self._ref = settings, ref
        self._tables: dict[str, Any] = {}

    def rows(self, window: Sequence[Manifest], name: str = "") -> pa.Table:
        """Return what bronze has of manifests that follow each other, in order. name: another table than they say."""
        first, last, name = window[0], window[-1], name or window[0].bronze
        begin, end = min(item.arrived_from for item in window), max(item.arrived_to for item in window)
        condition = (
            f"source_partition == '{first.partition}' and source_offset >= {first.first} and source_offset < {last.end}"
            f" and arrived_at >= '{begin}' and arrived_at <= '{end}'"
        )
        rows = lake_tables.rows(self._settings, self._opened(first.dataset, name), condition, _COLUMNS)
        return rows.select(_COLUMNS).sort_by("source_offset")

    def _opened(self, dataset: str, name: str) -> Any:  # noqa: ANN401 - pyiceberg's, which only engines import
        if name not in self._tables:
            self._ref = self._ref or history.latest(self._settings, dataset)
            self._tables[name] = lake_tables.table(self._settings, name, self._ref)
        return self._tables[name]


def _follows(before: Manifest, manifest: Manifest) -> bool:
    same = (before.topic, before.partition, before.bronze) == (manifest.topic, manifest.partition, manifest.bronze)
    return same and before.end == manifest.first
