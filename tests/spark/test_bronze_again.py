"""What is no longer landed is taken from bronze of another state: all of it and nothing else, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from datasets.telecom.declaration import TELECOM
from lakehouse.landing.objects import Manifest
from lakehouse.landing.removed import LostRecords
from lakehouse.layers import bronze, tables
from lakehouse.layers.tables import Catalog

pytestmark = pytest.mark.spark

CALLS = TELECOM.event("calls")
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
PAST = "past_bronze.calls"


@pytest.fixture
def catalog(spark: SparkSession) -> Iterator[Catalog]:
    catalog, table = Catalog("iceberg", TELECOM), tables.bronze(CALLS)
    past = Catalog("iceberg", replace(TELECOM, name="past"))
    for each in (catalog, past):
        spark.sql(each.create(table))
    rows = [
        (f"{part}-{at}", "k" if at % 2 else None, NOON + timedelta(minutes=at), CALLS.topic, part, at, "before")
        for part in ("00000", "00001", "file-ab")
        for at in range(10)
    ]
    schema = ", ".join(f"{name} {kind}" for name, kind in table.columns)
    spark.createDataFrame(rows, schema).writeTo(past.path(table)).append()
    yield catalog
    for each in (catalog, past):
        spark.sql(f"DROP TABLE {each.path(table)}")


def manifest(part: str, first: int, end: int, rows: int | None = None) -> Manifest:
    """Return the manifest of a removed object with these offsets, of which some may have no record."""
    begin, last = (NOON + timedelta(minutes=at) for at in (first, min(end - 1, 9)))
    count = end - first if rows is None else rows
    return Manifest(
        "telecom", CALLS.topic, part, first, end, "landing/a", count, 1, "", begin.isoformat(), last.isoformat(),
        removed={"landing/a": "2026-11-27T00:00:00+00:00"}, bronze=PAST,
    )  # fmt: skip


def test_offsets_of_removed_objects_are_taken_as_they_were(spark: SparkSession, catalog: Catalog) -> None:
    ended = [manifest("00000", 5, 20, 5), manifest("00000", 2, 5), manifest("file-ab", 0, 1)]
    bronze.append_removed(spark, "iceberg", catalog, CALLS, ended, "now")
    rows = spark.table(catalog.path(tables.bronze(CALLS))).orderBy("source_partition", "source_offset").collect()
    assert [tuple(row) for row in rows] == [
        (f"{part}-{at}", "k" if at % 2 else None, NOON + timedelta(minutes=at), CALLS.topic, part, at, "now")
        for part, at in [*(("00000", at) for at in range(2, 10)), ("file-ab", 0)]
    ]


def test_records_that_bronze_has_lost_end_the_run(spark: SparkSession, catalog: Catalog) -> None:
    for wrong in (manifest("00001", 0, 12, 12), manifest("00002", 0, 3), manifest("00001", 0, 4, 3)):
        with pytest.raises(LostRecords, match=r"of the \d+ records of landed objects"):
            bronze.append_removed(spark, "iceberg", catalog, CALLS, [manifest("00000", 0, 3), wrong], "now")
    assert spark.table(catalog.path(tables.bronze(CALLS))).isEmpty()
