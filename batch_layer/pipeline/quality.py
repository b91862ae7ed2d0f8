"""The table of quality findings: shown to readers, and rid of one meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_layer import quality as checks
from batch_layer.views import files, plan, tables
from engines import metastore
from meterlake.ddl import HIVE_DATABASE
from meterlake.slices import Layout
from serving_layer.publish import tables as published
from serving_layer.publish.folders import difference

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.lease import Lease


def replace(
    session: SparkSession, settings: Settings, dataset: MeterSeries, rows: DataFrame, held: Lease, now: datetime
) -> dict[str, str]:
    """Let readers see these findings instead of those that are there; return partition -> folder.

    The folders of those that were there stay, for queries that are reading them. held: the lease.
    """
    table, base = checks.table(dataset), f"{settings.hdfs}{tables.FOLDER}"
    months = Layout(table.partition, table.smallest, now.date())
    written = files.write(rows, table, months, base, plan.new_run_id(now))
    published.ensure(settings, [published.ViewTable(table.name, table.columns, table.partitions)], replace=True)
    with metastore.client(settings) as client:
        before = published.locations(client, table.name)
    after = {table.partition_name(name): folder for name, folder in written.slices.items()}
    changes = difference({table.name: before}, {table.name: after})
    published.switch(settings, table.name, changes.get(table.name, {}), after, held)
    files.remove_runs(session, table, base, {*after.values(), *before.values()})
    return after


def count(session: SparkSession, settings: Settings, dataset: MeterSeries, meter: str) -> int:
    """Return how many findings there are about a meter."""
    folders = _folders(settings, dataset)
    rows = files.read(session, checks.table(dataset), folders) if folders else None
    return 0 if rows is None else rows.where(rows[dataset.key] == meter).count()


def remove_meter(
    session: SparkSession, settings: Settings, dataset: MeterSeries, meter: str, held: Lease, now: datetime
) -> None:
    """Remove all findings about a meter, and the files that have them; nothing happens where there are none."""
    folders = _folders(settings, dataset)
    if not folders:
        return
    table = checks.table(dataset)
    rows = files.read(session, table, folders)
    after = set(folders)
    if count(session, settings, dataset, meter):
        after = set(replace(session, settings, dataset, rows.where(rows[dataset.key] != meter), held, now).values())
    files.remove_runs(session, table, f"{settings.hdfs}{tables.FOLDER}", after)


def _folders(settings: Settings, dataset: MeterSeries) -> list[str]:
    if not dataset.quality:
        return []
    name = checks.table(dataset).name
    with metastore.client(settings) as client:
        if metastore.get_table(client, HIVE_DATABASE, name) is None:
            return []
        located = published.locations(client, name)
    empty = tables.empty(f"{settings.hdfs}{tables.FOLDER}")
    return sorted({folder for folder in located.values() if folder != empty})
