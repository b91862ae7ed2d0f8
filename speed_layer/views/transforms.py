"""The streaming query of the speed views, and the rows it comes to: pure transforms, ``DataFrame`` in and out.

A minute's state is the set of its readings, bounded by the grid: what to do about duplicates, revisions, conflicts and
several interval lengths is decided from all of them at each update, by the transforms of the batch layer. So both
layers give the same integers for the same readings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import columns as shared
from engines import verdicts
from engines.catalyst import Bits
from meterlake import lateness, precedence, rules, state
from speed_layer.decode import REPEATED, SECONDS, UNDECODABLE
from speed_layer.views.rows import MOST_COUNTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries

MINUTE: Final = "minute"
ENTRIES: Final = "entries"
CONTENDED: Final = "contended"
VERSION: Final = "version"
"""Column: grows with a minute's set of readings; the write time of its row, so that no replay takes it back."""
MEASURED: Final = "judged"
"""Name of the counts that ``accepted`` observes."""
ACCEPTED: Final = "accepted"
"""Among them: the readings that go on to their minutes."""
LATE: Final = "late"
"""Among them: the readings that are left to the batch layer."""
PARTITION: Final = "origin_partition"
OFFSET: Final = "origin_offset"
_ARRIVED: Final = "arrived_s"
_USED: Final = "used"


def accepted(decoded: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the readings that the rules accept and that are not late, counting what becomes of the messages.

    Readings from the future are rejected here, before the watermark: one meter's clock must not drop the others' data.
    What is late is decided here, too, from the reading alone: the watermark only evicts state.
    """
    judged = decoded.withColumn(verdicts.REASON, F.expr(rules.reject_reason_sql(dataset, "spark")))
    decodable = F.col(UNDECODABLE).isNull()
    rejected = [
        F.count_if(decodable & (F.col(verdicts.REASON) == reason)).alias(f"rejected_{reason}")
        for reason in rules.reasons(dataset)
    ]
    allowed = decodable & F.col(verdicts.REASON).isNull() & ~F.col(REPEATED)
    late = F.expr(lateness.late_sql(dataset, "spark", SECONDS, _ARRIVED))
    good = allowed & ~late
    arrived = Bits(decoded.sparkSession).seconds("received_at")
    observed = judged.withColumn(_ARRIVED, arrived).observe(
        MEASURED,
        F.count_if(good).alias(ACCEPTED),
        F.count_if(allowed & late).alias(LATE),
        F.count_if(~decodable).alias(UNDECODABLE),
        F.count_if(REPEATED).alias(REPEATED),
        *rejected,
    )
    return observed.where(good)


def open_minutes(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the state of each minute that has got readings: all of them, whether they compete, and a version.

    readings: accepted. To be run in update mode. ``minute`` is both the watermark's column and the key, or state would
    never be evicted.
    """
    entry = F.struct(*entry_columns(dataset))
    start = F.col(SECONDS) - F.pmod(F.col(SECONDS), F.lit(dataset.cell_s))
    return (
        readings.withColumn(MINUTE, F.timestamp_seconds(start))
        .withWatermark(MINUTE, f"{int(lateness.watermark_delay(dataset).total_seconds())} seconds")
        .groupBy(dataset.key, MINUTE)
        .agg(
            F.collect_list(entry).alias(ENTRIES),
            F.max("received_at").alias("arrived"),
            *verdicts.cell_aggregates(dataset, SECONDS),
        )
        .select(
            dataset.key,
            MINUTE,
            ENTRIES,
            verdicts.is_contended(dataset).alias(CONTENDED),
            _version().alias(VERSION),
        )
    )


def entry_columns(dataset: MeterSeries) -> list[str]:
    """Return the columns of a reading that are kept in its minute's state."""
    measures = [measure.name for measure in dataset.measures]
    arrival = ["received_at", PARTITION, OFFSET]
    return [dataset.event_time, dataset.interval, *measures, "revision", *arrival]


def minute_rows(minutes: DataFrame, dataset: MeterSeries, *, contended: bool) -> DataFrame:
    """Return rows of the minute table: key, minute in milliseconds, the state in units, and the version.

    A minute of which no reading counts (any more) has the empty state. minutes: of ``open_minutes``. contended: those
    in which readings compete, or those in which none do. (Not both in one plan: Spark would compute the micro-batch
    twice, cached or not.)
    """
    readings = _unpacked(minutes.where(F.col(CONTENDED) == contended), dataset)
    if contended:
        celled = readings.withColumn(verdicts.CELL, F.unix_seconds(MINUTE))
        judged = verdicts.decided(celled, dataset).withColumn(_USED, F.col(verdicts.VERDICT) == "used")
    else:
        judged = readings.withColumn(_USED, F.expr(f"NOT ({precedence.gap_sql(dataset)})"))
    units = shared.in_units(judged, dataset, F.col(MINUTE), F.col(VERSION), F.col(_USED))
    aggregates = shared.columns(state.state_aggregates(dataset, "spark", only=_USED))
    rows = units.groupBy(dataset.key, MINUTE).agg(*aggregates, F.max(VERSION).alias(VERSION))
    return rows.withColumn(MINUTE, F.unix_millis(MINUTE))


def new_readings(minutes: DataFrame, dataset: MeterSeries, seen: Mapping[int, int]) -> DataFrame:
    """Return the readings whose offsets lie after those ``seen``, and whether their minute is contended.

    seen: partition -> offset. Times are milliseconds since 1970.
    """
    known = F.array(*(F.lit(seen.get(partition, -1)) for partition in range(max(seen, default=0) + 1)))
    # An array of constants goes to the compiled code by reference: another one needs no new code.
    is_new = F.col(OFFSET) > F.coalesce(F.get(known, F.col(PARTITION)), F.lit(-1))
    start = (Bits(minutes.sparkSession).micros(dataset.event_time) / 1000).cast("bigint")
    measures = [measure.name for measure in dataset.measures]
    return (
        _unpacked(minutes, dataset)
        .where(is_new)
        .select(
            dataset.key,
            start.alias(dataset.event_time),
            dataset.interval,
            *measures,
            PARTITION,
            OFFSET,
            CONTENDED,
        )
    )


def _unpacked(minutes: DataFrame, dataset: MeterSeries) -> DataFrame:
    unpacked = minutes.select(dataset.key, MINUTE, CONTENDED, VERSION, F.inline(ENTRIES))
    return unpacked.withColumn("origin", F.lit(dataset.readings_topic))


def _version() -> Column:
    """Return ``rows.version`` of a minute's readings."""
    return F.unix_millis(F.col("arrived").cast("timestamp_ltz")) * 1000 + F.least(F.col("n"), F.lit(MOST_COUNTED))
