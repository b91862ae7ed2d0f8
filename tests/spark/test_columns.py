"""Spark counts exactly as the core does in plain Python: equal, not close."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import expr
from samples import QUARTERS, TANK, frame, readings, wall_clock, wild

from datasets.household.declaration import HOUSEHOLD
from engines import columns
from meterlake import rules, timegrid
from meterlake.declaration import MeterSeries
from meterlake.grains import GRAIN_SECONDS, Grain, is_fixed
from meterlake.reading import Reading
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

Row = dict[str, Any]
SETS = pytest.mark.parametrize("dataset", [HOUSEHOLD, TANK, QUARTERS], ids=lambda dataset: dataset.name)
LENGTHS = {"minute": 60, "five_minutes": 300, "ten_minutes": 600, "quarter_hour": 900, "half_hour": 1800, "hour": 3600}


def grains(dataset: MeterSeries) -> list[Grain]:
    return [view.grain for view in dataset.views]


def start_of(dataset: MeterSeries, grain: Grain) -> Callable[[int], datetime | date]:
    if is_fixed(grain):
        length = LENGTHS[grain]
        return lambda ts: wall_clock(ts - ts % length)
    return lambda ts: timegrid.first_day(timegrid.local_day(ts, dataset.time_zone), grain)


def by_hand(dataset: MeterSeries, rows: Iterable[Reading], grain: Grain) -> list[Row]:
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
def test_states_equal_those_of_the_core(spark: SparkSession, dataset: MeterSeries) -> None:
    rows = readings(dataset, 2000, seed=1)
    units = columns.in_units(frame(spark, dataset, rows), dataset).cache()
    for grain in grains(dataset):
        result = collected(columns.states(units, dataset, grain))
        assert ordered(result) == ordered(by_hand(dataset, rows, grain))
    units.unpersist()


def test_a_state_does_not_depend_on_order_or_partitions(spark: SparkSession) -> None:
    rows = readings(TANK, 600, seed=3)
    one_way = columns.in_units(frame(spark, TANK, rows).coalesce(1), TANK)
    other_way = columns.in_units(frame(spark, TANK, rows[::-1]).repartition(5), TANK)
    first, second = (collected(columns.states(units, TANK, "minute")) for units in (one_way, other_way))
    assert ordered(first) == ordered(second)


@SETS
def test_coarser_rows_roll_up_from_the_finest_exactly(spark: SparkSession, dataset: MeterSeries) -> None:
    rows, finest = readings(dataset, 1500, seed=4), dataset.finest.grain
    states = columns.states(columns.in_units(frame(spark, dataset, rows), dataset), dataset, finest)
    stored = columns.physical(states, dataset, finest).cache()
    for grain in grains(dataset)[1:]:
        expected = ordered(by_hand(dataset, rows, grain))
        in_units = columns.roll_up(states, dataset, finer=finest, grain=grain)
        assert ordered(collected(in_units)) == expected
        in_decimals = columns.roll_up(stored, dataset, finer=finest, grain=grain, stored="decimal")
        types = {name: kind for name, kind in in_decimals.dtypes if kind.startswith("decimal")}
        assert types == {name: kind for name, kind in stored.dtypes if kind.startswith("decimal")}
        assert ordered(collected(columns.units(in_decimals, dataset, grain))) == expected
    stored.unpersist()


@pytest.mark.parametrize(
    ("dataset", "finer", "grain"),
    [(HOUSEHOLD, "hour", "day"), (QUARTERS, "quarter_hour", "day"), (QUARTERS, "day", "month")],
    ids=lambda part: getattr(part, "name", part),
)
def test_days_and_months_roll_up_from_the_rows_that_make_them(
    spark: SparkSession, dataset: MeterSeries, finer: Grain, grain: Grain
) -> None:
    assert timegrid.rolls_up_from(dataset, grain) == finer
    rows = readings(dataset, 500, seed=5)
    units = columns.in_units(frame(spark, dataset, rows), dataset)
    rolled = columns.roll_up(columns.states(units, dataset, finer), dataset, finer=finer, grain=grain)
    assert ordered(collected(rolled)) == ordered(by_hand(dataset, rows, grain))


@SETS
def test_spark_sql_names_the_row_that_holds_a_moment(spark: SparkSession, dataset: MeterSeries) -> None:
    rows = readings(dataset, 300, seed=6)
    names: list[Grain] = list(GRAIN_SECONDS)
    times = [timegrid.row_time_sql("ts", grain, dataset.time_zone, "spark") for grain in names]
    answered = frame(spark, dataset, rows).orderBy("n").selectExpr(*times).collect()
    starts = [start_of(dataset, grain) for grain in names]
    assert [tuple(row) for row in answered] == [tuple(start(row.ts) for start in starts) for row in rows]


@SETS
def test_rules_decide_in_spark_as_in_the_core(spark: SparkSession, dataset: MeterSeries) -> None:
    rows = wild(dataset, 1500, seed=7)
    result = frame(spark, dataset, rows).select(
        "n",
        expr(rules.quarantine_reason_sql(dataset, "spark")).alias("quarantined"),
        expr(rules.reject_reason_sql(dataset, "spark")).alias("rejected"),
    )
    decided = {row.n: (row.quarantined, row.rejected) for row in result.collect()}
    expected = {
        n: (rules.quarantine_reason(dataset, row), rules.reject_reason(dataset, row)) for n, row in enumerate(rows)
    }
    assert decided == expected
    assert len({reason for reason, _ in expected.values()}) == (3 if len(dataset.measures) > 1 else 2)
    assert len({reason for _, reason in expected.values()}) >= min(7, len(rules.reasons(dataset)))


@pytest.mark.parametrize("zone", ["Europe/London", "America/Santiago", "Australia/Lord_Howe"])
def test_a_row_lasts_as_long_as_the_core_says(spark: SparkSession, zone: str) -> None:
    dataset = replace(HOUSEHOLD, time_zone=zone)
    rows = spark.sql("SELECT explode(sequence(DATE'2023-12-30', DATE'2025-01-02', INTERVAL '1' DAY)) AS day")
    rows = rows.selectExpr("day", "trunc(day, 'MONTH') AS month", "CAST(day AS TIMESTAMP_NTZ) AS hour")
    grains: tuple[Grain, ...] = ("hour", "day", "month")
    lasts = rows.selectExpr("day", *(f"{timegrid.full_coverage_sql(dataset, grain)} AS {grain}_s" for grain in grains))
    for day, *seconds in lasts.collect():
        firsts = (timegrid.first_day(day, grain) for grain in grains)
        assert seconds == [timegrid.full_coverage(dataset, *pair) for pair in zip(grains, firsts, strict=True)]
