"""The rules over rows of many meters, in the engine: each group of meters in one pass of array operations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.vee.observed import START, UNITS, USUAL_PEAK, USUAL_SUM
from batch_layer.vee.stretches import seconds
from meterlake.vee.declaration import WrongMultiplier
from meterlake.vee.rules import UNKNOWN, Rows, find

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import Measure, MeterSeries
    from meterlake.vee.declaration import Vee

METERS_A_GROUP: Final = 50
MISSING: Final = "missing"
REPLACE: Final = "replace"
COLUMNS: Final = ("rule", "begins_s", "ends_s", "intervals", "action", "value", "expected")
"""Of a finding beside the meter, in seconds and units."""
_SCHEMA: Final = (
    "rule STRING, begins_s BIGINT, ends_s BIGINT, intervals BIGINT, action STRING, value BIGINT, expected BIGINT"
)


def by_rules(rows: DataFrame, usual: DataFrame, series: MeterSeries, vee: Vee, meters: int) -> DataFrame:
    """Return what the rules find in rows and runs of them. rows: ``observed.timed``. meters: how many they are of."""
    measure, key = vee.of(series), series.key
    peaks = usual.select(key, "day", USUAL_PEAK)
    groups = max(meters // METERS_A_GROUP, 2 * rows.sparkSession.sparkContext.defaultParallelism)
    bucket = F.pmod(F.xxhash64(key), F.lit(groups))
    given = rows.join(peaks, [key, "day"], "left").select(
        key,
        START,
        UNITS,
        F.unix_date("day").cast("bigint").alias("day_number"),
        F.coalesce(F.col(USUAL_PEAK), F.lit(UNKNOWN)).cast("bigint").alias(USUAL_PEAK),
        bucket.alias("bucket"),
    )
    result = partial(_find, vee=vee, measure=measure, key=key, step=series.cell_s)
    return given.groupBy("bucket").applyInArrow(result, f"{key} STRING, {_SCHEMA}")


def _find(table: pa.Table, vee: Vee, measure: Measure, key: str, step: int) -> pa.Table:
    names = table[key].combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    starts = table[START].to_numpy()
    order = np.lexsort((starts, codes))
    columns = [table[name].to_numpy()[order] for name in (UNITS, "day_number", USUAL_PEAK)]
    rows = Rows(codes[order], starts[order], *columns)
    result = find(rows, vee, measure, step)
    listed = {
        key: names.dictionary.take(pa.array([int(rows.meter[one.first]) for one in result], pa.int64())),
        "rule": pa.array([one.rule for one in result], pa.string()),
        "begins_s": pa.array([int(rows.starts[one.first]) for one in result], pa.int64()),
        "ends_s": pa.array([int(rows.starts[one.last - 1]) + step for one in result], pa.int64()),
        "intervals": pa.array([one.last - one.first for one in result], pa.int64()),
        "action": pa.array([one.action for one in result], pa.string()),
        "value": pa.array([one.value for one in result], pa.int64()),
        "expected": pa.array([one.expected for one in result], pa.int64()),
    }
    return pa.table(listed)


def of_days(usual: DataFrame, series: MeterSeries, vee: Vee) -> DataFrame | None:
    """Return the days whose sum is about ``factor`` times the usual, or so small a part; None without such a rule."""
    rule, measure = vee.rule(WrongMultiplier), vee.of(series)
    if not isinstance(rule, WrongMultiplier):
        return None
    total = f"CAST({measure.name}_sum * CAST('{10**measure.scale}' AS DECIMAL(10, 0)) AS BIGINT)"
    about = "{value} * 3 >= {other} * {factor} AND {value} <= {other} * {factor} * 3"
    either = " OR ".join(
        f"({about.format(value=value, other=other, factor=rule.factor)})"
        for value, other in ((total, USUAL_SUM), (USUAL_SUM, total))
    )
    midnight = "convert_timezone('{zone}', 'UTC', CAST({day} AS TIMESTAMP_NTZ))"
    begin, end = (midnight.format(zone=series.time_zone, day=day) for day in ("day", "date_add(day, 1)"))
    return usual.where(f"{USUAL_SUM} > 0 AND {total} > 0 AND ({either})").select(
        series.key,
        F.lit(rule.name).alias("rule"),
        seconds(begin).alias("begins_s"),
        seconds(end).alias("ends_s"),
        "intervals",
        F.lit(rule.action).alias("action"),
        F.expr(total).alias("value"),
        F.col(USUAL_SUM).alias("expected"),
    )


def missing(gaps: DataFrame, series: MeterSeries) -> DataFrame:
    """Return the gaps as findings. gaps: (key, since_s, until_s)."""
    none = F.lit(None).cast("bigint")
    return gaps.select(
        series.key,
        F.lit(MISSING).alias("rule"),
        F.col("since_s").alias("begins_s"),
        F.col("until_s").alias("ends_s"),
        F.expr(f"(until_s - since_s) DIV {series.cell_s}").alias("intervals"),
        F.lit(REPLACE).alias("action"),
        none.alias("value"),
        none.alias("expected"),
    )


def refused(rejected: DataFrame, series: MeterSeries) -> DataFrame:
    """Return readings that do not count as findings, one a rule and time. rejected: ``observed.rejected``."""
    length = min(series.intervals)
    return (
        rejected.groupBy(series.key, "rule", START)
        .agg(F.max("value").alias("value"))
        .select(
            series.key,
            "rule",
            F.col(START).alias("begins_s"),
            (F.col(START) + length).alias("ends_s"),
            F.lit(1).cast("bigint").alias("intervals"),
            F.lit("report").alias("action"),
            "value",
            F.lit(None).cast("bigint").alias("expected"),
        )
    )
