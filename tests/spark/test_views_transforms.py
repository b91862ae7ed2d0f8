"""Verdicts, views and gaps on Spark equal what the core decides in plain Python: equal, not close."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from samples import TANK, wall_clock
from views_master import frame as master

from batch_layer.views import cells, coverage, decimals, finest, transforms
from datasets.household.declaration import HOUSEHOLD
from engines import columns, verdicts
from meterlake import precedence, rules, timegrid
from meterlake.columns import Dialect
from meterlake.declaration import MeterSeries, View
from meterlake.reading import Reading
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

SPARK: Dialect = "spark"
QUARTERS = replace(
    HOUSEHOLD,
    name="quarters",
    intervals=(1, 60, 900),
    lateness=timedelta(hours=1),
    views=(View("hour", "month"), View("day", "year")),
)
SETS = pytest.mark.parametrize("dataset", [HOUSEHOLD, TANK, QUARTERS], ids=lambda dataset: dataset.name)
SPRING = int(datetime(2026, 3, 28, 22, 58, tzinfo=UTC).timestamp())  # Paris: the last minutes before the 23-hour day
AUTUMN = int(datetime(2026, 10, 25, 22, 58, tzinfo=UTC).timestamp())  # and the end of the 25-hour day


def model(dataset: MeterSeries, rows: list[Reading]) -> list[tuple[str, str | None]]:
    """Return (verdict, reason) of each reading, by the core alone."""
    reasons = [rules.quarantine_reason(dataset, row) or rules.reject_reason(dataset, row) for row in rows]
    accepted = [index for index, reason in enumerate(reasons) if reason is None]
    result: dict[int, str] = dict.fromkeys(range(len(rows)), "rejected")
    result |= zip(accepted, precedence.resolve(dataset, [rows[index] for index in accepted]), strict=True)
    coverage: dict[Any, Counter[int]] = defaultdict(Counter)
    for index, row in enumerate(rows):
        if result[index] == "used":
            coverage[row.meter_id, timegrid.floor_seconds(row.ts, dataset.cell_s)][row.interval_s] += row.interval_s
    for index, row in enumerate(rows):
        cell = coverage[row.meter_id, timegrid.floor_seconds(row.ts, dataset.cell_s)]
        if result[index] == "used" and timegrid.choose_interval(cell) != row.interval_s:
            result[index] = "superseded"
    return [(result[index], reasons[index]) for index in range(len(rows))]


def model_rows(dataset: MeterSeries, rows: list[Reading]) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Return the finest view's rows, measures in units, by the core alone."""
    length = {"minute": 60, "hour": 3600}[dataset.finest.grain]
    groups: dict[tuple[str, datetime], list[State]] = defaultdict(list)
    for row, (verdict, _) in zip(rows, model(dataset, rows), strict=True):
        if verdict == "used":
            units = [value for value in row.units(dataset) if value is not None]
            state = State.of_reading(dataset, row.interval_s, units, flagged=rules.is_flagged(dataset, row))
            groups[row.meter_id, wall_clock(timegrid.floor_seconds(row.ts, length))].append(state)
    return {key: merge_all(dataset, states).row() for key, states in groups.items()}


def judged(spark: SparkSession, dataset: MeterSeries, rows: list[Reading]) -> DataFrame:
    reasoned = verdicts.with_reason(master(spark, dataset, rows), dataset)
    plain = verdicts.uncontended(reasoned, dataset).withColumn(verdicts.CELL, verdicts.cell(dataset))
    contended = cells_of(spark, dataset, rows).where(cells.CONTENDED)
    cell = F.unix_seconds(F.col(dataset.finest.grain).cast("timestamp_ltz")).alias(verdicts.CELL)
    contended = contended.select(dataset.key, cell).persist()
    rejected = F.col("verdict") == "rejected"
    alone = plain.where(~rejected).join(contended, [dataset.key, verdicts.CELL], "left_anti")
    result = alone.unionByName(plain.where(rejected)).drop(verdicts.CELL)
    return result.unionByName(verdicts.contended(reasoned, dataset, contended))


def cells_of(spark: SparkSession, dataset: MeterSeries, rows: list[Reading]) -> DataFrame:
    return cells.cells(finest.judged(master(spark, dataset, rows), dataset), dataset)


def found_verdicts(rows: DataFrame) -> list[tuple[str, str | None]]:
    ordered = sorted(rows.select("load_id", "origin_offset", "verdict", "reason").collect(), key=lambda row: row[1])
    return [(row["verdict"], row["reason"]) for row in ordered]


def numbered(rows: list[Reading]) -> list[Reading]:
    """Give each reading an offset of its own: by it a verdict is found again."""
    return [replace(row, origin_offset=offset) for offset, row in enumerate(rows)]


def of(dataset: MeterSeries, value: float) -> tuple[float, ...]:
    """Return values that no rule rejects: the tank must not freeze."""
    return tuple(value + 300 * (measure.unit == "K") for measure in dataset.measures)


def plain(dataset: MeterSeries, minutes: int, start: int = SPRING, meter: str = "a") -> list[Reading]:
    """Return one reading an interval of the longest length, none contended."""
    length = max(dataset.intervals)
    first = start - start % length
    return [
        Reading(meter, first + step * length, length, of(dataset, float(step % 7 + 1)),
                received_at=datetime.fromtimestamp(first + 86_400, UTC), origin="a.csv")
        for step in range(minutes)
    ]  # fmt: skip


def wild(dataset: MeterSeries, count: int, seed: int) -> list[Reading]:
    """Return readings of few keys: duplicates, conflicts, revisions, gaps, two lengths, off the grid, out of range."""
    pick = random.Random(seed)  # noqa: S311 - repeatable, not secret
    return numbered([_wild_reading(dataset, pick) for _ in range(count)])


def _wild_reading(dataset: MeterSeries, pick: random.Random) -> Reading:
    length = pick.choice([*dataset.intervals, *dataset.intervals, *dataset.intervals, 7])
    ts = pick.choice([SPRING, AUTUMN, -60]) + pick.randrange(0, 180)
    ts -= ts % length if pick.random() < 0.97 else 0
    values: list[float | None] = [*of(dataset, pick.choice([1.0, 1.0, 1.0, 1.0 + 4e-12, 2.0, 4.35]))]
    kind = pick.random()
    if kind < 0.1:
        values = [None] * len(values)
    elif kind < 0.15:
        values[pick.randrange(len(values))] = pick.choice([None, float("nan"), float("inf"), 1e300, -1e6])
    return Reading(
        pick.choice(["a", "b"]), ts, length, tuple(values),
        revision=pick.choice([0, 0, 0, 1]),
        received_at=datetime.fromtimestamp(ts + pick.choice([-61, -60, 5, 5, 5, 6]), UTC),
        origin=pick.choice(["a.csv", "topic"]), origin_partition=pick.randrange(2),
    )  # fmt: skip


@SETS
@pytest.mark.parametrize("seed", [1, 2])
def test_verdicts_equal_those_of_the_core(spark: SparkSession, dataset: MeterSeries, seed: int) -> None:
    rows = wild(dataset, 1500, seed)
    expected = model(dataset, rows)
    assert {verdict for verdict, _ in expected} == set(precedence.VERDICTS)
    assert found_verdicts(judged(spark, dataset, rows)) == expected


@SETS
def test_rows_equal_those_of_the_core(spark: SparkSession, dataset: MeterSeries) -> None:
    rows = wild(dataset, 1500, seed=3)
    result = [row.asDict() for row in transforms.finest_rows(judged(spark, dataset, rows), dataset).collect()]
    grain = dataset.finest.grain
    assert {(row.pop("meter_id"), row.pop(grain)): row for row in result} == model_rows(dataset, rows)


@SETS
def test_only_cells_that_need_a_decision_are_contended(spark: SparkSession, dataset: MeterSeries) -> None:
    uncontended = plain(dataset, 200)
    assert cells_of(spark, dataset, uncontended).where(cells.CONTENDED).count() == 0
    twice = [*uncontended, uncontended[17]]
    cell = wall_clock(uncontended[17].ts - uncontended[17].ts % dataset.cell_s)
    result = cells_of(spark, dataset, twice).where(cells.CONTENDED).select("meter_id", dataset.finest.grain)
    assert [tuple(row) for row in result.collect()] == [("a", cell)]


@SETS
def test_cells_of_two_parts_are_merged_to_those_of_all(spark: SparkSession, dataset: MeterSeries) -> None:
    grain, rows = dataset.finest.grain, wild(dataset, 300, seed=5) + plain(dataset, 40)
    whole = cells_of(spark, dataset, rows)
    parts = cells_of(spark, dataset, rows[::2]).unionByName(cells_of(spark, dataset, rows[1::2]))
    merged = cells.merged(parts, dataset).select(whole.columns).persist()
    assert sorted(merged.collect()) == sorted(whole.collect())
    result = [row.asDict() for row in cells.rows(merged, dataset).collect()]
    uncontended = {(row.pop("meter_id"), row.pop(grain)): row for row in result}
    others = {(row["meter_id"], row[grain]) for row in merged.where(cells.CONTENDED).collect()}
    expected = {key: row for key, row in model_rows(dataset, rows).items() if key not in others}
    assert uncontended == expected
    assert len(expected) > 5
    assert others


def test_two_lengths_in_a_minute_are_contended_and_more_coverage_wins(spark: SparkSession) -> None:
    minute = plain(HOUSEHOLD, 1)[0]
    seconds = [replace(minute, ts=minute.ts + step, interval_s=1) for step in range(60)]
    for present, expected in ((59, "superseded"), (60, "used")):
        rows = numbered([minute, *seconds[:present]])
        result = found_verdicts(judged(spark, HOUSEHOLD, rows))
        assert result == model(HOUSEHOLD, rows)
        assert result[1] == (expected, None)


def test_a_rejected_reading_takes_no_part_in_precedence(spark: SparkSession) -> None:
    good = plain(HOUSEHOLD, 1)[0]
    bad = replace(good, revision=5, values=(-1.0, *good.values[1:]))
    rows = numbered([bad, good])
    assert found_verdicts(judged(spark, HOUSEHOLD, rows)) == [
        ("rejected", "global_active_power_below_min"),
        ("used", None),
    ]


def test_a_later_gap_row_withdraws_a_reading(spark: SparkSession) -> None:
    good = plain(HOUSEHOLD, 1)[0]
    rows = numbered([good, replace(good, revision=1, values=(None,) * 7)])
    result = judged(spark, HOUSEHOLD, rows)
    assert found_verdicts(result) == [("superseded", None), ("gap", None)]
    assert transforms.finest_rows(result, HOUSEHOLD).count() == 0


def test_rejects_say_why_and_where_from(spark: SparkSession) -> None:
    good = plain(HOUSEHOLD, 3)
    rows = numbered(
        [
            *good,
            replace(good[0], values=(5.0, *good[0].values[1:])),
            replace(good[1], values=(999.0, *good[1].values[1:])),
        ]
    )
    result = transforms.rejects(judged(spark, HOUSEHOLD, rows), HOUSEHOLD).orderBy("origin_offset").collect()
    assert [(row.verdict, row.reason, row.origin, row.origin_offset) for row in result] == [
        ("conflicting", "conflict", "a.csv", 3),
        ("rejected", "global_active_power_above_max", "a.csv", 4),
    ]


def model_gaps(dataset: MeterSeries, starts: dict[str, list[int]]) -> set[tuple[str, datetime, datetime, int]]:
    """Return the gaps minute by minute: those missing between first and last, joined within a month."""
    length = {"minute": 60, "hour": 3600}[dataset.finest.grain]
    result = set()
    for meter, known in starts.items():
        missing = sorted(set(range(min(known), max(known), length)) - set(known))
        runs: list[list[int]] = []
        for start in missing:
            joined = runs and start == runs[-1][-1] + length and wall_clock(start).strftime("%d%H%M") != "010000"
            runs[-1].append(start) if joined else runs.append([start])
        result |= {(meter, wall_clock(run[0]), wall_clock(run[-1] + length), len(run) * length) for run in runs}
    return result


@pytest.mark.parametrize("by_day", [True, False])
@SETS
def test_gaps_are_what_is_missing_between_first_and_last(
    spark: SparkSession, dataset: MeterSeries, by_day: bool
) -> None:
    length = {"minute": 60, "hour": 3600}[dataset.finest.grain]
    pick = random.Random(5)  # noqa: S311
    base = int(datetime(2026, 1, 31, 22, tzinfo=UTC).timestamp())
    starts = {
        meter: sorted(
            {base + length * step for step in pick.sample(range(400), 300)} | {base + length * later for later in far}
        )
        for meter, far in (("a", (400, 140_000)), ("b", ()), ("c", (60_000,)))
    }
    rows = spark.createDataFrame(
        [(meter, wall_clock(start)) for meter, known in starts.items() for start in known],
        f"meter_id STRING, {dataset.finest.grain} TIMESTAMP_NTZ",
    )
    none = spark.createDataFrame([], "meter_id STRING, covered_from TIMESTAMP_NTZ, covered_to TIMESTAMP_NTZ")
    no_gaps = spark.createDataFrame([], "meter_id STRING, gap_start TIMESTAMP_NTZ, gap_end TIMESTAMP_NTZ")
    ranges = coverage.uncovered(coverage.all_new(rows, dataset), none, no_gaps, dataset, by_day=by_day)
    result = [tuple(row) for row in coverage.gaps(ranges, dataset).collect()]
    assert len(result) == len(set(result))
    assert set(result) == model_gaps(dataset, starts)


def test_fast_decimals_equal_the_exact_ones(spark: SparkSession) -> None:
    states = transforms.finest_rows(judged(spark, TANK, wild(TANK, 300, seed=7)), TANK)
    exact = columns.physical(states, TANK, "minute")
    assert decimals.stored(states, TANK, "minute").schema == exact.schema
    assert decimals.stored(states, TANK, "minute").exceptAll(exact).count() == 0
    assert decimals.in_units(exact, TANK, "minute").exceptAll(states).count() == 0
