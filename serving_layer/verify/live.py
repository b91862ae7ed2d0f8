"""What readers see of both layers: rows of the speed layer, and of the merged views, in Trino."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import trino
from meterlake import views
from meterlake.boundary import first_living
from meterlake.columns import BIGINT, Column
from meterlake.merged import merged_view
from serving_layer.merged.layers import Window, speed_rows, state_names
from serving_layer.sql.views import current_cutover
from serving_layer.verify import actual, expected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.settings import Settings
    from serving_layer.verify.scope import Scope

# Names come from the declaration, literals from ``scope``.
# ruff: noqa: S608

SPEED: Final = "speed_rows"
"""Table: the speed layer's rows in physical units."""
MOVING: Final = "moving_rows"
"""Table: rows of the speed layer that were written while the merged views were read."""
EVERY_ROW: Final = timedelta(hours=1)
"""Rows of the finest merged view from so long before the cutover on are compared one by one, those before by sums."""
_READING: Final = timedelta(minutes=5)
"""Rows that expire so soon are not compared: reading takes a while."""
_AHEAD: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Live:
    """Answers of the servers. cutover: where speed takes over, None where batch alone answers.

    since: before it, speed rows may have expired. before, after: speed rows, read before and after the merged views.
    sums: of the finest merged view, in front of ``every_row_from``. rows: of each merged view.
    """

    cutover: datetime | None
    since: datetime
    before: Sequence[Sequence[Any]]
    after: Sequence[Sequence[Any]]
    sums: Sequence[Sequence[Any]]
    rows: dict[Grain, Sequence[Sequence[Any]]]

    @property
    def every_row_from(self) -> datetime | None:
        """From where on rows of the finest view were asked for; None: nowhere."""
        return self.cutover - EVERY_ROW if self.cutover else None


def fetch(settings: Settings, scope: Scope, clock: Clock) -> Live:
    """Ask Cassandra and Trino."""
    scope, dataset = replace(scope, end=None), scope.dataset
    cutover, now = current_cutover(settings, dataset), clock()
    first, last = scope.bounds()
    since = first_living(now + _READING, settings.speed_ttl)
    window = Window(scope.meters or None, max(since, first or since), min(now + _AHEAD, last or now + _AHEAD))
    has_speed = cutover is not None and window.since < window.until
    before = speed_rows(settings, dataset, window) if has_speed else []
    finest = dataset.finest.grain
    cut = cutover - EVERY_ROW if cutover else None
    sums = trino.rows(settings, _sums_sql(scope, cut))
    rows: dict[Grain, Sequence[Sequence[Any]]] = {}
    for view in dataset.views:
        if view.grain != finest or cut is not None:
            rows[view.grain] = trino.rows(settings, _rows_sql(scope, view.grain, cut))
    after = speed_rows(settings, dataset, window) if has_speed else []
    return Live(cutover, since, before, after, sums, rows)


def load(connection: DuckDBPyConnection, scope: Scope, live: Live) -> None:
    """Make the tables of the speed layer's rows, and of those that were written meanwhile."""
    dataset, finest = scope.dataset, scope.dataset.finest.grain
    columns = views.key_columns(dataset, finest)
    columns += [Column(name, BIGINT) for name in state_names(dataset)]
    for name, rows in (("units_before", live.before), ("units_after", live.after)):
        actual.load(connection, name, columns, rows)
    states = ", ".join(
        f"{expected.physical_sql(f'{measure.name}_{part}', measure)} AS {measure.name}_{part}"
        for measure in dataset.measures
        for part in ("sum", "min", "max")
    )
    listed = f"{dataset.key}, {finest}, readings, covered_s, flagged, {states}"
    connection.execute(f"CREATE OR REPLACE TABLE {SPEED} AS SELECT {listed} FROM units_before")
    connection.execute(
        f"""CREATE OR REPLACE TABLE {MOVING} AS SELECT DISTINCT {dataset.key}, {finest} FROM (
        (FROM units_before EXCEPT FROM units_after) UNION ALL (FROM units_after EXCEPT FROM units_before))"""
    )


def rows_condition(scope: Scope, grain: Grain, cut: datetime | None) -> str:
    """Return the condition on the rows of a merged view that are compared one by one."""
    condition = scope.condition(grain)
    if grain == scope.dataset.finest.grain and cut is not None:
        return f"{condition} AND {grain} >= {scope.row_literal(cut, grain)}"
    return condition


def sums_condition(scope: Scope, cut: datetime | None) -> str:
    """Return the condition on the rows of the finest merged view that are compared by sums."""
    finest = scope.dataset.finest.grain
    condition = scope.condition(finest)
    return f"{condition} AND {finest} < {scope.row_literal(cut, finest)}" if cut is not None else condition


def columns_of(dataset: MeterSeries, grain: Grain) -> list[Column]:
    """Return the columns of a merged view."""
    return views.published_columns(dataset, grain)


def _rows_sql(scope: Scope, grain: Grain, cut: datetime | None) -> str:
    names = ", ".join(column.name for column in columns_of(scope.dataset, grain))
    return f"SELECT {names} FROM {merged_view(scope.dataset, grain)} WHERE {rows_condition(scope, grain, cut)}"


def _sums_sql(scope: Scope, cut: datetime | None) -> str:
    dataset, finest = scope.dataset, scope.dataset.finest.grain
    view = merged_view(dataset, finest)
    return actual.checksum_sql(dataset, finest, view, sums_condition(scope, cut), derived=True)
