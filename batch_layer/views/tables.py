"""The tables of the batch layer: what each holds, how it is partitioned and sorted, and where a run writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake import ddl, views

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from meterlake.columns import Column
    from meterlake.declaration import Dataset, Partition
    from meterlake.grains import Grain

    Locations = Mapping[str, Mapping[str, str]]
    """Table -> value of its partition -> folder."""

FOLDER: Final = "/meterlake/batch"
"""HDFS folder under which each table has its own."""


@dataclass(frozen=True)
class Table:
    """A table of Parquet files. time: the column by which it is partitioned. order: by which its files are sorted."""

    name: str
    columns: tuple[Column, ...]
    partition: Partition
    time: str
    order: tuple[str, ...]

    def spark_schema(self) -> str:
        """Return the columns as Spark DDL."""
        return ", ".join(f"{column.name} {column.type.sql('spark')}" for column in self.columns)

    def value(self, day: date) -> str:
        """Return the value of the partition that holds a day, such as ``2026-11``."""
        return day.strftime({"month": "%Y-%m", "year": "%Y"}[self.partition])

    def values(self, days: Iterable[date]) -> set[str]:
        """Return the values of the partitions that hold some days."""
        return {self.value(day) for day in days}

    def location(self, base: str, value: str, run_id: str) -> str:
        """Return the folder of a partition that a run writes."""
        return f"{base}/{self.name}/{self.partition}={value}/run={run_id}"


def view_table(dataset: Dataset, grain: Grain) -> Table:
    """Return the table of a view."""
    columns = tuple(views.view_columns(dataset, grain))
    return Table(ddl.view_table(dataset, grain), columns, dataset.view(grain).partition, grain, (dataset.key, grain))


def gaps_table(dataset: Dataset) -> Table:
    """Return the table of the gaps."""
    columns = tuple(ddl.gap_columns(dataset))
    return Table(ddl.gaps_table(dataset), columns, dataset.finest.partition, "gap_start", (dataset.key, "gap_start"))


def rejects_table(dataset: Dataset) -> Table:
    """Return the table of the readings that do not count: rejected by a rule, or lost in a conflict."""
    columns = tuple(ddl.reject_columns(dataset))
    arrival = ("received_at", "origin", "origin_partition", "origin_offset")
    order = (dataset.key, dataset.event_time, dataset.interval, *arrival)
    return Table(ddl.rejects_table(dataset), columns, dataset.finest.partition, dataset.event_time, order)


def all_tables(dataset: Dataset) -> list[Table]:
    """Return every table of a data set: views, gaps, rejects."""
    return [*(view_table(dataset, view.grain) for view in dataset.views), gaps_table(dataset), rejects_table(dataset)]
