"""The speed layer on the real servers: both queries equal what the core makes of the same messages, to the last bit."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import IO, Any

import pytest
import requests
import stream_samples as samples
from mqtt_brokers import free_port
from pyspark.sql import SparkSession
from stream_runs import BOTH, archived, own_dataset, session, small_batches, stream

from engines import archive_progress, cassandra, hdfs, topics
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.errors import TtlTooShort
from meterlake.settings import Settings
from meterlake.validation import STATE_COLUMNS, measure_columns
from speed_layer import tables
from speed_layer.checkpoint import Checkpoint
from speed_layer.errors import MetricsPortBusy
from stack import launcher
from stack.instance import Instance
from stack.services import select as services

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
PROGRAM = Path(__file__).with_name("stream_process.py")


@pytest.fixture(scope="module")
def small(settings: Settings, stack: Instance) -> Settings:
    return small_batches(settings)


@pytest.fixture(scope="module")
def spark(small: Settings) -> Iterator[SparkSession]:
    with session(small) as result:
        yield result


@pytest.fixture
def dataset(settings: Settings, spark: SparkSession) -> Iterator[MeterSeries]:
    with own_dataset(settings, spark) as result:
        yield result


def select(settings: Settings, statement: str) -> list[Any]:
    with cassandra.session(settings) as session:
        return list(session.execute(statement, timeout=30))


def minutes(settings: Settings, dataset: MeterSeries) -> dict[tuple[str, int], dict[str, int]]:
    """Return the minute table: the state in units by meter and start."""
    names = [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]
    result = {}
    for row in select(settings, f"SELECT * FROM speed.{dataset.name}_minute"):  # noqa: S608
        assert row.day == f"{row.minute:%Y-%m-%d}"
        start = int(row.minute.replace(tzinfo=UTC).timestamp())
        result[row.meter_id, start] = {name: getattr(row, name) for name in names}
    return result


def balance(settings: Settings, spark: SparkSession, dataset: MeterSeries) -> None:
    """Every offset of the topic is once in the master data set or once in quarantine, as the core decides."""
    messages = samples.arrived(settings, dataset.readings_topic)
    readings, reasons = samples.decoded(dataset, messages)
    rows = archived(spark, dataset)
    assert [(row.origin_partition, row.origin_offset) for row in rows] == [
        (each.origin_partition, each.origin_offset) for each in readings
    ]
    for row, each in zip(rows, readings, strict=True):
        assert tuple(row[measure.name] for measure in dataset.measures) == each.values
        assert (row.meter_id, row.interval_s, row.revision, row.origin) == (
            each.meter_id,
            each.interval_s,
            each.revision,
            each.origin,
        )
        assert row.ts.replace(tzinfo=UTC).timestamp() == each.ts
        assert row.received_at.replace(tzinfo=UTC) == each.received_at
    kept = archived(spark, dataset, "_quarantine") if reasons else []
    assert {(row.origin_partition, row.origin_offset): row.reason for row in kept} == reasons
    assert len(kept) == len(reasons)
    assert len(rows) + len(kept) == len(messages)


def equal_views(settings: Settings, dataset: MeterSeries) -> None:
    readings, _ = samples.decoded(dataset, samples.arrived(settings, dataset.readings_topic))
    wanted = {cell: state.row() for cell, state in samples.expected(dataset, readings).items()}
    assert minutes(settings, dataset) == wanted


def test_both_queries_equal_the_core_and_keep_every_message(
    small: Settings, spark: SparkSession, dataset: MeterSeries
) -> None:
    topics.ensure(small, dataset)
    now = int(system_clock().timestamp())
    messages = samples.script(dataset, now - 9 * 60, 8, seed=1)
    half = len(messages) // 2
    samples.send(small, dataset.readings_topic, messages[:half])
    stream(small, dataset)
    # The second half repeats a part of the first: what was counted is not counted again.
    count = samples.send(small, dataset.readings_topic, messages[half - 200 :])
    said = stream(small, dataset)
    assert any("have a version other than 1" in words for words in said)
    equal_views(small, dataset)
    balance(small, spark, dataset)
    assert count > 600

    # Undecodable messages are handed on as they came.
    readings, reasons = samples.decoded(dataset, samples.arrived(small, dataset.readings_topic))
    assert 0.08 < len(reasons) / (len(reasons) + len(readings)) < 0.14
    assert len(set(reasons.values())) > 12
    came = {(m.partition, m.offset): m for m in samples.arrived(small, dataset.readings_topic)}
    handed_on = samples.arrived(small, dataset.rejected_topic)
    assert len(handed_on) == len(reasons)
    for message in handed_on:
        where = int(message.headers["partition"]), int(message.headers["offset"])
        assert message.headers["reason"].decode() == reasons[where]
        assert message.key == came[where].key
        original = came[where].value
        limit = dataset.max_message_bytes + 1
        assert message.value == (original if original is None else original[:limit])
        assert int(message.headers["size"]) == len(original or b"")
    payloads = {(r.origin_partition, r.origin_offset): r.payload for r in archived(spark, dataset, "_quarantine")}
    assert all(
        (payload is None) == (came[where].value is None)
        and base64.b64decode(payload or "") == (came[where].value or b"")[:limit]
        for where, payload in payloads.items()
    )

    # Live tables: each meter's latest reading, and of those of the last hour, which came at once, the latest few.
    accepted = [each for each in readings if each.meter_id != "ahead" and (each.values[0] or 0) >= 0]
    latest = {row.meter_id: row.ts for row in select(small, f"SELECT * FROM speed.{dataset.name}_latest")}  # noqa: S608
    wanted = {m: max(each.ts for each in accepted if each.meter_id == m) for m in ("a", "b", "c")}
    assert {m: int(ts.replace(tzinfo=UTC).timestamp()) for m, ts in latest.items()} == wanted
    recent = select(small, f"SELECT meter_id, ts, interval_s FROM speed.{dataset.name}_recent")  # noqa: S608
    shown = {(row.meter_id, int(row.ts.replace(tzinfo=UTC).timestamp()), row.interval_s) for row in recent}
    assert shown <= {each.key for each in accepted}
    assert wanted.items() <= {(meter, ts) for meter, ts, _ in shown}

    # How far Kafka is archived, for the boundary: to its end.
    progress = archive_progress.read(small, dataset)
    assert [part.at_end for part in progress] == [True, True]
    assert max(part.archived_until for part in progress if part.archived_until) == max(
        m.received_at for m in came.values()
    )
    samples.send(small, dataset.readings_topic, [("a", b"more")])
    assert sorted(part.at_end for part in archive_progress.read(small, dataset)) == [False, True]

    # With a new checkpoint the archive goes on where the master data set ends, and the views come out the same.
    for query in ("archive", "views"):
        hdfs.client(small).delete(Checkpoint(small, dataset, query).path, recursive=True)
    before = minutes(small, dataset)
    stream(small.model_copy(update={"stream_max_offsets": 50_000}), dataset)
    assert minutes(small, dataset) == before
    balance(small, spark, dataset)


def process(
    settings: Settings, dataset: MeterSeries, *words: str, out: IO[str] | int = subprocess.PIPE
) -> subprocess.Popen[str]:
    wanted = {"home": settings.home, "port_offset": settings.port_offset, "archive_trigger": "1s"}
    wanted |= {"spark_driver_memory": "1g", "archive_max_offsets": 400}
    variables = {f"METERLAKE_{name.upper()}": str(value) for name, value in wanted.items()}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), dataset.name, *words],
        env=os.environ | variables,
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "moment",
    ["archived", pytest.param("quarantined", marks=pytest.mark.slow), pytest.param("written", marks=pytest.mark.slow)],
)
def test_a_driver_that_is_killed_loses_and_doubles_nothing(
    small: Settings, spark: SparkSession, dataset: MeterSeries, moment: str
) -> None:
    topics.ensure(small, dataset)
    samples.send(
        small, dataset.readings_topic, samples.script(dataset, int(system_clock().timestamp()) - 240, 3, seed=2)
    )
    with process(small, dataset, "views" if moment == "written" else "archive", "once", moment) as killed:
        killed.communicate(timeout=900)
    assert killed.returncode == -signal.SIGKILL
    stream(small.model_copy(update={"archive_max_offsets": 5000}), dataset)
    balance(small, spark, dataset)
    equal_views(small, dataset)


def test_sigterm_ends_between_updates(
    small: Settings, spark: SparkSession, dataset: MeterSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.ensure(small, dataset)
    samples.send(
        small, dataset.readings_topic, samples.script(dataset, int(system_clock().timestamp()) - 120, 1, seed=3)
    )
    with process(small, dataset, "archive,views", "on") as running:
        until(lambda: _is_there(small, dataset))
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=900)
    assert running.returncode == 0, said
    assert "stopping when the update under way is written" in said
    names = [
        hdfs.client(small).list(f"{Checkpoint(small, dataset, 'views').path}/{kind}") for kind in ("offsets", "commits")
    ]
    assert set(names[0]) == set(names[1])
    equal_views(small, dataset)
    balance(small, spark, dataset)
    port = free_port()
    monkeypatch.setenv("METERLAKE_METRICS_PORT", str(port))
    with process(small, dataset, "archive,views", "on") as running:
        until(lambda: _looked(port) == {"archive", "views"})  # there is nothing to do, and they are not down
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=900)
    assert running.returncode == 0, said


def _looked(port: int) -> set[str]:
    """Return the queries that say when they last did something, or found nothing to do."""
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    except requests.ConnectionError:
        return set()
    return set(re.findall(r'meterlake_stream_last_batch_timestamp_seconds\{.*query="(\w+)"', text))


def _is_there(settings: Settings, dataset: MeterSeries) -> bool:
    progress = archive_progress.read(settings, dataset)
    if not progress or not all(part.at_end for part in progress):
        return False
    return bool(minutes(settings, dataset))


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, brought back after the test."""
    yield stack
    launcher.up(services(["kafka", "cassandra", "metastore"]), stack, lambda *_: None)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_outages_are_waited_for(
    small: Settings, spark: SparkSession, dataset: MeterSeries, whole: Instance, tmp_path: Path
) -> None:
    topics.ensure(small, dataset)
    messages = samples.script(dataset, int(system_clock().timestamp()) - 300, 4, seed=9)
    said, step = tmp_path / "said", len(messages) // 5
    samples.send(small, dataset.readings_topic, messages[:step])
    with said.open("w") as out, process(small, dataset, "archive,views", "on", out=out) as running:
        until(lambda: _is_there(small, dataset))
        for n, service in enumerate(("cassandra", "namenode", "metastore", "kafka"), start=1):
            pid = {state.service.name: state.pid for state in launcher.status(whole, check=False)}[service]
            assert pid is not None
            if service != "kafka":
                samples.send(small, dataset.readings_topic, messages[n * step : (n + 1) * step])
            os.kill(pid, signal.SIGKILL)
            time.sleep(8)
            launcher.up(services([service]), whole, lambda *_: None)
        samples.send(small, dataset.readings_topic, messages[4 * step :])
        until(lambda: _is_there(small, dataset) and views_are_equal(small, dataset))
        running.send_signal(signal.SIGTERM)
        running.wait(900)
    assert running.returncode == 0, said.read_text()
    assert "does not answer" in said.read_text()
    equal_views(small, dataset)
    balance(small, spark, dataset)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 900
    while not true() and time.monotonic() < deadline:
        time.sleep(1)


def views_are_equal(settings: Settings, dataset: MeterSeries) -> bool:
    try:
        equal_views(settings, dataset)
    except AssertionError:
        return False
    return True


def test_settings_that_cannot_work_are_refused_at_once(small: Settings, dataset: MeterSeries) -> None:
    short = small.model_copy(update={"speed_ttl": small.batch_interval})
    with pytest.raises(TtlTooShort, match="is shorter than batch interval"):
        stream(short, dataset)
    port = small.port("kafka")
    with pytest.raises(MetricsPortBusy, match=f"127.0.0.1:{port}"):
        stream(small, dataset, replace(BOTH, metrics_port=port))


def test_tables_are_carried_forward(small: Settings, dataset: MeterSeries) -> None:
    made = tables.apply(small, dataset)
    assert sum(statement.startswith("CREATE TABLE") for statement in made) == 3
    assert tables.apply(small, dataset) == []
    name = f"speed.{dataset.name}_minute"
    with cassandra.session(small) as session:
        session.execute(f"ALTER TABLE {name} DROP voltage_max", timeout=60)
        session.execute(f"ALTER TABLE {name} ADD of_a_newer_version TEXT", timeout=60)
    longer = small.model_copy(update={"speed_ttl": 2 * small.speed_ttl})
    assert tables.apply(longer, dataset) == [
        f"ALTER TABLE {name} ADD (voltage_max BIGINT)",
        f"ALTER TABLE {name} WITH default_time_to_live = {2 * 259_200} AND gc_grace_seconds = {2 * 259_200}",
        f"ALTER TABLE speed.{dataset.name}_latest WITH default_time_to_live = {2 * 259_200}",
    ]
    assert tables.apply(longer, dataset) == []
    with cassandra.session(small) as session:
        session.execute(f"DROP TABLE speed.{dataset.name}_latest", timeout=60)
        session.execute(
            f"CREATE TABLE speed.{dataset.name}_latest (meter_id TEXT PRIMARY KEY, voltage TEXT)", timeout=60
        )
    with pytest.raises(tables.ColumnDiffers, match="column voltage is text; the declaration wants double"):
        tables.apply(longer, dataset)
