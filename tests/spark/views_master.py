"""A master data set in memory, for the tests of runs: what ``engines.table_format.Table`` promises, no server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

from pyspark.sql import DataFrame, SparkSession
from samples import wall_clock

from engines.table_format import Compaction, Size, Snapshot
from meterlake.declaration import Dataset
from meterlake.reading import Reading
from meterlake.schema import master_fields


def frame(spark: SparkSession, dataset: Dataset, rows: Iterable[Reading]) -> DataFrame:
    """Return readings as rows of the master table."""
    schema = ", ".join(f"{field.name} {field.type.sql('spark')}" for field in master_fields(dataset))
    data = [
        (
            row.meter_id,
            wall_clock(row.ts),
            row.interval_s,
            *row.values,
            row.revision,
            row.received_at.astimezone(UTC).replace(tzinfo=None),
            row.origin,
            row.origin_partition,
            row.origin_offset,
            "load",
        )
        for row in rows
    ]
    return spark.createDataFrame(data, schema)


class MemoryMaster:
    """Readings by snapshot; it notes which days were read."""

    name = "memory"

    def __init__(self, spark: SparkSession, dataset: Dataset) -> None:
        self.spark, self.dataset = spark, dataset
        self.commits: list[list[Reading]] = []
        self.asked: list[list[date] | None] = []

    def add(self, rows: Iterable[Reading]) -> None:
        self.commits.append(list(rows))

    def rows(self, snapshot: int | None = None) -> list[Reading]:
        return [row for commit in self.commits[:snapshot] for row in commit]

    def current(self) -> Snapshot | None:
        count = len(self.commits)
        return Snapshot(count, count - 1 or None, datetime(2026, 1, 1, tzinfo=UTC), "append") if count else None

    def changed_days(self, since: int | None, until: int | None = None) -> list[date]:
        return sorted({wall_clock(row.ts).date() for commit in self.commits[since or 0 : until] for row in commit})

    def read(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> DataFrame:
        self.asked.append(None if days is None else sorted(days))
        wanted = None if days is None else set(days)
        kept = [row for row in self.rows(snapshot) if wanted is None or wall_clock(row.ts).date() in wanted]
        return frame(self.spark, self.dataset, kept)

    def size(self, days: Iterable[date] | None = None, snapshot: int | None = None) -> Size:
        wanted = None if days is None else set(days)
        kept = [row for row in self.rows(snapshot) if wanted is None or wall_clock(row.ts).date() in wanted]
        return Size(1, 1, len(kept))

    def append(self, rows: DataFrame, properties: Mapping[str, str]) -> Snapshot:
        raise NotImplementedError

    def stage(self, rows: DataFrame, token: str, properties: Mapping[str, str]) -> Snapshot:
        raise NotImplementedError

    def publish(self, staged: Snapshot) -> Snapshot:
        raise NotImplementedError

    def find(self, properties: Mapping[str, str]) -> Snapshot | None:
        raise NotImplementedError

    def compact(self) -> Compaction:
        raise NotImplementedError

    def expire(self, before: datetime, needed: Iterable[int], newest_of: str) -> int:
        raise NotImplementedError

    def remove_orphans(self, before: datetime) -> int:
        raise NotImplementedError
