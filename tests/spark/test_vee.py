"""Validation and estimation on a local Spark: against the pure core over whole meters, and run after run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from pyspark.sql import SparkSession

from batch_layer.presentation import references
from batch_layer.presentation.shapes import reference as reference_shape
from batch_layer.vee import run as vee_run
from batch_layer.vee import shapes
from batch_layer.vee.scope import Work
from batch_layer.views import tables
from engines import curated
from meterlake import registry
from meterlake.columns import Column
from meterlake.vee.declaration import (
    GroupProfile,
    Linear,
    SimilarDays,
    Spike,
    Stuck,
    SumCheck,
    Vee,
    WrongMultiplier,
    ZeroRun,
)
from meterlake.vee.estimation import Group
from meterlake.vee.grid import cells, local
from meterlake.vee.meter import Of, validate_and_estimate
from meterlake.vee.registers import periods
from meterlake.vee.rules import UNKNOWN, Rows, find

pytestmark = [pytest.mark.spark, pytest.mark.slow]  # minutes; tests/integration/test_half_hourly.py is quicker

ENTRY = registry.entry("half_hourly")
SERIES = ENTRY.declaration
OURS = ENTRY.vee()
STEP, DAY_S = 1800, 86_400
HOUR = timedelta(hours=1)
VEE = Vee(
    measure="consumption",
    rules=(
        Spike(4.0, above=2.0, days=5, action="replace"),
        Stuck(5 * HOUR),
        ZeroRun(10 * HOUR),
        WrongMultiplier(1000, days=5),
        SumCheck(tolerance="0.002"),
    ),
    methods=(Linear(HOUR), SimilarDays(timedelta(days=2), days=6), GroupProfile(timedelta(days=3)), Linear(6 * HOUR)),
    registers=OURS.registers,
)
START, DAYS = date(2021, 3, 24), 8  # clocks go forward on the 28th
BEGIN = int(datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp())
METERS = tuple(f"m{number}" for number in range(5))
Readings = dict[str, dict[int, int]]


def readings() -> Readings:
    """Values of each meter's half hours, in Wh, by their starts."""
    random = np.random.default_rng(3)
    shape = 200 + 150 * np.sin(np.arange(48) / 48 * 2 * np.pi)
    result: Readings = {}
    for number, meter in enumerate(METERS):
        values = np.floor(np.tile(shape, DAYS) * (1 + 0.3 * number) * random.lognormal(0, 0.3, 48 * DAYS)).astype(int)
        result[meter] = {BEGIN + STEP * place: int(value) for place, value in enumerate(values)}
    return result


class World:
    """Readings as a batch run would have published them, and the tables made of them."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.base, self.runs = spark, folder.as_uri(), 0
        self.readings = readings()
        self.reads: dict[str, dict[int, int]] = {}
        self.folders: dict[str, dict[str, str]] = {}

    def publish(self, *days: int) -> None:
        """Write the readings of some UTC days (0 is the first) and the gaps into new folders, as a batch does."""
        self.runs += 1
        view, gaps = tables.view_table(SERIES, "half_hour"), tables.gaps_table(SERIES)
        for day in days:
            first = BEGIN + DAY_S * day
            rows = [
                (meter, when(ts), 1, STEP, 0, *[Decimal(value) / 1000] * 3)
                for meter, values in self.readings.items()
                for ts, value in sorted(values.items())
                if first <= ts < first + DAY_S
            ]
            self._put(view, when(first).date(), rows)
        result = defaultdict(list)
        for meter, values in self.readings.items():
            starts = sorted(values)
            for before, after in pairwise(starts):
                if after > before + STEP:
                    row = (meter, when(before + STEP), when(after), after - before - STEP)
                    result[when(before + STEP).date()].append(row)
        self.folders[gaps.name] = {}
        for begun, some in result.items():
            self._put(gaps, begun, some)

    def _put(self, table: tables.Table, day: date, rows: list[Any]) -> None:
        name = table.partition_name(day.isoformat())
        folder = table.location(f"{self.base}/views", day.isoformat(), str(self.runs))
        columns = zip(table.columns, zip(*rows, strict=True) if rows else [()] * len(table.columns), strict=True)
        held = pa.table({column.name: pa.array(values, arrow(column)) for column, values in columns})
        path = Path(unquote(urlparse(folder).path))
        path.mkdir(parents=True)
        pq.write_table(held, path / "part-0.parquet")
        self.folders.setdefault(table.name, {})[name] = folder

    def load_reads(self) -> None:
        assert VEE.registers is not None
        self.runs += 1
        table = curated.open_table(self.spark, self.base, reference_shape(SERIES, VEE.registers.reference))
        table.create()
        rows = [(m, when(ts), Decimal(v) / 1000) for m, some in self.reads.items() for ts, v in some.items()]
        references.load(self.spark, table, VEE.registers.reference, rows, self.now)

    @property
    def now(self) -> datetime:
        return datetime(2021, 5, 1, tzinfo=UTC) + timedelta(minutes=self.runs)

    def run(self, *, full: bool = False) -> vee_run.Done:
        self.runs += 1
        work = Work(
            self.spark, SERIES, VEE, self.base, self.folders, "batch", f"run-{self.runs}", self.now, lambda _: None
        )
        return vee_run.run(work, full=full)

    def rows(self, make: Any, columns: str) -> list[tuple[Any, ...]]:
        table = curated.open_table(self.spark, self.base, make(SERIES, VEE))
        return sorted(tuple(row) for row in table.read().selectExpr(*columns.split(", ")).collect())

    def check(self) -> None:
        """The tables must hold what the core makes of each whole meter, and nothing else."""
        findings, estimates = truth(self.readings, self.reads)
        wh = "CAST({0} * 1000 AS BIGINT)"
        columns = f"meter_id, rule, begins, ends, intervals, action, {wh.format('value')}, {wh.format('expected')}"
        assert self.rows(shapes.findings, columns) == sorted(findings, key=lambda row: row[:3])
        columns = f"meter_id, interval_start, {wh.format('consumption_estimate')}, reason, method, inputs"
        assert self.rows(shapes.estimates, columns) == estimates


def arrow(column: Column) -> pa.DataType:
    kinds = {"string": pa.string(), "bigint": pa.int64(), "timestamp": pa.timestamp("us")}
    return pa.decimal128(18, column.type.scale) if column.type.kind == "decimal" else kinds[column.type.kind]


def when(ts: int) -> datetime:
    return datetime.fromtimestamp(ts, UTC).replace(tzinfo=None)


def truth(given: Readings, reads: dict[str, dict[int, int]]) -> tuple[list[Any], list[Any]]:
    """Findings and estimates by the core, a meter's whole time at once; what is usual by plain Python."""
    findings: list[Any] = []
    bad: dict[str, set[int]] = {}
    by_day: dict[str, dict[int, list[int]]] = {}
    for meter, values in given.items():
        starts = np.array(sorted(values), np.int64)
        days = local(starts, STEP, SERIES.time_zone)[0]
        held: dict[int, list[int]] = defaultdict(list)
        for ts, day in zip(starts.tolist(), days.tolist(), strict=True):
            held[day].append(values[ts])
        by_day[meter] = held
        peak = {day: middle([max(held[d]) for d in held if day - 5 <= d < day]) for day in held}
        rows = Rows(
            np.zeros(len(starts), np.int64),
            starts,
            np.array([values[ts] for ts in starts.tolist()], np.int64),
            days,
            np.array([peak[day] for day in days.tolist()], np.int64),
        )
        bad[meter] = set()
        for one in find(rows, VEE, SERIES.measures[0], STEP):
            begins, ends = int(starts[one.first]), int(starts[one.last - 1]) + STEP
            findings.append(
                (meter, one.rule, when(begins), when(ends), one.last - one.first, one.action, one.value, one.expected)
            )
            if one.action == "replace":
                bad[meter] |= set(range(begins, ends, STEP))
        for before, after in pairwise(starts.tolist()):
            if after > before + STEP:
                gap = (when(before + STEP), when(after), (after - before) // STEP - 1)
                findings.append((meter, "missing", *gap, "replace", None, None))
        for day, some in held.items():
            total, usual = sum(some), middle([sum(held[d]) for d in held if day - 5 <= d < day])
            if usual > 0 and (333 * usual < total < 3000 * usual or usual > 333 * total > 0):
                begins = min(ts for ts, d in zip(starts.tolist(), days.tolist(), strict=True) if d == day)
                findings.append(
                    (meter, "wrong_multiplier", when(begins), when(begins + DAY_S), len(some), "report", total, usual)
                )
    estimates: list[Any] = []
    for meter, values in given.items():
        starts = np.array(sorted(values), np.int64)
        trusted = np.array([ts not in bad[meter] for ts in starts.tolist()])
        own = cells(starts, np.array([values[ts] for ts in starts.tolist()]), trusted, STEP, SERIES.time_zone)
        grid = [own.starts(place) for place in range(own.count)]
        others = [[v[ts] for m, v in given.items() if ts in v and ts not in bad[m]] for ts in grid]
        group = Group(np.array([sum(some) for some in others]), np.array([len(some) for some in others]))
        of = Of(group, periods(reads.get(meter, {}).items()))
        made, unequal = validate_and_estimate(own, VEE, SERIES.measures[0], [(0, 2**40)], of)
        estimates += [(meter, when(one.start), one.value, one.reason, one.method, one.inputs) for one in made]
        findings += [
            (
                *(meter, "sum_check", when(one.period.begin), when(one.period.end), one.intervals, "report"),
                *(one.measured, one.period.advance),
            )
            for one in unequal
        ]
    return findings, sorted(estimates)


def middle(values: list[int]) -> int:
    if len(values) < 3:
        return UNKNOWN
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) // 2


def at(day: int, hour: float) -> int:
    return BEGIN + DAY_S * day + int(hour * 3600)


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(spark, tmp_path_factory.mktemp("vee"))


# The tests below are one story and run in this order.


def test_1_findings_and_estimates_are_what_the_core_makes(world: World) -> None:
    some = world.readings
    for hour in (10, 10.5, 14):
        del some["m0"][at(6, hour)]  # a line
    for hour in np.arange(3, 23, 0.5):
        del some["m1"][at(6, hour)]  # similar days
    for hour in np.arange(1, 20, 0.5):
        del some["m2"][at(0, hour)]  # nothing lies before it: the group
    some["m3"][at(5, 12)] = 99_000  # a spike, with a gap beside it
    del some["m3"][at(5, 12.5)]
    for hour in np.arange(1, 12, 0.5):
        some["m4"][at(4, hour)] = 0
        some["m3"][at(4, hour)] = 77
    for ts in list(some["m4"]):
        if at(6, 0) - 3600 <= ts < at(7, 0) - 3600:  # the local day, in summer
            some["m4"][ts] *= 1000
    for values in some.values():  # the last day comes later
        for ts in range(at(DAYS - 1, 0), at(DAYS, 0), STEP):
            del values[ts]
    world.publish(*range(DAYS - 1))
    assert {method for *_, method, _ in truth(some, {})[1]} == {"linear", "similar_days", "group_profile"}
    done = world.run()
    assert done.meter_days == len(METERS) * DAYS  # local days: the last UTC hour of summer is of the next one
    world.check()


def test_2_the_same_again_changes_nothing(world: World) -> None:
    before = world.rows(shapes.estimates, "*")
    done = world.run()
    assert (done.meter_days, done.changes) == (0, {})
    world.publish(*range(3))  # other folders, the same readings
    assert world.run().meter_days == 0
    assert world.rows(shapes.estimates, "*") == before
    full = world.run(full=True)
    assert sum(one.rows for one in full.changes.values()) == 0


def test_3_a_new_day_ends_a_gap_and_touches_its_own_readings_only(world: World) -> None:
    whole = readings()
    for meter, values in world.readings.items():
        values |= {ts: value for ts, value in whole[meter].items() if ts >= at(DAYS - 1, 0)}
    for ts in range(at(6, 22), at(7, 2), STEP):
        del world.readings["m2"][ts]
    world.publish(6, 7)
    world.run()
    world.check()


def test_4_a_late_reading_takes_the_place_of_its_estimate(world: World) -> None:
    late = at(6, 12)
    world.readings["m1"][late] = 321
    world.publish(6)
    estimated = {(row[0], row[1]) for row in world.rows(shapes.estimates, "meter_id, interval_start")}
    assert ("m1", when(late)) in estimated
    assert world.run().meter_days == 1
    left = {(row[0], row[1]) for row in world.rows(shapes.estimates, "meter_id, interval_start")}
    assert estimated - left == {("m1", when(late))}
    world.check()


def test_5_a_correction_of_what_an_estimate_was_made_of_restates_it(world: World) -> None:
    world.readings["m1"][at(5, 12.5)] += 500  # of a similar day
    world.readings["m4"][at(0, 3)] += 700  # of the group, at the time of a gap of m2
    world.publish(0, 5)
    assert world.run().meter_days == 2
    world.check()


def test_6_estimates_add_up_to_the_register_exactly(world: World) -> None:
    before = world.rows(shapes.estimates, "meter_id, interval_start")
    for meter, more in (("m1", 12_345), ("m0", 0), ("m3", -10)):
        reads, total = {}, 5_000
        for day in (1, 3, 7):
            reads[at(day, 0)] = total
            total += sum(value for ts, value in world.readings[meter].items() if at(day, 0) <= ts < at(day + 4, 0))
            total += more
        world.reads[meter] = reads
    world.load_reads()
    done = world.run()
    assert done.meter_days == 0
    world.check()
    rows = world.rows(shapes.estimates, "meter_id, interval_start, CAST(consumption_estimate * 1000 AS BIGINT), method")
    held = world.reads["m1"]
    begin, end = at(3, 0), at(7, 0)
    best = {ts: value for ts, value in world.readings["m1"].items() if begin <= ts < end}
    best |= {
        int(t.replace(tzinfo=UTC).timestamp()): v for m, t, v, _ in rows if m == "m1" and when(begin) <= t < when(end)
    }
    assert len(best) == 4 * 48
    assert sum(best.values()) == held[end] - held[begin]
    assert before == [row[:2] for row in rows]


def test_7_a_meter_that_is_gone_leaves_nothing(world: World) -> None:
    del world.readings["m2"]
    world.publish(*range(DAYS))
    world.run()
    world.check()
    assert "m2" not in {row[0] for row in world.rows(shapes.days, "meter_id")}


def test_8_another_declaration_is_taken_at_once(world: World) -> None:
    assert vee_run.declared_as(VEE) != vee_run.declared_as(replace(VEE, rules=()))
