"""Upkeep and quality on the real servers: nothing that a run needs goes, and findings are a table like any other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from batch_samples import DATASET, DAYS, NEW_DAY, clock, expected, fresh, history, load, readings, run, seen
from publishing import present
from pyspark.sql import SparkSession

from batch_layer.ingest.raw_store import RAW
from cli import maintain_command, quality_command
from engines import hdfs, hive, trino
from engines.master import master
from meterlake.clock import system_clock
from meterlake.quality import LongGap
from meterlake.settings import Settings
from serving_layer.publish import records
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Statements here are made of names of ours alone.
# ruff: noqa: S608
UPKEEP = replace(DATASET, name="upkeep_test", quality=(LongGap(timedelta(minutes=9)),))
OLD = [row for day in DAYS for row in readings(day)]


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    """Six small loads are published, and a new day is loaded after that."""
    with fresh(settings, UPKEEP) as result:
        for part in range(6):
            load(result, settings, OLD[part::6], UPKEEP)
        assert run(settings, UPKEEP)["result"] == "published"
        load(result, settings, readings(NEW_DAY), UPKEEP)
        yield result


def keep_up(settings: Settings) -> dict[str, dict[str, Any]]:
    """Do the upkeep of a day later, which keeps nothing for being young."""
    tomorrow = system_clock() + timedelta(days=1)
    rows = maintain_command.keep_up(settings, UPKEEP, timedelta(0), lambda: tomorrow)
    return {row["table"]: row for row in rows}


def test_1_findings_are_a_table_that_the_next_look_replaces(session: SparkSession, settings: Settings) -> None:
    between = 2 * (len(OLD) // 2 - 1)  # of two meters
    for _ in range(2):
        (counts,), longest = quality_command.look(settings, UPKEEP, clock)
        assert (counts["finding"], counts["findings"], counts["meters"]) == ("long_gap", between, 2)
        assert {row["lasted_s"] for row in longest} == {540}
        for rows in (trino.rows, hive.rows):
            catalog = "hive." if rows is trino.rows else ""
            statement = f"SELECT count(*), min(lasted_s) FROM {catalog}batch.{UPKEEP.name}_quality"
            assert [tuple(row) for row in rows(settings, statement)] == [(between, 540)]


def test_2_after_upkeep_a_batch_still_finds_just_the_day_that_changed(
    session: SparkSession, settings: Settings
) -> None:
    killed = f"{RAW}/{UPKEEP.name}/.partial-killed"
    hdfs.write_bytes(settings, killed, b"half a file")
    table = master(session, settings, UPKEEP)
    recorded = history(settings, UPKEEP)
    done = keep_up(settings)
    compacted = done[table.name]
    assert (compacted["files_before"], compacted["files_after"]) == (7, 1)
    assert compacted["snapshots_expired"] == 5  # the sixth load is what the published run has read
    assert done["uploads cut off"]["removed"] == 1
    assert hdfs.client(settings).status(killed, strict=False) is None
    assert table.size().files == 1
    assert history(settings, UPKEEP) == recorded
    assert table.read().count() == len(OLD) + len(readings(NEW_DAY))
    result = run(settings, UPKEEP)
    assert (result["mode"], result["days"], result["read"]) == ("incremental", 1, len(readings(NEW_DAY)))
    assert seen(settings, "minute", UPKEEP) == expected([*OLD, *readings(NEW_DAY)], "minute")
    assert seen(settings, "day", UPKEEP) == expected([*OLD, *readings(NEW_DAY)], "day")


def test_3_upkeep_again_merges_slices_keeps_what_can_be_rolled_back_to_and_a_range_is_still_found(
    session: SparkSession, settings: Settings
) -> None:
    before = {grain: seen(settings, grain, UPKEEP) for grain in ("minute", "hour", "day")}
    done = keep_up(settings)
    assert done[f"iceberg.master.{UPKEEP.name}"]["snapshots_expired"] == 0
    assert done["slices merged"]["removed"] == 2 * 23  # the hours of the 29th, of minutes and gaps
    assert {grain: seen(settings, grain, UPKEEP) for grain in before} == before
    assert keep_up(settings)["slices merged"]["removed"] == 0
    first = history(settings, UPKEEP).runs[-1].record
    assert first.snapshot is not None
    table = master(session, settings, UPKEEP)
    assert NEW_DAY in table.changed_days(first.snapshot)
    assert set(DAYS) <= set(table.changed_days(None))
    result = run(settings, UPKEEP, since=DAYS[1], until=DAYS[1])
    assert (result["mode"], result["days"], result["read"]) == ("range", 1, len(readings(DAYS[1])))


def test_4_the_record_of_runs_is_few_files_and_one_snapshot_however_many_publishes(
    session: SparkSession, settings: Settings
) -> None:
    for _ in range(3):
        assert run(settings, UPKEEP, full=True)["result"] == "published"
    before = history(settings, UPKEEP)
    done = keep_up(settings)[records.FULL_NAME]
    assert done["files_before"] >= 6  # two commits a publish
    assert done["snapshots_expired"] >= 6
    table = f"iceberg.{records.DATABASE}"
    mine = (
        f'SELECT count(*), count(DISTINCT partition) FROM {table}."{records.TABLE}$files" WHERE partition.dataset = ?'
    )
    [[files, partitions]] = trino.rows(settings, mine, [UPKEEP.name])
    assert files == partitions
    assert trino.rows(settings, f'SELECT count(*) FROM {table}."{records.TABLE}$snapshots"') == [[1]]
    assert history(settings, UPKEEP) == before
    assert run(settings, UPKEEP)["result"] == "nothing has changed"


def test_5_a_publish_after_many_leaves_the_history_whole_in_one_record_of_one_file(
    session: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = history(settings, UPKEEP)
    monkeypatch.setattr(records, "TIDY_EVERY", 2)  # each publish makes two records: it is due after every one
    assert run(settings, UPKEEP, full=True)["result"] == "published"
    after = history(settings, UPKEEP)
    assert after.seq == before.seq + 2
    assert after.kept[0].record.run_id == present(before).run_id
    own = f"FROM {records.FULL_NAME} WHERE dataset = ? AND"
    assert trino.rows(settings, f"SELECT seq {own} state IS NOT NULL", [UPKEEP.name]) == [[after.seq]]
    [[rows]] = trino.rows(settings, f"SELECT count(*) {own} seq > 0", [UPKEEP.name])
    assert rows == after.seq
    everything = [record.seq for record in records.last(settings, UPKEEP.name, after.seq, count=None)]
    assert everything[-1] == after.seq
    assert everything == sorted(set(everything))
    assert run(settings, UPKEEP)["result"] == "nothing has changed"
