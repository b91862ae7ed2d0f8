"""Readings that are hard to count: half-way values, extremes, ends of days and hours, both sides of 1970 and of DST."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from meterlake.declaration import Amount, Flag, Level, Measure, MeterSeries, Reject, View, per_hour
from meterlake.reading import Reading

TANK = MeterSeries(
    name="tank",
    title="A tank: whole units, nanolitres, and open ranges",
    intervals=(10, 60),
    time_zone="America/St_Johns",
    measures=(
        Level("pressure", "bar", "0.01", between=(-1, 250)),
        Level("temperature", "K", "1"),
        Amount("inflow", "l", "1E-9"),
    ),
    rules=(
        Reject("frozen", "temperature < 200 AND inflow > 0"),
        Flag("hot", "temperature > 350"),
        Flag("odd", "sqrt(pressure) * interval_s > power(inflow, 2) + 1 OR pressure BETWEEN 3 AND 4"),
    ),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)

QUARTERS = MeterSeries(
    name="quarters",
    title="Energy by the quarter of an hour, where clocks are three quarters of an hour ahead of whole hours",
    intervals=("15 min",),
    time_zone="Asia/Kathmandu",
    measures=(Amount("energy", "kWh", "0.001", between=per_hour(-10, 100)),),
    views=(View("15 min"), View("30 min"), View("hour"), View("day"), View("month")),
)

ANCHORS = [
    datetime(1969, 12, 31, 23, 59, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2006, 12, 16, 16, 24, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 58, tzinfo=UTC),  # Paris springs forward at 01:00
    datetime(2026, 10, 25, 0, 58, tzinfo=UTC),  # and falls back
    datetime(2026, 11, 30, 17, 58, tzinfo=UTC),  # Kathmandu's month ends
    datetime(2026, 11, 21, 22, 58, tzinfo=UTC),  # Paris' day ends
    datetime(2028, 2, 29, 3, 28, tzinfo=UTC),  # St. John's day ends
]


def readings(dataset: MeterSeries, count: int, seed: int) -> list[Reading]:
    """Return accepted readings of three meters, at most one an interval."""
    pick = random.Random(seed)  # noqa: S311 - repeatable, not secret
    result: dict[tuple[str, int, int], Reading] = {}
    while len(result) < count:
        length = pick.choice(dataset.intervals)
        moment = int(pick.choice(ANCHORS).timestamp()) + pick.randrange(0, 120 * max(dataset.intervals))
        reading = Reading(
            meter_id=pick.choice(["a", "b", "é-ß"]),
            ts=moment - moment % length,
            interval_s=length,
            values=tuple(_value(measure, length, pick) for measure in dataset.measures),
        )
        result[reading.key] = reading
    return list(result.values())


def wild(dataset: MeterSeries, count: int, seed: int) -> list[Reading]:
    """Return readings as they may arrive: off the grid, out of range, not finite, incomplete, from the future."""
    pick = random.Random(seed)  # noqa: S311
    result = []
    for _ in range(count):
        ts = int(pick.choice(ANCHORS).timestamp()) + pick.randrange(0, 120)
        length = pick.choice([*dataset.intervals, 0, -10, 7])
        if length in dataset.intervals and pick.random() < 0.5:
            ts -= ts % length  # by chance, a long interval never begins where it may
        values = tuple(_wild_value(measure, length, pick) for measure in dataset.measures)
        received = datetime.fromtimestamp(ts + pick.choice([-3600, -61, -60, -59, 0, 5]), UTC)
        result.append(Reading("a", ts, length, values, received_at=received))
    return result


def frame(spark: SparkSession, dataset: MeterSeries, rows: Sequence[Reading]) -> DataFrame:
    """Return readings as rows of the master data set, numbered by ``n``."""
    measures = ", ".join(f"{measure.name} DOUBLE" for measure in dataset.measures)
    schema = f"n INT, meter_id STRING, ts TIMESTAMP_NTZ, interval_s INT, {measures}, received_at TIMESTAMP_NTZ"
    data = [
        (n, row.meter_id, wall_clock(row.ts), row.interval_s, *row.values, row.received_at.replace(tzinfo=None))
        for n, row in enumerate(rows)
    ]
    return spark.createDataFrame(data, schema)


def wall_clock(ts: int) -> datetime:
    """Return an instant as tables hold it: UTC without zone."""
    return datetime.fromtimestamp(ts, UTC).replace(tzinfo=None)


def _value(measure: Measure, interval_s: int, pick: random.Random) -> float:
    low, high = measure.limits(interval_s)
    steps = 10.0**measure.scale
    choices = [
        low,
        high,
        0.0,
        (pick.randrange(0, 4000) + 0.5) / steps,  # half-way
        -(pick.randrange(0, 4000) + 0.5) / steps,
        pick.uniform(low, high),
        round(pick.uniform(low, high), measure.scale),
        pick.choice([0.1, 0.2, 0.3, 1.005, 2.675, 4.35]),
    ]
    return min(max(pick.choice(choices), low), high)


def _wild_value(measure: Measure, interval_s: int, pick: random.Random) -> float | None:
    low, high = measure.limits(interval_s)
    odd = [float("nan"), float("inf"), float("-inf"), 1e300, -1e300, low - 1, high + 1, None]
    return pick.choice(odd) if pick.random() < 0.15 else _value(measure, interval_s, pick)
