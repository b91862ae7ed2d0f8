"""NiFi brings topics, is killed, and is left out: each message is landed once, whoever brings it."""

from __future__ import annotations

import io
import json
import secrets
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic, sleep

import lake_servers
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from commands import Command
from confluent_kafka import Producer

from engines import kafka, lake, nifi, topics
from engines.errors import EngineUnavailable
from engines.topics import NoSuchTopic
from lakehouse.landing import from_kafka, inbox, objects, via_nifi
from lakehouse.landing.from_kafka import Request
from lakehouse.landing.objects import Source
from meterlake.lakehouse.nifi import CONSUME, group_of
from meterlake.settings import Settings
from stack import launcher, process
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
PARTITIONS = 2
Message = tuple[str, int, int, bytes | None, bytes | None]


@pytest.fixture(scope="module", autouse=True)
def servers(stack: Instance) -> Iterator[None]:
    with lake_servers.running(stack, "kafka", "s3", "nifi"):
        yield


@pytest.fixture
def request_(settings: Settings) -> Iterator[Request]:
    """Two topics of a lakehouse of its own; NiFi does not know it any more afterwards."""
    name = f"n{secrets.token_hex(4)}"
    names = (f"{name}.calls", f"{name}.sms")
    for topic in names:
        kafka.create_topic(settings, topic, PARTITIONS)
    yield Request(name, names)
    for group in nifi.groups(settings):
        if group["component"]["name"] == group_of(name):
            via_nifi.stop_flow(settings, Request(name, names), Event())
            nifi.remove_group(settings, group["id"])


def send(settings: Settings, request: Request, first: int, count: int, rate: float = 0) -> None:
    """Send numbered messages to each topic: text, bytes that are none, ends of lines, and none at all."""
    producer = Producer(kafka.client_config(settings, acks="all"))
    for number in range(first, first + count):
        values = (b'{"n":%d}' % number, b"\xff\xfe\n\r%d" % number, None, b"")
        for topic in request.topics:
            producer.produce(topic, values[number % 4], b"k%d" % number, partition=number % PARTITIONS)
        producer.poll(0)
        if rate:
            sleep(1 / rate)
    assert producer.flush(60) == 0


def in_kafka(settings: Settings, request: Request) -> Counter[Message]:
    """Return every message by topic, partition, offset, key and value, as another client reads it."""
    from confluent_kafka import Consumer, TopicPartition

    found: Counter[Message] = Counter()
    for name in request.topics:
        for partition, span in topics.spans(settings, topics.required(settings, name)).items():
            consumer = Consumer(kafka.client_config(settings, **{"group.id": "test-nifi"}))
            consumer.assign([TopicPartition(name, partition, span.first)])
            at = span.first
            while at < span.end:
                for one in consumer.consume(5000, 5):
                    assert one.error() is None
                    found[name, partition, one.offset(), one.key(), one.value()] += 1
                    at = one.offset() + 1
            consumer.close()
    return found


def landed(settings: Settings, request: Request) -> Counter[Message]:
    """Return every record of the objects that have a manifest: what bronze reads."""
    found: Counter[Message] = Counter()
    for key in objects.manifests(settings, request.dataset):
        manifest = objects.read(settings, key)
        table = pq.read_table(io.BytesIO(lake.get(settings, manifest.object) or b""))
        assert table.schema.equals(objects.SCHEMA)
        assert table.num_rows == manifest.rows
        for row in table.to_pylist():
            assert manifest.first <= row["source_offset"] < manifest.end
            found[manifest.topic, int(manifest.partition), row["source_offset"], row["key"], row["value"]] += 1
    return found


def waiting(settings: Settings, request: Request) -> int:
    sources = [Source(request.dataset, name, f"{part:05}") for name in request.topics for part in range(PARTITIONS)]
    return sum(len(inbox.brought(settings, source)) for source in sources)


def until(what: Callable[[], object], seconds: float = 180) -> None:
    """Wait until something is so."""
    end = monotonic() + seconds
    while not what():
        assert monotonic() < end, "it did not come"
        sleep(0.2)


def assert_each_once(settings: Settings, request: Request, count: int) -> None:
    sent = in_kafka(settings, request)
    assert sent.total() == count * len(request.topics)
    assert landed(settings, request) == sent


def test_nifi_is_killed_and_left_out_and_each_message_is_landed_once(
    settings: Settings, stack: Instance, request_: Request
) -> None:
    said: list[str] = []
    send(settings, request_, 0, 4_000)
    via_nifi.start(settings, request_.dataset, request_.topics, said.append)
    until(lambda: waiting(settings, request_))
    send(settings, request_, 4_000, 2_000, rate=400)  # it reads as they come
    for running in process.running(stack)["nifi"]:
        running.kill()
        running.wait(20)
    with pytest.raises(EngineUnavailable, match="NiFi"):
        via_nifi.start(settings, request_.dataset, request_.topics, said.append)
    send(settings, request_, 6_000, 1_000)
    launcher.up(select(["nifi"]), stack, lambda *_: None)

    counts = via_nifi.land(settings, request_, Event(), said.append)
    assert counts == dict.fromkeys(request_.topics, 7_000)
    assert_each_once(settings, request_, 7_000)
    assert "already" in said[-1]  # NiFi went on by itself after its start

    # Without NiFi, which goes on: what it brings of these comes too late, and is dropped.
    send(settings, request_, 7_000, 1_000)
    assert from_kafka.land(settings, request_, Event()) == dict.fromkeys(request_.topics, 1_000)
    assert_each_once(settings, request_, 8_000)

    send(settings, request_, 8_000, 500)
    assert via_nifi.land(settings, request_, Event(), said.append) == dict.fromkeys(request_.topics, 500)
    via_nifi.stop_flow(settings, request_, Event())
    (group,) = [one["id"] for one in nifi.groups(settings) if one["component"]["name"] == group_of(request_.dataset)]
    assert nifi.load(settings, group) == nifi.Load(0, 0)
    assert {one["component"]["state"] for one in nifi.processors(settings, group)} == {"STOPPED"}
    assert waiting(settings, request_) == 0

    # While it stands still the others land; it begins behind them.
    send(settings, request_, 8_500, 500)
    assert from_kafka.land(settings, request_, Event()) == dict.fromkeys(request_.topics, 500)
    send(settings, request_, 9_000, 10)
    assert via_nifi.land(settings, request_, Event(), said.append) == dict.fromkeys(request_.topics, 10)
    assert_each_once(settings, request_, 9_010)
    assert lake.listed(settings, f"dead-letter/{request_.dataset}/") == []


def test_what_nifi_brings_twice_and_what_it_leaves_out_is_landed_once(settings: Settings, request_: Request) -> None:
    """Objects overlap, lie within others, and leave out offsets: none of it has been read by NiFi here."""
    send(settings, request_, 0, 400)
    files: dict[str, list[str]] = {}
    for topic, partition, offset, key, value in in_kafka(settings, request_):
        line = {"offset": offset, "timestamp": 1_790_000_000_000, "key": text(key), "value": text(value)}
        for first, end in ((10, 60), (30, 90), (40, 50), (120, 150)):
            if first <= offset < end:
                name = f"inbox/{request_.dataset}/{topic}/{partition:05}/{first:020}-{end:020}-0000abcd.jsonl"
                files.setdefault(name, []).append(f"{json.dumps(line)}\n")
    for name, lines in files.items():
        lake.put(settings, name, "".join(lines).encode())
    brought_only = Request(request_.dataset, request_.topics, brought_only=True)
    assert from_kafka.land(settings, brought_only, Event()) == dict.fromkeys(request_.topics, 300)
    assert waiting(settings, request_) == 0
    assert from_kafka.land(settings, request_, Event()) == dict.fromkeys(request_.topics, 100)
    assert_each_once(settings, request_, 400)


def text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def test_a_flow_is_made_once_and_anew_where_another_is_declared(settings: Settings, request_: Request) -> None:
    def groups() -> list[str]:
        return [one["id"] for one in nifi.groups(settings) if one["component"]["name"] == group_of(request_.dataset)]

    said: list[str] = []
    via_nifi.start(settings, request_.dataset, request_.topics[:1], said.append)
    (first,) = groups()
    via_nifi.start(settings, request_.dataset, request_.topics[:1], said.append)
    assert groups() == [first]
    via_nifi.start(settings, request_.dataset, request_.topics, said.append)
    (second,) = groups()
    assert second != first
    consumers = [one for one in nifi.processors(settings, second) if one["component"]["type"] == CONSUME]
    read = sorted(one["component"]["config"]["properties"]["topic"] for one in consumers)
    assert read == sorted(request_.topics)
    secret = settings.lake_keys[1]
    assert secret not in json.dumps(nifi.processors(settings, second))


def test_errors_say_what_to_do(settings: Settings, request_: Request, meterlake: Command) -> None:
    missing = Request(request_.dataset, (*request_.topics, f"{request_.dataset}.none"))
    with pytest.raises(NoSuchTopic, match=r"\.none"):
        via_nifi.land(settings, missing, Event(), lambda _: None)
    assert not [one for one in nifi.groups(settings) if one["component"]["name"] == group_of(request_.dataset)]
    for words, problem in (
        (("utility", "--via", "nifi"), "--via nifi is for topics"),
        (("telecom", "--stop"), "--stop stops NiFi's flow"),
    ):
        code, said = meterlake("land", *words)
        assert (code, problem in said) == (2, True), said
