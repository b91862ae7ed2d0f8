"""Messages, their schema, and the generated files."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from core_samples import LONDON, NOON, TANK, changed, tank_values
from hypothesis import given
from hypothesis import strategies as st

from meterlake import generated, registry
from meterlake.ddl import cassandra_ddl, hive_ddl
from meterlake.declaration import Retention
from meterlake.reading import Reading
from meterlake.schema import json_schema, master_fields, wire_fields
from meterlake.wire import Undecodable, decode, encode

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
T = int(NOON.timestamp())
GOOD = {"v": 1, "meter_id": "a", "ts": T, "interval_s": 10, "pressure": 2.5, "temperature": 300, "inflow": 0.25}
VALIDATOR = jsonschema.Draft202012Validator(json_schema(TANK))


def message(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()


@given(
    meter=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True),
    ten=st.integers(0, 400_000_000),
    values=st.one_of(tank_values(), st.just((None, None, None))),
    revision=st.integers(0, 5),
)
def test_what_is_encoded_is_valid_and_decoded_alike(
    meter: str, ten: int, values: tuple[float | None, ...], revision: int
) -> None:
    reading = Reading(meter, ten * 10, 10, values, revision)
    data = encode(TANK, reading)
    VALIDATOR.validate(json.loads(data))
    back = decode(TANK, data)
    assert isinstance(back, Reading)
    assert (back.key, back.revision) == (reading.key, revision)
    assert back.units(TANK) == reading.units(TANK)
    assert encode(TANK, back) == data


@pytest.mark.parametrize(
    ("ts", "value", "reason"),
    [(T, 0.25, None), (T, None, None), (T + 900, 0.25, "off_grid"), (T, "0.25", "wrong_type:energy")],
)
def test_half_hours_of_one_amount_are_messages(ts: int, value: object, reason: str | None) -> None:
    data = {"v": 1, "meter_id": "MAC000002", "ts": ts, "interval_s": 1800, "energy": value}
    result = decode(LONDON, json.dumps(data).encode())
    assert (result.reason if isinstance(result, Undecodable) else None) == reason
    valid = jsonschema.Draft202012Validator(json_schema(LONDON)).is_valid(data)
    assert valid == (reason is None)
    if isinstance(result, Reading):
        assert (result.interval_s, result.values, result.is_gap) == (1800, (value,), value is None)
        assert json.loads(encode(LONDON, result)) == data


def test_a_message_is_compact_and_in_order() -> None:
    data = encode(TANK, Reading("a", 60, 10, (2.50499, 300.2, 0.0), revision=2))
    assert data == (
        b'{"v":1,"meter_id":"a","ts":60,"interval_s":10,"pressure":2.5,"temperature":300.0,"inflow":0.0,"revision":2}'
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b" " * 20_000, "too_large"),
        (b"\xff\xfe", "not_utf8"),
        (b"{", "not_json"),
        (b"[" * 10_000, "not_json"),
        (b"[1]", "not_object"),
        (b"null", "not_object"),
        (without("v"), "missing_field:v"),
        (message(v=2), "unknown_version"),
        (message(v=True), "unknown_version"),
        (without("meter_id"), "missing_field:meter_id"),
        (message(meter_id=7), "wrong_type:meter_id"),
        (message(meter_id=""), "bad_value:meter_id"),
        (message(meter_id="a\n"), "bad_value:meter_id"),
        (message(meter_id=" a"), "bad_value:meter_id"),
        (message(meter_id="\u3000"), "bad_value:meter_id"),
        (message(meter_id="a" * 129), "bad_value:meter_id"),
        (message().replace(b'"a"', b'"\\ud800"'), "bad_value:meter_id"),
        (message(ts=f"{T}"), "wrong_type:ts"),
        (message(ts=T + 0.5), "wrong_type:ts"),
        (message(ts=T * 1000), "bad_value:ts"),
        (message(ts=-10), "bad_value:ts"),
        (message(interval_s=True), "wrong_type:interval_s"),
        (without("inflow"), "missing_field:inflow"),
        (message(inflow="1"), "wrong_type:inflow"),
        (message(inflow=True), "wrong_type:inflow"),
        (message(inflow=float("nan")), "not_finite:inflow"),
        (message().replace(b"0.25", b"1e999"), "not_finite:inflow"),
        (message(inflow=10**400), "not_finite:inflow"),
        (message(revision=-1), "bad_value:revision"),
        (message(revision=None), "wrong_type:revision"),
        (message(ts=T + 5), "off_grid"),
        (message(interval_s=30), "off_grid"),
        (message(inflow=None), "missing_measure"),
    ],
)
def test_every_bad_message_has_its_reason(data: bytes | None, reason: str) -> None:
    assert decode(TANK, data) == Undecodable(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2}, {"meter_id": ""}, {"ts": T + 5}, {"interval_s": 30}, {"inflow": None}, {"inflow": "1"},
        {"revision": -1}, {"ts": T * 1000}, {"pressure": True},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_decoder_refuses(changes: dict[str, Any]) -> None:
    VALIDATOR.validate(GOOD)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(GOOD | changes)


def test_arrival_is_recorded_and_unknown_fields_are_ignored() -> None:
    reading = decode(TANK, message(firmware="7.1"), received_at=NOON, origin_partition=3, origin_offset=9)
    assert isinstance(reading, Reading)
    assert (reading.received_at, reading.origin) == (NOON, "meterlake.tank.readings")
    assert (reading.origin_partition, reading.origin_offset, reading.revision) == (3, 9, 0)


def test_fields_come_from_the_declaration() -> None:
    measures = [measure.name for measure in TANK.measures]
    assert [field.name for field in wire_fields(TANK)] == [
        "v", "meter_id", "ts", "interval_s", *measures, "revision"
    ]  # fmt: skip
    master = master_fields(TANK)
    assert [field.name for field in master[:6]] == ["meter_id", "ts", "interval_s", *measures]
    assert [field.name for field in master if field.nullable] == measures
    assert {field.name: field.type.sql("spark") for field in master}["ts"] == "TIMESTAMP_NTZ"


@pytest.mark.parametrize("name", registry.names())
def test_generated_files_are_up_to_date(name: str) -> None:
    drifted = generated.drift(generated.files_of(registry.entry(name)))
    assert drifted == [], f"Run: meterlake ddl {name}"


def test_drift_is_found_and_repaired(tmp_path: Path) -> None:
    wanted = {tmp_path / path: text for path, text in generated.files(TANK).items()}
    assert sorted(generated.write(wanted)) == sorted(wanted)
    assert generated.write(wanted) == []
    spoiled = tmp_path / "hive_ddl/tank.hql"
    spoiled.write_text(spoiled.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert generated.drift(wanted) == [spoiled]


def test_tables_hold_exact_types() -> None:
    hive, cassandra = hive_ddl(TANK), cassandra_ddl(TANK)
    assert hive.count("CREATE EXTERNAL TABLE") == 6  # minute, hour, day, gaps, rejects, meters
    assert "pressure_sum    DECIMAL(18,2) COMMENT 'bar s, exact sum'" in hive
    assert "PARTITIONED BY (year STRING, slice STRING)" in hive
    assert "PRIMARY KEY ((meter_id, day), minute)" in cassandra
    assert "  day             TEXT,\n" in cassandra
    assert "DECIMAL" not in cassandra
    assert "default_time_to_live = 259200" in cassandra
    assert "default_time_to_live = 7200" in cassandra_ddl(TANK, speed_ttl=timedelta(hours=2))
    brief = changed(retention=Retention(timedelta(hours=1), timedelta(seconds=30)))
    assert "'compaction_window_size': 1}" in cassandra_ddl(brief)
