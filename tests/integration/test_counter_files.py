"""Daily files of counters, loaded in any order: the amounts between them are made, once, and replace estimates."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from batch_layer.ingest import counters
from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request, Result
from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request as BatchRequest
from engines import hdfs, metastore, trino
from engines import spark as engine
from meterlake.clock import system_clock
from meterlake.declaration import Amount, MeterSeries, View
from meterlake.fileformats.records import ObisText, Register, Time, Value
from meterlake.settings import Settings
from serving_layer.publish import records
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
HOMES = MeterSeries(
    name=f"count{uuid.uuid4().hex[:8]}",
    time_zone="UTC",
    intervals=("1 h",),
    measures=(Amount("energy", "Wh", "1"), Amount("estimated", "1", "1")),
    views=(View("hour"), View("day")),
)
FORM = ObisText(
    dataset=HOMES,
    meter="meter",
    time=Time("time", "yyyy-MM-dd HH:mm"),
    values=(Value("1.8.0", "energy"),),
    interval_s=3600,
    estimated="estimated",
    register=Register(across_gap="spread"),
)
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with engine.session(settings, "counters") as result:
        yield result
        for table in ("", "_quarantine", "_counters"):
            result.sql(f"DROP TABLE IF EXISTS iceberg.master.{HOMES.name}{table} PURGE")
        result.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{HOMES.name}'")
    with metastore.client(settings) as client:
        for name in ("hour", "day", "gaps", "rejects", "meters"):
            metastore.drop_table(client, "batch", f"{HOMES.name}_{name}")
            hdfs.client(settings).delete(f"/meterlake/batch/{HOMES.name}_{name}", recursive=True)
    gc.collect()


def shown(meter: str, hour: int) -> int:
    """Return what a counter shows: it runs faster every hour."""
    return hour * hour + (1000 if meter == "b" else 0)


def file(folder: Path, name: str, first: int, last: int) -> str:
    lines = [
        f"{BEGIN + timedelta(hours=hour):%Y-%m-%d %H:%M};{meter};{shown(meter, hour)}"
        for hour in range(first, last + 1)
        for meter in ("a", "b")
    ]
    path = folder / name
    path.write_text("\n".join(["time;meter;1.8.0", *lines]) + "\n")
    return str(path)


def brought(settings: Settings, *paths: str) -> Result:
    return load(settings, Request((FORM,), paths, "", None), system_clock, lambda _: None)


def seen(settings: Settings) -> list[Any]:
    table = f"hive.batch.{HOMES.name}_hour"
    rows = trino.rows(settings, f"SELECT meter_id, hour, energy_sum, estimated_sum FROM {table} ORDER BY 1, 2")
    return [(row[0], row[1].replace(tzinfo=UTC), int(row[2]), int(row[3])) for row in rows]


def wanted(last: int) -> list[Any]:
    return [
        (meter, BEGIN + timedelta(hours=hour), shown(meter, hour + 1) - shown(meter, hour), 0)
        for meter in ("a", "b")
        for hour in range(last)
    ]


def test_files_in_any_order_make_what_one_file_makes(
    session: SparkSession, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two files of one load, the later one named first; then one far ahead, across whose gap amounts are estimated.
    first = brought(settings, file(tmp_path, "2.csv", 24, 47), file(tmp_path, "1.csv", 0, 23))
    assert (first.readings, first.quarantined) == (2 * 47, {"first_reading": 2})
    ahead = brought(settings, file(tmp_path, "4.csv", 72, 95))
    assert (ahead.readings, ahead.quarantined) == (2 * (24 + 24), {})
    # From here on, more is stored than the driver may look at. The file between replaces them, and again it is known.
    monkeypatch.setattr(counters, "MOST", 3)
    between = brought(settings, file(tmp_path, "3.csv", 48, 71))
    assert (between.readings, between.quarantined, between.overlap.differing) == (2 * 25, {}, 2 * 25)
    assert brought(settings, str(tmp_path / "3.csv")).already_loaded
    assert run_batch(settings, HOMES, BatchRequest(), system_clock).result == "published"
    assert seen(settings) == wanted(95)
