"""Which stretch of each meter's time is validated and estimated again: pure transforms.

One stretch a meter: around its days that have changed, and with all gaps and register periods that it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake import timegrid

if TYPE_CHECKING:
    from datetime import timedelta

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries

SINCE: Final = "since_s"
UNTIL: Final = "until_s"
_TOUCHED: Final = 2
"""A gap of a longest partition is a row in each: so often neighbours are taken in."""


def seconds(column: str) -> Column:
    """Return seconds since 1970 of a time without zone."""
    return F.expr(timegrid.epoch_seconds_sql(column, "spark"))


def time_of(column: str) -> Column:
    """Return the time without zone of seconds since 1970."""
    return F.expr(f"timestamp_ntz '1970-01-01 00:00:00' + make_dt_interval(0, 0, 0, {column})")


def around(changed: DataFrame, series: MeterSeries, before: timedelta, after: timedelta) -> DataFrame:
    """Return (key, since_s, until_s) of each meter with changed days."""
    midnight = "convert_timezone('{zone}', 'UTC', CAST({day} AS TIMESTAMP_NTZ))"
    begin, end = (midnight.format(zone=series.time_zone, day=day) for day in ("day", "date_add(day, 1)"))
    return changed.groupBy(series.key).agg(
        (F.min(seconds(begin)) - int(before.total_seconds())).alias(SINCE),
        (F.max(seconds(end)) + int(after.total_seconds())).alias(UNTIL),
    )


def extended(stretches: DataFrame, others: DataFrame, key: str) -> DataFrame:
    """Return stretches with the ``others`` (key, since_s, until_s) that touch them.

    Plans end at checkpoints: stretches are few rows, and are joined with all that is read.
    """
    grown = stretches
    for _ in range(_TOUCHED):
        near = others.select(F.col(key), F.col(SINCE).alias("other_since"), F.col(UNTIL).alias("other_until"))
        touches = (
            (F.col(f"mine.{key}") == F.col(f"near.{key}"))
            & (F.col("other_since") <= F.col(UNTIL))
            & (F.col("other_until") >= F.col(SINCE))
        )
        grown = (
            grown.alias("mine")
            .join(near.alias("near"), touches, "left")
            .groupBy(F.col(f"mine.{key}").alias(key))
            .agg(
                F.min(F.least(SINCE, F.coalesce("other_since", SINCE))).alias(SINCE),
                F.max(F.greatest(UNTIL, F.coalesce("other_until", UNTIL))).alias(UNTIL),
            )
            .localCheckpoint()
        )
    return grown


def joined(stretches: DataFrame, others: DataFrame, key: str) -> DataFrame:
    """Return stretches and ``others``, one a meter."""
    both = stretches.select(key, SINCE, UNTIL).unionByName(others.select(key, SINCE, UNTIL))
    return both.groupBy(key).agg(F.min(SINCE).alias(SINCE), F.max(UNTIL).alias(UNTIL))


def within(rows: DataFrame, stretches: DataFrame, key: str, time: Column, *, margin: int = 0) -> DataFrame:
    """Return rows whose time lies in their meter's stretch, widened by ``margin`` seconds on both sides."""
    return rows.join(*_matching(rows, stretches, key, time, margin), "left_semi")


def outside(rows: DataFrame, stretches: DataFrame, key: str, time: Column) -> DataFrame:
    """Return the other rows."""
    return rows.join(*_matching(rows, stretches, key, time, 0), "left_anti")


def _matching(rows: DataFrame, stretches: DataFrame, key: str, time: Column, margin: int) -> tuple[DataFrame, Column]:
    named = stretches.select(
        F.col(key).alias("stretch_meter"),
        (F.col(SINCE) - margin).alias("from_s"),
        (F.col(UNTIL) + margin).alias("to_s"),
    )
    inside = (rows[key] == F.col("stretch_meter")) & (time >= F.col("from_s")) & (time < F.col("to_s"))
    return F.broadcast(named), inside
