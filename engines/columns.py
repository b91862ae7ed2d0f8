"""From the core's SQL to Spark: expressions, and the pure transforms that both layers share.

Nothing is computed here in another way than ``meterlake.state`` and ``meterlake.timegrid`` say; ``DataFrame`` in,
``DataFrame`` out, no I/O. The session's time zone must be UTC (``engines.spark``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.catalyst import Bits
from meterlake import rules, state, timegrid
from meterlake.grains import GRAIN_SECONDS, is_fixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.state import Stored


def columns(pairs: Iterable[tuple[str, str]]) -> list[Column]:
    """Return named columns of (name, Spark SQL), as the core generates them."""
    return [F.expr(f"{sql} AS `{name}`") for name, sql in pairs]


# Each column takes some calls to the JVM; those of a data set stay the same.
@lru_cache
def state_columns(dataset: MeterSeries) -> list[Column]:
    """Return the aggregates of the state, over rows made by ``in_units``; results are BIGINT units."""
    return columns(state.state_aggregates(dataset, "spark"))


@lru_cache
def merge_columns(dataset: MeterSeries, stored: Stored = "units") -> list[Column]:
    """Return the aggregates that roll rows of state up into coarser ones, held as they were."""
    return columns(state.merge_aggregates(dataset, "spark", stored))


def in_units(readings: DataFrame, dataset: MeterSeries, *more: Column) -> DataFrame:
    """Return used readings as the aggregates take them: key, event time, interval, flagged, units.

    readings: columns of ``dataset`` (accepted, deduplicated, without gap rows). more: columns to be kept beside.
    """
    flagged = F.expr(rules.flagged_sql(dataset, "spark")).cast("bigint").alias("flagged")
    return readings.select(
        dataset.key, dataset.event_time, dataset.interval, flagged, *columns(state.unit_columns(dataset)), *more
    )


def states(units: DataFrame, dataset: MeterSeries, grain: Grain) -> DataFrame:
    """Return the state of every meter and row of a view.

    units: rows made by ``in_units``. Returns key, ``grain``, and the state's columns in units.
    """
    return _grouped(units, dataset, dataset.event_time, grain, state_columns(dataset))


def roll_up(
    rows: DataFrame, dataset: MeterSeries, *, finer: Grain, grain: Grain, stored: Stored = "units"
) -> DataFrame:
    """Return the states of ``grain`` from those of a ``finer`` one, held the same way.

    Rows of ``grain`` must begin on those of ``finer`` (``timegrid.rolls_up_from``; the declaration sees to it).
    """
    return _grouped(rows, dataset, finer, grain, merge_columns(dataset, stored))


def with_row_time(rows: DataFrame, dataset: MeterSeries, time: str, grain: Grain) -> DataFrame:
    """Return rows with the time, in the column ``grain``, of the row of that view to which their ``time`` belongs."""
    key, start = _time_key(rows, dataset, time, grain)
    return rows.withColumn("time_key", key).withColumn(grain, start).drop("time_key")


def physical(rows: DataFrame, dataset: MeterSeries, grain: Grain) -> DataFrame:
    """Return states as Parquet holds them: units become DECIMAL(18, s)."""
    return rows.select(dataset.key, grain, *columns(state.physical(dataset, "spark")))


def units(rows: DataFrame, dataset: MeterSeries, grain: Grain) -> DataFrame:
    """Return states in units from DECIMAL(18, s): the inverse of ``physical``."""
    return rows.select(dataset.key, grain, *columns(state.units(dataset, "spark")))


def _grouped(rows: DataFrame, dataset: MeterSeries, time: str, grain: Grain, aggregates: list[Column]) -> DataFrame:
    key, start = _time_key(rows, dataset, time, grain)
    names = [column for column, _ in state.merge_aggregates(dataset, "spark")]
    grouped = rows.groupBy(dataset.key, key.alias("time_key")).agg(*aggregates)
    return grouped.select(dataset.key, start.alias(grain), *names)


def _time_key(rows: DataFrame, dataset: MeterSeries, time: str, grain: Grain) -> tuple[Column, Column]:
    """Return (what to group by, over the rows; what that is as the view's time column, over ``time_key``).

    time: UTC wall clock, or the DATE of rows of days. Rows of a fixed length are grouped by the microseconds of their
    start. ``pmod`` is right before 1970, too.
    """
    if not is_fixed(grain):
        of_days = timegrid.month_sql(time, "spark")
        sql = of_days if time == "day" else timegrid.row_time_sql(time, grain, dataset.time_zone, "spark")
        return F.expr(sql), F.col("time_key")
    bits = Bits(rows.sparkSession)
    return floor_micros(bits.micros(time), GRAIN_SECONDS[grain]), bits.time("time_key")


def floor_micros(micros: Column, seconds: int) -> Column:
    """Return microseconds since 1970, floored to a multiple of so many seconds."""
    return micros - F.pmod(micros, F.lit(seconds * 1_000_000).cast("bigint"))
