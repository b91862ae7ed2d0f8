"""The views' rows from judged readings: pure transforms, ``DataFrame`` in, ``DataFrame`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import columns as shared
from engines.verdicts import REASON, VERDICT
from meterlake import schema, timegrid
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import Dataset, Partition
    from meterlake.grains import Grain

_PATTERN: Final = {"month": "yyyy-MM", "year": "yyyy"}
RECORDED: Final = ("rejected", "conflicting")
"""Verdicts whose readings are kept as rows of the rejects."""


def used_units(judged: DataFrame, dataset: Dataset) -> DataFrame:
    """Return the used readings in units, as the aggregates take them."""
    return shared.in_units(judged.where(F.col(VERDICT) == "used"), dataset)


def finest_rows(judged: DataFrame, dataset: Dataset) -> DataFrame:
    """Return the rows of the finest view, in units."""
    return like_copied(shared.states(used_units(judged, dataset), dataset, dataset.finest.grain))


def like_copied(rows: DataFrame) -> DataFrame:
    """Let the count be NULL in the schema, so that computed and copied rows make files of one; no group is empty."""
    return rows.withColumn("readings", F.expr("nullif(readings, 0)"))


def rejects(judged: DataFrame, dataset: Dataset) -> DataFrame:
    """Return the readings that were rejected, and those that lost a conflict, with where they came from.

    A lost conflict has the reason ``conflict``.
    """
    names = [column.name for column in schema.master_fields(dataset)]
    reason = F.when(F.col(VERDICT) == "conflicting", "conflict").otherwise(F.col(REASON)).alias(REASON)
    return judged.where(F.col(VERDICT).isin(*RECORDED)).select(*names, VERDICT, reason)


def gaps(rows: DataFrame, dataset: Dataset) -> DataFrame:
    """Return the runs without coverage between a meter's first and last row; none crosses its partition.

    rows: key and time of the finest view, all that there are.
    """
    key, partition = dataset.key, dataset.finest.partition
    runs = _covered_runs(rows, dataset).withColumn("part", partition_of("start", partition))
    within = Window.partitionBy(key, "part").orderBy("start")
    inner = runs.select(key, "end", F.lead("start").over(within).alias("next"))
    edges = runs.groupBy(key, "part").agg(F.min("start").alias("first"), F.max("end").alias("end"))
    across = Window.partitionBy(key).orderBy("part")
    outer = edges.select(key, "end", F.lead("first").over(across).alias("next"))
    return (
        _holes(inner, key)
        .unionByName(_cut(_holes(outer, key), partition))
        .select(key, "gap_start", "gap_end", _seconds_between("gap_start", "gap_end").alias("missing_s"))
    )


def _covered_runs(rows: DataFrame, dataset: Dataset) -> DataFrame:
    """Return (key, start, end) of times without a hole: whole days where they have none, else row by row.

    Most days have none, so that few rows are left to be sorted.
    """
    key, time, seconds = dataset.key, dataset.finest.grain, GRAIN_SECONDS[dataset.finest.grain]
    length = F.expr(f"INTERVAL '{seconds}' SECOND")
    starts = rows.select(key, F.col(time).cast("timestamp_ntz").alias("start"), F.col(time).cast("date").alias("day"))
    days = starts.groupBy(key, "day").agg(
        F.min("start").alias("start"), F.max("start").alias("last"), F.count(F.lit(1)).alias("n")
    )
    is_whole = F.expr(f"CAST(last - start AS BIGINT) = (n - 1) * {seconds}")
    whole = days.where(is_whole).select(key, "start", (F.col("last") + length).alias("end"))
    broken = starts.join(days.where(~is_whole).select(key, "day"), [key, "day"], "left_semi")
    return whole.unionByName(broken.select(key, "start", (F.col("start") + length).alias("end")))


def partition_of(time: str, partition: Partition) -> Column:
    """Return the value of the partition that holds a time or date, such as ``2026-11``."""
    return F.date_format(F.col(time).cast("date"), _PATTERN[partition])


def utc_day(time: str) -> Column:
    """Return the UTC day of a time column."""
    return F.col(time).cast("date")


def view_day(grain: Grain) -> Column:
    """Return the day of a view's rows, in the calendar of ``grain``: days are local, the others UTC."""
    return F.col(grain) if grain == "day" else utc_day(grain)


def local_day(time: str, dataset: Dataset) -> Column:
    """Return the day of a time column in the data set's zone."""
    return F.expr(timegrid.local_day_sql(time, dataset.time_zone, "spark"))


def _holes(pairs: DataFrame, key: str) -> DataFrame:
    """Return gap_start and gap_end where a run ends before the next one starts."""
    return pairs.where(F.col("next") > F.col("end")).select(
        key, F.col("end").alias("gap_start"), F.col("next").alias("gap_end")
    )


def _cut(holes: DataFrame, partition: Partition) -> DataFrame:
    """Cut holes at the bounds of partitions."""
    unit, step = {"month": ("MONTH", "INTERVAL '1' MONTH"), "year": ("YEAR", "INTERVAL '1' YEAR")}[partition]
    first = f"CAST(trunc(gap_start, '{unit}') AS DATE)"
    last = f"CAST(trunc(gap_end - INTERVAL '1' SECOND, '{unit}') AS DATE)"
    pieces = holes.select("*", F.explode(F.expr(f"sequence({first}, {last}, {step})")).alias("begin"))
    begin, end = F.col("begin").cast("timestamp_ntz"), F.expr(f"CAST(begin + {step} AS TIMESTAMP_NTZ)")
    return pieces.withColumns({"gap_start": F.greatest("gap_start", begin), "gap_end": F.least("gap_end", end)}).drop(
        "begin"
    )


def _seconds_between(start: str, end: str) -> Column:
    return F.expr(f"CAST({end} - {start} AS BIGINT)")
