"""Verify on the real servers: equal views are proved equal, one wrong value is found wherever readers would see it."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pyspark.sql import SparkSession

from batch_layer import lease
from batch_layer.views.plan import Request
from cli import batch_commands
from datasets.household.declaration import HOUSEHOLD
from engines import hdfs, metastore, spark
from engines.master import master
from meterlake.schema import master_fields
from meterlake.settings import Settings
from serving_layer.publish import records
from serving_layer.verify.errors import NothingToVerify, NotPublished
from serving_layer.verify.scope import Scope
from serving_layer.verify.verify import MasterInput, Report, published, verify
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME = "verify_test"
DATASET = replace(HOUSEHOLD, name=NAME)
TABLES = ("minute", "hour", "day", "gaps", "rejects")
START = datetime(2026, 3, 28, 20, 0)  # noqa: DTZ001 - UTC wall clock, before a day of 23 hours in Paris
RECEIVED = datetime(2026, 4, 10)  # noqa: DTZ001
NOW = datetime(2026, 4, 11, tzinfo=UTC)

# The tests below are one story and run in this order. Statements are made of names of this module alone.
# ruff: noqa: S608


def clock() -> datetime:
    return NOW


def reading(at: datetime, number: int, **given: Any) -> dict[str, Any]:
    values = {measure.name: round(0.3 + number % 97 / 100, 3) for measure in DATASET.measures}
    return {
        DATASET.key: "a", "ts": at, "interval_s": 60, **values, "voltage": 230.0 + number % 7, "revision": 0,
        "received_at": RECEIVED, "origin": "x", "origin_partition": 0, "origin_offset": number, "load_id": "l", **given,
    }  # fmt: skip


def history() -> list[dict[str, Any]]:
    """Return thirty hours of minutes with a hole, duplicates, conflicts, revisions, rejects and seconds."""
    minutes = [reading(START + timedelta(minutes=n), n) for n in range(1800) if not 400 <= n < 460]
    again = [{**row, "origin_offset": 5000 + n} for n, row in enumerate(minutes[:20])]
    conflicts = [{**row, "voltage": 200.0, "origin_offset": 6000 + n} for n, row in enumerate(minutes[10:40])]
    revised = [{**row, "voltage": 220.0, "revision": 1} for row in minutes[30:50]]
    withdrawn = [
        {**row, **dict.fromkeys((m.name for m in DATASET.measures), None), "revision": 1} for row in minutes[60:62]
    ]
    rejected = [{**row, "meter_id": "b", "voltage": -1.0} for row in minutes[70:80]]
    seconds = [
        reading(START + timedelta(minutes=100, seconds=n), n, interval_s=1) for n in range(90)
    ]  # a whole minute, and half of the next
    return [*minutes, *again, *conflicts, *revised, *withdrawn, *rejected, *seconds, {**minutes[0], "meter_id": "b"}]


def append(session: SparkSession, settings: Settings, rows: list[dict[str, Any]]) -> None:
    fields = master_fields(DATASET)
    schema = ", ".join(f"{field.name} {field.type.sql('spark')}" for field in fields)
    data = [tuple(row[field.name] for field in fields) for row in rows]
    master(session, settings, DATASET).append(session.createDataFrame(data, schema), {})


def verified(settings: Settings, **scope: Any) -> Report:
    present = published(settings, DATASET)
    source = MasterInput(settings, DATASET, present)
    return verify(settings, Scope(DATASET, **scope), present.record, source, lambda _: None)


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with metastore.client(settings) as client:
        for table in TABLES:
            metastore.drop_table(client, "batch", f"{NAME}_{table}")
    for table in TABLES:
        hdfs.client(settings).delete(f"/meterlake/batch/{NAME}_{table}", recursive=True)
    hdfs.client(settings).delete(f"{lease.FOLDER}/{NAME}.json")
    with spark.session(settings, "verify-test") as result:
        result.sql(f"DROP TABLE IF EXISTS iceberg.master.{NAME}")
        if result.catalog.tableExists(records.FULL_NAME):
            result.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{NAME}'")
        yield result
    gc.collect()


def test_1_nothing_published_is_an_error(session: SparkSession, settings: Settings) -> None:
    with pytest.raises(NotPublished):
        published(settings, DATASET)


def test_2_every_row_is_equal_on_every_path(session: SparkSession, settings: Settings) -> None:
    append(session, settings, history())
    batch_commands.batch_once(settings, DATASET, Request(), clock)
    report = verified(settings)
    assert [comparison for comparison in report.comparisons if comparison.wrong] == []
    assert {(result.view, result.rows) for result in report.comparisons if "files" in result.path} == {
        ("minute", 1739), ("hour", 31), ("day", 4), ("gaps", 2),
    }  # fmt: skip
    assert len(report.comparisons) == 15
    assert all(result.rows for result in report.comparisons)


def test_3_what_came_after_the_run_does_not_count_but_a_range_run_does(
    session: SparkSession, settings: Settings
) -> None:
    late = [reading(START + timedelta(minutes=n), n) for n in range(400, 410)]
    append(session, settings, late)
    append(session, settings, [reading(START + timedelta(days=2), 1)])
    assert verified(settings).wrong == []
    day = date(2026, 3, 29)
    batch_commands.batch_once(settings, DATASET, Request(since=day, until=day), clock)
    report = verified(settings)
    assert report.wrong == []
    assert next(result.rows for result in report.comparisons) == 1749


def test_4_a_range_and_a_meter_limit_the_comparison(session: SparkSession, settings: Settings) -> None:
    report = verified(settings, meters=("b",), since=date(2026, 3, 28), until=date(2026, 3, 29))
    assert report.wrong == []
    assert {(result.view, result.rows) for result in report.comparisons if result.rows} == {
        ("minute", 1), ("hour", 1), ("day", 1), ("merged minute", 1), ("merged hour", 1), ("merged day", 1),
    }  # fmt: skip
    with pytest.raises(NothingToVerify):
        verified(settings, since=date(2020, 1, 1), until=date(2020, 1, 2))


@pytest.mark.parametrize(("view", "partition"), [("minute", "2026-03"), ("day", "2026")])
def test_5_one_wrong_value_is_found_on_every_path(
    session: SparkSession, settings: Settings, view: str, partition: str
) -> None:
    with metastore.client(settings) as client:
        located = metastore.partition_locations(client, "batch", f"{NAME}_{view}")
    folders = [folder.removeprefix(settings.hdfs) for values, folder in sorted(located.items()) if partition in values]
    path, name = next(
        (path, file) for path in folders for file in hdfs.client(settings).list(path) if file.endswith(".parquet")
    )
    whole = hdfs.read_bytes(settings, f"{path}/{name}")
    hdfs.write_bytes(settings, f"{path}/{name}", _with_one_wrong(whole, "voltage_sum"))
    try:
        report = verified(settings)
    finally:
        hdfs.write_bytes(settings, f"{path}/{name}", whole)
    assert {(result.view, result.different) for result in report.wrong} == {(view, 1), (f"merged {view}", 1)}
    assert len(report.wrong) == 4
    for result in report.wrong:
        assert result.examples[0].column.startswith("voltage_sum")
        assert result.examples[0].found - result.examples[0].expected == Decimal("0.01")  # type: ignore[operator]
    assert verified(settings).wrong == []


def _with_one_wrong(content: bytes, column: str) -> bytes:
    """Return a Parquet file with one hundredth added to the last value of a column."""
    table = parquet.read_table(io.BytesIO(content))
    place = table.schema.get_field_index(column)
    values = table.column(place).to_pylist()
    values[-1] += Decimal("0.01")
    changed = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    out = io.BytesIO()
    parquet.write_table(changed, out, store_decimal_as_integer=True)
    return out.getvalue()
