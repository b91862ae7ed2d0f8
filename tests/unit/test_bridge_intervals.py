"""From samples to readings: exact amounts, the last level of an interval, and a memory that survives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bridge_samples import THERMOMETER, documented
from hypothesis import given
from hypothesis import strategies as st

from meterlake import wire
from meterlake.live.decode import Refusal, Sample
from meterlake.live.intervals import Intervals, MeterState
from meterlake.live.sources import LiveSource, Register, Value
from meterlake.reading import Reading

pytestmark = pytest.mark.unit

TASMOTA: LiveSource = documented()["TASMOTA"]
SHELLY: LiveSource = documented()["SHELLY"]
NOON = 1_795_262_400
NOTHING_KEPT = dict[str, MeterState]().get


def test_without_counters_a_sample_is_the_reading_of_its_interval() -> None:
    rooms = Intervals(THERMOMETER, NOTHING_KEPT)
    assert rooms.take(Sample("attic", NOON * 1000 + 59_999, (21.5,))) == [Reading("attic", NOON, 60, (21.5,), 59_999)]
    assert rooms.take(Sample("attic", NOON * 1000 + 60_000, (21.6,))) == [Reading("attic", NOON + 60, 60, (21.6,), 0)]
    assert rooms.take(Sample("attic", NOON * 1000, (None,))) == [Reading("attic", NOON, 60, (None,), 0)]
    assert not rooms.changed


def sample(seconds: int, power: float | None, total_wh: float | None, meter: str = "washer") -> Sample:
    units = None if total_wh is None else round(total_wh * 1000)
    return Sample(meter, (NOON + seconds) * 1000, (power, 230.0, 0.5), (units,))


def test_a_counter_between_the_ends_of_intervals() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    assert plug.take(sample(5, 100, 1000)) == [Refusal("first_reading", "washer")]
    assert plug.take(sample(305, 120, 1010)) == []
    # At 300 s it stood at 1000 + 10 · 295/300, floored to 9.833; at 600 s at 1010 + 12 · 295/300 = 1021.8.
    assert plug.take(sample(605, 144, 1022)) == [
        Reading("washer", NOON + 300, 300, (120, 230.0, 0.5, 11.967, 1.0)),
    ]


def test_counters_at_the_ends_are_exact() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(200, 150, 1006)) == []
    assert plug.take(sample(300, 120, 1010)) == [Reading("washer", NOON, 300, (150, 230.0, 0.5, 10.0, 0.0))]


def test_drop_takes_only_counters_near_the_ends_and_refuses_the_others() -> None:
    source = replace(
        TASMOTA, register=Register(snap_s=5), estimated="", values=(*TASMOTA.values, Value("x", "estimated"))
    )
    plug = Intervals(source, NOTHING_KEPT)

    def shown(seconds: int, total_wh: int) -> Sample:
        return Sample("washer", (NOON + seconds) * 1000, (9.0, 230.0, 0.5, 0.0), (total_wh * 1000,))

    assert plug.take(shown(3, 1000)) == [Refusal("first_reading", "washer")]
    assert plug.take(shown(100, 1004)) == [Refusal("off_grid", "washer")]
    assert plug.take(shown(302, 1010)) == [Reading("washer", NOON, 300, (9.0, 230.0, 0.5, 10.0, 0.0))]
    assert plug.take(shown(900, 1020)) == [Refusal("across_gap", "washer")]


def test_an_interval_without_a_message_has_an_amount_and_no_levels() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    first, second = plug.take(sample(600, 100, 1020))
    assert (first, second) == (
        Reading("washer", NOON, 300, (100, 230.0, 0.5, 10.0, 1.0)),
        Reading("washer", NOON + 300, 300, (None, None, None, 10.0, 1.0)),
    )
    assert wire.decode(TASMOTA.dataset, wire.encode(TASMOTA.dataset, second)) == wire.Undecodable("missing_measure")


def test_a_message_that_came_before_says_nothing_new() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(0, 100, 1000)) == []
    assert plug.take(sample(0, 100, 1001)) == [Refusal("conflicting_stamp", "washer")]
    assert plug.take(sample(-60, 100, 999)) == [Refusal("out_of_order", "washer")]
    assert plug.take(sample(60, None, None)._replace(values=(None,) * 3)) == [Refusal("missing_measure", "washer")]


def test_two_messages_in_the_second_of_their_arrival_lose_nothing() -> None:
    plug = Intervals(SHELLY, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(0, 100, 1001)) == []
    assert plug.take(sample(60, 100, 1003)) == [Reading("washer", NOON, 60, (100, 230.0, 0.5, 3.0, 0.0))]


def test_a_long_silence_and_a_reset() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(86_700, 100, 2000)) == [Refusal("gap_too_long", "washer")]
    assert plug.take(sample(87_000, 100, 5)) == [
        Reading("washer", NOON + 86_700, 300, (100, 230.0, 0.5, 5.0, 1.0))  # since the reset; before it, nobody knows
    ]


STEPS = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 50), st.booleans()), min_size=2, max_size=25)


@given(STEPS)
def test_a_restart_at_any_place_loses_nothing(steps: list[tuple[int, int, bool]]) -> None:
    kept: dict[str, str] = {}

    def load(meter: str) -> MeterState | None:
        return MeterState.parsed(kept[meter]) if meter in kept else None

    running, restarted = Intervals(TASMOTA, NOTHING_KEPT), Intervals(TASMOTA, load)
    seconds, total, made = 0, 1000, list[Reading | Refusal]()
    for step, more, restart in steps:
        seconds, total = seconds + step, total + more
        if restart:
            restarted = Intervals(TASMOTA, load)
        expected = running.take(sample(seconds, more, total))
        assert restarted.take(sample(seconds, more, total)) == expected
        kept |= {meter: state.text() for meter, state in restarted.changed.items()}
        made += expected
    readings = [one for one in made if isinstance(one, Reading)]
    counter = running.changed["washer"].counters["energy"]
    begun = counter.edge.total if counter.edge else counter.last.units
    counted = sum(round((one.values[3] or 0) * 1000) for one in readings)
    first = 1000_000 + steps[0][1] * 1000
    assert first <= begun - counted <= counter.last.units
    assert [one.ts for one in readings] == list(range(readings[0].ts, readings[-1].ts + 1, 300)) if readings else True
    assert len(running.changed["washer"].levels) <= 2
