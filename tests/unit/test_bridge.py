"""The bridge without its servers: what a message becomes, what is kept, and what wrong words are answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bridge_samples import ROOMS, THERMOMETER, documented, plugs
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from meterlake import wire
from meterlake.dataset import DataSet, Entry
from meterlake.dataset_check import check
from meterlake.errors import PermanentError, UsageError
from meterlake.live.intervals import MeterState
from meterlake.live.sources import LiveSource, TopicLevel
from meterlake.reading import Reading
from producers.bridge.address import Broker, parse
from producers.bridge.errors import StateInUse, StateUnreadable
from producers.bridge.messages import Converter
from producers.bridge.metrics import BridgeMetrics
from producers.bridge.reader import Arrived
from producers.bridge.state import StateStore, source_id
from producers.bridge.totals import BridgeTotals

pytestmark = pytest.mark.unit

NOON = 1_795_262_400
SHELLY: LiveSource = documented()["SHELLY"]
STATUS = b'{"apower":%d,"voltage":230,"current":0.5,"aenergy":{"total":%d}}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore(tmp_path / "deep" / "plugs.sqlite")
    yield opened
    opened.close()


def arrived(topic: str, payload: bytes, seconds: float = 0, *, retained: bool = False) -> Arrived:
    return Arrived(topic, payload, int((NOON + seconds) * 1000), retained, (1, 1, 1))


def test_messages_of_several_sources_become_readings(store: StateStore) -> None:
    data_set, totals = plugs(), BridgeTotals()
    converter = Converter(data_set.declaration, data_set.bridges, store, totals)  # type: ignore[arg-type]
    (first,) = converter.messages(arrived("plug7/status/switch:0", STATUS % (100, 1000)))
    assert wire.decode(data_set.declaration, first.value) == wire.Undecodable("first_reading")
    assert converter.messages(arrived("plug7/status/switch:0", STATUS % (110, 1001), 30)) == []
    (second,) = converter.messages(arrived("plug7/status/switch:0", STATUS % (120, 1003), 60))
    assert second.key == b"plug7"
    assert wire.decode(data_set.declaration, second.value) == Reading(
        "plug7", NOON, 60, (110.0, 230.0, 0.5, 3.0, 0.0), origin=data_set.declaration.readings_topic
    )
    (other,) = converter.messages(arrived("tele/washer/SENSOR", b'{"Time":"2026-11-21T13:00:05"}'))
    assert other.key == b"washer"
    assert json.loads(other.value)["meter_id"] == "washer"  # by which an erasure finds it
    assert wire.decode(data_set.declaration, other.value) == wire.Undecodable("missing_field:ENERGY.Power")
    assert totals.facts() == {
        "messages": 4, "readings": 1, "remembered": 1,
        "refused": {"first_reading": 1, "missing_field:ENERGY.Power": 1}, "sent": 0, "acknowledged": 0,
    }  # fmt: skip
    registry = CollectorRegistry()
    registry.register(BridgeMetrics(totals))
    text = generate_latest(registry).decode()
    assert 'meterlake_bridge_refused_total{reason="first_reading"} 1.0' in text
    assert "meterlake_bridge_connected 0.0" in text


def test_what_no_source_takes_and_what_is_old_is_refused(store: StateStore) -> None:
    converter = Converter(ROOMS, (THERMOMETER,), store, BridgeTotals())
    for message, reason in (
        (arrived("rooms/a/b/temperature", b"1"), "no_source"),
        (arrived("rooms/attic/temperature", b"1", retained=True), "retained"),
    ):
        (made,) = converter.messages(message)
        assert wire.decode(ROOMS, made.value) == wire.Undecodable(reason)


def test_a_value_that_units_cannot_hold_is_refused(store: StateStore) -> None:
    converter = Converter(ROOMS, (THERMOMETER,), store, BridgeTotals())
    (made,) = converter.messages(arrived("rooms/attic/temperature", b"1.7e308"))
    assert wire.decode(ROOMS, made.value) == wire.Undecodable("not_finite")


NUMBERS = st.one_of(st.floats(), st.integers(), st.integers(-(10**400), 10**400), st.none(), st.booleans(), st.text())
SHOWN = st.fixed_dictionaries(
    {"apower": NUMBERS, "voltage": NUMBERS, "current": NUMBERS, "aenergy": st.fixed_dictionaries({"total": NUMBERS})}
)


@given(st.lists(st.tuples(st.integers(0, 400), SHOWN), max_size=12))
def test_no_message_ends_the_bridge(shown: list[tuple[int, dict[str, Any]]]) -> None:
    """A message that did would come again for ever."""
    data_set, totals, memory = plugs(), BridgeTotals(), StateStore(Path(":memory:"))
    converter = Converter(data_set.declaration, (SHELLY,), memory, totals)
    for seconds, message in shown:
        made = converter.messages(arrived("a/status/switch:0", json.dumps(message).encode(), seconds))
        outcomes = [wire.decode(data_set.declaration, one.value) for one in made]
        assert {one.reason for one in outcomes if isinstance(one, wire.Undecodable)} <= {
            *totals.refused, "missing_measure",
        }  # fmt: skip
    for _, meter, state in converter.changed():
        assert MeterState.parsed(state.text()) == state, meter
    assert totals.messages == len(shown)
    memory.close()


def test_what_is_saved_goes_on_after_a_restart(tmp_path: Path) -> None:
    path, data_set = tmp_path / "plugs.sqlite", plugs()
    first = StateStore(path)
    converter = Converter(data_set.declaration, (SHELLY,), first, BridgeTotals())
    converter.messages(arrived("plug7/status/switch:0", STATUS % (100, 1000)))
    rows = converter.changed()
    assert [row[:2] for row in rows] == [(source_id(SHELLY), "plug7")]
    assert converter.changed() == []
    first.save(rows)
    converter.messages(arrived("plug7/status/switch:0", STATUS % (120, 1003), 60))  # not saved: it will come again
    first.close()
    second = StateStore(path)
    again = Converter(data_set.declaration, (SHELLY,), second, BridgeTotals())
    (made,) = again.messages(arrived("plug7/status/switch:0", STATUS % (120, 1003), 60))
    reading = wire.decode(data_set.declaration, made.value)
    assert isinstance(reading, Reading)
    assert reading.values == (100.0, 230.0, 0.5, 3.0, 0.0)
    assert second.load(source_id(replace(SHELLY, interval_s=300)), "plug7") is None
    second.close()


def test_the_memory_is_one_processs(tmp_path: Path, store: StateStore) -> None:
    with pytest.raises(StateInUse, match="another bridge of this data set runs"):
        StateStore(tmp_path / "deep" / "plugs.sqlite")
    (tmp_path / "wrong").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(StateUnreadable, match="Move it away"):
        StateStore(tmp_path / "wrong")


def test_addresses() -> None:
    assert parse("mqtt://broker") == ("broker", 1883, False)
    assert parse("mqtts://[::1]:18883/") == ("::1", 18883, True)
    for url in ("broker:1883", "http://a", "mqtt://", "mqtt://a:x", "mqtt://user:pw@a", "mqtt://a/topic"):
        with pytest.raises(UsageError, match="mqtt://host:1883"):
            parse(url)
    assert "s3cret" not in repr(Broker("a", 1, "b", password="s3cret"))  # type: ignore[arg-type]


def test_the_folder_of_a_data_set_is_checked_for_its_sources() -> None:
    def findings(*bridges: LiveSource) -> list[str]:
        entry = Entry(DataSet(declaration=ROOMS, bridges=bridges), "rooms", None, "test")
        return [one.problem or one.state for one in check(entry) if one.what == "bridges"]

    assert findings(THERMOMETER) == ["ok"]
    assert "two live sources have its topic" in findings(THERMOMETER, replace(THERMOMETER, meter=TopicLevel(1)))[0]
    assert "of another declaration" in findings(replace(THERMOMETER, dataset=replace(ROOMS, title="Other")))[0]
    with pytest.raises(PermanentError, match="has no live source"):
        Entry(DataSet(declaration=ROOMS), "rooms", None, "test").bridges()


def bridge(*words: str, **more: str) -> tuple[int, str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **more}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "bridge", "mqtt", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_wrong_words_are_answered(tmp_path: Path) -> None:
    folder = tmp_path / "sets" / "plugs"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from bridge_samples import plugs\nDATASET = plugs()\n"
    )
    where = {"METERLAKE_DATASETS": str(tmp_path / "sets"), "METERLAKE_HOME": str(tmp_path / "home")}
    code, said = bridge("household", "--broker", "mqtt://127.0.0.1:1", **where)
    assert (code, "has no live source" in said) == (1, True)
    code, said = bridge("plugs", "--broker", "mqtt://127.0.0.1:1", **where, METERLAKE_MQTT_PASSWORD="x")
    assert (code, "Give --username" in said) == (2, True)
