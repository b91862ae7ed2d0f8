"""Runs over quarter-hours of a zone whose hours and half-hours lie across those of UTC: every view up to the month."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import SparkSession
from samples import QUARTERS
from views_master import LocalMaster

from batch_layer.views import decimals, files, plan, run, tables
from batch_layer.views.context import Run
from meterlake.grains import Grain
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

NOW = datetime(2026, 11, 5, tzinfo=UTC)
START = datetime(2026, 10, 29, 3, tzinfo=UTC)
LENGTHS = {"quarter_hour": 900, "half_hour": 1800, "hour": 3600}
Current = plan.Current | None


def readings() -> list[Reading]:
    """Return five days of quarter-hours of two meters over the end of a month, with gaps of which one crosses it."""
    midnight = datetime(2026, 10, 31, 18, 15, tzinfo=UTC)  # November begins in Kathmandu
    result = []
    for number in range(5 * 96):
        moment = START + timedelta(minutes=15 * number)
        if number % 37 == 5 or abs(moment - midnight) < timedelta(hours=1):
            continue
        for place, meter in enumerate("ab"):
            value = 0.001 * (number * 7 % 1000 + 10_000 * place)
            result.append(
                Reading(
                    meter, int(moment.timestamp()), 900, (value,), received_at=NOW, origin="x", origin_offset=number
                )
            )
    return result


def time_of(ts: int, grain: Grain) -> datetime | date:
    if grain in LENGTHS:
        return datetime.fromtimestamp(ts - ts % LENGTHS[grain], UTC).replace(tzinfo=None)
    day = datetime.fromtimestamp(ts, ZoneInfo("Asia/Kathmandu")).date()
    return day if grain == "day" else day.replace(day=1)


def by_hand(rows: list[Reading], grain: Grain) -> dict[tuple[str, Any], dict[str, Any]]:
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for row in rows:
        units = [value for value in row.units(QUARTERS) if value is not None]
        groups[row.meter_id, time_of(row.ts, grain)].append(State.of_reading(QUARTERS, 900, units))
    return {key: merge_all(QUARTERS, states).row() for key, states in groups.items()}


def execute(master: LocalMaster, base: str, current: Current, **request: Any) -> plan.Current:
    planned = plan.make(QUARTERS, plan.Request(**request), current, master, NOW)
    files.make_folder(master.spark, tables.empty(base))
    result = run.compute(Run(master.spark, QUARTERS, master, current, planned, base, NOW))
    return plan.Current(planned.run_id, planned.snapshot, result.tables(current.tables if current else {}))


def stored(spark: SparkSession, current: plan.Current, table: tables.Table) -> Any:
    return files.read(spark, table, current.folders(table.name).values())


def view(spark: SparkSession, current: plan.Current, grain: Grain) -> dict[tuple[str, Any], dict[str, Any]]:
    rows = decimals.in_units(stored(spark, current, tables.view_table(QUARTERS, grain)), QUARTERS, grain).collect()
    result = {(row["meter_id"], row[grain]): row.asDict() for row in rows}
    assert len(result) == len(rows)
    return {key: {name: row[name] for name in row if name not in ("meter_id", grain)} for key, row in result.items()}


@pytest.mark.parametrize("steps", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_every_view_of_quarter_hours_is_what_the_core_makes_in_any_steps(
    spark: SparkSession, spark_settings: Settings, tmp_path: Path, steps: int
) -> None:
    base, master = (tmp_path / "batch").as_uri(), LocalMaster(spark, spark_settings, QUARTERS)
    rows, pick = readings(), random.Random(5)  # noqa: S311 - repeatable, not secret
    late = {row.key for row in pick.sample(rows, 40)}
    size = -(-len(rows) // steps)
    current: Current = None
    for begin in range(0, len(rows), size):
        master.add(row for row in rows[begin : begin + size] if row.key not in late)
        current = execute(master, base, current)
    master.add(row for row in rows if row.key in late)
    current = execute(master, base, current)
    for declared in QUARTERS.views:
        assert view(spark, current, declared.grain) == by_hand(rows, declared.grain), declared.grain
    assert {key[1] for key in view(spark, current, "month")} == {date(2026, 10, 1), date(2026, 11, 1)}
    gaps = stored(spark, current, tables.gaps_table(QUARTERS)).collect()
    known = {row.ts for row in rows}
    missing = sum(900 for ts in range(min(known), max(known), 900) if ts not in known)
    assert sum(gap["missing_s"] for gap in gaps if gap["meter_id"] == "a") == missing
    full = execute(master, base, current, full=True)
    for table in tables.all_tables(QUARTERS):
        first, second = (sorted(map(tuple, stored(spark, each, table).collect())) for each in (current, full))
        assert first == second, table.name
