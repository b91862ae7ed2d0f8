"""A master data set in a folder, for the tests of runs: Iceberg, and no server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from samples import wall_clock

from engines.table_format import Snapshot
from engines.table_format_iceberg import IcebergTable
from engines.table_layout import Layout
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.schema import master_fields
from meterlake.settings import Settings


def frame(spark: SparkSession, dataset: MeterSeries, rows: Iterable[Reading]) -> DataFrame:
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


class LocalMaster(IcebergTable):
    """An Iceberg table in a folder: all that the master data set is, but for the metastore."""

    def __init__(self, spark: SparkSession, settings: Settings, dataset: MeterSeries) -> None:
        layout = Layout(master_fields(dataset), dataset.event_time, dataset.key, dataset.finest.partition)
        super().__init__(spark, settings, "master", f"{dataset.name}_{uuid4().hex[:8]}", layout)
        self.spark, self.dataset = spark, dataset
        self.readings: list[Reading] = []
        self.create()

    def add(self, rows: Iterable[Reading], files: int = 1) -> Snapshot:
        """Append readings in one commit."""
        more = list(rows)
        self.readings += more
        return self.append(frame(self.spark, self.dataset, more).coalesce(files), {})

    def _release_stale_locks(self) -> None:
        """Do nothing: there is no metastore to hold a lock."""
