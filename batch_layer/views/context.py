"""A run under way: what it works with, and what it has written so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch_layer.views import files, plan, tables, transforms

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import Column, DataFrame, SparkSession

    from batch_layer.views.plan import Current, Plan
    from batch_layer.views.tables import Table
    from engines.table_format import Table as Master
    from meterlake.declaration import Dataset
    from meterlake.grains import Grain

Tell = Callable[[str], None]
"""Takes one line about what is being done, for people."""


@dataclass
class Run:
    """``readings``, ``after`` and ``figures`` are found while the run goes on; the rest stays.

    base: folder of all batch tables. readings: how many are to be judged. after: table -> partition -> folder, once
    published.
    """

    spark: SparkSession
    dataset: Dataset
    master: Master
    current: Current | None
    plan: Plan
    base: str
    tell: Tell = lambda _: None
    readings: int = 0
    after: dict[str, dict[str, str]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def finest_grain(self) -> Grain:
        """The grain that is computed from readings."""
        return self.dataset.finest.grain

    @property
    def finest(self) -> Table:
        """The table of that view."""
        return tables.view_table(self.dataset, self.finest_grain)

    def span(self, grain: Grain) -> set[date] | None:
        """Return the days of a view that are recomputed, None for all: local ones for days, UTC ones for the others."""
        if self.plan.days is None:
            return None
        return plan.local_days(self.dataset, self.plan.days) if grain == "day" else set(self.plan.days)

    def day_of(self, grain: Grain, time: str) -> Column:
        """Return the day, in the calendar of ``grain``, of a time column of UTC wall clock."""
        return transforms.local_day(time, self.dataset) if grain == "day" else transforms.utc_day(time)

    def before(self, table: Table, days: set[date] | None = None) -> dict[str, str]:
        """Return where the published partitions lie: all, or those that hold some days."""
        known = dict(self.current.tables.get(table.name, {})) if self.current else {}
        return known if days is None else {value: known[value] for value in table.values(days) & known.keys()}

    def written(self, table: Table) -> list[str]:
        """Return the folders that this run has written of a table."""
        mark = f"/run={self.plan.run_id}"
        return [folder for folder in self.after[table.name].values() if folder.endswith(mark)]

    def read(self, table: Table, folders: Mapping[str, str] | list[str]) -> DataFrame:
        """Return the rows of some folders of a table."""
        return files.read(self.spark, table, folders.values() if isinstance(folders, Mapping) else folders)

    def write(self, table: Table, rows: DataFrame, old: Mapping[str, str], copied: DataFrame | None = None) -> None:
        """Write the new partitions of a table, and say what became of the ``old`` ones in their place.

        copied: rows of ``old`` that stay as they are.
        """
        self.tell(f"writing {table.name}")
        every = rows if copied is None else rows.unionByName(copied)
        written = files.write(every, table, self.base, self.plan.run_id)
        gone = old.keys() - written.partitions.keys()
        emptied = {value: table.location(self.base, value, self.plan.run_id) for value in gone}
        for folder in emptied.values():
            files.make_folder(self.spark, folder)
        self.after[table.name] = {**self.before(table), **written.partitions, **emptied}
        count, size = files.size(self.spark, old.values()) if copied is not None else (0, 0)
        self.figures[table.name] = {
            "partitions_rewritten": sorted({*written.partitions, *emptied}),
            "files_written": written.files,
            "bytes_written": written.bytes,
            "files_copied_from": count,
            "bytes_copied_from": size,
        }
