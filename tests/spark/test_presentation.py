"""The half-hourly presentation on a local Spark, against DuckDB over the same files; no server is needed.

METERLAKE_SMART_METER_POC names a folder with the real case: ``case_study.db`` and ``readings``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from batch_layer.presentation import references, shapes
from batch_layer.presentation.references import BadReference
from batch_layer.presentation.run import Asked, NoReferences, Presented, Work, open_references, present
from batch_layer.views import tables
from datasets.half_hourly.verification import COLUMNS, Truth, good_files
from engines import curated, relational
from engines.merge_table import Merged, Merging
from meterlake import registry
from meterlake.generator import Made
from meterlake.presentation import Presentation

pytestmark = [pytest.mark.spark, pytest.mark.slow]  # minutes; tests/integration/test_half_hourly.py is quicker

ENTRY = registry.entry("half_hourly")
SERIES, WHOLE = ENTRY.declaration, ENTRY.presentation()
SOME = ("active_agreements", "consumption_per_product_per_day", "gold_aggregate_per_half_hour", "readings_to_look_at")
# Each table takes some seconds; the integration test has all of them.
PRESENTATION = replace(WHOLE, tables=tuple(one for one in WHOLE.tables if one.name in SOME))
START, DAYS, METERS = date(2021, 3, 26), 4, 45  # clocks go forward on the 28th
NOW = datetime(2021, 4, 1, tzinfo=UTC)
REAL = os.environ.get("METERLAKE_SMART_METER_POC")


class World:
    """Files, their views as a batch run would have published them, and the tables made of them."""

    def __init__(self, spark: SparkSession, folder: Path, source: tuple[Path, Path], made: Presentation) -> None:
        """source: the folder of readings, and the database."""
        readings, database = source
        self.presentation = made
        self.spark, self.base, self.database = spark, folder.as_uri(), database
        self.folder, self.runs = folder, 0
        self.truth = Truth(good_files(readings), database)
        self.folders: dict[str, str] = {}

    def publish(self, day: date, rows: Iterable[tuple[str, datetime, Decimal]]) -> None:
        """Put the readings of a UTC day into a new folder of its slice."""
        table, self.runs = tables.view_table(SERIES, "half_hour"), self.runs + 1
        values = [(meter, start, 1, 1800, 0, kwh, kwh, kwh) for meter, start, kwh in rows if start.date() == day]
        name = table.partition_name(day.isoformat())
        self.folders[name] = table.location(f"{self.base}/views", day.isoformat(), str(self.runs))
        self.spark.createDataFrame(values, table.spark_schema()).coalesce(1).write.parquet(self.folders[name])

    def load(self, now: datetime = NOW) -> dict[str, Merged]:
        result, opened = {}, open_references(self.spark, SERIES, self.presentation, self.base)
        with relational.opened(str(self.database)) as connection:
            for declared in self.presentation.references:
                rows = relational.rows(connection, declared.table, declared.columns, str(self.database))
                references.check(declared, "a test", rows, allow_empty=False)
                result[declared.name] = references.load(self.spark, opened[declared.name], declared, rows, now)
        return result

    def change(self, statement: str, *values: object) -> None:
        """Change the source's tables."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)
        connection.close()
        self.truth.references(self.database)

    def present(self, asked: Asked = Asked()) -> Presented:  # noqa: B008 - frozen
        self.runs += 1
        now = NOW + timedelta(minutes=self.runs)
        work = Work(
            self.spark,
            SERIES,
            self.presentation,
            self.base,
            self.folders,
            "batch-1",
            f"run-{self.runs}",
            now,
            lambda _: None,
        )
        return present(work, asked)

    def table(self, name: str) -> Merging:
        declared = next(one for one in self.presentation.tables if one.name == name)
        return curated.open_table(self.spark, self.base, shapes.table(SERIES, declared))

    def check(self, as_of: date) -> None:
        """Every table must hold what the files say, to the last digit, and nothing else."""
        result = self.truth.tables(as_of)
        for name, wanted in ((one.name, result[one.name]) for one in self.presentation.tables):
            rows = self.table(name).read().selectExpr(*COLUMNS[name].split(", ")).collect()
            assert sorted((tuple(row) for row in rows), key=repr) == wanted, name


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("half-hourly")
    ENTRY.generator().write(Made(folder, METERS, START, DAYS, seed=7))
    return World(spark, folder, (folder / "readings", folder / "reference.db"), PRESENTATION)


def changes(presented: Presented) -> dict[str, tuple[int, int, int]]:
    """Return table -> rows inserted, updated, deleted, where any was."""
    return {
        name.partition(".half_hourly")[2].lstrip("_"): (one.inserted, one.updated, one.deleted)
        for name, one in presented.changes.items()
        if one.rows
    }


def all_days(world: World) -> list[date]:
    return sorted({start.date() for _, start, _ in world.truth.readings()})


# The tests below are one story and run in this order.


def test_1_without_reference_tables_it_is_said_what_to_do(world: World) -> None:
    with pytest.raises(NoReferences, match="agreement, product, meterpoint") as error:
        world.present()
    assert "meterlake reference half_hourly" in error.value.hint


def test_2_all_tables_are_what_the_files_say(world: World) -> None:
    *first, last = all_days(world)
    for day in first:
        world.publish(day, world.truth.readings())
    assert {name: done.inserted for name, done in world.load().items()} == {
        "agreement": 93,
        "product": 63,
        "meterpoint": 44,
    }
    world.present()
    world.publish(last, world.truth.readings())
    done = world.present()
    assert (done.mode, done.days) == ("incremental", 2)  # a UTC day of summer touches two of London's
    assert done.unused == 5
    world.check(as_of=START + timedelta(days=DAYS - 1))
    periods = world.table("gold_aggregate_per_half_hour").read().groupBy("day").agg({"settlement_period": "max"})
    assert dict(map(tuple, periods.collect()))[date(2021, 3, 28)] == 46


def test_3_the_same_again_changes_nothing(world: World) -> None:
    versions = {name: world.table(name).version() for name in SOME}
    assert {done.rows for done in world.load(NOW + timedelta(days=1)).values()} == {0}
    assert world.present().mode == "nothing has changed"
    assert changes(world.present(Asked(since=START, until=START + timedelta(days=1)))) == {}
    assert {name: world.table(name).version() for name in SOME} == versions


def test_4_a_corrected_agreement_restates_its_readings_and_no_others(world: World) -> None:
    agreement = 2  # of the first meter: it takes over on the 28th
    moved = START + timedelta(days=3)
    world.change("UPDATE agreement SET agreement_valid_from = ? WHERE agreement_id = ?", moved.isoformat(), agreement)
    assert world.load(NOW + timedelta(days=2))["agreement"] == Merged(1, 1, 0, 2)
    done = world.present()
    assert done.days == 1
    assert changes(done)[""] == (0, 46, 0)  # the half hours of one day of one meter, and no other row of staging
    assert changes(done)["readings_to_look_at"] == (1, 0, 0)
    world.check(as_of=START + timedelta(days=DAYS - 1))
    table = world_reference(world, "agreement")
    assert references.current(table).count() == 93
    kept = table.read().where(f"agreement_id = {agreement}").orderBy("recorded_from").collect()
    assert [(row.agreement_valid_from, row.recorded_to is None) for row in kept] == [
        (START + timedelta(days=2), False),
        (moved, True),
    ]


def test_5_what_disappears_is_closed_and_kept(world: World) -> None:
    meter = world.truth.base.execute("SELECT min(meterpoint_id) FROM meterpoint").fetchall()[0][0]
    world.change("DELETE FROM meterpoint WHERE meterpoint_id = ?", meter)
    assert world.load(NOW + timedelta(days=3))["meterpoint"] == Merged(0, 1, 0, 2)
    world.present()
    world.check(as_of=START + timedelta(days=DAYS - 1))
    assert world_reference(world, "meterpoint").read().count() == 44


def test_6_a_corrected_reading_and_one_that_is_gone_reach_every_table(world: World) -> None:
    day, (first, second, *_) = START + timedelta(days=1), sorted(world.truth.readings())
    midnight, base = datetime.combine(day, datetime.min.time()), world.truth.base
    base.execute("UPDATE readings SET kwh = 9.999 WHERE meter = ? AND start = ?", [first[0], midnight])
    base.execute("DELETE FROM readings WHERE meter = ? AND start = ?", [second[0], midnight + timedelta(hours=5)])
    world.publish(day, world.truth.readings())
    assert changes(world.present())[""] == (0, 1, 1)
    world.check(as_of=START + timedelta(days=DAYS - 1))


def test_7_agreements_are_those_of_the_day_that_is_asked_for(world: World) -> None:
    day = START - timedelta(days=350)
    done = world.present(Asked(as_of=day))
    assert set(changes(done)) == {"active_agreements"}
    world.check(as_of=day)


def test_8_a_table_that_cannot_be_is_refused(world: World) -> None:
    product = PRESENTATION.reference("product")
    row = ("p1", 1, "A", 0)
    with pytest.raises(BadReference, match="1 keys product_id occur more than once: p1"):
        references.check(product, "x.db", [row, row], allow_empty=False)
    with pytest.raises(BadReference, match="1 rows have no display_name"):
        references.check(product, "x.db", [("p1", 1, None, 0)], allow_empty=False)
    with pytest.raises(BadReference, match="it has no rows") as error:
        references.check(product, "x.db", [], allow_empty=False)
    assert "--allow-empty" in error.value.hint


@pytest.mark.skipif(REAL is None, reason="METERLAKE_SMART_METER_POC names no folder with the real case")
def test_the_real_case_is_what_its_files_say(spark: SparkSession, tmp_path: Path) -> None:
    real = Path(REAL or "")
    world = World(spark, tmp_path, (real / "readings", real / "case_study.db"), WHOLE)
    for day in all_days(world):
        world.publish(day, world.truth.readings())
    assert {name: done.inserted for name, done in world.load().items()} == {
        "agreement": 210,
        "product": 63,
        "meterpoint": 100,
    }
    assert world.present(Asked(as_of=date(2021, 1, 1))).unused == 18
    world.check(as_of=date(2021, 1, 1))
    assert world.table("active_agreements").read().where("counts").count() == 94
    staged = curated.open_table(spark, world.base, shapes.staging(SERIES, PRESENTATION)).read()
    assert staged.count() == 14_300  # each reading once, whatever agreements its meter has had


def world_reference(world: World, name: str) -> Any:
    return open_references(world.spark, SERIES, PRESENTATION, world.base)[name]
