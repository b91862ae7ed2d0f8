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
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries, Partition

    Places = Mapping[str, bool]
    """Partition -> whether a meter's first or last row is no longer covered."""

COVERED: Final = "covered"
IS_NEW: Final = "is_new"
ENDED: Final = "ended"
PART: Final = "part"
_INTERIOR: Final = "interior"
_BEGIN: Final = "0001-01-01 00:00:00"
_END: Final = "9999-12-31 00:00:00"
_PATTERN: Final[dict[Partition, str]] = {"month": "yyyy-MM", "year": "yyyy"}


def changed(old: DataFrame, new: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return (key, start, covered) of the rows of the finest view that are in one of ``old`` and ``new`` only."""
    return differing(_starts(old, dataset), _starts(new, dataset)).withColumnRenamed(IS_NEW, COVERED)


def differing(old: DataFrame, new: DataFrame) -> DataFrame:
    """Return the rows that are in one of ``old`` and ``new`` only, with ``is_new``. Neither holds a row twice."""
    both = new.withColumn(IS_NEW, F.lit(1)).unionByName(old.withColumn(IS_NEW, F.lit(-1)))
    counted = both.groupBy(*new.columns).agg(F.sum(IS_NEW).alias(IS_NEW)).where(F.col(IS_NEW) != 0)
    return counted.withColumn(IS_NEW, F.col(IS_NEW) > 0)


def all_new(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the finest view as ``changed`` does, where there were none before."""
    return _starts(rows, dataset).withColumn(COVERED, F.lit(True))


def places(changes: DataFrame, meters: DataFrame, dataset: MeterSeries) -> tuple[int, Places]:
    """Return how many rows have changed, and the partitions in which that is within what was known of a meter.

    meters: first and last coverage, as they were. A partition's value: whether a meter's first or last row is no longer
    covered.
    """
    compared = _compared(changes, meters, dataset, "left").withColumn(_INTERIOR, F.coalesce(_INTERIOR, F.lit(False)))
    counted = compared.groupBy(_INTERIOR, PART).agg(F.count(F.lit(1)).alias("n"), F.max(ENDED).alias(ENDED)).collect()
    return sum(row["n"] for row in counted), {row[PART]: row[ENDED] for row in counted if row[_INTERIOR]}


def touched(changes: DataFrame, meters: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return (key, part, ended) of the meters' own partitions that ``places`` gives."""
    interior = _compared(changes, meters, dataset, "inner").where(_INTERIOR)
    return interior.groupBy(dataset.key, PART).agg(F.max(ENDED).alias(ENDED))


def _compared(changes: DataFrame, meters: DataFrame, dataset: MeterSeries, how: str) -> DataFrame:
    """Return changes with their partition, and whether each is within what was known, and an end that is gone."""
    known = changes.join(meters, dataset.key, how)
    interior = (F.col("start") >= F.col("covered_from")) & (F.col("start") < F.col("covered_to"))
    is_end = (F.col("start") == F.col("covered_from")) | (F.col("start") + _length(dataset) == F.col("covered_to"))
    part = partition_of("start", dataset.finest.partition)
    return known.withColumns({PART: part, _INTERIOR: interior, ENDED: ~F.col(COVERED) & is_end})


def uncovered(
    changes: DataFrame, meters: DataFrame, gaps: DataFrame, dataset: MeterSeries, *, by_day: bool
) -> DataFrame:
    """Return (key, gap_start, gap_end) of the uncovered time of all meters that have changes, as it is now.

    meters: as they were. gaps: as they were, at least those in whose partitions there are changes. by_day: whether
    there are so many changes that it pays to take whole days of them together. What is before the first row begins at
    ``_BEGIN``, what is after the last row ends at ``_END``.
    """
    key = dataset.key
    begin, end = _moment(_BEGIN), _moment(_END)
    ends = changes.select(key).distinct().join(meters, key, "left")
    sides = F.array(_range(begin, F.coalesce("covered_from", end)), _range(F.col("covered_to"), end))
    outside = ends.select(key, F.inline(sides)).where("start IS NOT NULL")
    known = gaps.select(key, F.col("gap_start").alias("start"), F.col("gap_end").alias("end"))
    lost, gained = changes.where(~F.col(COVERED)), changes.where(COVERED)
    more = outside.unionByName(known).unionByName(_ranges(lost, dataset))
    less = _runs(gained, dataset) if by_day else _ranges(gained, dataset)
    # No two ranges of either kind overlap, and what is gained was uncovered: the steps at one moment add up to one,
    # none, or minus one, and those that are left are beginnings and ends by turns.
    sized = more.withColumn("step", F.lit(1)).unionByName(less.withColumn("step", F.lit(-1)))
    at_start, at_end = (F.col("start"), F.col("step")), (F.col("end"), -F.col("step"))
    steps = F.array(*(F.struct(at.alias("at"), step.alias("step")) for at, step in (at_start, at_end)))
    bounds = sized.select(key, F.inline(steps)).groupBy(key, "at").agg(F.sum("step").alias("step")).where("step <> 0")
    until = F.lead("at").over(Window.partitionBy(key).orderBy("at"))
    ranges = bounds.select(key, F.col("at").alias("gap_start"), until.alias("gap_end"), "step")
    return ranges.where("step > 0").drop("step")


def meters(ranges: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return first and last coverage of meters from all of their uncovered ranges; of none that was never covered."""
    begin, end = _moment(_BEGIN), _moment(_END)
    first = F.max(F.when(F.col("gap_start") == begin, F.col("gap_end"))).alias("covered_from")
    last = F.max(F.when(F.col("gap_end") == end, F.col("gap_start"))).alias("covered_to")
    return ranges.groupBy(dataset.key).agg(first, last).where("covered_from < covered_to")


def meters_of(ranges: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the meters of all of their uncovered ranges, each once: nothing is covered at ``_BEGIN``."""
    return ranges.where(F.col("gap_start") == _moment(_BEGIN)).select(dataset.key)


def is_gap() -> Column:
    """Return whether an uncovered range has coverage on both sides."""
    return (F.col("gap_start") > _moment(_BEGIN)) & (F.col("gap_end") < _moment(_END))


def gaps(ranges: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the gaps from uncovered ranges: those with coverage on both sides, cut at partitions."""
    inner = ranges.where(is_gap())
    missing = F.expr("CAST(gap_end - gap_start AS BIGINT)").alias("missing_s")
    return _cut(inner, dataset.finest.partition).select(dataset.key, "gap_start", "gap_end", missing)


def partition_of(time: str, partition: Partition) -> Column:
    """Return the month or year that holds a time, such as ``2026-11``."""
    return F.date_format(F.col(time).cast("date"), _PATTERN[partition])


def _starts(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    return rows.select(dataset.key, F.col(dataset.finest.grain).cast("timestamp_ntz").alias("start"))


def _range(start: Column, end: Column) -> Column:
    return F.struct(start.alias("start"), end.alias("end"))


def _ranges(starts: DataFrame, dataset: MeterSeries) -> DataFrame:
    return starts.select(dataset.key, "start", (F.col("start") + _length(dataset)).alias("end"))


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
    return whole.unionByName(_ranges(broken, dataset))


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
