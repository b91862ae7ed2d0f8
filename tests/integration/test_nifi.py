"""NiFi brings topics, is killed, and is left out: each message is landed once, whoever brings it."""

from __future__ import annotations

import io
import json
import secrets
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from threading import Event
from time import monotonic, sleep

import lake_servers
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from commands import Command
from confluent_kafka import Producer
from lakehouse_samples import recharges

from engines import kafka, lake, lake_tables, nifi, spark, topics
from engines.errors import EngineUnavailable
from engines.topics import NoSuchTopic
from lakehouse import lease
from lakehouse.landing import from_kafka, inbox, objects, via_nifi
from lakehouse.landing.from_kafka import Request
from lakehouse.landing.objects import Source
from lakehouse.landing.via_nifi import NothingComes
from lakehouse.run import Run
from lakehouse.verify import verify
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.nifi import CONSUME, DEAD_LETTERS, group_of
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


def test_what_nifi_cannot_write_goes_to_the_dead_letters_and_is_landed_from_kafka(
    settings: Settings, request_: Request
) -> None:
    """NiFi writes to a bucket that is not there; its dead letters have one that is."""
    via_nifi.start(settings, request_.dataset, request_.topics, lambda _: None)
    (group,) = [one["id"] for one in nifi.groups(settings) if one["component"]["name"] == group_of(request_.dataset)]
    with_writer_of(settings, group, Bucket="no-such-bucket")
    send(settings, request_, 0, 1_000)
    until(lambda: dead_letters(settings, request_) == in_kafka(settings, request_))
    assert waiting(settings, request_) == 0
    brought_only = Request(request_.dataset, request_.topics, brought_only=True)
    assert from_kafka.land(settings, brought_only, Event()).total() == 0
    impatient = settings.model_copy(update={"stall_timeout": timedelta(seconds=5)})
    with pytest.raises(NothingComes, match=r"2,000 messages are in Kafka.*write.*NoSuchBucket"):
        via_nifi.land(impatient, request_, Event(), lambda _: None)

    assert from_kafka.land(settings, request_, Event()) == dict.fromkeys(request_.topics, 1_000)
    assert_each_once(settings, request_, 1_000)
    with_writer_of(settings, group, Bucket=settings.lake_bucket)
    send(settings, request_, 1_000, 100)
    assert via_nifi.land(settings, request_, Event(), lambda _: None) == dict.fromkeys(request_.topics, 100)
    assert_each_once(settings, request_, 1_100)
    assert dead_letters(settings, request_).total() == 2_000  # for people to look at; nothing reads them


def with_writer_of(settings: Settings, group: str, **properties: str) -> None:
    """Give what writes into the inbox other properties, and one try more instead of ten."""
    for writer in nifi.processors(settings, group):
        if writer["component"]["name"] == "write":
            nifi.set_processor(settings, writer["id"], "STOPPED")
            until(partial(is_idle, settings, writer["id"]))
            revision = nifi.ask(settings, "GET", f"processors/{writer['id']}")["revision"]
            component = {"id": writer["id"], "config": {"properties": properties, "retryCount": 1}}
            nifi.ask(settings, "PUT", f"processors/{writer['id']}", {"revision": revision, "component": component})
            nifi.set_processor(settings, writer["id"], "RUNNING")


def is_idle(settings: Settings, processor: str) -> bool:
    said = nifi.ask(settings, "GET", f"processors/{processor}")
    return said["component"]["state"] == "STOPPED" and not said["status"]["aggregateSnapshot"]["activeThreadCount"]


def dead_letters(settings: Settings, request: Request) -> Counter[Message]:
    found: Counter[Message] = Counter()
    for item in lake.listed(settings, f"{DEAD_LETTERS}/{request.dataset}/"):
        _, _, topic, partition, _ = item.key.split("/")
        for line in (lake.get(settings, item.key) or b"").splitlines():
            record = json.loads(line)
            key, value = (None if part is None else b64decode(part) for part in (record["key"], record["value"]))
            found[topic, int(partition), record["offset"], key, value] += 1
    return found


def test_a_lakehouse_reads_what_nifi_brings(settings: Settings, stack: Instance, request_: Request) -> None:
    """Two runs of telecom's recharges behind NiFi; DuckDB judges the landed objects alike."""
    lakehouse = recharges(request_.dataset)
    for topic in lakehouse.topics:
        kafka.create_topic(settings, topic, PARTITIONS)
    behind = Request(lakehouse.name, lakehouse.topics)
    sql = registry.required_lakehouse("telecom").verification()
    producer = Producer(kafka.client_config(settings, acks="all"))
    launcher.up(select(["nessie"]), stack, lambda *_: None)
    with spark.session(settings, "lakehouse") as session:
        for part in range(2):
            for number in range(part * 1_000, part * 1_000 + 1_000):
                value = recharge(number) if number % 10 else b"no JSON"
                producer.produce(f"{lakehouse.name}.recharges", value=value, partition=number % PARTITIONS)
            assert producer.flush(60) == 0
            assert via_nifi.land(settings, behind, Event(), lambda _: None).total() == 1_000
            with lease.held(settings, lakehouse.name, "test") as held:
                run = Run(settings, session, lakehouse, held, system_clock, lambda _: None).execute()
            assert run is not None
            verdicts = verify(settings, lakehouse, sql)
            assert [row for row in verdicts if not row["equal"]] == []
        facts = lake_tables.read(settings, f"{lakehouse.namespace('gold')}.fact_recharge", ("transaction_id",))
        assert sorted(facts["transaction_id"].to_pylist()) == sorted(f"R{n}" for n in range(2_000) if n % 10)
    via_nifi.stop_flow(settings, behind, Event())


def recharge(number: int) -> bytes:
    row = {
        "transaction_id": f"R{number}", "event_type": "recharge", "customer": "+201000000001",
        "phone_number": "+201000000001", "balance_before": 1, "amount": 10.25, "balance_after": 11.25,
        "currency": "EGP", "payment_method": "cash", "timestamp": "2026-11-20T22:30:00Z",
    }  # fmt: skip
    return json.dumps(row).encode()


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
