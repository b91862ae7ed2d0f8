"""The published views on their way from files and servers, and their comparison with what was recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines import hive, trino
from serving_layer.verify import actual, expected
from serving_layer.verify.compare import Comparison, Shape, compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from meterlake.columns import Column
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.verify.scope import Scope


# Names come from the declaration and from this package.
# ruff: noqa: S608


class Answers:
    """Files and rows of the published views, fetched while DuckDB works.

    The finest view is asked of servers as checksums of each meter and day, the others row by row.
    """

    def __init__(self, settings: Settings, scope: Scope, pool: ThreadPoolExecutor, folder: Path) -> None:
        dataset = scope.dataset
        self.hive: dict[str, Future[Any]] = {}
        self.trino: dict[str, Future[Any]] = {}
        self.files: dict[str, Future[list[str]]] = {}
        for view in actual.view_names(dataset):  # the finest view first: it takes longest
            if is_summed(dataset, view):
                self.hive[view] = pool.submit(hive.rows, settings, _sums_sql(scope, view, derived=False))
                self.trino[view] = pool.submit(trino.rows, settings, _sums_sql(scope, view, derived=True))
            else:
                self.hive[view] = pool.submit(actual.through_hive, settings, scope, view)
                self.trino[view] = pool.submit(actual.through_trino, settings, scope, view)
            self.files[view] = pool.submit(actual.fetch_files, settings, dataset, view, folder)


def is_summed(dataset: MeterSeries, view: str) -> bool:
    """Return whether a view is asked of servers as checksums."""
    return view == dataset.finest.grain


def compare_files(connection: DuckDBPyConnection, scope: Scope, answers: Answers) -> list[Comparison]:
    """Compare every row of every view with the views' own files."""
    comparisons = []
    for view, files in answers.files.items():
        actual.read_files(connection, scope, view, files.result())
        shape = shape_of(actual.stored_columns(scope.dataset, view))
        tables = (f"want_{view}", f"have_{view}")
        comparisons.append(compare(connection, view, "files, every row", tables, shape))
        connection.execute(f"DROP TABLE have_{view}")
    return comparisons


def compare_served(connection: DuckDBPyConnection, scope: Scope, answers: Answers) -> list[Comparison]:
    """Compare what Trino and Hive answer."""
    dataset, comparisons = scope.dataset, []
    for view in answers.files:
        what = "sums of days" if is_summed(dataset, view) else "every row"
        for engine, rows, derived in (
            ("Trino", answers.trino[view], view != actual.GAPS),
            ("Hive", answers.hive[view], False),
        ):
            columns = _asked(dataset, view, derived=derived)
            actual.load(connection, "answered", columns, rows.result())
            want = _expected(connection, dataset, view, derived=derived)
            comparisons.append(compare(connection, view, f"{engine}, {what}", (want, "answered"), shape_of(columns)))
    return comparisons


def shape_of(columns: Sequence[Column]) -> Shape:
    """Return how rows of some columns are compared: the first two are their key, doubles need only be near."""
    near = [column.name for column in columns if column.type.kind == "double"]
    exact = [column.name for column in columns[2:] if column.name not in near]
    return Shape([column.name for column in columns[:2]], exact, near)


def _asked(dataset: MeterSeries, view: str, *, derived: bool) -> list[Column]:
    if is_summed(dataset, view):
        return actual.checksum_columns(dataset, view, derived=derived)
    return actual.served_columns(dataset, view, derived=derived)


def _expected(connection: DuckDBPyConnection, dataset: MeterSeries, view: str, *, derived: bool) -> str:
    """Make the rows that a server must give; return their table."""
    source = f"want_{view}"
    if derived:
        source = f"({expected.published_sql(dataset, source)}) AS published"
    if is_summed(dataset, view):
        names = ", ".join(column.name for column in actual.checksum_columns(dataset, view, derived=derived))
        sums = actual.checksum_sql(dataset, view, source, "1 = 1", derived=derived)
        connection.execute(f"CREATE OR REPLACE TABLE want_answer AS SELECT * FROM ({sums}) AS sums({names})")
    else:
        connection.execute(f"CREATE OR REPLACE TABLE want_answer AS SELECT * FROM {source}")
    return "want_answer"


def _sums_sql(scope: Scope, view: str, *, derived: bool) -> str:
    dataset = scope.dataset
    source = actual.trino_name(dataset, view) if derived else actual.hive_name(dataset, view)
    condition = scope.condition(view, "trino" if derived else "hive")
    return actual.checksum_sql(dataset, view, source, condition, derived=derived)
