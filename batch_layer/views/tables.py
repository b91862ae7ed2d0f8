"""The tables of the batch layer: what each holds, how it is sliced and sorted, and where a run writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake import ddl, slices, views
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.columns import Column
    from meterlake.declaration import MeterSeries, Partition
    from meterlake.grains import Grain
    from meterlake.slices import Level

    Locations = Mapping[str, Mapping[str, str]]
    """Table -> name of its partition, as Hive names it -> folder."""

FOLDER: Final = "/meterlake/batch"
"""HDFS folder under which each table has its own."""
ALL: Final = "all"
"""The one slice of a table that is not sliced by time."""
_HOUR_HAS: Final = 12
"""An hour is a slice of its own where it holds at least so many rows of a meter."""


@dataclass(frozen=True)
class Table:
    """A table of Parquet files.

    order: columns by which its files are sorted, the meter first. time: the column by which it is sliced; None: it is
    one slice. partition, smallest: its largest and smallest slices. step_s: seconds between two rows of a meter, where
    there are no gaps.
    """

    name: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    time: str | None
    partition: Partition
    smallest: Level
    step_s: int

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition columns, in Hive's order."""
        return ddl.partition_columns(self.partition) if self.time is not None else (slices.COLUMN,)

    def spark_schema(self) -> str:
        """Return the columns as Spark DDL."""
        return ", ".join(f"{column.name} {column.type.sql('spark')}" for column in self.columns)

    def partition_name(self, name: str) -> str:
        """Return Hive's name of the partition that holds a slice, such as ``month=2026-11/slice=2026-11-26T14``."""
        values = (name,) if self.time is None else (name[: slices.NAME_LENGTH[self.partition]], name)
        return "/".join(f"{column}={value}" for column, value in zip(self.partitions, values, strict=True))

    def location(self, base: str, name: str, run_id: str) -> str:
        """Return the folder of a slice that a run writes."""
        return f"{base}/{self.name}/{self.partition_name(name)}/run={run_id}"


def slice_name(partition: str) -> str:
    """Return the slice that a partition of Hive's name holds."""
    return partition.rpartition("=")[2]


def empty(base: str) -> str:
    """Return the folder without files: where a partition lies before its rows are shown, and after they are gone."""
    return f"{base}/{ddl.EMPTY_FOLDER}"


def view_table(dataset: MeterSeries, grain: Grain) -> Table:
    """Return the table of a view."""
    seconds = GRAIN_SECONDS[grain]
    return Table(
        name=ddl.view_table(dataset, grain),
        columns=tuple(views.view_columns(dataset, grain)),
        order=(dataset.key, grain),
        time=grain,
        partition=dataset.view(grain).partition,
        smallest=_smallest(seconds, dataset.view(grain).partition),
        step_s=seconds,
    )


def gaps_table(dataset: MeterSeries) -> Table:
    """Return the table of the gaps."""
    return _beside_finest(dataset, ddl.gaps_table(dataset), ddl.gap_columns(dataset), "gap_start")


def rejects_table(dataset: MeterSeries) -> Table:
    """Return the table of the readings that do not count: rejected by a rule, or lost in a conflict."""
    arrival = ("received_at", "origin", "origin_partition", "origin_offset")
    more = (dataset.interval, *arrival)
    return _beside_finest(dataset, ddl.rejects_table(dataset), ddl.reject_columns(dataset), dataset.event_time, *more)


def meters_table(dataset: MeterSeries) -> Table:
    """Return the table of the meters: when each was covered first and last."""
    columns = tuple(ddl.meter_columns(dataset))
    return Table(ddl.meters_table(dataset), columns, (dataset.key,), None, dataset.finest.partition, "year", 1)


def all_tables(dataset: MeterSeries) -> list[Table]:
    """Return every table of a data set: views, gaps, rejects, meters."""
    own = (gaps_table(dataset), rejects_table(dataset), meters_table(dataset))
    return [*(view_table(dataset, view.grain) for view in dataset.views), *own]


def _beside_finest(dataset: MeterSeries, name: str, columns: list[Column], time: str, *more: str) -> Table:
    """Return a table sliced as the finest view is."""
    finest = view_table(dataset, dataset.finest.grain)
    order = (dataset.key, time, *more)
    return Table(name, tuple(columns), order, time, finest.partition, finest.smallest, finest.step_s)


def _smallest(seconds: int, partition: Partition) -> Level:
    """Return the smallest slices of a view whose rows last so long."""
    if seconds > GRAIN_SECONDS["day"]:
        return partition
    return "hour" if seconds * _HOUR_HAS <= GRAIN_SECONDS["hour"] else "day"
