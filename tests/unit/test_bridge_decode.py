"""Messages of plugs, SenML packs and plain numbers: what they say, and why others say nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bridge_samples import THERMOMETER, documented
from hypothesis import given
from hypothesis import strategies as st

from meterlake.errors import DeclarationError
from meterlake.live import senml
from meterlake.live.decode import MAX_PAYLOAD, Refusal, Sample, decode
from meterlake.live.sources import LiveSource, Register, Time, TopicLevel, Value

pytestmark = pytest.mark.unit

TASMOTA: LiveSource = documented()["TASMOTA"]
SHELLY: LiveSource = documented()["SHELLY"]
ZIGBEE: LiveSource = documented()["ZIGBEE2MQTT"]
SENML: LiveSource = documented()["SENML"]
NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
ARRIVED = NOON * 1000 + 7_125


def told(source: LiveSource, topic: str, message: object) -> list[Sample | Refusal]:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return decode(source, topic, payload, ARRIVED)


def test_tasmota() -> None:
    energy = {"Total": 1.234, "Yesterday": 0.5, "Power": 120, "Factor": 0.98, "Voltage": 230, "Current": 0.522}
    message = {"Time": "2026-11-21T13:00:05", "ENERGY": {"TotalStartTime": "2024-01-01T00:00:00", **energy}}
    assert told(TASMOTA, "tele/washer/SENSOR", message) == [
        Sample("washer", (NOON + 5) * 1000, (120.0, 230.0, 0.522), (1_234_000,))
    ]


def test_shelly_says_no_time_and_its_arrival_counts() -> None:
    message = {
        "id": 0, "source": "init", "output": True, "apower": 8.9, "voltage": 237.5, "current": 0.041,
        "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779},
    }  # fmt: skip
    assert told(SHELLY, "plug7/status/switch:0", message) == [Sample("plug7", ARRIVED, (8.9, 237.5, 0.041), (6532,))]


def test_zigbee2mqtt() -> None:
    message = {"power": 61.2, "voltage": 231, "current": 0.27, "energy": 10.18, "linkquality": 90, "state": "ON"}
    message |= {"last_seen": "2026-11-21T12:00:05.250Z"}
    assert told(ZIGBEE, "zigbee2mqtt/fridge", message) == [
        Sample("fridge", NOON * 1000 + 5_250, (61.2, 231.0, 0.27), (10_180_000,))
    ]


def test_senml_a_meter_and_time_is_a_sample() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": NOON, "bu": "W", "n": "power", "v": 120.1},
        {"n": "voltage", "u": "V", "v": 230},
        {"n": "current", "u": "A", "v": 0.52},
        {"n": "energy", "u": "kWh", "v": 3.5},
        {"n": "colour", "vs": "red"},
        {"n": "power", "t": 60.5, "v": 121},
    ]
    meter = "urn:dev:ow:10e2073a01080063"
    assert told(SENML, "senml/hall", pack) == [
        Sample(meter, NOON * 1000, (120.1, 230.0, 0.52), (3_500_000,)),
        Sample(meter, NOON * 1000 + 60_500, (121.0, None, None), (None,)),
    ]


def test_senml_of_the_rfc_is_resolved_as_it_says() -> None:
    # RFC 8428, section 5.1.3: times relative to the base time.
    pack = json.loads(
        '[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V",'
        '"v":120.1},{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]',
        parse_float=Decimal,
    )
    name, begins = "urn:dev:ow:10e2073a0108006:", Decimal("1276020076.001")
    assert senml.resolve(pack, Decimal(0)) == [
        (f"{name}voltage", "V", Decimal("120.1"), begins),
        (f"{name}current", "A", Decimal("1.2"), begins - 5),
        (f"{name}current", "A", Decimal("1.3"), begins - 4),
    ]


def test_senml_times_below_2_to_the_28_are_relative_to_now() -> None:
    (record,) = senml.resolve([{"bn": "a", "bt": -30, "bv": 20, "t": 10, "v": 2, "u": "Cel"}], Decimal(1_800_000_000))
    assert record == ("a", "°C", Decimal(22), Decimal(1_799_999_980))


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ({"n": "power", "v": 1}, "not_senml"),
        ([1], "not_senml"),
        ([{"bver": 11, "n": "a", "v": 1}], "senml_version"),
        ([{"n": "a:power", "v": 1, "x_": 1}], "senml_must_understand"),
        ([{"n": "-power", "v": 1}], "senml_name"),
        ([{"n": "a:heat", "v": 1}], "no_declared_field"),
        ([{"n": "a:superpower", "v": 1}], "no_declared_field"),
        ([{"n": "a:power", "u": "V", "v": 1}], "bad_unit:power"),
        ([{"n": "a:power", "vs": "much"}], "bad_value:power"),
        ([{"n": "a:power", "v": "1"}], "bad_value"),
        ([{"n": "a:power", "v": 1, "t": "x"}], "bad_time"),
        ([], "no_declared_field"),
    ],
)
def test_senml_that_is_none(pack: object, reason: str) -> None:
    assert [one.reason for one in told(SENML, "senml/x", pack) if isinstance(one, Refusal)] == [reason]


def test_a_plain_number() -> None:
    assert told(THERMOMETER, "rooms/attic/temperature", b" 21.57\n") == [Sample("attic", ARRIVED, (21.57,))]
    assert told(THERMOMETER, "rooms/attic/temperature", b"") == [Sample("attic", ARRIVED, (None,))]
    for text, reason in (
        (b"warm", "bad_value:temperature"),
        (b"\xff", "bad_value"),
        (b"1e999", "not_finite:temperature"),
    ):
        assert told(THERMOMETER, "rooms/attic/temperature", text) == [Refusal(reason, "attic")]


LISTED = replace(
    THERMOMETER, payload="json", at="data.points", meter="gateway.sensor", time=Time("t", "epoch_ms"),
    values=(Value("readings.0", "temperature", "°C"),),
)  # fmt: skip


def test_a_list_of_readings_each_refused_for_itself() -> None:
    points = [
        {"t": NOON * 1000 + 1, "readings": ["293.15"]},
        {"t": NOON * 1000 + 2},
        {"readings": [1]},
        7,
    ]
    assert told(LISTED, "x/y/temperature", {"gateway": {"sensor": 12}, "data": {"points": points}}) == [
        Sample("12", NOON * 1000 + 1, (293.15,)),
        Refusal("missing_field:readings.0", "12", item=2),
        Refusal("missing_field:t", "12", item=3),
        Refusal("not_object", "12", item=4),
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not_json"),
        (b"\xff", "not_utf8"),
        (b'{"power": NaN}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"7", "not_object"),
        (b"[]", "empty_list"),
        (b" " * (MAX_PAYLOAD + 1), "too_large"),
        ({}, "missing_field:last_seen"),
        ({"last_seen": "yesterday"}, "bad_time"),
        ({"last_seen": "2200-01-01T00:00:00Z"}, "bad_time"),
        (
            {"last_seen": "2026-11-21T12:00:05Z", "power": True, "voltage": 1, "current": 1, "energy": 1},
            "bad_value:power",
        ),
    ],
)
def test_what_is_none(message: object, reason: str) -> None:
    (refused,) = told(ZIGBEE, "zigbee2mqtt/fridge", message)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


def test_a_meter_that_no_reading_can_have_is_refused() -> None:
    message = {"power": 1, "voltage": 1, "current": 1, "energy": 1, "last_seen": "2026-11-21T12:00:05Z"}
    assert told(ZIGBEE, "zigbee2mqtt/ fridge", message) == [Refusal("bad_meter")]
    by_field = replace(ZIGBEE, meter="name")
    for name in ("\ud800", "a\tb", "", "x" * 129, None, True):
        assert told(by_field, "zigbee2mqtt/x", message | {"name": name}) == [Refusal("bad_meter")]
    (sample,) = told(by_field, "zigbee2mqtt/x", message | {"name": " Kühl/schrank "})
    assert isinstance(sample, Sample)
    assert sample.meter == "Kühl/schrank"


@pytest.mark.parametrize(("arrived", "offset_h"), [("2026-10-25T00:30:09Z", 2), ("2026-10-25T01:30:09Z", 1)])
def test_the_hour_that_comes_twice_is_that_of_the_arrival(arrived: str, offset_h: int) -> None:
    message = json.dumps(
        {"Time": "2026-10-25T02:30:00", "ENERGY": {"Total": 1, "Power": 1, "Voltage": 1, "Current": 1}}
    ).encode()
    at = int(datetime.fromisoformat(arrived).timestamp() * 1000)
    (sample,) = decode(TASMOTA, "tele/a/SENSOR", message, at)
    assert isinstance(sample, Sample)
    assert sample.at_ms == (datetime(2026, 10, 25, 2, 30, tzinfo=UTC).timestamp() - offset_h * 3600) * 1000


@given(st.one_of(st.binary(max_size=60), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["Time", "ENERGY", "Power", "n", "v", "t", "bt", "bn", "u", "s", "a"]), inner),
    max_leaves=12,
).map(lambda content: json.dumps(content).encode())))  # fmt: skip
def test_no_message_is_lost_or_breaks_it(payload: bytes) -> None:
    for source in (TASMOTA, SHELLY, ZIGBEE, SENML, THERMOMETER):
        assert decode(source, "rooms/x/temperature", payload, ARRIVED)


def broken(**changes: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        replace(TASMOTA, **changes)
    return str(caught.value)


def test_a_declaration_that_contradicts_itself_says_what_to_do() -> None:
    assert "it is no topic filter" in broken(topic="tele/#/SENSOR")
    assert "it is no topic filter" in broken(topic="tele/a+/SENSOR")
    assert "its topics have no level 4. Count from 1 to 3" in broken(meter=TopicLevel(4))
    assert "nothing says the meter" in broken(meter="")
    assert "its interval of 7 s is not one of the data set's. Use one of (60, 300)" in broken(interval_s=7)
    assert "it gives the measures ['energy', 'estimated']" in broken(values=())
    assert "counters and register belong together" in broken(register=None)
    assert "nothing would tell them from measured ones" in broken(
        estimated="", values=(*TASMOTA.values, Value("e", "estimated"))
    )
    assert "the time 'whenever' cannot be read" in broken(time=Time("Time", "whenever"))
    assert "it has an offset and a time zone" in broken(utc_offset=timedelta(hours=1))
    assert "a shared subscription" in broken(topic="$share/a/tele/+/SENSOR")
    assert "no name of a Kafka topic" in broken(transport="kafka")
    assert "a topic of the data set itself" in broken(transport="kafka", topic=TASMOTA.dataset.readings_topic)
    assert "has no levels" in broken(transport="kafka", topic="plugs.raw")
    assert "SenML says itself" in broken(payload="senml")
    assert "a plain number is one value" in broken(payload="number")
    assert "a register counts 'power', which is a level" in broken(
        counters=(Value("ENERGY.Power", "power"),),
        values=(*TASMOTA.values[1:], Value("ENERGY.Total", "energy")),
        register=Register(),
    )
