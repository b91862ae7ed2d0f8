"""The bridge between a real MQTT broker and a real Kafka: all that was sent is there, whoever is killed in between."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from confluent_kafka import Consumer, TopicPartition
from docs_commands import page
from kafka_groups import committed
from mqtt_brokers import MqttBroker, Publisher, free_port, mosquitto, running, until
from pydantic import SecretStr
from schema_registry import Registry, message, serving

from engines import topics
from engines.kafka import client_config, create_topic, send_one
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.errors import UsageError
from meterlake.live.sources import LiveSource, Register, Time, TopicLevel, Value
from meterlake.reading import Reading
from meterlake.settings import Settings
from producers.bridge.address import Broker
from producers.bridge.errors import BrokerRefused, NoForeignTopic
from producers.bridge.kafka import KafkaReader
from producers.bridge.mqtt import MqttReader
from producers.bridge.reader import Arrived
from producers.bridge.run import Bridge
from producers.bridge.state import StateStore
from producers.bridge.totals import BridgeTotals
from stack import launcher, process
from stack.instance import Instance
from stack.services import select

pytestmark = pytest.mark.integration

T0 = 1_795_262_400


def rooms() -> MeterSeries:
    """A data set of its own for each test."""
    return MeterSeries(
        name=f"b{uuid.uuid4().hex[:12]}",
        time_zone="UTC",
        intervals=("1 min",),
        measures=(Level("temperature", "°C", "0.01", between=(-90, 90)),),
        views=(View("1 min"),),
    )


def sources(dataset: MeterSeries) -> tuple[LiveSource, ...]:
    """A plain number, a JSON object, a list of readings, SenML."""
    number = LiveSource(
        dataset=dataset, topic="rooms/+/temperature", meter=TopicLevel(2), payload="number", interval_s=60,
        values=(Value("", "temperature"),),
    )  # fmt: skip
    fields = replace(
        number, topic="json/+", payload="json", time=Time("t", "epoch_s"), values=(Value("temp", "temperature"),)
    )
    listed = replace(fields, topic="list/#", meter="id", at="points")
    senml = replace(
        number, topic="senml", payload="senml", meter="", values=(Value("temperature", "temperature", "°C"),)
    )
    return number, fields, listed, senml


def send(device: Publisher, minutes: range) -> set[tuple[str, int, float]]:
    """Send a message of each kind for each minute; return the readings (meter, start, value) they are."""
    expected = set[tuple[str, int, float]]()
    for minute in minutes:
        at, value = T0 + 60 * minute, 20 + minute / 100
        device.send("json/kitchen", json.dumps({"t": at, "temp": value}).encode())
        points = [{"id": f"list{n}", "t": at, "temp": value + n} for n in (1, 2)]
        device.send("list/a/b", json.dumps({"points": points}).encode())
        pack = [{"bn": "urn:dev:mac:0024befffe804ff1:", "bt": at, "n": "temperature", "u": "Cel", "v": value}]
        device.send("senml", json.dumps(pack).encode())
        expected |= {("kitchen", at, value), ("list1", at, value + 1), ("list2", at, value + 2)}
        expected.add(("urn:dev:mac:0024befffe804ff1", at, value))
    return expected


@dataclass
class Running:
    """A bridge in a thread of this process."""

    bridge: Bridge
    ending: Future[None]

    def until_connected(self, *, to: bool = True) -> None:
        """Return when the broker has it as a reader, or has it no more."""
        until(lambda: self._alive() and self.bridge.totals.connected is to)

    def _alive(self) -> bool:
        assert not self.ending.done(), self.ending.exception()
        return True


@contextmanager
def bridging(
    settings: Settings, dataset: MeterSeries, broker: MqttBroker, folder: Path, protocol: Any = "3.1.1"
) -> Iterator[Running]:
    address = Broker("127.0.0.1", broker.port, dataset.name, protocol=protocol)
    with ThreadPoolExecutor(1) as pool, closing(StateStore(folder / "state.sqlite")) as store:
        stop = threading.Event()
        read_from = {source.topic: source.qos for source in sources(dataset)}
        bridge = Bridge(
            settings, dataset, sources(dataset),
            lambda totals: MqttReader(address, read_from, system_clock, totals), store, stop,
        )  # fmt: skip
        running_bridge = Running(bridge, pool.submit(bridge.run))
        try:
            running_bridge.until_connected()
            yield running_bridge
        finally:
            stop.set()
            running_bridge.ending.result()


def received(settings: Settings, dataset: MeterSeries) -> list[Reading | wire.Undecodable]:
    """Return what lies in the topic, decoded."""
    topic = topics.required(settings, dataset.readings_topic)
    until_offsets = {partition: span.end for partition, span in topics.spans(settings, topic).items()}
    consumer = Consumer(client_config(settings, **{"group.id": "test", "enable.auto.commit": False}))
    try:
        consumer.assign([TopicPartition(topic.name, partition, 0) for partition in until_offsets])
        left, result = sum(until_offsets.values()), list[Reading | wire.Undecodable]()
        while left:
            for message in consumer.consume(min(left, 10_000), timeout=10):
                assert not message.error()
                result.append(wire.decode(dataset, message.value()))
                left -= 1
        return result
    finally:
        consumer.close()


def readings(decoded: list[Reading | wire.Undecodable]) -> set[tuple[str, int, float | None]]:
    return {(one.meter_id, one.ts, one.values[0]) for one in decoded if isinstance(one, Reading)}


def until_there(settings: Settings, dataset: MeterSeries, expected: set[tuple[str, int, float]]) -> None:
    """Return when readings are in the topic."""
    until(lambda: readings(received(settings, dataset)) >= expected)


@pytest.mark.parametrize(("kind", "protocol"), [("amqtt", "3.1.1"), ("mosquitto", "3.1.1"), ("mosquitto", "5")])
def test_all_kinds_arrive_also_from_a_broker_that_is_killed(
    settings: Settings, stack: Instance, tmp_path: Path, kind: str, protocol: str
) -> None:
    dataset = rooms()
    with (
        running(kind, tmp_path, settings.cache_dir) as broker,
        bridging(settings, dataset, broker, tmp_path, protocol) as bridge,
        closing(Publisher(broker)) as device,
    ):
        begin = system_clock().timestamp()
        device.send("rooms/attic/temperature", b"21.57")
        device.send("rooms/attic/temperature", b"warm")
        until(lambda: bridge.bridge.totals.messages >= 2)
        expected = send(device, range(10))
        until_there(settings, dataset, expected)
        broker.kill()
        bridge.until_connected(to=False)
        if kind == "mosquitto":  # it keeps the session: also what comes before the bridge is back arrives
            expected |= send(device, range(10, 20))
            broker.start()
        else:
            broker.start()
            bridge.until_connected()
            expected |= send(device, range(10, 20))
        until_there(settings, dataset, expected)
    result = received(settings, dataset)
    attic = {one for one in readings(result) if one[0] == "attic"}
    assert readings(result) - attic == expected
    ((_, at, value),) = attic
    assert value == 21.57
    assert begin - 60 < at <= system_clock().timestamp()
    assert {one for one in result if isinstance(one, wire.Undecodable)} == {wire.Undecodable("bad_value:temperature")}


def test_what_was_sent_while_the_bridge_was_away_arrives(settings: Settings, stack: Instance, tmp_path: Path) -> None:
    dataset = rooms()
    with running("mosquitto", tmp_path, settings.cache_dir) as broker, closing(Publisher(broker)) as device:
        with bridging(settings, dataset, broker, tmp_path):
            pass
        expected = send(device, range(50))
        until(device.taken)
        with bridging(settings, dataset, broker, tmp_path):
            until_there(settings, dataset, expected)
    assert readings(received(settings, dataset)) == expected


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_messages_come_again_until_they_are_acknowledged(settings: Settings, tmp_path: Path, protocol: Any) -> None:
    totals, moment = BridgeTotals(), itertools.count(T0)

    def ticking() -> datetime:
        return datetime.fromtimestamp(next(moment), UTC)

    def reader(broker: MqttBroker) -> MqttReader:
        made = MqttReader(Broker("127.0.0.1", broker.port, "reader", protocol=protocol), {"a/#": 1}, ticking, totals)
        made.connect()
        until(lambda: totals.connected)
        return made

    def taken(from_reader: MqttReader, count: int) -> list[Arrived]:
        result: list[Arrived] = []
        until(lambda: len(result) >= count or bool(result.extend(from_reader.take(count, 0.1))))
        return result

    def payloads(messages: list[Arrived]) -> list[bytes]:
        return [message.payload for message in messages]

    with running("mosquitto", tmp_path, settings.cache_dir) as broker, closing(Publisher(broker)) as device:
        with closing(reader(broker)) as first:
            for number in range(5):
                device.send("a/x", b"%d" % number)
            before = taken(first, 5)
            assert [message.at_ms for message in before] == [(T0 + number) * 1000 for number in range(5)]
            first.acknowledge(before[:3])
        device.send("a/x", b"away")
        until(device.taken)
        with closing(reader(broker)) as second:
            again = taken(second, 3)
            assert payloads(again) == [b"3", b"4", b"away"]
            broker.kill()
            until(lambda: not totals.connected)
            broker.start()
            until(lambda: totals.connected)
            once_more = taken(second, 3)
            assert payloads(once_more) == payloads(again)
            assert [message.at_ms for message in once_more] == [message.at_ms for message in again]
            second.acknowledge(again)  # of the connection that is gone: no acknowledgement
            device.send("a/x", b"last")
            assert payloads(taken(second, 1)) == [b"last"]
        with closing(reader(broker)) as third:
            rest = taken(third, 4)
            assert payloads(rest) == [b"3", b"4", b"away", b"last"]
            third.acknowledge(rest)
        device.send("a/x", b"new")
        until(device.taken)  # by then the broker has read what the reader sent before it left
        with closing(reader(broker)) as fourth:
            assert payloads(taken(fourth, 1)) == [b"new"]


# The client leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_secured_broker(settings: Settings, tmp_path: Path) -> None:
    program, environment = mosquitto(settings.cache_dir)
    authority, users = trustme.CA(), tmp_path / "users"
    (tmp_path / "pem").mkdir()
    authority.cert_pem.write_to_path(str(tmp_path / "pem" / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "pem" / "other.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem" / "server.pem"))
    tool = program.parent.parent / "bin" / "mosquitto_passwd"
    asked = [str(tool), "-b", "-c", str(users), "meter", "s3cret"]
    subprocess.run(asked, check=True, env={**os.environ, **environment})
    server = tmp_path / "pem" / "server.pem"
    access = f"password_file {users}\ncertfile {server}\nkeyfile {server}"

    def outcome(ca: str, password: str) -> str:
        broker = Broker(
            "127.0.0.1", secured.port, "me", True, tmp_path / "pem" / ca, "meter", SecretStr(password), protocol="5"
        )
        totals = BridgeTotals()
        with closing(MqttReader(broker, {"a/#": 1}, system_clock, totals)) as reader:
            try:
                reader.connect()
                until(lambda: totals.connected or bool(reader.take(1, 0.1)))
            except BrokerRefused as refused:
                return str(refused)
            return "connected"

    with running("mosquitto", tmp_path, settings.cache_dir, access) as secured:
        assert outcome("ca.pem", "s3cret") == "connected"
        assert "refuses the connection: Not authorized. Check --username" in outcome("ca.pem", "wrong")
        assert "refuses our trust: unable to get local issuer certificate" in outcome("other.pem", "s3cret")
        with pytest.raises(UsageError, match="holds no certificate that can be used"):
            outcome("../users", "s3cret")


def test_topics_of_others_in_kafka(settings: Settings, stack: Instance, tmp_path: Path) -> None:
    dataset = rooms()
    raw = f"{dataset.name}.raw"
    source = LiveSource(
        dataset=dataset, transport="kafka", topic=raw, meter="id", at="points", interval_s=60,
        time=Time("t", "epoch_s"), values=(Value("temp", "temperature"),),
    )  # fmt: skip

    def opened(totals: BridgeTotals) -> KafkaReader:
        return KafkaReader(settings, [raw], dataset.name, system_clock, totals)

    def bridged(messages: int) -> None:
        """Run a bridge that is stopped after so many messages."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool, closing(StateStore(tmp_path / "state.sqlite")) as store:
            bridge = Bridge(settings, dataset, (source,), opened, store, stop)
            ending = pool.submit(bridge.run)
            until(lambda: ending.done() or bridge.totals.messages >= messages)
            stop.set()
            ending.result()
        assert bridge.totals.messages == messages  # what was committed does not come again

    with pytest.raises(NoForeignTopic, match=raw):
        bridged(1)
    create_topic(settings, raw, 2)
    for minute in range(6):
        at = T0 + 60 * minute
        points = [{"id": f"list{n}", "t": at, "temp": n} for n in (1, 2)]
        send_one(settings, raw, json.dumps({"points": points}).encode() if minute != 2 else b"{}")
        if minute == 2:
            bridged(3)
    bridged(3)
    result = received(settings, dataset)
    assert readings(result) == {(f"list{n}", T0 + 60 * minute, float(n)) for n in (1, 2) for minute in (0, 1, 3, 4, 5)}
    assert [one for one in result if isinstance(one, wire.Undecodable)] == [wire.Undecodable("missing_field:points")]


COUNTED = {
    "type": "record",
    "name": "Counted",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "total", "type": ["null", "double"]},
    ],
}


def test_avro_counters_out_of_order_with_a_registry_that_goes_away(
    settings: Settings, stack: Instance, tmp_path: Path
) -> None:
    dataset = replace(
        rooms(),
        intervals=("1 min",),
        measures=(Amount("energy", "Wh", "0.001", between=(0, None)), Level("guessed", "1", "1", between=(0, 1))),
    )
    raw = f"{dataset.name}.avro"
    source = LiveSource(
        dataset=dataset, transport="kafka", topic=raw, payload="avro", meter="id", interval_s=60, time=Time("at"),
        counters=(Value("total", "energy", "kWh"),), register=Register(across_gap="spread"), estimated="guessed",
    )  # fmt: skip
    registry = Registry()
    registry.register(3, COUNTED)

    def run(stop: threading.Event) -> None:
        known = settings.model_copy(update={"schema_registry_url": registry.url})
        with closing(StateStore(tmp_path / "state.sqlite")) as store:
            Bridge(
                known, dataset, (source,),
                lambda totals: KafkaReader(known, [raw], dataset.name, system_clock, totals), store, stop,
            ).run()  # fmt: skip

    def bridged(messages: int) -> None:
        """Run a bridge until it has committed so many messages; the registry is back once it has been asked."""
        stop, asked = threading.Event(), len(registry.asked)
        registry.status = 503
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(run, stop)
            until(lambda: ending.done() or len(registry.asked) > asked)
            registry.status = 200
            until(lambda: ending.done() or committed(settings, dataset.name, raw) >= messages)
            stop.set()
            ending.result()

    def show(minute: float, total: float | None) -> None:
        at = datetime.fromtimestamp(T0 + 60 * minute, UTC)
        send_one(settings, raw, message(3, COUNTED, {"id": "m", "at": at, "total": total}))

    create_topic(settings, raw, 1)
    with serving(registry):
        for minute, total in ((0, 1.0), (1, 1.01), (3, 1.06)):
            show(minute, total)
        bridged(3)
        show(2, 1.02)  # late, after a restart
        show(2, 1.02)  # and again
        show(2.5, None)
        show(4, 1.1)
        send_one(settings, raw, b"no Avro")
        bridged(8)
    result = received(settings, dataset)
    counting: dict[int, Reading] = {}
    for one in result:
        if isinstance(one, Reading) and (one.ts not in counting or one.revision > counting[one.ts].revision):
            counting[one.ts] = one
    assert {(one.ts - T0) // 60: (one.revision, *one.values) for one in counting.values()} == {
        0: (0, 10.0, 0.0),
        1: (1, 10.0, 0.0),
        2: (1, 40.0, 0.0),
        3: (0, 40.0, 0.0),
    }
    reasons = sorted(one.reason for one in result if isinstance(one, wire.Undecodable))
    assert reasons == ["first_reading", "missing_measure", "not_avro"]


@contextmanager
def command(
    settings: Settings, folder: Path, name: str, broker: MqttBroker, port: int
) -> Iterator[subprocess.Popen[str]]:
    """The real command, with the data set of the documentation's page under a name of its own."""
    package = folder / "sets" / name
    package.mkdir(parents=True, exist_ok=True)
    (code,) = page("bridge.md").blocks("python", "Declare")
    (package / "__init__.py").write_text(code.replace('name="plugs"', f'name="{name}"'))
    environment = {
        **os.environ,
        "METERLAKE_HOME": str(settings.home),
        "METERLAKE_PORT_OFFSET": str(settings.port_offset),
        "METERLAKE_DATASETS": str(folder / "sets"),
    }
    words = ["bridge", "mqtt", name, "--broker", broker.url, "--metrics-port", str(port), "--output", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    ) as running_command:  # fmt: skip
        try:
            yield running_command
        finally:
            running_command.kill()


def is_connected(port: int) -> bool:
    """Return whether the metrics of a bridge are there, and say so."""
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    except requests.ConnectionError:
        return False
    return "meterlake_bridge_connected 1.0" in text


def plug(device: Publisher, minutes: range) -> None:
    """Send what a plug shows at full minutes: 10 Wh more each."""
    for minute in minutes:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(T0 + 60 * minute))
        shown = {"power": 600 + minute, "voltage": 230, "current": 2.6, "energy": round(5 + minute / 100, 2)}
        device.send("zigbee2mqtt/fridge", json.dumps(shown | {"last_seen": at}).encode())


def test_a_killed_bridge_loses_no_amount_of_a_counter(settings: Settings, stack: Instance, tmp_path: Path) -> None:
    name, port = f"b{uuid.uuid4().hex[:12]}", free_port()
    names: dict[str, Any] = {}
    exec(page("bridge.md").blocks("python", "Declare")[0], names)  # noqa: S102 - our own page
    dataset = replace(names["PLUGS"], name=name)

    def arrived() -> list[Reading]:
        if topics.find(settings, dataset.readings_topic) is None:
            return []
        return [one for one in received(settings, dataset) if isinstance(one, Reading)]

    with running("mosquitto", tmp_path, settings.cache_dir) as broker, closing(Publisher(broker)) as device:
        with command(settings, tmp_path, name, broker, port) as bridge:
            until(lambda: is_connected(port) or bridge.poll() is not None)
            plug(device, range(1500))
            until(lambda: len(arrived()) > 50)
            bridge.send_signal(signal.SIGKILL)
            bridge.communicate()
        plug(device, range(1500, 2000))
        until(device.taken)
        with command(settings, tmp_path, name, broker, port) as bridge:
            until(lambda: len({one.ts for one in arrived()}) == 1999 or bridge.poll() is not None)
            bridge.send_signal(signal.SIGINT)
            out, err = bridge.communicate()
    assert bridge.returncode == 0, err
    assert json.loads(out)[0]["sent"] == json.loads(out)[0]["acknowledged"] > 0
    result = arrived()
    assert {(one.ts, one.values) for one in result} == {
        (T0 + 60 * minute, (600.0 + minute, 230.0, 2.6, 10.0, 0.0)) for minute in range(1999)
    }


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, its Kafka brought back after the test."""
    yield stack
    launcher.up(select(["kafka"]), stack, lambda *_: None)


@pytest.mark.chaos
def test_kafka_that_is_killed_gets_all_when_it_is_back(settings: Settings, whole: Instance, tmp_path: Path) -> None:
    dataset, hasty = rooms(), settings.model_copy(update={"kafka_delivery_timeout": timedelta(seconds=5)})
    with (
        running("mosquitto", tmp_path, settings.cache_dir) as broker,
        closing(Publisher(broker)) as device,
        bridging(hasty, dataset, broker, tmp_path) as bridge,
    ):
        expected = send(device, range(5))
        until_there(settings, dataset, expected)
        process.running(whole)["kafka"][0].kill()
        expected |= send(device, range(5, 30))
        bridge.until_connected(to=False)  # it has given Kafka up, and left the messages to the broker
        launcher.up(select(["kafka"]), whole, lambda *_: None)
        until_there(settings, dataset, expected)
    assert readings(received(settings, dataset)) == expected
