"""What readers see: the views' own Parquet files, and rows and checksums through Trino and Hive."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa  # type: ignore[import-untyped]

from engines import hive, metastore, trino
from engines.errors import QueryFailed
from meterlake import views
from meterlake.columns import BIGINT, Column
from meterlake.ddl import HIVE_DATABASE, gap_columns, gaps_table, view_table
from meterlake.merged import published_view
from serving_layer.verify.expected import derived_names
from serving_layer.verify.remote import data_files, download

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.verify.scope import Scope

# Names come from the declaration; literals from ``scope``.
# ruff: noqa: S608

GAPS: Final = "gaps"


def view_names(dataset: MeterSeries) -> list[str]:
    """Return the views that are verified: the grains, then ``gaps``."""
    return [*(view.grain for view in dataset.views), GAPS]


def stored_columns(dataset: MeterSeries, view: str) -> list[Column]:
    """Return the columns of a view as declared."""
    if view == GAPS:
        return gap_columns(dataset)
    return views.view_columns(dataset, next(known.grain for known in dataset.views if known.grain == view))


def hive_table(dataset: MeterSeries, view: str) -> str:
    """Return the unqualified name of a view's table."""
    if view == GAPS:
        return gaps_table(dataset)
    return view_table(dataset, next(known.grain for known in dataset.views if known.grain == view))


def fetch_files(settings: Settings, dataset: MeterSeries, view: str, folder: Path) -> list[str]:
    """Copy the files that the metastore shows readers of a view into ``folder``; return their local names."""
    with metastore.client(settings) as client:
        locations = metastore.partition_locations(client, HIVE_DATABASE, hive_table(dataset, view))
    paths = data_files(settings, sorted(locations.values()))
    return download(settings, paths, folder / view)


def read_files(connection: DuckDBPyConnection, scope: Scope, view: str, files: Sequence[str]) -> None:
    """Make the table ``have_<view>`` of files of a view. Raises QueryFailed where their columns are not as declared."""
    columns = stored_columns(scope.dataset, view)
    table = f"have_{view}"
    if not files:
        _empty(connection, table, columns)
        return
    listed = list(files)
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [listed])
    result = {row[0]: row[1] for row in described.fetchall()}
    wanted = {column.name: column.type.sql("duckdb") for column in columns}
    if result != wanted:
        wrong = [
            f"{name} {result.get(name)} instead of {kind}" for name, kind in wanted.items() if result.get(name) != kind
        ]
        cause = ", ".join(wrong) or f"unknown columns {sorted(result.keys() - wanted.keys())}"
        raise QueryFailed(
            "DuckDB", f"read the files of {hive_table(scope.dataset, view)}", f"Their columns differ: {cause}"
        )
    connection.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT {', '.join(wanted)} "
        f"FROM read_parquet(?, hive_partitioning = false) WHERE {scope.condition(view)}",
        [listed],
    )


def served_columns(dataset: MeterSeries, view: str, *, derived: bool) -> list[Column]:
    """Return the columns that are asked of a server."""
    if view == GAPS or not derived:
        return stored_columns(dataset, view)
    return views.published_columns(dataset, next(v.grain for v in dataset.views if v.grain == view))[:-1]


def through_trino(settings: Settings, scope: Scope, view: str) -> list[list[Any]]:
    """Return the rows of a view as Trino gives them: of the published view, with averages and derived values."""
    names = ", ".join(column.name for column in served_columns(scope.dataset, view, derived=True))
    return trino.rows(settings, f"SELECT {names} FROM {trino_name(scope.dataset, view)} WHERE {scope.condition(view)}")


def through_hive(settings: Settings, scope: Scope, view: str) -> list[tuple[Any, ...]]:
    """Return the rows of a view as HiveServer2 gives them."""
    names = ", ".join(column.name for column in stored_columns(scope.dataset, view))
    return hive.rows(
        settings, f"SELECT {names} FROM {hive_name(scope.dataset, view)} WHERE {scope.condition(view, 'hive')}"
    )


def trino_name(dataset: MeterSeries, view: str) -> str:
    """Return what Trino is asked for."""
    if view == GAPS:
        return f"hive.{HIVE_DATABASE}.{gaps_table(dataset)}"
    return published_view(dataset, next(known.grain for known in dataset.views if known.grain == view))


def hive_name(dataset: MeterSeries, view: str) -> str:
    """Return what Hive is asked for."""
    return f"{HIVE_DATABASE}.{hive_table(dataset, view)}"


def checksum_columns(dataset: MeterSeries, view: str, *, derived: bool) -> list[Column]:
    """Return the columns of a view's checksums: one row a meter and UTC day."""
    key, time, *stored = stored_columns(dataset, view)
    columns = [key, Column("utc_day", views.key_columns(dataset, "day")[1].type), Column("row_count", BIGINT)]
    columns += [Column(f"{time.name}_{end}", time.type) for end in ("first", "last")]
    for column in stored:
        columns += [Column(f"{column.name}_{part}", column.type) for part in ("total", "low", "high")]
    if derived:
        doubles = views.published_columns(dataset, next(v.grain for v in dataset.views if v.grain == view))
        near = set(derived_names(dataset))
        columns += [Column(f"{c.name}_{part}", c.type) for c in doubles if c.name in near for part in ("low", "high")]
    return columns


def checksum_sql(dataset: MeterSeries, view: str, source: str, condition: str, *, derived: bool) -> str:
    """Return SQL, one text for all engines, of the counts, sums and extremes of each meter and UTC day of a view."""
    key, time, *stored = stored_columns(dataset, view)
    day = f"CAST({time.name} AS DATE)"
    parts = [f"{key.name}, {day}, count(*), min({time.name}), max({time.name})"]
    parts += [f"sum({c.name}), min({c.name}), max({c.name})" for c in stored]
    if derived:
        parts += [f"min({name}), max({name})" for name in derived_names(dataset)]
    return f"SELECT {', '.join(parts)} FROM {source} WHERE {condition} GROUP BY {key.name}, {day}"


def load(connection: DuckDBPyConnection, table: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Make a table of rows that a server gave, with the declared types."""
    if not rows:
        _empty(connection, table, columns)
        return
    arrays = [
        pa.array([_typed(value, column) for value in values], _arrow(column))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    answer = pa.table(arrays, names=[column.name for column in columns])
    connection.register("answer", answer)
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM answer")
    connection.unregister("answer")


def _empty(connection: DuckDBPyConnection, table: str, columns: Sequence[Column]) -> None:
    types = ", ".join(f"{column.name} {column.type.sql('duckdb')}" for column in columns)
    connection.execute(f"CREATE OR REPLACE TABLE {table} ({types})")


def _typed(value: Any, column: Column) -> Any:  # noqa: ANN401 - any value of a server
    """Return a value as its column's type: PyHive gives dates as text, and sums of integers may come as decimals."""
    if value is None:
        return None
    if column.type.kind == "date" and isinstance(value, str):
        return date.fromisoformat(value)
    if column.type.kind == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return int(value) if column.type.kind == "bigint" else value


def _arrow(column: Column) -> pa.DataType:
    kinds = {
        "string": pa.string(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
    }
    # Sums of 18 digits may have more.
    return kinds.get(column.type.kind) or pa.decimal128(38, column.type.scale)
