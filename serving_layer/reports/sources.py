"""Where readings come from: the batch views through Hive or Trino, or the merged view through Trino.

A source yields plain frames with the columns asked for; values are bound, names come from declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import pandas as pd

from engines import hive, trino
from engines.errors import QueryFailed
from meterlake.columns import DATE, STRING, TIMESTAMP, Dialect, LogicalType
from meterlake.ddl import HIVE_DATABASE, gap_partition, gaps_table, view_table
from meterlake.declaration import MeterSeries
from meterlake.errors import UnknownName
from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.merged import CATALOG, MERGED
from meterlake.settings import Settings
from meterlake.views import derived_sql
from serving_layer.reports.errors import ViewMissing

MERGED_SCHEMA: Final = f"{CATALOG}.{MERGED}"
"""Where the views are that both layers answer, in Trino: ``hive.merged.<data set>_<grain>``."""

SOURCES: Final = ("merged", "trino", "hive")


@dataclass(frozen=True)
class Window:
    """One meter and a half-open range of time, both ends aware."""

    meter: str
    since: datetime
    until: datetime


class Source(Protocol):
    """Reads the views of a data set."""

    @property
    def title(self) -> str:
        """What a reader is told about where the numbers are from."""

    def extents(self, dataset: MeterSeries) -> dict[str, tuple[date, date]]:
        """Return meter -> first and last day with readings. It reads the rows of all meters."""

    def extent(self, dataset: MeterSeries, meter: str) -> tuple[date, date] | None:
        """Return a meter's first and last day with readings, or None if it has none."""

    def view(self, dataset: MeterSeries, grain: Grain, columns: Sequence[str], window: Window) -> pd.DataFrame:
        """Return the rows of a view, sorted: ``start`` (UTC wall clock; a day's date) and columns as floats."""

    def gaps(self, dataset: MeterSeries, window: Window) -> pd.DataFrame:
        """Return runs without coverage that touch the window, sorted: ``gap_start``, ``gap_end``, UTC wall clock."""


Run = Callable[[str, list[Any]], Sequence[Sequence[Any]]]
"""Runs a statement with its values in order of their placeholders."""


@dataclass
class Statement:
    """SQL with bound values: ``bind`` returns the placeholder that stands for a value."""

    dialect: Dialect
    values: list[Any] = field(default_factory=list)

    def bind(self, value: object, kind: LogicalType) -> str:
        """Take a value and return its placeholder, cast to its type."""
        self.values.append(value)
        mark = f"%(p{len(self.values) - 1})s" if self.dialect == "hive" else "?"
        return mark if kind is STRING else f"CAST({mark} AS {kind.sql(self.dialect)})"


@dataclass(frozen=True)
class SqlSource:
    """A source that speaks SQL.

    schema: qualified name of the tables' schema. merged: whether averages, derived values and rows of both
    layers come from a published view, which has no partition columns and no table of gaps.
    """

    name: str
    title: str
    dialect: Dialect
    schema: str
    run: Run
    merged: bool = False

    def extents(self, dataset: MeterSeries) -> dict[str, tuple[date, date]]:
        """Return meter -> first and last day with readings (UTC days where there is no view of days)."""
        grain, table = self._coarsest(dataset)
        statement = f"SELECT {dataset.key}, MIN({grain}), MAX({grain}) FROM {table} GROUP BY {dataset.key}"  # noqa: S608
        rows = self._rows(dataset, statement, [])
        return {row[0]: _days(row[1], row[2]) for row in sorted(rows)}

    def extent(self, dataset: MeterSeries, meter: str) -> tuple[date, date] | None:
        """Return a meter's first and last day: asked by key, so that no other meter's rows are read."""
        grain, table = self._coarsest(dataset)
        statement = Statement(self.dialect)
        mark = statement.bind(meter, STRING)
        text = f"SELECT MIN({grain}), MAX({grain}) FROM {table} WHERE {dataset.key} = {mark}"  # noqa: S608
        first, last = self._rows(dataset, text, statement.values)[0]
        return None if first is None else _days(first, last)

    def _coarsest(self, dataset: MeterSeries) -> tuple[Grain, str]:
        grains = (view.grain for view in dataset.views if view.grain != "month")
        grain = max(grains, key=GRAIN_SECONDS.__getitem__)
        return grain, f"{self.schema}.{view_table(dataset, grain)}"

    def view(self, dataset: MeterSeries, grain: Grain, columns: Sequence[str], window: Window) -> pd.DataFrame:
        """Return the rows of a view."""
        statement = Statement(self.dialect)
        formulas = {} if self.merged else dict(derived_sql(dataset, self.dialect))
        values = [f"CAST({formulas.get(name, name)} AS DOUBLE) AS {name}" for name in columns]
        since, until, kind = self._bounds(dataset, grain, window)
        conditions = [
            f"{dataset.key} = {statement.bind(window.meter, STRING)}",
            f"{grain} >= {statement.bind(since, kind)}",
            f"{grain} < {statement.bind(until, kind)}",
            *self._partitions(statement, dataset.view(grain).partition, since, until),
        ]
        text = (
            f"SELECT {', '.join([grain, *values])} FROM {self.schema}.{view_table(dataset, grain)} "  # noqa: S608
            f"WHERE {' AND '.join(conditions)}"
        )
        frame = pd.DataFrame(self._rows(dataset, text, statement.values), columns=["start", *columns])
        frame["start"] = pd.to_datetime(frame["start"]).astype("datetime64[ns]")
        return frame.astype(dict.fromkeys(columns, "float64")).sort_values("start", ignore_index=True)

    def gaps(self, dataset: MeterSeries, window: Window) -> pd.DataFrame:
        """Return the gaps: from their table, or, in the merged view, between its rows."""
        statement = Statement(self.dialect)
        since, until = _utc(window.since), _utc(window.until)
        text = (self._gaps_between_rows if self.merged else self._gaps_table)(dataset, statement, window)
        text += f" AND gap_end > {statement.bind(since, TIMESTAMP)} AND gap_start < {statement.bind(until, TIMESTAMP)}"
        frame = pd.DataFrame(self._rows(dataset, text, statement.values), columns=["gap_start", "gap_end"])
        return frame.astype("datetime64[ns]").sort_values("gap_start", ignore_index=True)

    def _gaps_table(self, dataset: MeterSeries, statement: Statement, window: Window) -> str:
        since, until = _utc(window.since), _utc(window.until)
        return (
            f"SELECT gap_start, gap_end FROM {self.schema}.{gaps_table(dataset)} "  # noqa: S608
            f"WHERE {dataset.key} = {statement.bind(window.meter, STRING)} AND "
            + " AND ".join(self._partitions(statement, gap_partition(dataset), since, until))
        )

    def _gaps_between_rows(self, dataset: MeterSeries, statement: Statement, window: Window) -> str:
        grain = dataset.finest.grain
        end = f"{grain} + INTERVAL '{GRAIN_SECONDS[grain]}' SECOND"
        return (
            f"SELECT gap_start, gap_end FROM (SELECT {end} AS gap_start, "  # noqa: S608
            f"LEAD({grain}) OVER (ORDER BY {grain}) AS gap_end FROM {self.schema}.{view_table(dataset, grain)} "
            f"WHERE {dataset.key} = {statement.bind(window.meter, STRING)}) AS runs WHERE gap_end > gap_start"
        )

    def _bounds(self, dataset: MeterSeries, grain: Grain, window: Window) -> tuple[date, date, LogicalType]:
        """Return the range of a view's own time: UTC wall clock, or local days of which a part is asked for."""
        since, until = _utc(window.since), _utc(window.until)
        if grain != "day":
            return since - timedelta(seconds=_into(since, grain)), until, TIMESTAMP
        zone = ZoneInfo(dataset.time_zone)
        last = (window.until - timedelta(seconds=1)).astimezone(zone).date()
        return window.since.astimezone(zone).date(), last + timedelta(days=1), DATE

    def _partitions(self, statement: Statement, partition: str, since: date, until: date) -> list[str]:
        """Return conditions that keep the engine from opening partitions out of range."""
        if self.merged:
            return []
        pattern = {"month": "%Y-%m", "year": "%Y"}[partition]
        low, high = (statement.bind(moment.strftime(pattern), STRING) for moment in (since, until))
        return [f"{partition} >= {low}", f"{partition} <= {high}"]

    def _rows(self, dataset: MeterSeries, text: str, values: list[Any]) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in self.run(text, values)]
        except QueryFailed as error:
            if any(sign in error.what.lower() for sign in ("does not exist", "not found", "doesn't exist")):
                raise ViewMissing(dataset.name, self.title, error.what.partition(" Statement:")[0]) from error
            raise


def source_of(name: str, settings: Settings) -> Source:
    """Return a source by name; raises UnknownName."""
    if name == "hive":
        return SqlSource(name, "batch views, through Hive", "hive", HIVE_DATABASE, partial(_run_hive, settings))
    run = partial(trino.rows, settings)
    if name == "trino":
        return SqlSource(name, "batch views, through Trino", "trino", f"hive.{HIVE_DATABASE}", run)
    if name == "merged":
        return SqlSource(name, "merged views of both layers, through Trino", "trino", MERGED_SCHEMA, run, merged=True)
    raise UnknownName("source", name, SOURCES)


def _run_hive(settings: Settings, statement: str, values: list[Any]) -> Sequence[Sequence[Any]]:
    return hive.rows(settings, statement, {f"p{index}": value for index, value in enumerate(values)})


def _days(first: object, last: object) -> tuple[date, date]:
    return pd.Timestamp(first).date(), pd.Timestamp(last).date()  # type: ignore[arg-type]


def _utc(moment: datetime) -> datetime:
    """Return UTC wall clock without zone, as the tables have it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _into(moment: datetime, grain: Grain) -> int:
    """Return how many seconds of its minute or hour have passed."""
    return (moment.minute * 60 + moment.second) % GRAIN_SECONDS[grain]
