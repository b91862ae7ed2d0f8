"""The simulator and a real broker: what was sent is there, once, in order, keyed, compressed, timed by the broker."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, TopicPartition

from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY
from engines import topics
from engines.kafka import client_config
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.replay import Replay
from meterlake.settings import ROOT, Settings
from producers import faults
from producers.kafka_sink import KafkaSink
from producers.pace import FASTEST, Pace, schedule
from producers.simulate import Request, begun, script, simulate
from producers.sinks import LineSink
from producers.totals import Totals
from stack import launcher, process
from stack.instance import Instance
from stack.services import select

pytestmark = pytest.mark.integration

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ALL = ",".join(f"{name}=0.05" for name in faults.MEANINGS)
LZ4, LOG_APPEND_TIME = 3, 8
Records = dict[str, list[bytes | None]]


@pytest.fixture
def replay() -> Replay:
    """A data set of its own for each test."""
    dataset = replace(HOUSEHOLD, name=f"s{uuid.uuid4().hex[:12]}")
    return replace(HOUSEHOLD_REPLAY, form=replace(HOUSEHOLD_REPLAY.form, dataset=dataset))


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, its broker brought back after the test."""
    yield stack
    launcher.up(select(["kafka"]), stack, lambda *_: None)


def run(
    settings: Settings, replay: Replay, sink: BinaryIO | None, share: str, minutes: int, speed: float = FASTEST
) -> Totals:
    """Send to the broker, or write to a stream."""
    shares = faults.parse(share)
    request = Request(
        replay=replay, history=ROOT / replay.history, offset=replay.form.utc_offset, meter_id="m", meters=20, seed=1,
        rebase=START, fill_gaps=True, shares=shares,
    )  # fmt: skip
    told = script(request, settings.cache_dir)
    plan = schedule(system_clock(), 1, speed, timedelta(minutes=minutes), START)
    totals, stop = begun(told, plan), threading.Event()
    target = LineSink(sink, "lines", totals) if sink else KafkaSink(settings, replay.dataset, totals, stop)
    simulate(told, plan, shares, Pace(plan, system_clock, stop), target, totals)
    return totals


def written(settings: Settings, replay: Replay, folder: Path, share: str, minutes: int) -> Records:
    """Return what the same run writes to a file, by key."""
    result: defaultdict[str, list[bytes | None]] = defaultdict(list)
    with (folder / "lines").open("wb") as file:
        run(settings, replay, file, share, minutes)
    for line in (folder / "lines").read_bytes().split(b"\n")[:-1]:
        key, tab, value = line.partition(b"\t")
        result[key.decode()].append(value if tab else None)
    return dict(result)


def ends(settings: Settings, dataset: MeterSeries) -> dict[int, int]:
    """Return where each partition of the topic ends."""
    topic = topics.find(settings, dataset.readings_topic)
    return {partition: span.end for partition, span in topics.spans(settings, topic).items()} if topic else {}


def received(settings: Settings, dataset: MeterSeries, since: Mapping[int, int] | None = None) -> Records:
    """Return what lies in the topic, by key, from the beginning or from some offsets on."""
    until = ends(settings, dataset)
    begin = {partition: (since or {}).get(partition, 0) for partition in until}
    result: defaultdict[str, list[bytes | None]] = defaultdict(list)
    consumer = Consumer(client_config(settings, **{"group.id": "test", "enable.auto.commit": False}))
    try:
        consumer.assign([TopicPartition(dataset.readings_topic, *where) for where in begin.items()])
        left = sum(until.values()) - sum(begin.values())
        while left:
            for message in consumer.consume(min(left, 10_000), timeout=10):
                assert not message.error()
                assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
                result[message.key().decode()].append(message.value())
                left -= 1
    finally:
        consumer.close()
    return dict(result)


def wait_for_more(settings: Settings, dataset: MeterSeries, before: Mapping[int, int]) -> None:
    """Return when messages arrive."""
    deadline = time.monotonic() + 900
    while sum(ends(settings, dataset).values()) <= sum(before.values()):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_was_sent_is_there_in_order_and_to_the_byte(
    settings: Settings, stack: Instance, replay: Replay, tmp_path: Path
) -> None:
    totals = run(settings, replay, None, ALL, minutes=3)
    assert totals.acknowledged == totals.sent > 3000
    result = received(settings, replay.dataset)
    assert result == written(settings, replay, tmp_path, ALL, minutes=3)
    assert len(result) == 20
    assert None in {value for values in result.values() for value in values}


def test_batches_are_compressed_idempotent_and_timed_by_the_broker(
    settings: Settings, stack: Instance, replay: Replay
) -> None:
    run(settings, replay, None, "", minutes=2)
    segments = list(stack.data("kafka").glob(f"{replay.dataset.readings_topic}-*/*.log"))
    assert len(segments) == settings.kafka_partitions
    batches = [batch for segment in segments for batch in headers(segment.read_bytes())]
    assert batches
    assert {attributes & 7 for attributes, _ in batches} == {LZ4}
    assert all(attributes & LOG_APPEND_TIME for attributes, _ in batches)
    assert all(producer_id >= 0 for _, producer_id in batches)


def headers(segment: bytes) -> Iterator[tuple[int, int]]:
    """Return attributes and producer id of each batch in a segment, as the broker's log format lays them out."""
    at = 0
    while at < len(segment):
        yield struct.unpack_from(">h", segment, at + 21)[0], struct.unpack_from(">q", segment, at + 43)[0]
        at += 12 + struct.unpack_from(">i", segment, at + 8)[0]


@contextmanager
def command(settings: Settings, *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command; it is killed where the body fails."""
    environment = {
        **os.environ,
        "METERLAKE_HOME": str(settings.home),
        "METERLAKE_PORT_OFFSET": str(settings.port_offset),
        **more,
    }
    line = [sys.executable, "-m", "cli", "simulate", "household", "--output", "json", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_delivers_what_is_under_way_and_says_so(settings: Settings, stack: Instance) -> None:
    meter, before = f"m{uuid.uuid4().hex[:8]}", ends(settings, HOUSEHOLD)
    with command(settings, "--meters", "50", "--meter-id", meter, "--fill-gaps", "--faults", "late=0.2") as process:
        wait_for_more(settings, HOUSEHOLD, before)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    said: dict[str, Any] = json.loads(out)[0]
    result = {key: values for key, values in received(settings, HOUSEHOLD, before).items() if key.startswith(meter)}
    assert said["readings"] == said["sent"] == said["acknowledged"] == sum(map(len, result.values()))
    assert len(result) == 50


def test_a_broker_that_was_never_there_is_said_at_once(settings: Settings) -> None:
    with command(settings, "--for", "1s", METERLAKE_KAFKA_BOOTSTRAP="127.0.0.1:1") as process:
        out, err = process.communicate(timeout=900)
    assert (process.returncode, out) == (1, "")
    assert "Kafka at 127.0.0.1:1 does not answer" in err


@pytest.mark.chaos
def test_a_broker_that_comes_back_has_lost_and_doubled_nothing(
    settings: Settings, whole: Instance, replay: Replay, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, settings, replay, None, ALL, minutes=10, speed=40)
        wait_for_more(settings, replay.dataset, {})
        process.running(whole)["kafka"][0].kill()
        assert not running.done()
        time.sleep(3)
        launcher.up(select(["kafka"]), whole, lambda *_: None)
        totals = running.result()
    assert totals.acknowledged == totals.sent
    assert received(settings, replay.dataset) == written(settings, replay, tmp_path, ALL, minutes=10)


@pytest.mark.chaos
def test_a_broker_that_stays_away_is_said_with_the_count(settings: Settings, whole: Instance) -> None:
    meter, before = f"m{uuid.uuid4().hex[:8]}", ends(settings, HOUSEHOLD)
    words = ("--meters", "20", "--meter-id", meter, "--fill-gaps")
    with command(settings, *words, METERLAKE_KAFKA_DELIVERY_TIMEOUT="5s") as simulator:
        wait_for_more(settings, HOUSEHOLD, before)
        process.running(whole)["kafka"][0].kill()
        out, err = simulator.communicate(timeout=900)
    assert simulator.returncode == 1, err
    said: dict[str, Any] = json.loads(out)[0]
    lost = said["sent"] - said["acknowledged"]
    assert lost > 0
    assert f"has not acknowledged {lost} of {said['sent']} messages: Local: Message timed out" in err
    launcher.up(select(["kafka"]), whole, lambda *_: None)
    arrived = sum(len(values) for key, values in received(settings, HOUSEHOLD, before).items() if key.startswith(meter))
    assert said["acknowledged"] <= arrived <= said["sent"]
