"""Runs over a master data set in memory and files on disk: what is read, computed, copied, and refused."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from views_master import LocalMaster

from batch_layer.views import audit, decimals, files, plan, run, slicing, source, tables
from batch_layer.views.context import Run
from engines import verdicts
from meterlake import rules, timegrid
from meterlake.declaration import Amount, Flag, Level, MeterSeries, View
from meterlake.errors import OutOfBalance, UsageError
from meterlake.precedence import Balance
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.slices import Layout
from meterlake.state import State, merge_all

pytestmark = pytest.mark.spark

# Times in tables are UTC without zone.
# ruff: noqa: DTZ001
# Statements here are made of names of these tests alone.
# ruff: noqa: S608

SMALL = MeterSeries(
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


@pytest.fixture
def master(spark: SparkSession, spark_settings: Settings) -> LocalMaster:
    return LocalMaster(spark, spark_settings, SMALL)


@dataclass(frozen=True)
class Done:
    """A run, and what readers see once it is published."""

    result: run.Result
    current: plan.Current

    @property
    def plan(self) -> plan.Plan:
        return self.result.plan

    @property
    def balance(self) -> Balance:
        return self.result.balance

    @property
    def figures(self) -> dict[str, Any]:
        return self.result.figures

    def folders(self, table: str) -> dict[str, str]:
        """Return slice -> folder."""
        return {tables.slice_name(name): folder for name, folder in self.current.folders(f"small_{table}").items()}


def execute(master: LocalMaster, base: str, before: Done | None = None, now: datetime = NOW, **request: Any) -> Done:
    current = before.current if before else None
    planned = plan.make(SMALL, plan.Request(**request), current, master, now)
    files.make_folder(master.spark, tables.empty(base))
    result = run.compute(Run(master.spark, SMALL, master, current, planned, base, now))
    after = result.tables(current.tables if current else {})
    return Done(result, plan.Current(planned.run_id, planned.snapshot, after))


def stored(spark: SparkSession, done: Done, table: tables.Table) -> DataFrame:
    return files.read(spark, table, done.current.folders(table.name).values())


def view(spark: SparkSession, done: Done, grain: Any) -> dict[tuple[str, Any], dict[str, Any]]:
    rows = decimals.in_units(stored(spark, done, tables.view_table(SMALL, grain)), SMALL, grain).collect()
    result = {(row["meter_id"], row[grain]): row.asDict() for row in rows}
    assert len(result) == len(rows)
    return {key: {name: row[name] for name in row if name not in ("meter_id", grain)} for key, row in result.items()}


def everything(spark: SparkSession, done: Done) -> dict[str, list[Any]]:
    """Return the rows of every table, in order."""
    result = {table.name: stored(spark, done, table) for table in tables.all_tables(SMALL)}
    return {name: [tuple(row) for row in rows.sort(*rows.columns).collect()] for name, rows in result.items()}


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


def contents(result: Done) -> dict[tuple[str, str], list[str]]:
    """Return a digest of every file's bytes, by table and partition."""
    return {
        (table, value): sorted(
            hashlib.sha256(file.read_bytes()).hexdigest()
            for file in Path(folder.removeprefix("file://")).glob("*.parquet")
        )
        for table, partitions in result.current.tables.items()
        for value, folder in partitions.items()
    }


def test_a_first_run_computes_every_view_as_the_core_does(spark: SparkSession, master: LocalMaster, base: str) -> None:
    master.add(row for day in DAYS for row in readings(day))
    done = execute(master, base)
    assert done.plan.mode == "full"
    assert done.balance == Balance(len(master.readings), used=len(master.readings))
    for grain in ("minute", "hour", "day"):
        assert view(spark, done, grain) == by_hand(master.readings, grain)
    hours = {f"2026-04-0{day}T{hour:02}" for day in (1, 2) for hour in range(24)}
    assert set(done.folders("minute")) == hours | {f"2026-03-{day}" for day in range(27, 32)}
    assert set(done.folders("hour")) == {day.isoformat() for day in DAYS}
    assert done.figures["small_minute"]["files_written"] == len(hours) + 5
    assert {row["meter_id"]: (row["covered_from"], row["covered_to"]) for row in meters(spark, done)} == {
        meter: (datetime(2026, 3, 27), datetime(2026, 4, 2, 23, 49)) for meter in "ab"
    }


def meters(spark: SparkSession, done: Done) -> list[Any]:
    return stored(spark, done, tables.meters_table(SMALL)).collect()


def test_an_incremental_run_reads_only_the_new_files_and_equals_a_full_one(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    master.add(row for day in (DAYS[0], DAYS[1], DAYS[5]) for row in readings(day))
    first = execute(master, base)
    added = master.add(readings(DAYS[3]))
    second = execute(master, base, first)
    assert second.plan.mode == "incremental"
    figures = second.figures["master"]
    assert (figures["readings"], figures["files_read"]) == (len(readings(DAYS[3])), 1)
    assert figures["bytes_read"] == added.added_bytes
    assert second.figures["small_minute"]["slices_rewritten"] == ["2026-03-30"]
    assert second.figures["small_minute"]["files_copied_from"] == 0
    assert set(first.folders("minute").values()) < set(second.folders("minute").values())
    full = execute(master, base, second, full=True)
    assert contents(full) == contents(second)


@pytest.mark.parametrize("summed", [source.SUMMED_ROWS, 0], ids=["few", "many"])
def test_earlier_readings_are_read_again_only_where_new_ones_join_them(
    spark: SparkSession, master: LocalMaster, base: str, summed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SUMMED_ROWS", summed)
    old = readings(DAYS[0])
    for meter in "ab":
        master.add(row for row in old if row.meter_id == meter)
    first = execute(master, base)
    late = [replace(row, revision=1, values=(0.5, 2.0)) for row in old[3:5]]
    master.add(late)
    second = execute(master, base, first)
    assert second.balance == Balance(4, used=2, superseded=2)
    assert second.figures["master"]["files_read"] == 2  # the new one, and the one of two that may hold those minutes
    assert view(spark, second, "minute") == by_hand([*old[:3], *late, *old[5:]], "minute")


@pytest.mark.parametrize("steps", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_whatever_comes_in_whatever_steps_the_views_are_those_of_one_full_run(
    spark: SparkSession, master: LocalMaster, base: str, steps: int
) -> None:
    """New, late, duplicate, conflicting, revised, withdrawn and rejected readings, of new and of silent meters."""
    pick = random.Random(11)  # noqa: S311
    done: Done | None = None
    sent: list[Reading] = []
    for step in range(steps):
        day = date(2026, 3, 26) + timedelta(days=step if step < 6 else step + 20)
        fresh = [row for row in readings(day, "abcd"[: 1 + step % 4]) if pick.random() < 0.8]
        fresh += readings(day - timedelta(days=pick.choice((1, 3, 40))), pick.choice("aex"))[: pick.randrange(9)]
        known = pick.sample(sent, min(len(sent), 30))
        fresh += [replace(row, origin=f"again{step}", **pick.choice(CHANGES)(row, pick)) for row in known]
        sent += fresh
        master.add(fresh)
        now = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
        done = execute(master, base, done, now)
        if step % 4 == 3 and step < steps - 1:
            assert everything(spark, done) == everything(spark, execute(master, base, now=now)), step
    assert done is not None
    full = execute(master, base, now=NOW + timedelta(days=30))
    assert everything(spark, done) == everything(spark, full)
    again = execute(master, base, done, full=True)
    assert everything(spark, again) == everything(spark, full)
    assert {*again.folders("minute").values()} & {*done.folders("minute").values()} <= {tables.empty(base)}


CHANGES: list[Callable[[Reading, random.Random], dict[str, Any]]] = [
    lambda _row, _pick: {},
    lambda _row, pick: {"values": (pick.randrange(5000) / 1000, 3.0)},
    lambda row, pick: {"values": (pick.randrange(5000) / 1000, 4.0), "revision": row.revision + 1},
    lambda row, _pick: {"values": (None, None), "revision": row.revision + 1},
    lambda _row, _pick: {"values": (-1.0, 1.0)},
]


def test_readings_that_compete_are_decided_between(spark: SparkSession, master: LocalMaster, base: str) -> None:
    good = readings(DAYS[0])
    again = [replace(row, origin="b.csv") for row in good[:5]]
    other = [replace(row, origin="c.csv", values=(2.5, 1.0)) for row in good[3:9]]
    later = [replace(row, revision=1, values=(0.5, 2.0)) for row in good[8:12]]
    master.add([*good, *again, *other, *later])
    done = execute(master, base)
    counted = {"duplicate": 5, "conflicting": 5, "superseded": 5}  # one of the conflicts is superseded, too
    assert done.balance == Balance(len(master.readings), used=len(good), **counted)
    assert view(spark, done, "minute") == by_hand([*good[:8], *later, *good[12:]], "minute")
    assert [row.reason for row in stored(spark, done, tables.rejects_table(SMALL)).collect()] == ["conflict"] * 5


def test_a_day_of_which_nothing_is_used_is_no_rows(spark: SparkSession, master: LocalMaster, base: str) -> None:
    master.add(replace(row, values=(-1.0, 1.0)) for row in readings(DAYS[0]))
    done = execute(master, base)
    assert done.balance.rejected == done.balance.read == len(master.readings)
    assert view(spark, done, "minute") == view(spark, done, "day") == {}


def test_rows_are_deleted_by_sql_and_their_days_are_read_whole(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    """A user's DELETE, on copies of files and by files that say which rows are gone."""
    master.add(readings(DAYS[0]) + readings(DAYS[1]))
    master.add(readings(DAYS[2]))
    done = execute(master, base)
    left = master.readings
    for mode, meter, day in (("copy-on-write", "a", DAYS[0]), ("merge-on-read", "b", DAYS[1])):
        spark.sql(
            f"ALTER TABLE {master.name} SET TBLPROPERTIES ('write.delete.mode' = '{mode}', 'format-version' = '2')"
        )
        spark.sql(f"DELETE FROM {master.name} WHERE meter_id = '{meter}' AND CAST(ts AS DATE) = '{day}'")
        left = [row for row in left if (row.meter_id, timegrid.local_day(row.ts, "UTC")) != (meter, day)]
        master.add(readings(DAYS[3], meter))
        left += readings(DAYS[3], meter)
        done = execute(master, base, done)
        assert day.isoformat() in done.figures["master"]["days"]
        assert view(spark, done, "minute") == by_hand(left, "minute")
        assert view(spark, done, "day") == by_hand(left, "day")
    assert execute(master, base, done, full=True).balance.read == len(left)
    compacted = execute(master, base, done).plan
    assert compacted.is_empty


def test_compaction_is_no_change(spark: SparkSession, master: LocalMaster, base: str) -> None:
    master.add(readings(DAYS[0]))
    master.add(readings(DAYS[1]))
    first = execute(master, base)
    master.add(readings(DAYS[2]))
    spark.sql(
        f"CALL iceberg.system.rewrite_data_files(table => '{master.name}', options => map('rewrite-all', 'true'))"
    )
    second = execute(master, base, first)
    assert second.balance.read == len(readings(DAYS[2]))
    assert view(spark, second, "minute") == by_hand(master.readings, "minute")
    spark.sql(
        f"CALL iceberg.system.rewrite_data_files(table => '{master.name}', options => map('rewrite-all', 'true'))"
    )
    assert plan.make(SMALL, plan.Request(), second.current, master, NOW).is_empty


def test_the_same_input_makes_the_same_bytes(spark: SparkSession, master: LocalMaster, base: str) -> None:
    bad = [replace(row, values=(-1.0, *row.values[1:])) for row in readings(DAYS[1], "a")]
    master.add([*readings(DAYS[0]), *bad])
    one, other = execute(master, base), execute(master, base)
    assert one.plan.run_id != other.plan.run_id
    assert contents(one) == contents(other)
    assert one.balance.rejected == len(bad)
    assert {name[:10] for name in one.folders("rejects")} == {"2026-03-28"}


def test_corrections_replace_and_withdrawals_empty_a_slice(spark: SparkSession, master: LocalMaster, base: str) -> None:
    master.add(readings(DAYS[0]) + readings(DAYS[5], "a"))
    first = execute(master, base)
    master.add([replace(row, values=(None, None), revision=1) for row in readings(DAYS[5], "a")])
    second = execute(master, base, first)
    assert second.balance.gap == second.balance.superseded == len(readings(DAYS[5], "a"))
    assert view(spark, second, "minute") == by_hand(readings(DAYS[0]), "minute")
    assert second.folders("hour")["2026-04-01"] == tables.empty(base)
    gaps = stored(spark, second, tables.gaps_table(SMALL))
    assert gaps.where("gap_end >= '2026-03-28'").count() == 0
    assert max(row["covered_to"] for row in meters(spark, second)) == datetime(2026, 3, 27, 23, 49)
    master.add(readings(DAYS[6], "a"))
    third = execute(master, base, second)
    assert "2026-04-01" not in third.folders("hour")
    assert everything(spark, third) == everything(spark, execute(master, base))


def test_a_gap_that_a_late_day_ends_changes_its_old_partition(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    master.add(readings(date(2026, 1, 15), "a"))
    first = execute(master, base)
    assert {name[:7] for name in first.folders("gaps")} == {"2026-01"}
    master.add(readings(date(2026, 3, 2), "a"))
    second = execute(master, base, first)
    rewritten = {name[:7] for name in second.figures["small_gaps"]["slices_rewritten"]}
    assert rewritten == {"2026-01", "2026-02", "2026-03"}
    long = stored(spark, second, tables.gaps_table(SMALL)).where("missing_s > 86400").orderBy("gap_start").collect()
    assert [row.missing_s for row in long] == [16 * 86_400 + 660, 28 * 86_400]
    assert everything(spark, execute(master, base, second, full=True)) == everything(spark, second)


def test_a_meter_whose_ends_are_withdrawn_loses_its_gaps_of_many_months(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    first, middle, last = (readings(date(2026, month, 15), "a")[:3] for month in (1, 3, 4))
    master.add([*first, *middle, *last])
    done = execute(master, base)
    assert len(stored(spark, done, tables.gaps_table(SMALL)).collect()) == 6 + 3 + 2  # short ones, then by month
    master.add([replace(row, values=(None, None), revision=1) for row in [*first, *last]])
    done = execute(master, base, done)
    assert len(stored(spark, done, tables.gaps_table(SMALL)).collect()) == 2
    assert [tuple(row)[1:] for row in meters(spark, done)] == [(datetime(2026, 3, 15), datetime(2026, 3, 15, 1, 25))]
    master.add([replace(row, values=(None, None), revision=1) for row in middle])
    done = execute(master, base, done)
    assert meters(spark, done) == stored(spark, done, tables.gaps_table(SMALL)).collect() == []


def test_a_range_recomputes_those_days_and_leaves_the_snapshot(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    master.add(row for day in DAYS[:3] for row in readings(day))
    first = execute(master, base)
    master.add(readings(DAYS[3]))
    ranged = execute(master, base, first, since=DAYS[1], until=DAYS[1])
    assert ranged.plan.snapshot == first.plan.snapshot
    assert ranged.balance.read == len(readings(DAYS[1]))
    assert view(spark, ranged, "minute") == view(spark, first, "minute")
    assert view(spark, execute(master, base, ranged), "minute") == by_hand(master.readings, "minute")


@pytest.mark.parametrize("later", [(), pytest.param((20, 21, 22), marks=pytest.mark.slow)], ids=["days", "months"])
def test_old_slices_are_merged_and_readers_see_every_row_once(
    spark: SparkSession, master: LocalMaster, base: str, later: tuple[int, ...]
) -> None:
    """Announced by one run, merged by the next, dropped by the one after; nothing is lost at any step."""
    master.add(row for day in DAYS[:2] for row in readings(day))
    first = execute(master, base)
    hours = {f"2026-03-{day}T{hour:02}" for day in (27, 28) for hour in range(24)}
    assert set(first.folders("minute")) == hours
    done, seen = first, []
    for day in DAYS[2:6]:
        master.add(readings(day))
        done = execute(master, base, done)
        seen.append(done)
        assert view(spark, done, "minute") == by_hand(master.readings, "minute")
    announced, merged, dropped = (done.folders("minute") for done in seen[:3])
    empty = tables.empty(base)
    assert announced["2026-03-27"] == empty
    assert announced["2026-03-27T00"] != empty
    assert merged["2026-03-27"] != empty
    assert {merged[name] for name in hours if "27T" in name} == {empty}
    assert "2026-03-27T00" not in dropped
    assert seen[1].figures["small_minute"]["slices_merged_into"] == ["2026-03-27"]
    parts = {name: announced[name] for name in sorted(hours) if "27T" in name}
    assert files.parts_of(spark, merged["2026-03-27"]) == parts
    assert files.parts_of(spark, announced["2026-03-27T00"]) == {}
    for number in later:
        master.add(readings(date(2026, 4, number)))
        done = execute(master, base, done)
        assert view(spark, done, "minute") == by_hand(master.readings, "minute")
    if later:
        assert {name for name in done.folders("minute") if name.startswith("2026-03")} == {"2026-03"}
    assert everything(spark, done) == everything(spark, execute(master, base))


def test_a_layout_in_spark_is_that_of_the_core(spark: SparkSession) -> None:
    pick = random.Random(3)  # noqa: S311
    newest = date(2026, 11, 26)
    existing = frozenset({"2026-11-26", "2026-10-03T07", "2026-09", "2026-08-09", "2025-01-01", "2026-11-25T03"})
    times = [datetime(2026, 12, 20) - timedelta(hours=pick.randrange(20_000)) for _ in range(3000)]
    times += [datetime(2026, 11, 26, 3), datetime(2026, 10, 3, 7, 59), datetime(2099, 1, 1), datetime(1970, 1, 1)]
    table = tables.view_table(SMALL, "minute")
    rows = spark.createDataFrame([(time,) for time in times], "minute TIMESTAMP_NTZ")
    for smallest in ("hour", "day", "month"):
        layout = Layout("month", smallest, newest, frozenset(n for n in existing if smallest == "hour" or len(n) < 11))
        result = rows.select("minute", slicing.slice_column(table, layout).alias("name")).collect()
        assert [row["name"] for row in result] == [layout.slice_of(row["minute"]) for row in result]


def test_large_slices_are_files_of_meters_that_do_not_overlap(
    spark: SparkSession, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "ROWS_A_FILE", 600)  # else it takes millions of rows
    table = tables.view_table(SMALL, "minute")
    names = [f"m{number:03}" for number in range(50)]
    start = datetime(2026, 11, 26, 14)
    data = [(name, start + timedelta(minutes=step)) for name in names for step in range(60)]
    ones = (f"CAST(1 AS {column.type.sql('spark')}) AS {column.name}" for column in table.columns[2:])
    rows = spark.createDataFrame(data, "meter_id STRING, minute TIMESTAMP_NTZ").selectExpr("*", *ones)
    fleet = slicing.Fleet.of(rows, "meter_id")
    written = files.write(rows.repartition(7), table, Layout("month", "hour", start.date()), base, "r1", fleet)
    assert (list(written.slices), written.files) == (["2026-11-26T14"], 5)
    spans = []
    for file in Path(written.slices["2026-11-26T14"].removeprefix("file://")).glob("*.parquet"):
        result = [(row["meter_id"], row["minute"]) for row in pq.ParquetFile(file).read().to_pylist()]
        assert result == sorted(result)
        spans.append((result[0][0], result[-1][0]))
    assert all(before[1] < after[0] for before, after in zip(sorted(spans), sorted(spans)[1:], strict=False))


def test_views_of_an_earlier_version_are_computed_again(spark: SparkSession, master: LocalMaster) -> None:
    master.add(readings(DAYS[0]))
    earlier = plan.Current("r", 1, {"small_minute": {"month=2026-03": "/somewhere"}})
    assert plan.make(SMALL, plan.Request(), earlier, master, NOW).mode == "full"


def test_size_and_newest_day_come_from_metadata_whatever_a_wrong_clock_says(
    spark: SparkSession, master: LocalMaster
) -> None:
    master.add(readings(DAYS[0]))
    snapshot = master.add([replace(row, ts=row.ts + 400 * 86_400) for row in readings(DAYS[0], "a")[:3]])
    assert master.newest_day(date(2026, 5, 2), snapshot.id) == DAYS[0]
    assert master.newest_day(date(2027, 5, 1), snapshot.id) == date(2027, 5, 1)
    assert master.newest_day(date(2026, 1, 1), snapshot.id) is None
    size = master.size(None, snapshot.id)
    assert (size.files, size.rows) == (2, len(master.readings))
    spark.sql(f"ALTER TABLE {master.name} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql(f"DELETE FROM {master.name} WHERE meter_id = 'b'")
    assert master.size().files == 2  # not the file that says what is deleted


def test_nothing_new_is_an_empty_plan(spark: SparkSession, master: LocalMaster, spark_settings: Settings) -> None:
    snapshot = master.add(readings(DAYS[0]))
    assert plan.make(SMALL, plan.Request(), plan.Current("r", snapshot.id, {}), master, NOW).is_empty
    with pytest.raises(plan.NothingLoaded, match="meterlake load small"):
        plan.make(SMALL, plan.Request(), None, LocalMaster(spark, spark_settings, SMALL), NOW)


def test_lost_rows_fail_the_audit(
    spark: SparkSession, master: LocalMaster, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.add(readings(DAYS[0]))
    whole = files.stage

    def losing(name: str, condition: str) -> Callable[..., Any]:
        return lambda rows, table, *where: whole(rows.where(condition) if table.name == name else rows, table, *where)

    monkeypatch.setattr(files, "stage", losing("small_hour", "meter_id <> 'b'"))
    with pytest.raises(audit.AuditFailed, match="small_minute and small_hour: b"):
        execute(master, base)
    monkeypatch.setattr(files, "stage", losing("small_minute", "minute <> '2026-03-27 00:00:00'"))
    with pytest.raises(audit.AuditFailed, match="readings and small_minute"):
        execute(master, base)
    monkeypatch.undo()
    done = execute(master, base)
    master.add(readings(DAYS[0], "c"))
    monkeypatch.setattr(files, "stage", losing("small_minute", "meter_id <> 'a' or minute <> '2026-03-27 00:00:00'"))
    with pytest.raises(audit.AuditFailed, match="copied rows of small_minute: a"):
        execute(master, base, done)


def test_lost_rows_of_a_new_day_fail_the_audit(
    spark: SparkSession, master: LocalMaster, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slices of minutes and hours hold no other rows, so no row of them is looked for in what is new."""
    master.add(readings(DAYS[0]))
    done, whole = execute(master, base), files.stage
    master.add(readings(DAYS[1]))
    for table, time, places in (
        ("minute", "2026-03-28 05:36:00", "readings and small_minute"),
        ("hour", "2026-03-28 05:00:00", "small_minute and small_hour: b"),
        ("day", "2026-03-28", "small_hour and small_day: b"),
    ):
        lost = f"meter_id <> 'b' OR {table} <> '{time}'"

        def losing(rows: DataFrame, to: tables.Table, *where: Any, name: str = table, kept: str = lost) -> None:
            whole(rows.where(kept) if to.name == f"small_{name}" else rows, to, *where)

        monkeypatch.setattr(files, "stage", losing)
        with pytest.raises(audit.AuditFailed, match=places):
            execute(master, base, done)


def test_minutes_of_hours_that_nothing_touches_are_not_read(
    spark: SparkSession, master: LocalMaster, base: str
) -> None:
    rows = readings(DAYS[0])
    noon = rows[0].ts + 12 * 3600
    master.add(row for row in rows if row.ts < noon)
    done = execute(master, base)
    master.add(row for row in rows if row.ts >= noon)
    for hour in range(9):
        shutil.rmtree(done.folders("minute")[f"2026-03-27T{hour:02}"].removeprefix("file://"))
    second = execute(master, base, done)
    assert view(spark, second, "day") == by_hand(rows, "day")


def test_rows_outside_their_slice_fail_the_audit(
    spark: SparkSession, master: LocalMaster, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.add(readings(DAYS[0]))
    monkeypatch.setattr(slicing, "slice_column", lambda *_: F.lit("2026-03-27T05"))
    with pytest.raises(audit.AuditFailed, match="rows lie outside their slice"):
        execute(master, base)


def test_rows_that_cover_more_than_they_last_fail_the_audit(
    spark: SparkSession, master: LocalMaster, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.add(readings(DAYS[0]))
    monkeypatch.setattr(timegrid, "full_coverage_sql", lambda _, grain: "10" if grain == "day" else "1000000000")
    with pytest.raises(audit.AuditFailed, match=r"view day: a row of 2026-03-27 covers \d+ s of 10 s"):
        execute(master, base)


def test_readings_that_vanish_are_out_of_balance(
    spark: SparkSession, master: LocalMaster, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.add(readings(DAYS[0]))
    monkeypatch.setattr(
        verdicts, "with_reason", lambda rows, _: rows.limit(7).withColumn("reason", F.lit(None).cast("string"))
    )
    with pytest.raises(OutOfBalance):
        execute(master, base)


def test_old_runs_are_removed_and_kept_ones_stay(spark: SparkSession, master: LocalMaster, base: str) -> None:
    master.add(readings(DAYS[0]))
    old, new = execute(master, base), execute(master, base)
    table = tables.view_table(SMALL, "hour")
    gone = files.remove_runs(spark, table, base, set(new.folders("hour").values()))
    assert len(gone) == 1
    assert not Path(old.folders("hour")["2026-03-27"].removeprefix("file://")).exists()
    assert view(spark, new, "hour") == by_hand(master.readings, "hour")


def test_contradictory_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="--full"):
        plan.Request(full=True, since=DAYS[0])
    with pytest.raises(UsageError, match="after"):
        plan.Request(since=DAYS[1], until=DAYS[0])
