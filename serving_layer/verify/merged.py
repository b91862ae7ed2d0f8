"""The merged views: what batch must have before the cutover, and what the speed layer has from it on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from serving_layer.verify import actual, expected
from serving_layer.verify.answers import shape_of
from serving_layer.verify.compare import Comparison, compare
from serving_layer.verify.live import MOVING, SPEED, columns_of, rows_condition, sums_condition

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from meterlake.grains import Grain
    from serving_layer.verify.live import Live
    from serving_layer.verify.scope import Scope

# Names come from the declaration, literals from ``scope``.
# ruff: noqa: S608

_PIECES = "merged_pieces"
_SOURCE = "CASE WHEN min(source) = max(source) THEN min(source) ELSE 'both' END AS source"


def view_name(grain: str) -> str:
    """Return what a merged view is called in a report."""
    return f"merged {grain}"


def compare_merged(connection: DuckDBPyConnection, scope: Scope, live: Live) -> list[Comparison]:
    """Compare what Trino answers for the merged views with batch's rows as recomputed and the speed layer's rows.

    Rows that were written while they were read are left out. Needs the tables ``want_…`` and those of ``live.load``.
    """
    scope, dataset = replace(scope, end=None), scope.dataset
    _build(connection, scope, live)
    comparisons = [_sums(connection, scope, live)]
    for grain, rows in live.rows.items():
        columns = columns_of(dataset, grain)
        actual.load(connection, "answered", columns, rows)
        _leave_moving_out(connection, scope, "answered", grain)
        condition = rows_condition(scope, grain, live.every_row_from)
        connection.execute(
            f"CREATE OR REPLACE TABLE want_answer AS SELECT * FROM {_expected(scope, grain)} WHERE {condition}"
        )
        path = "Trino, newest rows" if grain == dataset.finest.grain else "Trino, every row"
        comparisons.append(compare(connection, view_name(grain), path, ("want_answer", "answered"), shape_of(columns)))
    return comparisons


def _build(connection: DuckDBPyConnection, scope: Scope, live: Live) -> None:
    """Make the tables ``want_merged_<grain>``."""
    dataset, finest = scope.dataset, scope.dataset.finest.grain
    times = f"(SELECT {finest} AS moment FROM {SPEED} UNION ALL SELECT {dataset.event_time} FROM counted)"
    expected.make_calendar(connection, dataset, times, "moment")
    pieces = [f"SELECT *, 'batch' AS source FROM want_{finest}"]
    if live.cutover is not None:
        cutover = scope.row_literal(live.cutover, finest)
        pieces[0] += f" WHERE {finest} < {cutover}"
        begins = f"TIMESTAMP '{live.cutover:%Y-%m-%d %H:%M}'"
        pieces.append(f"SELECT *, 'speed' AS source FROM {SPEED} WHERE {finest} >= {begins}")
    connection.execute(
        f"CREATE OR REPLACE TABLE {_PIECES} AS {' UNION ALL BY NAME '.join(f'({sql})' for sql in pieces)}"
    )
    for view in dataset.views:
        if view.grain != finest:
            rolled = expected.rolled_sql(dataset, _PIECES, finest, view.grain, _SOURCE)
            connection.execute(f"CREATE OR REPLACE TABLE want_merged_{view.grain} AS {rolled}")
    connection.execute(f"ALTER TABLE {_PIECES} RENAME TO want_merged_{finest}")
    for view in dataset.views:
        table = f"want_merged_{view.grain}"
        connection.execute(f"DELETE FROM {table} WHERE NOT ({scope.condition(view.grain)})")
        _leave_moving_out(connection, scope, table, view.grain)


def _leave_moving_out(connection: DuckDBPyConnection, scope: Scope, table: str, grain: Grain) -> None:
    key, finest = scope.dataset.key, scope.dataset.finest.grain
    moving = f"SELECT {key}, row_time FROM ({expected.placed_sql(MOVING, finest, grain)})"
    connection.execute(f"DELETE FROM {table} WHERE ({key}, {grain}) IN ({moving})")


def _sums(connection: DuckDBPyConnection, scope: Scope, live: Live) -> Comparison:
    dataset, finest = scope.dataset, scope.dataset.finest.grain
    columns = actual.checksum_columns(dataset, finest, derived=True)
    actual.load(connection, "answered", columns, live.sums)
    condition = sums_condition(scope, live.every_row_from)
    sums = actual.checksum_sql(dataset, finest, _expected(scope, finest), condition, derived=True)
    names = ", ".join(column.name for column in columns)
    connection.execute(f"CREATE OR REPLACE TABLE want_answer AS SELECT * FROM ({sums}) AS sums({names})")
    tables = ("want_answer", "answered")
    return compare(connection, view_name(finest), "Trino, sums of days", tables, shape_of(columns))


def _expected(scope: Scope, grain: Grain) -> str:
    return f"({expected.published_sql(scope.dataset, f'want_merged_{grain}')}) AS published"
