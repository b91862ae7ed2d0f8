"""Stuck values, jumps and long gaps on series made by hand: what is found, and what must not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from batch_layer import quality
from batch_layer.views import tables
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.quality import Check, Jump, LongGap, Stuck

pytestmark = pytest.mark.spark
DATASET = MeterSeries(
    name="small",
    title="A level and an amount",
    intervals=(1, 60),
    time_zone="UTC",
    measures=(Level("volts", "V", "0.1"), Amount("energy", "Wh", "0.1")),
    views=(View("minute", "month"),),
)
BEGIN = datetime(2026, 1, 31, 23, 50)  # noqa: DTZ001 - over the end of a month, where partitions end too
MINUTE = timedelta(minutes=1)


def at(minute: int) -> datetime:
    return BEGIN + minute * MINUTE


def minutes(spark: SparkSession, series: dict[str, dict[int, float | tuple[float, float]]]) -> DataFrame:
    """Return minutes of meters: number of the minute -> value, or (lowest, highest) with their mean."""
    rows = []
    for meter, values in series.items():
        for minute, value in values.items():
            low, high = value if isinstance(value, tuple) else (value, value)
            mean = (low + high) / 2
            total, lowest, highest = (Decimal(f"{number:.1f}") for number in (mean * 60, low, high))
            energy = Decimal(f"{mean:.1f}")
            rows.append((meter, at(minute), 1, 60, 0, total, lowest, highest, energy, energy, energy))
    return spark.createDataFrame(rows[::-1], tables.view_table(DATASET, "minute").spark_schema())


def findings(spark: SparkSession, check: Check, series: dict[str, dict[int, Any]]) -> list[tuple[Any, ...]]:
    declared = replace(DATASET, quality=(check,))
    rows = quality.findings(quality.in_order(minutes(spark, series), declared), declared)
    names = [column.name for column in quality.table(declared).columns]
    assert rows.columns == names
    return sorted((tuple(row) for row in rows.collect()), key=str)


def test_a_value_that_stays_is_stuck_and_a_gap_a_change_or_a_spread_ends_it(spark: SparkSession) -> None:
    stuck = Stuck("volts", 5 * MINUTE)
    series: dict[str, dict[int, Any]] = {
        "long": dict.fromkeys(range(20), 230.0) | {20: 230.1},
        "short": {minute: 230.0 + (minute // 4) / 10 for minute in range(20)},
        "broken": {minute: 230.0 for minute in range(10) if minute != 4},
        "spread": {minute: (229.9, 230.1) if minute == 4 else 230.0 for minute in range(10)},
    }
    assert findings(spark, stuck, series) == [
        ("broken", "stuck", "volts", at(5), at(10), 300, None, 230.0),
        ("long", "stuck", "volts", at(0), at(20), 1200, None, 230.0),
        ("spread", "stuck", "volts", at(5), at(10), 300, None, 230.0),
    ]


def test_values_that_may_stay_are_not_stuck(spark: SparkSession) -> None:
    series = {"off": dict.fromkeys(range(10), 0.0)}
    assert len(findings(spark, Stuck("energy", 5 * MINUTE), series)) == 1
    assert findings(spark, Stuck("energy", 5 * MINUTE, besides=(0.0,)), series) == []


def test_a_jump_is_between_touching_rows_of_one_meter_and_more_than_the_threshold(spark: SparkSession) -> None:
    series = {"a": {0: 230.0, 1: 236.0, 2: 229.9, 4: 300.0, 5: 230.0}, "b": {3: 100.0}}
    assert findings(spark, Jump("volts", 6.0), series) == [
        ("a", "jump", "volts", at(2), at(3), 60, 236.0, 229.9),
        ("a", "jump", "volts", at(5), at(6), 60, 300.0, 230.0),
    ]
    assert [row[5:] for row in findings(spark, Jump("energy", 6.0), series)] == [(60, 236.0, 229.9), (60, 300.0, 230.0)]


def test_a_long_gap_is_as_long_as_what_is_missing(spark: SparkSession) -> None:
    series = {"a": {0: 1.0, 60: 1.0, 120: 1.0, 121: 1.0, 182: 1.0}, "b": {500: 1.0}}
    assert findings(spark, LongGap(timedelta(hours=1)), series) == [
        ("a", "long_gap", None, at(122), at(182), 3600, None, None),
    ]


def test_the_summary_counts_findings_and_meters(spark: SparkSession) -> None:
    declared = replace(DATASET, quality=(Jump("volts", 6.0), LongGap(5 * MINUTE)))
    series = {"a": {0: 230.0, 1: 240.0, 9: 240.0}, "b": {0: 230.0, 1: 210.0}}
    rows = quality.findings(quality.in_order(minutes(spark, series), declared), declared)
    assert [tuple(row) for row in quality.summary(rows).collect()] == [
        ("jump", "volts", 2, 2, 60, 20.0, at(1), at(1)),
        ("long_gap", None, 1, 1, 420, None, at(2), at(2)),
    ]
