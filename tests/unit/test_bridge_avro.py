"""Avro messages: a schema registry over HTTP, and records as readings."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schema_registry import Registry, message, serving

from engines.errors import EngineUnavailable
from engines.schema_registry import RegistryRefused, SchemaRegistry
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.errors import DeclarationError, TransientError, UsageError
from meterlake.fileformats.values import RefusedValue
from meterlake.live.decode import Refusal, Sample, decode
from meterlake.live.sources import LiveSource, Register, Time, TopicLevel, Value
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

NOON: Final = 1_795_262_400
METERS: Final = MeterSeries(
    name="meters",
    time_zone="UTC",
    intervals=("1 min",),
    measures=(
        Level("power", unit="W", resolution="0.1", between=(0, None)),
        Amount("energy", unit="Wh", resolution="0.001", between=(0, None)),
        Level("estimated", unit="1", resolution="1", between=(0, 1)),
    ),
    views=(View("1 min"),),
)
SOURCE: Final = LiveSource(
    dataset=METERS,
    topic="others.meters",
    transport="kafka",
    payload="avro",
    meter="device.id",
    interval_s=60,
    time=Time("at"),
    values=(Value("power_kw", "power", "kW"),),
    counters=(Value("total", "energy", "kWh"),),
    register=Register(across_gap="spread"),
    estimated="estimated",
)
SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {
            "name": "device",
            "type": {"type": "record", "name": "Device", "fields": [{"name": "id", "type": "string"}]},
        },
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "power_kw", "type": ["null", "double"]},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 4}},
    ],
}
CONTENT: Final[dict[str, Any]] = {
    "device": {"id": "a"},
    "at": datetime(2026, 11, 21, 12, 0, 5, 250_000, tzinfo=UTC),
    "power_kw": 0.1205,
    "total": Decimal("1234.5678"),
}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    registry = Registry()
    registry.register(7, SCHEMA)
    with serving(registry) as running:
        yield running


def client(registry: Registry, **more: Any) -> SchemaRegistry:
    return SchemaRegistry(Settings(schema_registry_url=registry.url, **more))


def test_a_record_becomes_a_sample(registry: Registry) -> None:
    avro = client(registry).content
    at_ms = NOON * 1000 + 5250
    asked = len(registry.asked)
    for _ in range(3):
        assert decode(SOURCE, SOURCE.topic, message(7, SCHEMA, CONTENT), at_ms, avro) == [
            Sample("a", at_ms, (120.5,), (1_234_567_800,))
        ]
    assert registry.asked[asked:] == ["/schemas/ids/7"]  # once
    without = {**CONTENT, "power_kw": None}
    assert decode(SOURCE, SOURCE.topic, message(7, SCHEMA, without), at_ms, avro) == [
        Sample("a", at_ms, (None,), (1_234_567_800,))
    ]


def test_types_of_times_meters_and_lists(registry: Registry) -> None:
    avro = client(registry).content
    schema = {
        "type": "record",
        "name": "Batch",
        "fields": [
            {"name": "meter", "type": {"type": "string", "logicalType": "uuid"}},
            {
                "name": "points",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Point",
                        "fields": [
                            {"name": "t", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
                            {"name": "w", "type": ["null", "int", "float"]},
                        ],
                    },
                },
            },
        ],
    }
    registry.register(8, schema)
    rooms = MeterSeries(
        name="rooms", time_zone="UTC", intervals=("1 min",), views=(View("1 min"),),
        measures=(Level("power", unit="W", resolution="0.1", between=(0, None)),),
    )  # fmt: skip
    source = LiveSource(
        dataset=rooms, topic="others.rooms", transport="kafka", payload="avro", meter="meter", at="points",
        interval_s=60, time=Time("t"), time_zone="Europe/Berlin", values=(Value("w", "power"),),
    )  # fmt: skip
    meter = "12345678-1234-5678-1234-567812345678"
    points = [{"t": datetime(2026, 11, 21, 13, minute), "w": minute + 0.5} for minute in (0, 1)]  # noqa: DTZ001
    sent = message(8, schema, {"meter": UUID(meter), "points": points})
    assert decode(source, source.topic, sent, NOON * 1000, avro) == [
        Sample(meter, (NOON + 60 * minute) * 1000, (minute + 0.5,)) for minute in (0, 1)
    ]
    # Whole numbers of an epoch, as in JSON.
    plain = {"type": "record", "name": "Plain", "fields": [
        {"name": "meter", "type": "int"}, {"name": "t", "type": "long"}, {"name": "w", "type": "double"}]}  # fmt: skip
    registry.register(9, plain)
    sent = message(9, plain, {"meter": 5, "t": NOON, "w": 1.0})
    whole = replace(source, at="", time=Time("t", "epoch_s"), time_zone="")
    assert decode(whole, source.topic, sent, NOON * 1000, avro) == [Sample("5", NOON * 1000, (1.0,))]


def test_schemas_that_refer_to_others(registry: Registry) -> None:
    device = {"type": "record", "name": "com.a.Device", "fields": [{"name": "id", "type": "string"}]}
    fields = [{"name": "device", "type": "com.a.Device"}, *SCHEMA["fields"][1:]]
    registry.subjects["com.a.Device", 3] = {
        "subject": "com.a.Device",
        "version": 3,
        "schema": str(device).replace("'", '"'),
    }
    schema = {**SCHEMA, "name": "com.b.Reading", "fields": fields}
    registry.register(10, schema, references=[{"name": "com.a.Device", "subject": "com.a.Device", "version": 3}])
    (sample,) = decode(
        SOURCE, SOURCE.topic, message(10, schema, CONTENT, [device]), NOON * 1000 + 5250, client(registry).content
    )
    assert isinstance(sample, Sample)
    assert sample.meter == "a"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_avro"),
        (b'{"a":1}', "not_avro"),
        (b"\0\0\0\0\7", "not_avro"),
        (message(7, SCHEMA, CONTENT) + b"x", "not_avro"),
        (message(7, SCHEMA, CONTENT)[:-1], "not_avro"),
        (message(99, SCHEMA, CONTENT), "unknown_schema"),
        (message(11, SCHEMA, CONTENT), "unknown_schema"),
        (message(7, SCHEMA, {**CONTENT, "device": {"id": "\1"}}), "bad_meter"),
    ],
)
def test_what_is_no_reading_has_its_reason(registry: Registry, payload: bytes, reason: str) -> None:
    registry.register(11, "syntax = 'proto3';", schemaType="PROTOBUF")
    assert decode(SOURCE, SOURCE.topic, payload, NOON * 1000 + 5250, client(registry).content) == [Refusal(reason)]


CLIENTS: Final[dict[str, SchemaRegistry]] = {}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_messages_are_samples_or_refused(registry: Registry, data: st.DataObject) -> None:
    sent = bytearray(message(7, SCHEMA, CONTENT))
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(5, len(sent) - 1))] = data.draw(st.integers(0, 255))
    avro = CLIENTS.setdefault(registry.url, client(registry)).content
    (result,) = decode(SOURCE, SOURCE.topic, bytes(sent), NOON * 1000 + 5250, avro)
    assert isinstance(result, Sample | Refusal)


def test_a_registry_that_is_away_or_refuses(registry: Registry) -> None:
    sent = message(7, SCHEMA, CONTENT)
    with pytest.raises(UsageError, match="need a schema registry"):
        SchemaRegistry(Settings())
    with pytest.raises(EngineUnavailable, match="The schema registry at http://localhost:1 does not answer") as away:
        SchemaRegistry(Settings(schema_registry_url="http://localhost:1/")).content(sent)
    assert isinstance(away.value, TransientError)
    with serving(Registry(user="bridge:s3cret", schemas=registry.schemas)) as secured:
        known = {"schema_registry_user": "bridge", "schema_registry_password": SecretStr("s3cret")}
        assert client(secured, **known).content(sent)["device"] == {"id": "a"}
        with pytest.raises(RegistryRefused, match="answers 401 Unauthorized to schemas/ids/7"):
            client(secured, **{**known, "schema_registry_password": SecretStr("x")}).content(sent)
        asking = client(secured, **known)
        for status in (429, 500, 503):
            secured.status = status
            with pytest.raises(EngineUnavailable, match=f"does not answer: {status}"):
                asking.content(sent)
        secured.status = 200
        for body in (b"<html>", b"[]"):
            secured.body = body
            with pytest.raises(RegistryRefused, match="answers 200 OK"):
                asking.content(sent)
        for body in (b"{}", b'{"schema":"{"}', b'{"schema":"{\\"type\\":\\"x\\"}"}'):
            secured.body = body
            with pytest.raises(RegistryRefused, match="no Avro schema"):
                asking.content(sent)
        secured.body = None
        assert asking.content(sent)["power_kw"] == 0.1205


def test_a_registry_with_a_certificate(registry: Registry, tmp_path: Path) -> None:
    authority, ca = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    sent = message(7, SCHEMA, CONTENT)
    with serving(Registry(schemas=registry.schemas), context) as secured:
        assert client(secured, schema_registry_ca=ca).content(sent)["device"] == {"id": "a"}
        with pytest.raises(RegistryRefused, match="is not trusted"):
            client(secured).content(sent)


def test_only_of_kafka() -> None:
    with pytest.raises(DeclarationError, match="Avro messages are those of a topic in Kafka"):
        replace(SOURCE, transport="mqtt", topic="a/+", meter=TopicLevel(2))


def test_a_refused_value_is_what_the_decoder_raises(registry: Registry) -> None:
    with pytest.raises(RefusedValue, match="not_avro"):
        client(registry).content(b"")
    assert SOURCE.reorder_ms == timedelta(minutes=10) / timedelta(milliseconds=1)
