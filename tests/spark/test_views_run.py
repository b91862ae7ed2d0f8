"""Runs over a master data set in memory and files on disk: what is read, computed, copied, and refused."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from views_master import MemoryMaster

from batch_layer.views import audit, decimals, files, plan, run, tables
from batch_layer.views.context import Run
from meterlake import rules, timegrid
from meterlake.declaration import Amount, Dataset, Flag, Level, View
from meterlake.errors import OutOfBalance, UsageError
from meterlake.precedence import Balance
from meterlake.reading import Reading
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

SMALL = Dataset(
    name="small",
    title="Few measures: most of the time of these tests goes into compiling queries",
    intervals=(60,),
    time_zone="Europe/Paris",
    measures=(Level("power", "kW", "0.001", between=(0, 100)), Amount("energy", "Wh", "0.1", between=(0, None))),
    rules=(Flag("high", "power > 2"),),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = [date(2026, 3, 27) + timedelta(days=step) for step in range(7)]  # over a DST change and the end of a month


def readings(day: date, meters: str = "ab", **changes: Any) -> list[Reading]:
    """Return a reading every 42 minutes of a UTC day."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return [
        Reading(
            meter, ts, 60, (1.5 + ts % 11 / 10, 25.0),
            received_at=NOW, origin="a.csv", origin_offset=ts - start, **changes,
        )
        for meter in meters
        for ts in range(start, start + 86_400, 2520)
    ]  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> str:
    return (tmp_path / "batch").as_uri()


def execute(master: MemoryMaster, base: str, current: plan.Current | None = None, **request: Any) -> run.Result:
    planned = plan.make(SMALL, plan.Request(**request), current, master, NOW)
    return run.compute(Run(master.spark, SMALL, master, current, planned, base))


def published(result: run.Result) -> plan.Current:
    return plan.Current(result.plan.run_id, result.plan.snapshot, result.tables)


def view(spark: SparkSession, result: run.Result, grain: Any) -> dict[tuple[str, Any], dict[str, Any]]:
    table = tables.view_table(SMALL, grain)
    rows = decimals.in_units(files.read(spark, table, result.tables[table.name].values()), SMALL, grain).collect()
    found = [row.asDict() for row in rows]
    return {(row.pop("meter_id"), row.pop(grain)): row for row in found}


def by_hand(rows: list[Reading], grain: Any) -> dict[tuple[str, Any], dict[str, Any]]:
    """Return a view's rows straight from readings, by the core."""
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for row in rows:
        start: Any = timegrid.local_day(row.ts, SMALL.time_zone)
        if grain != "day":
            length = {"minute": 60, "hour": 3600}[grain]
            start = datetime.fromtimestamp(row.ts - row.ts % length, UTC).replace(tzinfo=None)
        units = [value for value in row.units(SMALL) if value is not None]
        groups[row.meter_id, start].append(
            State.of_reading(SMALL, row.interval_s, units, flagged=rules.is_flagged(SMALL, row))
        )
    return {key: merge_all(SMALL, states).row() for key, states in groups.items()}


def contents(result: run.Result) -> dict[tuple[str, str], list[str]]:
    """Return a digest of every file's bytes, by table and partition."""
    return {
        (table, value): sorted(
            hashlib.sha256(file.read_bytes()).hexdigest()
            for file in Path(folder.removeprefix("file://")).glob("*.parquet")
        )
        for table, partitions in result.tables.items()
        for value, folder in partitions.items()
    }


def test_a_first_run_computes_every_view_as_the_core_does(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(row for day in DAYS for row in readings(day))
    result = execute(master, base)
    assert result.plan.mode == "full"
    assert result.balance == Balance(len(master.rows()), used=len(master.rows()))
    for grain in ("minute", "hour", "day"):
        assert view(spark, result, grain) == by_hand(master.rows(), grain)
    assert set(result.tables["small_minute"]) == {"2026-03", "2026-04"}
    assert result.figures["small_minute"]["files_written"] == 2


def test_an_incremental_run_reads_only_the_new_day_and_equals_a_full_one(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(row for day in (DAYS[0], DAYS[2], DAYS[5]) for row in readings(day))
    first = execute(master, base)
    master.asked.clear()
    master.add(readings(DAYS[1]))
    second = execute(master, base, published(first))
    assert second.plan.mode == "incremental"
    assert all(days == [DAYS[1]] for days in master.asked)
    assert second.balance.read == len(readings(DAYS[1]))
    assert second.tables["small_minute"]["2026-04"] == first.tables["small_minute"]["2026-04"]
    assert second.figures["small_minute"]["partitions_rewritten"] == ["2026-03"]
    assert second.figures["small_minute"]["files_copied_from"] == 1
    full = execute(master, base, published(second), full=True)
    assert contents(full) == contents(second)


def test_readings_that_compete_are_decided_between(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    good = readings(DAYS[0])
    again = [replace(row, origin="b.csv") for row in good[:5]]
    other = [replace(row, origin="c.csv", values=(2.5, 1.0)) for row in good[3:9]]
    later = [replace(row, revision=1, values=(0.5, 2.0)) for row in good[8:12]]
    master.add([*good, *again, *other, *later])
    result = execute(master, base)
    counted = {"duplicate": 5, "conflicting": 5, "superseded": 5}  # one of the conflicts is superseded, too
    assert result.balance == Balance(len(master.rows()), used=len(good), **counted)
    assert view(spark, result, "minute") == by_hand([*good[:8], *later, *good[12:]], "minute")
    rejects = files.read(spark, tables.rejects_table(SMALL), result.tables["small_rejects"].values())
    assert [row.reason for row in rejects.collect()] == ["conflict"] * 5


def test_a_day_of_which_nothing_is_used_is_no_rows(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(replace(row, values=(-1.0, 1.0)) for row in readings(DAYS[0]))
    result = execute(master, base)
    assert result.balance.rejected == result.balance.read == len(master.rows())
    assert view(spark, result, "minute") == view(spark, result, "day") == {}


def test_untouched_days_are_copied_not_recomputed(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]))
    first = execute(master, base)
    master.commits[0] = [replace(row, values=(9.0, *row.values[1:])) for row in master.commits[0]]  # unseen by design
    master.add(readings(DAYS[3]))
    second = execute(master, base, published(first))
    assert view(spark, second, "minute") == by_hand(readings(DAYS[0]) + readings(DAYS[3]), "minute")


def test_the_same_input_makes_the_same_bytes(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    bad = [replace(row, values=(-1.0, *row.values[1:])) for row in readings(DAYS[1], "a")]
    master.add([*readings(DAYS[0]), *bad])
    one, other = execute(master, base), execute(master, base)
    assert one.plan.run_id != other.plan.run_id
    assert contents(one) == contents(other)
    assert one.balance.rejected == len(bad)
    assert set(one.tables["small_rejects"]) == {"2026-03"}


def test_corrections_replace_and_withdrawals_empty_a_partition(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]) + readings(DAYS[5], "a"))
    first = execute(master, base)
    master.add([replace(row, values=(None, None), revision=1) for row in readings(DAYS[5], "a")])
    second = execute(master, base, published(first))
    assert second.balance.gap == second.balance.superseded == len(readings(DAYS[5], "a"))
    assert view(spark, second, "minute") == by_hand(readings(DAYS[0]), "minute")
    assert second.tables["small_minute"]["2026-04"].endswith(second.plan.run_id)
    gaps = files.read(spark, tables.gaps_table(SMALL), second.tables["small_gaps"].values())
    assert gaps.where("gap_end >= '2026-03-28'").count() == 0


def test_a_gap_that_a_late_day_ends_changes_its_old_partition(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(date(2026, 1, 15), "a"))
    first = execute(master, base)
    assert set(first.tables["small_gaps"]) == {"2026-01"}
    master.add(readings(date(2026, 3, 2), "a"))
    second = execute(master, base, published(first))
    assert second.figures["small_gaps"]["partitions_rewritten"] == ["2026-01", "2026-02", "2026-03"]
    rows = files.read(spark, tables.gaps_table(SMALL), second.tables["small_gaps"].values())
    long = rows.where("missing_s > 86400").orderBy("gap_start").collect()
    assert [row.missing_s for row in long] == [16 * 86_400 + 660, 28 * 86_400]
    assert contents(execute(master, base, published(second), full=True)) == contents(second)


def test_a_range_recomputes_those_days_and_leaves_the_snapshot(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(row for day in DAYS[:3] for row in readings(day))
    first = execute(master, base)
    master.add(readings(DAYS[3]))
    ranged = execute(master, base, published(first), since=DAYS[1], until=DAYS[1])
    assert ranged.plan.snapshot == first.plan.snapshot
    assert view(spark, ranged, "minute") == view(spark, first, "minute")
    assert view(spark, execute(master, base, published(ranged)), "minute") == by_hand(master.rows(), "minute")


def test_nothing_new_is_an_empty_plan(spark: SparkSession) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]))
    assert plan.make(SMALL, plan.Request(), plan.Current("r", 1, {}), master, NOW).is_empty
    with pytest.raises(plan.NothingLoaded, match="meterlake load small"):
        plan.make(SMALL, plan.Request(), None, MemoryMaster(spark, SMALL), NOW)


def test_lost_rows_fail_the_audit(spark: SparkSession, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]))
    whole = files.write

    def losing(name: str, condition: str) -> Callable[..., Any]:
        return lambda rows, table, *where: whole(rows.where(condition) if table.name == name else rows, table, *where)

    monkeypatch.setattr(files, "write", losing("small_hour", "meter_id <> 'b'"))
    with pytest.raises(audit.AuditFailed, match="small_minute and small_hour: b"):
        execute(master, base)
    monkeypatch.setattr(files, "write", losing("small_minute", "minute <> '2026-03-27 00:00:00'"))
    with pytest.raises(audit.AuditFailed, match="readings and small_minute"):
        execute(master, base)


def test_readings_that_vanish_are_out_of_balance(
    spark: SparkSession, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]))
    monkeypatch.setattr(
        run.verdicts, "with_reason", lambda rows, _: rows.limit(7).withColumn("reason", run.F.lit(None).cast("string"))
    )
    with pytest.raises(OutOfBalance):
        execute(master, base)


def test_files_are_sorted_by_meter_and_time_whatever_the_order_of_rows(spark: SparkSession, base: str) -> None:
    table = tables.gaps_table(SMALL)
    starts = [datetime(2026, 1, 1) + timedelta(minutes=number * 7919 % 100_000) for number in range(2000)]  # noqa: DTZ001
    rows = spark.createDataFrame([("cab"[at.minute % 3], at, at, 0) for at in starts], table.spark_schema())
    written = files.write(rows.repartition(3), table, base, "r1")
    assert written.files == len(written.partitions) == 3
    for folder in written.partitions.values():
        (file,) = Path(folder.removeprefix("file://")).glob("*.parquet")
        found = [(row["meter_id"], row["gap_start"]) for row in pq.ParquetFile(file).read().to_pylist()]
        assert found == sorted(found)


def test_old_runs_are_removed_and_kept_ones_stay(spark: SparkSession, base: str) -> None:
    master = MemoryMaster(spark, SMALL)
    master.add(readings(DAYS[0]))
    old, new = execute(master, base), execute(master, base)
    table = tables.view_table(SMALL, "minute")
    gone = files.remove_runs(spark, table, base, set(new.tables[table.name].values()))
    assert len(gone) == 1
    assert not Path(old.tables[table.name]["2026-03"].removeprefix("file://")).exists()
    assert view(spark, new, "minute") == by_hand(master.rows(), "minute")


def test_contradictory_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="--full"):
        plan.Request(full=True, since=DAYS[0])
    with pytest.raises(UsageError, match="after"):
        plan.Request(since=DAYS[1], until=DAYS[0])
