"""Which files of silver are read to find what is held of new records: those of other months are not there."""

# Statements here are made of names of tables.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from pyspark.sql import SparkSession

from datasets.utility.declaration import UTILITY
from datasets.utility.oms import FEEDER_DAYS, FEEDERS
from lakehouse.layers import silver, tables
from lakehouse.layers.silver import Counts
from lakehouse.layers.tables import Catalog
from meterlake.lakehouse.records import Record

pytestmark = pytest.mark.spark

EPOCH = date(1970, 1, 1)
FIRST, LAST = date(2025, 1, 15), date(2026, 11, 26)
Row = dict[str, Any]


@dataclass
class World:
    """Silver of feeders and of their days, in a folder."""

    session: SparkSession
    catalog: Catalog
    runs: int = 0

    def run(self, record: Record, *documents: Row) -> Counts:
        """Judge documents as a run does."""
        self.runs += 1
        run, now = f"r{self.runs}", datetime(2026, 11, 27, tzinfo=UTC).replace(tzinfo=None)
        rows = [(json.dumps(row), None, now, record.topic, "table", n, run) for n, row in enumerate(documents)]
        schema = ", ".join(f"{name} {kind}" for name, kind in tables.bronze(record).columns)
        bronze = self.catalog.path(tables.bronze(record))
        self.session.createDataFrame(rows, schema).coalesce(1).writeTo(bronze).append()
        return silver.refresh(self.session, self.catalog, record, run, len(rows), {}).counts

    def remove_months(self, begin: date, end: date) -> int:
        """Remove the data files of accepted days that lie within months, as if nobody could read them."""
        path = self.catalog.path(tables.silver(FEEDER_DAYS))
        rows = self.session.sql(f"SELECT file_path, readable_metrics.day_start.* FROM {path}.files").collect()
        gone = [row for row in rows if begin <= row.lower_bound.date() and row.upper_bound.date() < end]
        for row in gone:
            Path(unquote(urlparse(row.file_path).path)).unlink()
        return len(gone)

    def held(self, *identities: str) -> list[tuple[Any, ...]]:
        """Return what is held of ids that are read where they can be."""
        path, ids = self.catalog.path(tables.silver(FEEDER_DAYS)), ", ".join(f"'{name}'" for name in identities)
        query = (
            "SELECT record_id, is_rejected, energy_input_kwh, transform(rejection_reasons, r -> r.code) AS codes,"
            f" aggregate(versions, 0L, (n, v) -> n + v.records) AS records FROM {path}"
            f" WHERE record_id IN ({ids}) AND (day_start >= TIMESTAMP_NTZ'2026-10-01 00:00:00' OR is_rejected)"
        )
        return sorted(map(tuple, self.session.sql(query).collect()), key=repr)


@pytest.fixture
def world(spark: SparkSession) -> Iterator[World]:
    catalog = Catalog("iceberg", UTILITY)
    every = [make(record) for record in (FEEDERS, FEEDER_DAYS) for make in (tables.bronze, tables.silver)]
    for table in every:
        for statement in (catalog.create(table), *catalog.order(table)):
            spark.sql(statement)
    yield World(spark, catalog)
    for table in every:
        spark.sql(f"DROP TABLE {catalog.path(table)}")


def feeder(name: str) -> Row:
    row = {field.name: "1" for field in FEEDERS.fields}
    return row | {"feeder_id": name, "installed_on": "2001-01-01", "valid_from": "2020-01-01T00:00:00Z"}


def feeder_day(name: str, day: date, at: date | None = None, **more: Any) -> Row:
    """Return a feeder's day; at: the day that its time has, where it is not the one that its id names."""
    start = datetime.combine(at or day, datetime.min.time(), UTC) - timedelta(hours=5)
    return {
        "feeder_day_id": f"{name}-{(day - EPOCH).days}",
        "feeder_id": name,
        "day_start": start.isoformat(),
        "energy_input_kwh": 1.5,
        "customers_served": 3,
        "connected_kva": 2,
    } | more


def test_held_ids_are_looked_for_about_the_day_that_they_name(world: World) -> None:
    names = ("F0001", "F0002")
    world.run(FEEDERS, *map(feeder, names))
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days)]
    first = world.run(FEEDER_DAYS, *(feeder_day(name, day) for day in days[::5] for name in names))
    assert (first.accepted, first.rejected) == (2 * len(days[::5]), 0)
    assert world.remove_months(date(2025, 2, 1), date(2026, 10, 1)) > 15

    # The new day, one that has come late, one that is corrected, and one whose id names a day of two years ago.
    held, free = days[::5][-1], days[::5][-1] + timedelta(days=1)
    old = FIRST + timedelta(days=1)
    second = world.run(
        FEEDER_DAYS,
        feeder_day("F0001", LAST),
        feeder_day("F0001", free),
        feeder_day("F0002", held, energy_input_kwh=7.25, revision=1),
        feeder_day("F0002", held, at=old, revision=2),
        feeder_day("F0001", LAST, at=LAST + timedelta(days=1), revision=-1),
    )
    corrected = f"F0002-{(held - EPOCH).days}"
    assert (second.read, second.accepted, second.superseded) == (5, 1, 3)
    assert (second.rejected, second.duplicate, second.conflicting) == (1, 0, 0)
    assert world.held(corrected) == [(corrected, True, Decimal("1.500"), ["not_its_day"], 3)]

    # What was rejected is found again, wherever its time has put it: of an id there is one row.
    third = world.run(FEEDER_DAYS, feeder_day("F0002", held, energy_input_kwh=8, revision=3))
    assert (third.accepted, third.rejected, third.superseded) == (1, -1, 1)
    assert world.held(corrected) == [(corrected, False, Decimal("8.000"), [], 4)]

    # So are ids that are none, and days that nobody counts to.
    fourth = world.run(
        FEEDER_DAYS,
        feeder_day("F0001", LAST, feeder_day_id="F0001-99999999999999999999"),
        feeder_day("F0001", LAST, feeder_day_id="F0001", revision=5),
        feeder_day("F0001", LAST, feeder_day_id=None),
    )
    assert (fourth.read, fourth.rejected) == (3, 3)
    fifth = world.run(FEEDER_DAYS, feeder_day("F0001", LAST, feeder_day_id="F0001", revision=6))
    assert (fifth.read, fifth.rejected, fifth.superseded) == (1, 0, 1)
