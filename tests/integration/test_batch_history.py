"""The whole real history, end to end: 2,075,259 minutes loaded, computed, published, computed again, and added to."""

from __future__ import annotations

import lzma
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_samples import checksums, clock, fresh, history, run
from pyspark.sql import SparkSession

from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request, Result
from batch_layer.views import tables
from datasets.household.text import HOUSEHOLD_TEXT
from engines import hdfs, hive, trino
from meterlake.settings import Settings
from meterlake.slices import level_of
from serving_layer.publish.history import Run
from serving_layer.verify.raw_text import RawText
from serving_layer.verify.scope import Scope
from serving_layer.verify.verify import published, verify
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# The tests below are one story and run in this order. Statements are made of names of this module alone.
# ruff: noqa: S608

NAME = "history_test"
FORM = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=NAME))
DATASET = FORM.dataset
FILE = Path(__file__).parents[2] / "data" / "household_power_consumption.txt.xz"
MINUTES, WITH_VALUES, MISSING = 2_075_259, 2_049_280, 25_979
NEW_DAY = date(2010, 11, 28)


def loaded(settings: Settings, path: Path) -> Result:
    return load(settings, Request((FORM,), (str(path),), FORM.meter_id, FORM.utc_offset), clock, lambda *_: None)


def present(settings: Settings) -> Run:
    result = history(settings, DATASET).present
    assert result is not None
    return result


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with fresh(settings, DATASET) as result:
        result.sql(f"DROP TABLE IF EXISTS iceberg.master.{NAME}_quarantine PURGE")
        yield result


def test_1_every_line_is_a_reading_or_a_gap_row(session: SparkSession, settings: Settings) -> None:
    result = loaded(settings, FILE)
    assert (result.lines, result.readings, result.gaps) == (MINUTES, WITH_VALUES, MISSING)
    assert (result.quarantined, result.not_loaded) == ({}, 0)


def test_2_every_minute_with_values_comes_out_in_few_files(session: SparkSession, settings: Settings) -> None:
    result = run(settings, DATASET, full=True)
    assert (result["read"], result["used"], result["rejected"]) == (MINUTES, WITH_VALUES, 0)
    counted = f"SELECT count(*), sum(readings), sum(covered_s) FROM hive.batch.{NAME}_minute"
    assert trino.rows(settings, counted) == [[WITH_VALUES, WITH_VALUES, 60 * WITH_VALUES]]
    # A slice is one file here: 47 months; of the newest, which ends on the 26th at 20:02 UTC, days, and hours of two.
    slices = Counter(level_of(tables.slice_name(name)) for name in present(settings).tables[f"{NAME}_minute"])
    assert slices == {"month": 47, "day": 24, "hour": 24 + 21}
    assert len(files(settings, f"{NAME}_minute")) == slices.total()


def files(settings: Settings, table: str) -> list[str]:
    """Return the files of a table that readers see."""
    folders = ["/" + folder.split("/", 3)[3] for folder in present(settings).tables[table].values()]
    client = hdfs.client(settings)
    return [f"{folder}/{name}" for folder in folders for name in client.list(folder) if name.endswith(".parquet")]


def test_3_the_gaps_are_the_lines_without_values_minute_by_minute(session: SparkSession, settings: Settings) -> None:
    with lzma.open(FILE, "rt") as lines:
        without = {_utc(line) for line in lines if ";?" in line}
    assert len(without) == MISSING
    for rows in (trino.rows, hive.rows):
        catalog = "hive." if rows is trino.rows else ""
        gaps = rows(settings, f"SELECT gap_start, gap_end, missing_s FROM {catalog}batch.{NAME}_gaps")
        assert sum(int(gap[2]) for gap in gaps) == 60 * MISSING
        assert {minute for gap in gaps for minute in _minutes(gap[0], gap[1])} == without


def _utc(line: str) -> datetime:
    day, time, _ = line.split(";", 2)
    return datetime.strptime(f"{day} {time}", "%d/%m/%Y %H:%M:%S") - FORM.utc_offset  # noqa: DTZ007 - UTC wall clock


def _minutes(begin: Any, end: Any) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += timedelta(minutes=1)


def test_4_all_views_equal_what_another_engine_makes_of_the_raw_text(session: SparkSession, settings: Settings) -> None:
    record = published(settings, DATASET).record
    source = RawText(FORM, [FILE], FORM.meter_id, FORM.utc_offset, record.at)
    report = verify(settings, Scope(DATASET, (FORM.meter_id,)), record, source, lambda _: None)
    assert report.wrong == []
    of_files = {result.view: result.rows for result in report.comparisons if "files" in result.path}
    assert of_files["minute"] == WITH_VALUES
    assert min(of_files.values()) > 0


def test_5_a_second_run_gives_the_same_files(session: SparkSession, settings: Settings) -> None:
    before = checksums(settings, DATASET)
    first = present(settings)
    assert run(settings, DATASET, full=True)["result"] == "published"
    assert present(settings).tables[f"{NAME}_minute"].items().isdisjoint(first.tables[f"{NAME}_minute"].items())
    assert checksums(settings, DATASET) == before


def test_6_one_new_day_is_all_that_is_read_and_its_partitions_all_that_are_written(
    session: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    before = present(settings)
    midnight = datetime(NEW_DAY.year, NEW_DAY.month, NEW_DAY.day) + FORM.utc_offset  # noqa: DTZ001 - the file's clock
    path = tmp_path / "day.txt"
    with path.open("w") as out:
        out.write(FORM.header + "\n")
        for at in (midnight + timedelta(minutes=n) for n in range(1440)):
            out.write(f"{at.day}/{at.month}/{at.year};{at:%H:%M:%S};1.500;0.100;240.000;6.200;0.000;1.000;17.000\n")
    assert loaded(settings, path).readings == 1440
    result = run(settings, DATASET)
    assert (result["mode"], result["days"], result["read"], result["used"]) == ("incremental", 1, 1440, 1440)

    after = present(settings)
    figures = after.record.details["tables"]
    assert figures["master"]["days"] == [NEW_DAY.isoformat()]
    assert (figures["master"]["files_read"], figures["master"]["readings"]) == (1, 1440)
    assert figures["master"]["bytes_read"] < 100_000
    # A day in UTC touches two local days.
    days = [NEW_DAY.isoformat(), (NEW_DAY + timedelta(days=1)).isoformat()]
    hours = [f"{NEW_DAY}T{hour:02}" for hour in range(24)]
    for table, slices in [("minute", hours), ("hour", days[:1]), ("day", days)]:
        assert figures[f"{NAME}_{table}"]["slices_rewritten"] == slices
        assert figures[f"{NAME}_{table}"]["files_written"] == len(slices)
        old, new = before.tables[f"{NAME}_{table}"], after.tables[f"{NAME}_{table}"]
        changed = {tables.slice_name(name): new[name] for name in new if new[name] != old.get(name)}
        # Days of which the next run makes one slice each: nothing lies there yet.
        none = tables.empty(f"{settings.hdfs}{tables.FOLDER}")
        prepared = {name for name, folder in changed.items() if folder == none}
        assert prepared == ({"2010-11-25", "2010-11-26"} if table == "minute" else set())
        assert changed.keys() - prepared == set(slices)
        assert figures[f"{NAME}_{table}"]["bytes_copied_from"] == 0

    counted = f"SELECT count(*) FROM hive.batch.{NAME}_minute"
    assert trino.rows(settings, counted) == [[WITH_VALUES + 1440]]
    silence = datetime(NEW_DAY.year, NEW_DAY.month, NEW_DAY.day) - datetime(2010, 11, 26, 20, 3)  # noqa: DTZ001
    missing = f"SELECT sum(missing_s) FROM hive.batch.{NAME}_gaps"
    assert trino.rows(settings, missing) == [[60 * MISSING + int(silence.total_seconds())]]
