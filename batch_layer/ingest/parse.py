"""From the raw file to decoded lines: Spark expressions only, each line with its number in the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake import textformat, wallclock
from meterlake.jumps import DAY_S, FAR_FROM_OTHERS
from meterlake.schema import master_fields, quarantine_fields
from meterlake.textlines import UNDECODED
from meterlake.timegrid import epoch_seconds_sql
from meterlake.wallclock import Doubtful

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pyspark.sql import Column, DataFrame, SparkSession

    from meterlake.jumps import Stretch
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

# Index of a row in its task; one task reads one split.
_ROW_IN_TASK = "monotonically_increasing_id() & ((1L << 33) - 1)"


@dataclass(frozen=True)
class Arrival:
    """What is the same for all rows of a load. received_at: aware. meter_id: empty where a column says it."""

    meter_id: str
    received_at: datetime
    origin: str
    load_id: str
    revision: int = 0


@contextmanager
def reading_lines(spark: SparkSession, split: int) -> Iterator[None]:
    """Set Spark up to read files in splits of exactly ``split`` bytes, one a task: numbering lines relies on it."""
    wanted = {
        "spark.sql.files.maxPartitionBytes": str(split),
        "spark.sql.files.openCostInBytes": str(split),
        # Decoding would become one method too long for Java's compiler, and be interpreted: 37 s instead of 11.
        "spark.sql.codegen.hugeMethodLimit": "8000",
    }
    before = {key: spark.conf.get(key, None) for key in wanted}
    for key, value in wanted.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, found in before.items():
            if found is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, found)


def numbered_lines(spark: SparkSession, location: str, first_lines: Sequence[int], split: int) -> DataFrame:
    """Return the lines below the header: ``text`` without line end, ``line`` counted from 1.

    first_lines: number of the first line of each split. To be evaluated inside ``reading_lines``.
    """
    firsts = ", ".join(f"{line}L" for line in first_lines)
    first = f"get(array({firsts}), CAST(_metadata.file_block_start DIV {split} AS INT))"
    lines = spark.read.text(location, lineSep="\n").selectExpr(
        "rtrim('\\r', value) AS text", f"{first} + ({_ROW_IN_TASK}) AS line"
    )
    return lines.where("line > 1")


def decoded(
    lines: DataFrame, form: TextFormat, clock: FileClock, shift: timedelta, kept: Sequence[Stretch] | None = None
) -> DataFrame:
    """Return each line with its fields decoded, and ``reason``: why it is no reading, or NULL.

    clock: the file's; lines of one on the wall come from ``with_places``. shift: added to every time. kept: where
    readings may lie, before they are shifted; the others are set aside. Put an ``observe`` on it before filtering by
    ``reason``, or Spark computes all of it again for the filter.
    """
    dataset = form.dataset
    time = F.expr(textformat.time_sql(form, clock, shift)).alias(dataset.event_time)
    interval = F.lit(form.interval_s).alias(dataset.interval)
    values = [F.expr(sql).alias(name) for name, sql in textformat.value_columns(form)]
    return (
        _said(lines, form)
        .withColumn("odd", F.expr(textformat.odd_sql(form)))
        .select("*", time, interval, *values)
        .select("*", F.expr(_reason(form, clock, shift, kept)).alias("reason"))
    )


def _said(lines: DataFrame, form: TextFormat) -> DataFrame:
    """Return lines with their ``fields``, and the time that each says."""
    fields = lines.withColumn("fields", F.expr(textformat.fields_sql(form)))
    return fields.withColumn("said", F.expr(textformat.said_sql(form)))


def with_places(lines: DataFrame, form: TextFormat, clock: FileClock) -> DataFrame:
    """Return lines with ``place``: which of two a time is that the file's clock shows twice, as their order says it.

    A fixed clock shows no time twice: its lines stay as they are. The doubtful lines are collected: a few hours a year.
    """
    if not isinstance(clock, ZoneInfo):
        return lines
    meter = F.expr(textformat.meter_sql(form) or "''")
    local = F.expr(epoch_seconds_sql("said", "spark"))
    doubtful = _said(lines, form).where(F.expr(f"{textformat.repeat_sql(clock)} IS NOT NULL"))
    found = doubtful.select("line", meter.alias("meter"), local.alias("local")).collect()
    places = wallclock.places((Doubtful(*row) for row in found), clock)
    named = lines.sparkSession.createDataFrame(list(places.items()), "line BIGINT, place INT")
    return lines.join(F.broadcast(named), "line", "left")


def _reason(form: TextFormat, clock: FileClock, shift: timedelta, kept: Sequence[Stretch] | None) -> str:
    reason = textformat.reason_sql(form, clock)
    if kept is None:
        return reason
    time = f"{epoch_seconds_sql(form.dataset.event_time, 'spark')} - {int(shift.total_seconds())}"
    inside = " OR ".join(f"{time} BETWEEN {stretch.begin} AND {stretch.end - 1}" for stretch in kept)
    return f"coalesce({reason}, CASE WHEN NOT ({inside}) THEN '{FAR_FROM_OTHERS}' END)"


@dataclass(frozen=True)
class Day:
    """Lines whose time lies on a UTC day: its first second, how many, and the latest time."""

    begin: int
    lines: int
    latest: datetime


def days(lines: DataFrame, form: TextFormat, clock: FileClock) -> list[Day]:
    """Return the days of a file in order, by the times of its lines, whatever their values are worth."""
    time = F.expr(textformat.time_sql(form, clock, timedelta(0)))
    likely = _said(lines, form).select(time.alias("time")).where(F.expr(textformat.likely_time_sql("time")))
    day = F.expr(f"{epoch_seconds_sql('time', 'spark')} DIV {DAY_S} * {DAY_S}").alias("day")
    found = likely.groupBy(day).agg(F.count(F.lit(1)).alias("lines"), F.max("time").alias("latest"))
    return [Day(row.day, row["lines"], row.latest) for row in found.orderBy("day").collect()]


def readings(rows: DataFrame, form: TextFormat, arrival: Arrival) -> DataFrame:
    """Return the rows of the master table from decoded lines; those with a reason are left out."""
    dataset = form.dataset
    column = textformat.meter_sql(form)
    meter = F.lit(arrival.meter_id) if column is None else F.expr(column)
    given = {dataset.key: meter, "revision": F.lit(arrival.revision), **_arrived(arrival)}
    names = [column.name for column in master_fields(dataset)]
    return rows.where("reason IS NULL").select(*(given.get(name, F.col(name)).alias(name) for name in names))


def rejected(rows: DataFrame, form: TextFormat, arrival: Arrival) -> DataFrame:
    """Return the rows of the quarantine from decoded lines; only those with a reason."""
    undecoded = ", ".join(f"'{reason}'" for reason in UNDECODED)
    payload = F.expr(
        f"CASE WHEN reason IN ({undecoded})"
        # Spark breaks Base64 into lines of 76.
        f" THEN translate(base64(substring(CAST(text AS BINARY), 1, {textformat.PAYLOAD_BYTES})), '\\r\\n', '')"
        " ELSE text END"
    )
    given = {"payload": payload, "reason": F.col("reason"), **_arrived(arrival)}
    names = [column.name for column in quarantine_fields(form.dataset)]
    return rows.where("reason IS NOT NULL").select(*(given[name].alias(name) for name in names))


def _arrived(arrival: Arrival) -> dict[str, Column]:
    received = arrival.received_at.replace(tzinfo=None).isoformat(sep=" ")
    return {
        "received_at": F.expr(f"TIMESTAMP_NTZ '{received}'"),
        "origin": F.lit(arrival.origin),
        "origin_partition": F.lit(0),
        "origin_offset": F.col("line"),
        "load_id": F.lit(arrival.load_id),
    }
