"""The join of readings with what was valid at their time: pure transforms, ``DataFrame`` in, ``DataFrame`` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake import timegrid
from meterlake.columns import TIMESTAMP
from meterlake.presentation import DAY, staging_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from meterlake.assignments import Assignments, Touched
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation


@dataclass(frozen=True)
class Changed:
    """What is computed again: all readings of some local days, and those of meters in some time. days: None: all."""

    days: tuple[date, ...] | None
    touched: tuple[Touched, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is."""
        return self.days == () and not self.touched

    def within(self, rows: DataFrame, series: MeterSeries, time: str) -> DataFrame:
        """Return those of rows with the meter, ``day`` and ``time`` that are computed again."""
        if self.days is None:
            return rows
        of_days = F.col(DAY).isin(list(self.days)) if self.days else F.lit(False)
        if not self.touched:
            return rows.where(of_days)
        schema = f"touched_meter STRING, touched_from {TIMESTAMP.sql('spark')}, touched_to {TIMESTAMP.sql('spark')}"
        touched = F.broadcast(rows.sparkSession.createDataFrame(list(self.touched), schema))
        matches = (
            (F.col(series.key) == F.col("touched_meter"))
            & (F.col(time) >= F.col("touched_from"))
            & (F.col(time) < F.col("touched_to"))
        )
        return rows.where(of_days).unionByName(rows.where(~of_days).join(touched, matches, "left_semi"))


def timed(cells: DataFrame, series: MeterSeries) -> DataFrame:
    """Return rows of the finest view with their ``interval_start`` and local ``day``."""
    start = F.col(series.finest.grain)
    day = F.expr(timegrid.local_day_sql(series.finest.grain, series.time_zone, "spark"))
    return cells.withColumns({"interval_start": start, DAY: day})


def staged(cells: DataFrame, series: MeterSeries, presentation: Presentation, assigned: Assignments) -> DataFrame:
    """Return the rows of staging: ``timed`` cells, each joined with the one stretch of its meter that holds then."""
    right = _assignments(cells.sparkSession, series, presentation, assigned)
    matches = (
        (F.col(series.key) == F.col("assigned_meter"))
        & (F.col("interval_start") >= F.col("assigned_from"))
        & (F.col("interval_start") < F.col("assigned_to"))
    )
    zone, seconds = series.time_zone, series.cell_s
    unknown = {presentation.unassigned: True, presentation.overlapping: False}
    unknown |= {
        f"unknown_{lookup.reference}": lookup in presentation.by_meter(series) for lookup in presentation.lookups
    }
    end = f"interval_start + INTERVAL '{seconds}' SECOND"
    midnight = f"convert_timezone('{zone}', 'UTC', CAST({DAY} AS TIMESTAMP_NTZ))"
    joined = cells.join(F.broadcast(right), matches, "left").withColumns(
        {
            "interval_end": F.expr(end),
            "local_start": F.expr(f"convert_timezone('UTC', '{zone}', interval_start)"),
            "local_end": F.expr(f"convert_timezone('UTC', '{zone}', {end})"),
            "settlement_period": F.expr(
                f"CAST(timestampdiff(SECOND, {midnight}, interval_start) DIV {seconds} + 1 AS INT)"
            ),
            **{name: F.coalesce(F.col(name), F.lit(value)) for name, value in unknown.items()},
        }
    )
    return joined.select(*(column.name for column in staging_columns(series, presentation)))


def days_of(rows: DataFrame) -> list[date]:
    """Return the local days of rows, in order."""
    return sorted(row[DAY] for row in rows.select(DAY).distinct().collect())


def _assignments(
    spark: SparkSession, series: MeterSeries, presentation: Presentation, assigned: Assignments
) -> DataFrame:
    time = TIMESTAMP.sql("spark")
    columns = ", ".join(f"{column.name} {column.type.sql('spark')}" for column in presentation.joined_columns(series))
    rows: Sequence[tuple[Any, ...]] = assigned.rows()
    return spark.createDataFrame(
        list(rows), f"assigned_meter STRING, assigned_from {time}, assigned_to {time}, {columns}"
    )
