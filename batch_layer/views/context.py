"""A run under way: what it works with, and what it has written so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import files, slicing, tables
from batch_layer.views.slicing import Fleet
from meterlake import slices
from meterlake.slices import Change, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.views.plan import Current, Plan
    from batch_layer.views.scope import Scope
    from batch_layer.views.tables import Table
    from engines.table_format import Table as Master
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

Report = Callable[[str], None]
"""Takes one line about what is being done, for people."""


@dataclass
class Run:
    """``newest``, ``fleet``, ``changes`` and ``figures`` come about while the run goes on; the rest stays.

    base: folder of all batch tables. now: the run's clock. changes: table -> name of its partition in Hive -> what
    becomes of it, once published.
    """

    spark: SparkSession
    dataset: MeterSeries
    master: Master
    current: Current | None
    plan: Plan
    base: str
    now: datetime
    report: Report = lambda _: None
    newest: date = date.min
    fleet: Fleet = field(default_factory=Fleet)
    changes: dict[str, dict[str, Change]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    _read: dict[tuple[str, frozenset[str]], DataFrame] = field(default_factory=dict, init=False)

    @property
    def finest_grain(self) -> Grain:
        """The grain that is computed from readings."""
        return self.dataset.finest.grain

    @property
    def finest(self) -> Table:
        """The table of that view."""
        return tables.view_table(self.dataset, self.finest_grain)

    @property
    def last_day(self) -> date:
        """The last day that may be covered. What lies after it comes from a meter whose clock is wrong."""
        return self.now.date() + timedelta(days=1)

    def newest_of(self, days: Iterable[date]) -> date:
        """Return the newest day that is covered: of some days and of the slices that are published."""
        known = (slices.last_day(name) for name in self.before(self.finest))
        return max((day for day in (*days, *known) if day <= self.last_day), default=self.last_day)

    def published(self, table: Table) -> Mapping[str, str]:
        """Return where the published partitions of a table lie, by their names in Hive."""
        return self.current.folders(table.name) if self.current and self.current.is_sliced else {}

    def before(self, table: Table) -> dict[str, str]:
        """Return where the published slices of a table lie; those without rows are none."""
        return self._slices(self.published(table))

    def after(self, table: Table) -> dict[str, str]:
        """Return where the slices of a table lie once this run is published."""
        return self._slices(slices.changed(self.published(table), self.changes.get(table.name, {})))

    def written(self, table: Table) -> dict[str, str]:
        """Return the slices of a table that this run has written."""
        mark = f"/run={self.plan.run_id}"
        return {name: folder for name, folder in self.after(table).items() if folder.endswith(mark)}

    def apart(self, table: Table, folders: Mapping[str, str], scope: Scope) -> tuple[dict[str, str], dict[str, str]]:
        """Return those of some slices of which this run has made all rows, and the others.

        Where a slice was published before, rows of it may have been copied.
        """
        made = self.written(table).keys() - (self.before(table).keys() if scope.is_partial else set())
        whole = {name: folder for name, folder in folders.items() if name in made}
        return whole, {name: folder for name, folder in folders.items() if name not in made}

    def layout(self, table: Table) -> Layout:
        """Return the slices of a table as they are published."""
        return Layout(table.partition, table.smallest, self.newest, frozenset(self.before(table)))

    def touched(self, table: Table, scope: Scope, grain: Grain) -> dict[str, str]:
        """Return the published slices of a table that may hold recomputed rows."""
        before = self.before(table)
        return {name: before[name] for name in scope.slices(self.layout(table), grain) & before.keys()}

    def read(self, table: Table, folders: Mapping[str, str]) -> DataFrame:
        """Return the rows of some slices of a table; what is in a folder never changes, so it is looked at once."""
        wanted = table.name, frozenset(folders.values())
        if wanted not in self._read:
            self._read[wanted] = files.read(self.spark, table, folders.values())
        return self._read[wanted]

    def copied(self, table: Table, scope: Scope, grain: Grain) -> DataFrame | None:
        """Return the rows of touched slices that stay as they are; None where there are no such."""
        old = self.touched(table, scope, grain)
        return scope.outside(self.read(table, old), grain) if old and scope.is_partial else None

    def read_placed(self, table: Table, folders: Mapping[str, str]) -> DataFrame:
        """Return the rows of some slices of a view with ``misplaced``: whether they lie outside their slice."""
        if not folders:
            return self.read(table, folders).withColumn(slicing.MISPLACED, F.lit(False))
        rows = files.read_sliced(self.spark, table, self.base, folders.values())
        return rows.select(*(column.name for column in table.columns), slicing.misplaced(table))

    def known_meters(self) -> Fleet | None:
        """Return the published meters; None where none are."""
        table = tables.meters_table(self.dataset)
        folders = self.before(table)
        if not folders:
            return None
        return Fleet.of_meters(self.read(table, folders), self.dataset.key)

    def stage(self, table: Table, rows: DataFrame) -> None:
        """Write rows of a table where nobody looks for them."""
        self.report(f"writing {table.name}")
        files.stage(rows, table, self.layout(table), self.base, self.plan.run_id, self.fleet)

    def place(self, table: Table, old: Mapping[str, str], copied_from: Mapping[str, str]) -> None:
        """Let staged rows take the place of the slices ``old``. copied_from: those of which rows were copied."""
        written = files.place(self.spark, table, self.base, self.plan.run_id)
        published = self.published(table)
        new = {table.partition_name(name): folder for name, folder in written.slices.items()}
        gone = {table.partition_name(name) for name in old.keys() - written.slices.keys()}
        after = new | dict.fromkeys(gone, tables.empty(self.base))
        self.change(table, {name: Change(published.get(name), folder) for name, folder in after.items()})
        count, size = files.size(self.spark, copied_from.values())
        self.figures[table.name] = {
            "slices_rewritten": sorted({*written.slices, *old}),
            "files_written": written.files,
            "bytes_written": written.bytes,
            "files_copied_from": count,
            "bytes_copied_from": size,
        }

    def give_up_unsliced(self) -> None:
        """Note that partitions of an earlier version, which were not sliced, are gone."""
        if self.current and not self.current.is_sliced:
            for name, folders in self.current.tables.items():
                self.changes[name] = {partition: Change(folder, None) for partition, folder in folders.items()}

    def new_folders(self) -> set[str]:
        """Return the folders that this run has written."""
        mark = f"/run={self.plan.run_id}"
        after = {change.after for changes in self.changes.values() for change in changes.values()}
        return {folder for folder in after if folder is not None and folder.endswith(mark)}

    def change(self, table: Table, changes: Mapping[str, Change]) -> None:
        """Note what becomes of some partitions."""
        self.changes.setdefault(table.name, {}).update(changes)

    def replace(self, table: Table, rows: DataFrame, old: Mapping[str, str], copied: DataFrame | None) -> None:
        """Write rows of a table, and copied ones beside them, in the place of the slices ``old``."""
        self.stage(table, rows if copied is None else rows.unionByName(copied))
        self.place(table, old, old if copied is not None else {})

    def _slices(self, partitions: Mapping[str, str]) -> dict[str, str]:
        none = tables.empty(self.base)
        return {tables.slice_name(name): folder for name, folder in partitions.items() if folder != none}
