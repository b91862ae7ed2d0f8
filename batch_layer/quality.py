"""The findings of a data set's quality checks: pure transforms of the finest view, each meter's rows in order.

One window serves all checks. What it costs is a sort of the whole history by meter and time, which the incremental
batch must not pay for each new day: so this is a report of its own.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.tables import Table
from meterlake.grains import GRAIN_SECONDS
from meterlake.quality import Jump, LongGap, Stuck, finding_columns, quality_table

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.window import WindowSpec

    from meterlake.declaration import Measure, MeterSeries
    from meterlake.quality import Check

_START: Final = "row_start"
_END: Final = "row_end"
_BEFORE: Final = "end_before"


def table(dataset: MeterSeries) -> Table:
    """Return the table of the findings: each look writes it whole, so its slices are whole months (or years)."""
    partition, step = dataset.finest.partition, GRAIN_SECONDS[dataset.finest.grain]
    order = (dataset.key, "begins", "finding", "measure")
    columns = tuple(finding_columns(dataset))
    return Table(quality_table(dataset), columns, order, "begins", partition, partition, step)


def in_order(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the finest view with start and end of each row, and the end of the meter's row before."""
    length = F.expr(f"INTERVAL '{GRAIN_SECONDS[dataset.finest.grain]}' SECOND")
    timed = rows.withColumns({_START: F.col(dataset.finest.grain).cast("timestamp_ntz")}).withColumn(
        _END, F.col(_START) + length
    )
    return timed.withColumn(_BEFORE, F.lag(_END).over(_by_meter(dataset)))


def findings(ordered: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return what all checks of a data set find. ordered: made by ``in_order``."""
    return reduce(DataFrame.unionByName, (_findings(check, ordered, dataset) for check in dataset.quality))


def _findings(check: Check, ordered: DataFrame, dataset: MeterSeries) -> DataFrame:
    if isinstance(check, Stuck):
        result = stuck(ordered, dataset, check)
    elif isinstance(check, Jump):
        result = jumps(ordered, dataset, check)
    else:
        result = long_gaps(ordered, check)
    measure = F.lit(None if isinstance(check, LongGap) else check.measure).cast("string").alias("measure")
    given = {"finding": F.lit(check.name).alias("finding"), "measure": measure}
    return result.withColumn("lasted_s", _seconds("begins", "ends")).select(
        *(given.get(column.name, F.col(column.name)) for column in finding_columns(dataset))
    )


def long_gaps(ordered: DataFrame, check: LongGap) -> DataFrame:
    """Return where nothing is known for so long."""
    silence = ordered.where(_seconds(_BEFORE, _START) >= int(check.at_least.total_seconds()))
    return silence.withColumns({"begins": F.col(_BEFORE), "ends": F.col(_START), "before": _none(), "value": _none()})


def jumps(ordered: DataFrame, dataset: MeterSeries, check: Jump) -> DataFrame:
    """Return the rows whose mean is so far from that of the row before, which they touch."""
    mean = _mean(dataset.measure(check.measure))
    compared = ordered.withColumns({"value": mean, "before": F.lag(mean).over(_by_meter(dataset))})
    jumped = compared.where(
        (F.col(_BEFORE) == F.col(_START)) & (F.abs(F.col("value") - F.col("before")) > check.more_than)
    )
    return jumped.withColumns({"begins": F.col(_START), "ends": F.col(_END)})


def stuck(ordered: DataFrame, dataset: MeterSeries, check: Stuck) -> DataFrame:
    """Return the runs of touching rows in which a measure has one value, if they last so long."""
    meter, low, high = _by_meter(dataset), f"{check.measure}_min", f"{check.measure}_max"
    goes_on = (
        (F.col(_BEFORE) == F.col(_START))
        & (F.col(low) == F.col(high))
        & (F.lag(low).over(meter) == F.col(low))
        & (F.lag(high).over(meter) == F.col(high))
    )
    begun = ordered.withColumn("first", F.when(~F.coalesce(goes_on, F.lit(False)), F.col(_START)))
    runs = (
        begun.withColumn("begins", F.last("first", ignorenulls=True).over(meter))
        .groupBy(dataset.key, "begins")
        .agg(F.max(_END).alias("ends"), F.max(low).cast("double").alias("value"))
    )
    long = runs.where(_seconds("begins", "ends") >= int(check.at_least.total_seconds()))
    return long.where(~F.col("value").isin(*check.besides) if check.besides else F.lit(True)).withColumn(
        "before", _none()
    )


def summary(findings: DataFrame) -> DataFrame:
    """Return how often each check has found something, at how many meters, how long at most, when first and last."""
    key = findings.columns[0]
    return (
        findings.groupBy("finding", "measure")
        .agg(
            F.count(F.lit(1)).alias("findings"),
            F.count_distinct(key).alias("meters"),
            F.max("lasted_s").alias("longest_s"),
            F.max(F.abs(F.col("value") - F.col("before"))).alias("largest_jump"),
            F.min("begins").alias("first"),
            F.max("begins").alias("last"),
        )
        .orderBy("finding", "measure")
    )


def _by_meter(dataset: MeterSeries) -> WindowSpec:
    return Window.partitionBy(dataset.key).orderBy(_START)


def _mean(measure: Measure) -> Column:
    total = F.col(f"{measure.name}_sum").cast("double")
    return total / F.col("covered_s").cast("double") if measure.kind == "level" else total


def _seconds(begin: str, end: str) -> Column:
    return F.expr(f"CAST({end} - {begin} AS BIGINT)")


def _none() -> Column:
    return F.lit(None).cast("double")
