"""The master data set: every reading that could be decoded, for ever; and the quarantine of all else.

Both are tables behind ``engines.table_format``, created from the declaration when they are first opened. Their
partitions are those of the finest view (a month, say): one unit of rewrite from input to output. Daily ones were
measured and cost three times as much to write and to read: the history would be 1,442 files of 20 kB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.spark import CATALOG
from engines.table_format import NotYetAvailable
from engines.table_layout import Layout
from meterlake.schema import counter_fields, master_fields, quarantine_fields

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from engines.table_format import Table
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

DATABASE: Final = "master"


def master(spark: SparkSession, settings: Settings, dataset: MeterSeries) -> Table:
    """Open the master table of a data set, created if it is not there, with the quarantine that is looked at beside it.

    spark: a session of ``engines.spark``. Raises NotYetAvailable for a table format that cannot be written,
    EngineUnavailable when the metastore or HDFS does not answer.
    """
    layout = Layout(master_fields(dataset), dataset.event_time, dataset.key, dataset.finest.partition)
    table, created = _open(spark, settings, dataset, dataset.name, layout)
    if created:
        quarantine(spark, settings, dataset)
    return table


def quarantine(spark: SparkSession, settings: Settings, dataset: MeterSeries) -> Table:
    """Open the quarantine of a data set, created if it is not there; its days are those of arrival."""
    layout = Layout(quarantine_fields(dataset), "received_at", "origin", dataset.finest.partition)
    return _open(spark, settings, dataset, f"{dataset.name}_quarantine", layout)[0]


def counters(spark: SparkSession, settings: Settings, dataset: MeterSeries) -> Table:
    """Open the ends of a data set's counters, created if it is not there."""
    layout = Layout(counter_fields(dataset), "read_at", dataset.key, dataset.finest.partition)
    return _open(spark, settings, dataset, f"{dataset.name}_counters", layout)[0]


def has_counters(spark: SparkSession, dataset: MeterSeries) -> bool:
    """Return whether files of a data set with counters have been loaded."""
    return spark.catalog.tableExists(f"{CATALOG}.{DATABASE}.{dataset.name}_counters")


def _open(
    spark: SparkSession, settings: Settings, dataset: MeterSeries, name: str, layout: Layout
) -> tuple[Table, bool]:
    """Return a table, and whether it has just been created."""
    from engines.table_format_iceberg import IcebergTable  # with pyspark: others ask for the tables' names alone

    if dataset.table_format != "iceberg":
        raise NotYetAvailable(
            f"Data set {dataset.name!r} is declared with table_format={dataset.table_format!r},"
            " which cannot be written yet.",
            hint="Declare table_format='iceberg'.",
        )
    table = IcebergTable(spark, settings, DATABASE, name, layout)
    return table, table.create()
