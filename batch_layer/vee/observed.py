"""What readings make of each meter's day, and which days differ from what was validated: pure transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake import timegrid
from meterlake.vee.declaration import Spike, WrongMultiplier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import Measure, MeterSeries
    from meterlake.vee.declaration import Vee

START: Final = "start_s"
UNITS: Final = "units"
USUAL_PEAK: Final = "usual_peak"
USUAL_SUM: Final = "usual_sum"


def timed(cells: DataFrame, series: MeterSeries, measure: Measure) -> DataFrame:
    """Return rows of the finest view as (key, start_s, day, units, covered_s, sum, content).

    units: the sum of a whole interval; where readings cover a part of it, in proportion.
    """
    grain, name = series.finest.grain, f"{measure.name}_sum"
    units = f"CAST({name} * CAST('{10**measure.scale}' AS DECIMAL(10, 0)) AS BIGINT)"
    whole = f"IF(covered_s = {series.cell_s}, {units}, {units} * {series.cell_s} DIV covered_s)"
    return cells.where("covered_s > 0").select(
        series.key,
        F.expr(timegrid.epoch_seconds_sql(grain, "spark")).alias(START),
        F.expr(timegrid.local_day_sql(grain, series.time_zone, "spark")).alias("day"),
        F.expr(whole).alias(UNITS),
        "covered_s",
        F.col(name).alias("sum"),
        F.xxhash64(F.col(grain), F.col(name), F.col("covered_s")).alias("content"),
    )


def rejected(rejects: DataFrame, series: MeterSeries, measure: Measure) -> DataFrame:
    """Return readings that do not count, as (key, start_s, day, rule, value, content)."""
    time = series.event_time
    held = f"{measure.name} * {series.interval}" if measure.kind == "level" else measure.name
    units = f"floor({held} * 1E{measure.scale} + 0.5)"  # of a value that cannot be, it may pass what can be counted
    value = F.expr(f"CASE WHEN abs({units}) < 1E15 THEN CAST({units} AS BIGINT) END")
    rule = F.when(F.col("verdict") == "conflicting", "duplicate").otherwise(F.col("reason"))
    return rejects.select(
        series.key,
        F.expr(timegrid.epoch_seconds_sql(time, "spark")).alias(START),
        F.expr(timegrid.local_day_sql(time, series.time_zone, "spark")).alias("day"),
        rule.alias("rule"),
        value.alias("value"),
        F.xxhash64(F.col(time), F.col("verdict"), F.col("reason"), F.col(measure.name)).alias("content"),
    )


def days(rows: DataFrame, refused: DataFrame, series: MeterSeries, measure: Measure) -> DataFrame:
    """Return what each meter's day holds, as the table of days has it. rows: ``timed``; refused: ``rejected``."""
    nothing = F.lit(None)
    both = rows.select(series.key, "day", F.lit(1).alias("n"), "covered_s", "sum", "content").unionByName(
        refused.select(
            series.key,
            "day",
            F.lit(0).alias("n"),
            F.lit(0).cast("bigint").alias("covered_s"),
            nothing.cast("decimal(18,0)").alias("sum"),
            "content",
        )
    )
    value = f"DECIMAL(18, {measure.scale})"
    midnight = "convert_timezone('{zone}', 'UTC', CAST({day} AS TIMESTAMP_NTZ))"
    begin, end = (midnight.format(zone=series.time_zone, day=day) for day in ("day", "date_add(day, 1)"))
    return (
        both.groupBy(series.key, "day")
        .agg(
            F.sum("n").alias("intervals"),
            F.sum("covered_s").alias("covered_s"),
            F.coalesce(F.sum("sum"), F.lit(0)).cast(value).alias(f"{measure.name}_sum"),
            F.coalesce(F.max("sum"), F.lit(0)).cast(value).alias(f"{measure.name}_peak"),
            F.bit_xor("content").alias("content"),
        )
        .withColumn("expected", F.expr(f"timestampdiff(SECOND, {begin}, {end}) DIV {series.cell_s}"))
    )


def differing(known: DataFrame, now: DataFrame, key: str) -> DataFrame:
    """Return (key, day) of the days that are not as they were validated."""
    old = known.select(key, "day", F.struct("intervals", "content").alias("old"))
    new = now.select(key, "day", F.struct("intervals", "content").alias("new"))
    return old.join(new, [key, "day"], "full_outer").where("NOT (old <=> new)").select(key, "day")


def usual(amounts: DataFrame, series: MeterSeries, vee: Vee, measure: Measure) -> DataFrame:
    """Return days with the meter's usual peak and sum before each, in units; NULL where too few days are known."""
    factor = 10**measure.scale
    with_readings = amounts.where("intervals > 0")
    columns = []
    for kind, column, name in ((Spike, "peak", USUAL_PEAK), (WrongMultiplier, "sum", USUAL_SUM)):
        rule = vee.rule(kind)
        if not isinstance(rule, Spike | WrongMultiplier):
            columns.append(F.lit(None).cast("bigint").alias(name))
            continue
        frame = (
            f"OVER (PARTITION BY {series.key} ORDER BY unix_date(day)"
            f" RANGE BETWEEN {rule.days} PRECEDING AND 1 PRECEDING)"
        )
        # Of an even number of days the middle is a half: two doubles of whole numbers, exact.
        value = f"CAST({measure.name}_{column} * CAST('{factor}' AS DECIMAL(10, 0)) AS BIGINT)"
        middle = f"CAST(floor(percentile({value}, 0.5D) {frame}) AS BIGINT)"
        columns.append(F.expr(f"CASE WHEN count(*) {frame} >= {rule.at_least} THEN {middle} END").alias(name))
    return with_readings.select("*", *columns)
