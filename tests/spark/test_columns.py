"""Spark counts exactly as the core does in plain Python: equal, not close."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import expr
from samples import TANK, frame, readings, wall_clock, wild

from datasets.household.declaration import HOUSEHOLD
from engines import columns
from meterlake import rules, timegrid
from meterlake.declaration import Dataset
from meterlake.grains import Grain
from meterlake.reading import Reading
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

Row = dict[str, Any]
SETS = pytest.mark.parametrize("dataset", [HOUSEHOLD, TANK], ids=lambda dataset: dataset.name)
GRAINS: tuple[Grain, ...] = ("minute", "hour", "day")


def start_of(dataset: Dataset, grain: Grain) -> Callable[[int], datetime | date]:
    if grain == "day":
        return lambda ts: timegrid.local_day(ts, dataset.time_zone)
    length = {"minute": 60, "hour": 3600}[grain]
    return lambda ts: wall_clock(timegrid.floor_seconds(ts, length))


def by_hand(dataset: Dataset, rows: Iterable[Reading], grain: Grain) -> list[Row]:
    """Fold the core's own states, one reading after the other."""
    start = start_of(dataset, grain)
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for reading in rows:
        units = [value for value in reading.units(dataset) if value is not None]
        flagged = rules.is_flagged(dataset, reading)
        one = State.of_reading(dataset, reading.interval_s, units, flagged=flagged)
        groups[reading.meter_id, start(reading.ts)].append(one)
    return [
        {"meter_id": meter, grain: begin, **merge_all(dataset, states).row()}
        for (meter, begin), states in groups.items()
    ]


def collected(rows: DataFrame) -> list[Row]:
    return [row.asDict() for row in rows.collect()]


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in list(row.values())[:2]])


@SETS
def test_states_equal_those_of_the_core(spark: SparkSession, dataset: Dataset) -> None:
    rows = readings(dataset, 3000, seed=1)
    units = columns.in_units(frame(spark, dataset, rows), dataset).cache()
    for grain in GRAINS:
        found = collected(columns.states(units, dataset, grain))
        assert ordered(found) == ordered(by_hand(dataset, rows, grain))
    units.unpersist()


def test_a_state_does_not_depend_on_order_or_partitions(spark: SparkSession) -> None:
    rows = readings(TANK, 600, seed=3)
    one_way = columns.in_units(frame(spark, TANK, rows).coalesce(1), TANK)
    other_way = columns.in_units(frame(spark, TANK, rows[::-1]).repartition(5), TANK)
    first, second = (collected(columns.states(units, TANK, "minute")) for units in (one_way, other_way))
    assert ordered(first) == ordered(second)


@SETS
def test_hours_and_days_roll_up_from_minutes_exactly(spark: SparkSession, dataset: Dataset) -> None:
    rows = readings(dataset, 1500, seed=4)
    minutes = columns.states(columns.in_units(frame(spark, dataset, rows), dataset), dataset, "minute")
    stored = columns.physical(minutes, dataset, "minute").cache()
    for grain in GRAINS[1:]:
        expected = ordered(by_hand(dataset, rows, grain))
        in_units = columns.roll_up(minutes, dataset, finer="minute", grain=grain)
        assert ordered(collected(in_units)) == expected
        in_decimals = columns.roll_up(stored, dataset, finer="minute", grain=grain, stored="decimal")
        types = {name: kind for name, kind in in_decimals.dtypes if kind.startswith("decimal")}
        assert types == {name: kind for name, kind in stored.dtypes if kind.startswith("decimal")}
        assert ordered(collected(columns.units(in_decimals, dataset, grain))) == expected
    stored.unpersist()


def test_days_roll_up_from_hours_where_the_zone_allows_it(spark: SparkSession) -> None:
    rows = readings(HOUSEHOLD, 500, seed=5)
    units = columns.in_units(frame(spark, HOUSEHOLD, rows), HOUSEHOLD)
    days = columns.roll_up(columns.states(units, HOUSEHOLD, "hour"), HOUSEHOLD, finer="hour", grain="day")
    assert ordered(collected(days)) == ordered(by_hand(HOUSEHOLD, rows, "day"))


def test_the_streaming_key_is_the_batch_key(spark: SparkSession) -> None:
    table = frame(spark, TANK, readings(TANK, 400, seed=6))
    keys = {row.minute for row in table.select(columns.minute(TANK)).collect()}
    assert keys == {row.minute for row in columns.states(columns.in_units(table, TANK), TANK, "minute").collect()}


@SETS
def test_rules_decide_in_spark_as_in_the_core(spark: SparkSession, dataset: Dataset) -> None:
    rows = wild(dataset, 1500, seed=7)
    found = frame(spark, dataset, rows).select(
        "n",
        expr(rules.quarantine_reason_sql(dataset, "spark")).alias("quarantined"),
        expr(rules.reject_reason_sql(dataset, "spark")).alias("rejected"),
    )
    decided = {row.n: (row.quarantined, row.rejected) for row in found.collect()}
    expected = {
        n: (rules.quarantine_reason(dataset, row), rules.reject_reason(dataset, row)) for n, row in enumerate(rows)
    }
    assert decided == expected
    assert len({reason for reason, _ in expected.values()}) == 3
    assert len({reason for _, reason in expected.values()}) > 6
