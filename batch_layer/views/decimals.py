"""The states of views between BIGINT units and DECIMAL(18, s), as Parquet holds them.

The same values as by the SQL of ``meterlake.state`` (a test compares them), by moving the point.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from engines.catalyst import Bits
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain


def stored(rows: DataFrame, dataset: MeterSeries, grain: Grain) -> DataFrame:
    """Return states as Parquet holds them: units become DECIMAL(18, s)."""
    return rows.select(dataset.key, grain, *STATE_COLUMNS, *_decimals(dataset, rows.sparkSession))


def in_units(rows: DataFrame, dataset: MeterSeries, grain: str, *more: str) -> DataFrame:
    """Return states in units from DECIMAL(18, s): the inverse of ``stored``. more: columns to be kept beside."""
    return rows.select(dataset.key, grain, *STATE_COLUMNS, *_units(dataset, rows.sparkSession), *more)


# Each column is made by some dozens of calls to the JVM; those of a data set stay the same.
@lru_cache
def _decimals(dataset: MeterSeries, session: SparkSession) -> tuple[Column, ...]:
    return tuple(Bits(session).decimal(name, scale).alias(name) for name, scale in _measures(dataset))


@lru_cache
def _units(dataset: MeterSeries, session: SparkSession) -> tuple[Column, ...]:
    return tuple(Bits(session).units(name).alias(name) for name, _ in _measures(dataset))


def _measures(dataset: MeterSeries) -> list[tuple[str, int]]:
    return [(name, measure.scale) for measure in dataset.measures for name in measure_columns(measure)]
