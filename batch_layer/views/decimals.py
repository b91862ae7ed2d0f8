"""Between BIGINT units and DECIMAL(18, s), by moving the point instead of calculating.

A DECIMAL(18, s) is a BIGINT with a point; Spark has expressions that say so, without names in SQL. What
``meterlake.state`` writes in SQL goes through BigDecimal: the same values (a test compares them) for more than twice
the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from pyspark.sql.classic.column import Column as ClassicColumn

from meterlake.columns import PRECISION
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import Dataset
    from meterlake.grains import Grain


def stored(rows: DataFrame, dataset: Dataset, grain: Grain) -> DataFrame:
    """Return states as Parquet holds them: units become DECIMAL(18, s)."""
    catalyst = _catalyst(rows)
    return _converted(rows, dataset, grain, lambda units, scale: catalyst.MakeDecimal(units, PRECISION, scale, True))


def in_units(rows: DataFrame, dataset: Dataset, grain: Grain) -> DataFrame:
    """Return states in units from DECIMAL(18, s): the inverse of ``stored``."""
    catalyst = _catalyst(rows)
    return _converted(rows, dataset, grain, lambda value, _scale: catalyst.UnscaledValue(value))


def _converted(rows: DataFrame, dataset: Dataset, grain: Grain, convert: Callable[[Any, int], Any]) -> DataFrame:
    bridge = _jvm(rows).org.apache.spark.sql.classic.ExpressionUtils
    columns: list[Column] = []
    for measure in dataset.measures:
        for name in measure_columns(measure):
            inner: Any = F.col(name)
            moved = convert(bridge.expression(inner._jc), measure.scale)  # noqa: SLF001 - the JVM's own column
            columns.append(ClassicColumn(bridge.column(moved)).alias(name))
    return rows.select(dataset.key, grain, *STATE_COLUMNS, *columns)


def _catalyst(rows: DataFrame) -> Any:  # noqa: ANN401 - a package of the JVM
    return _jvm(rows).org.apache.spark.sql.catalyst.expressions


def _jvm(rows: DataFrame) -> Any:  # noqa: ANN401 - the JVM's gateway
    session: Any = rows.sparkSession
    return session._jvm  # noqa: SLF001 - pyspark has no public door to it
