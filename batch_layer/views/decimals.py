"""The states of views between BIGINT units and DECIMAL(18, s), as Parquet holds them.

The same values as by the SQL of ``meterlake.state`` (a test compares them), by moving the point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.catalyst import Bits
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain


def stored(rows: DataFrame, dataset: MeterSeries, grain: Grain) -> DataFrame:
    """Return states as Parquet holds them: units become DECIMAL(18, s)."""
    return _converted(rows, dataset, grain, Bits(rows).decimal)


def in_units(rows: DataFrame, dataset: MeterSeries, grain: Grain, *more: str) -> DataFrame:
    """Return states in units from DECIMAL(18, s): the inverse of ``stored``. more: columns to be kept beside."""
    bits = Bits(rows)
    return _converted(rows, dataset, grain, lambda name, _scale: bits.units(name), *more)


def _converted(
    rows: DataFrame, dataset: MeterSeries, grain: Grain, convert: Callable[[str, int], Column], *more: str
) -> DataFrame:
    columns = [
        convert(name, measure.scale).alias(name) for measure in dataset.measures for name in measure_columns(measure)
    ]
    return rows.select(dataset.key, grain, *STATE_COLUMNS, *columns, *more)
