"""Gaps, and each meter's first and last coverage, from the rows whose coverage has changed: pure transforms.

A meter's uncovered time is what lies before its first row, its gaps, and what lies after its last row. Rows that are
covered now are taken out of it, rows that no longer are come to it. So no more of the past is read than the gaps in
whose partition something has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries, Partition

COVERED: Final = "covered"
_BEGIN: Final = "0001-01-01 00:00:00"
_END: Final = "9999-12-31 00:00:00"
_PATTERN: Final[dict[Partition, str]] = {"month": "yyyy-MM", "year": "yyyy"}


def changed(old: DataFrame, new: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return (key, start, covered) of the rows of the finest view that are in one of ``old`` and ``new`` only."""
    both = (
        _starts(new, dataset)
        .withColumn("more", F.lit(1))
        .unionByName(_starts(old, dataset).withColumn("more", F.lit(-1)))
    )
    counted = both.groupBy(dataset.key, "start").agg(F.sum("more").alias("more")).where("more <> 0")
    return counted.select(dataset.key, "start", (F.col("more") > 0).alias(COVERED))


def all_new(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the finest view as ``changed`` does, where there were none before."""
    return _starts(rows, dataset).withColumn(COVERED, F.lit(True))


def within(changes: DataFrame, meters: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the changes that lie between first and last coverage of their meter, as it was, with the latter."""
    known = changes.join(meters, dataset.key)
    return known.where((F.col("start") >= F.col("covered_from")) & (F.col("start") < F.col("covered_to")))


def at_ends(interior: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the meters whose first or last row is no longer covered."""
    is_end = (F.col("start") == F.col("covered_from")) | (F.col("start") + _length(dataset) == F.col("covered_to"))
    return interior.where(~F.col(COVERED) & is_end).select(dataset.key).distinct()


def uncovered(changes: DataFrame, meters: DataFrame, gaps: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return (key, gap_start, gap_end) of the uncovered time of all meters that have changes, as it is now.

    meters: as they were. gaps: as they were, at least those in whose partitions there are changes. What is before the
    first row begins at ``_BEGIN``, what is after the last row ends at ``_END``.
    """
    key = dataset.key
    ends = changes.select(key).distinct().join(meters, key, "left")
    begin, end = _moment(_BEGIN), _moment(_END)
    head = ends.select(key, begin.alias("start"), F.coalesce("covered_from", end).alias("end"))
    tail = ends.select(key, F.coalesce("covered_to", begin).alias("start"), end.alias("end"))
    known = gaps.select(key, F.col("gap_start").alias("start"), F.col("gap_end").alias("end"))
    lost = changes.where(~F.col(COVERED)).select(key, "start", (F.col("start") + _length(dataset)).alias("end"))
    before = _joined(head.unionByName(tail).unionByName(known).unionByName(lost), key)
    in_order = Window.partitionBy(key).orderBy("start")
    # What lies between two uncovered ranges is covered; so are the ends of time, to have something on both sides.
    between = before.select(key, F.col("end").alias("start"), F.lead("start").over(in_order).alias("end"))
    sides = ends.select(key, begin.alias("start"), begin.alias("end")).unionByName(
        ends.select(key, end.alias("start"), end.alias("end"))
    )
    gained = _runs(changes.where(COVERED).drop(COVERED), dataset)
    covered = between.where("end IS NOT NULL").unionByName(sides).unionByName(gained)
    pairs = covered.select(
        key, "end", F.lead("start").over(Window.partitionBy(key).orderBy("start", "end")).alias("next")
    )
    return pairs.where(F.col("next") > F.col("end")).select(
        key, F.col("end").alias("gap_start"), F.col("next").alias("gap_end")
    )


def meters(ranges: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return first and last coverage of meters from all of their uncovered ranges; of none that was never covered."""
    begin, end = _moment(_BEGIN), _moment(_END)
    first = F.max(F.when(F.col("gap_start") == begin, F.col("gap_end"))).alias("covered_from")
    last = F.max(F.when(F.col("gap_end") == end, F.col("gap_start"))).alias("covered_to")
    return ranges.groupBy(dataset.key).agg(first, last).where("covered_from < covered_to")


def gaps(ranges: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the gaps from uncovered ranges: those with coverage on both sides, cut at partitions."""
    inner = ranges.where((F.col("gap_start") > _moment(_BEGIN)) & (F.col("gap_end") < _moment(_END)))
    missing = F.expr("CAST(gap_end - gap_start AS BIGINT)").alias("missing_s")
    return _cut(inner, dataset.finest.partition).select(dataset.key, "gap_start", "gap_end", missing)


def partition_of(time: str, partition: Partition) -> Column:
    """Return the month or year that holds a time, such as ``2026-11``."""
    return F.date_format(F.col(time).cast("date"), _PATTERN[partition])


def _starts(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    return rows.select(dataset.key, F.col(dataset.finest.grain).cast("timestamp_ntz").alias("start"))


def _joined(ranges: DataFrame, key: str) -> DataFrame:
    """Return ranges, those that touch or overlap as one."""
    in_order = Window.partitionBy(key).orderBy("start", "end")
    earlier = in_order.rowsBetween(Window.unboundedPreceding, -1)
    reached = F.max("end").over(earlier)
    begins = F.coalesce(F.col("start") > reached, F.lit(True)).cast("int")
    numbered = ranges.withColumn("begins", begins).withColumn("number", F.sum("begins").over(in_order))
    return numbered.groupBy(key, "number").agg(F.min("start").alias("start"), F.max("end").alias("end")).drop("number")


def _runs(starts: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return (key, start, end) of covered time: whole days where nothing is missing in them, else row by row.

    Most days have no gap, so that few rows are left to be sorted.
    """
    key, seconds, length = dataset.key, GRAIN_SECONDS[dataset.finest.grain], _length(dataset)
    dated = starts.withColumn("day", F.col("start").cast("date"))
    days = dated.groupBy(key, "day").agg(
        F.min("start").alias("start"), F.max("start").alias("last"), F.count(F.lit(1)).alias("n")
    )
    is_whole = F.expr(f"CAST(last - start AS BIGINT) = (n - 1) * {seconds}")
    whole = days.where(is_whole).select(key, "start", (F.col("last") + length).alias("end"))
    broken = dated.join(days.where(~is_whole).select(key, "day"), [key, "day"], "left_semi")
    return whole.unionByName(broken.select(key, "start", (F.col("start") + length).alias("end")))


def _cut(ranges: DataFrame, partition: Partition) -> DataFrame:
    """Cut ranges at the bounds of partitions."""
    unit, step = {"month": ("MONTH", "INTERVAL '1' MONTH"), "year": ("YEAR", "INTERVAL '1' YEAR")}[partition]
    first = f"CAST(trunc(gap_start, '{unit}') AS DATE)"
    last = f"CAST(trunc(gap_end - INTERVAL '1' SECOND, '{unit}') AS DATE)"
    pieces = ranges.select("*", F.explode(F.expr(f"sequence({first}, {last}, {step})")).alias("begin"))
    begin, end = F.col("begin").cast("timestamp_ntz"), F.expr(f"CAST(begin + {step} AS TIMESTAMP_NTZ)")
    return pieces.withColumns({"gap_start": F.greatest("gap_start", begin), "gap_end": F.least("gap_end", end)}).drop(
        "begin"
    )


def _length(dataset: MeterSeries) -> Column:
    return F.expr(f"INTERVAL '{GRAIN_SECONDS[dataset.finest.grain]}' SECOND")


def _moment(text: str) -> Column:
    return F.lit(text).cast("timestamp_ntz")
