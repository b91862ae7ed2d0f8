"""From samples to readings: exact amounts, the last level of an interval, and a memory that survives."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bridge_samples import THERMOMETER, documented
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_samples import tables

from meterlake import wire
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.errors import DeclarationError
from meterlake.fileformats.records import Exchange, JsonLines
from meterlake.live.decode import Refusal, Sample, decode
from meterlake.live.intervals import Intervals, MeterState
from meterlake.live.sources import LiveSource, Register, Time, Value
from meterlake.reading import Reading
from meterlake.registers import AcrossGap

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
    assert plug.take(sample(-3001, 100, 999)) == [Refusal("out_of_order", "washer")]
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


def test_a_message_out_of_order_makes_readings_again() -> None:
    plug = Intervals(TASMOTA, NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(600, 120, 1020)) == [
        Reading("washer", NOON, 300, (100, 230.0, 0.5, 10.0, 1.0)),
        Reading("washer", NOON + 300, 300, (None, None, None, 10.0, 1.0)),
    ]
    assert plug.take(sample(300, 110, 1004)) == [
        Reading("washer", NOON, 300, (100, 230.0, 0.5, 4.0, 0.0), 1),
        Reading("washer", NOON + 300, 300, (110, 230.0, 0.5, 16.0, 0.0), 1),
    ]
    assert plug.take(sample(450, 115, 1010)) == [Reading("washer", NOON + 300, 300, (115, 230.0, 0.5, 16.0, 0.0), 2)]
    assert plug.take(sample(300, 110, 1004)) == []
    assert plug.take(sample(-300, 90, 998)) == [
        Reading("washer", NOON - 300, 300, (90, 230.0, 0.5, 2.0, 0.0)),
        Refusal("first_reading", "washer"),
    ]


def test_an_amount_that_a_late_message_takes_back_is_withdrawn() -> None:
    plug = Intervals(replace(TASMOTA, register=Register(across_gap="spread")), NOTHING_KEPT)
    plug.take(sample(0, 100, 1000))
    assert plug.take(sample(300, 100, 1010)) == [Reading("washer", NOON, 300, (100, 230.0, 0.5, 10.0, 0.0))]
    # At 100 s the counter had gone beyond what it showed later, which therefore was no reading of it.
    assert plug.take(sample(100, 100, 1015)) == [Reading("washer", NOON, 300, (None,) * 5, 1)]
    gone = wire.decode(TASMOTA.dataset, wire.encode(TASMOTA.dataset, Reading("washer", NOON, 300, (None,) * 5, 1)))
    assert isinstance(gone, Reading)
    assert gone.is_gap


def test_only_in_order_where_the_lateness_is_none() -> None:
    plug = Intervals(replace(TASMOTA, lateness=timedelta(0)), NOTHING_KEPT)
    plug.take(sample(300, 100, 1000))
    assert plug.take(sample(299, 100, 999)) == [Refusal("out_of_order", "washer")]
    plug.take(sample(900, 100, 1020))
    assert len(plug.changed["washer"].recent) == 1
    with pytest.raises(DeclarationError, match="its lateness is"):
        replace(TASMOTA, lateness=timedelta(seconds=-1))


def test_a_memory_of_an_earlier_version_goes_on() -> None:
    text = '{"counters":{"energy":[[1795262400,1000000,""],1000000,[1795262400,1000000,true]]},"levels":[]}'
    plug = Intervals(TASMOTA, lambda _: MeterState.parsed(text))
    assert plug.take(sample(-1, 90, 999)) == [Refusal("out_of_order", "washer")]
    assert plug.take(sample(300, 90, 1002)) == [Reading("washer", NOON, 300, (None, None, None, 2.0, 0.0))]


METERED = MeterSeries(
    name="metered",
    time_zone="UTC",
    intervals=("5 min",),
    measures=(
        Amount("energy", unit="Wh", resolution="0.001", between=(0, None)),
        Level("estimated", unit="1", resolution="1", between=(0, 1)),
    ),
    views=(View("5 min"),),
)


def both_ways(register: Register) -> tuple[LiveSource, JsonLines]:
    """Return the declarations of the same messages, as they come and as a file."""
    time, value = Time("at", "epoch_s"), (Value("total", "energy", "kWh"),)
    source = LiveSource(
        dataset=METERED,
        topic="counters",
        transport="kafka",
        meter="id",
        interval_s=300,
        time=time,
        counters=value,
        register=register,
        estimated="estimated",
        serial="serial",
        lateness=timedelta(minutes=20),
        longest_gap=METERED.jump_limit,
    )
    form = JsonLines(
        dataset=METERED,
        meter="id",
        interval_s=300,
        time=time,
        values=value,
        register=register,
        estimated="estimated",
        serial="serial",
    )
    return source, form


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([1, 40, 299, 300, 301, 600, 1500]),  # seconds since the message before
        st.sampled_from([-30, -1, 0, 1, 20, 300, 900]),  # what the counter ran
        st.integers(0, 1200),  # how late the message comes
        st.sampled_from([0, 0, 0, 1]),  # whether it comes twice
        st.sampled_from(["", "", "x", "y"]),
    ),
    min_size=1,
    max_size=14,
)


EXCHANGE = Exchange("m", "energy", datetime.fromtimestamp(NOON + 700, UTC), final="0.9", first="0.1")


@settings(max_examples=300, deadline=None)
@given(
    messages=MESSAGES,
    across=st.sampled_from(["drop", "spread", "one_interval"]),
    digits=st.sampled_from([None, 0]),
    resets=st.booleans(),
    exchanges=st.sampled_from([(), (EXCHANGE,)]),
    data=st.data(),
)
def test_any_order_of_arrival_makes_what_a_file_makes(
    messages: list[tuple[int, int, int, int, str]],
    across: AcrossGap,
    digits: int | None,
    resets: bool,
    exchanges: tuple[Exchange, ...],
    data: st.DataObject,
) -> None:
    """Roll-over, exchange (declared, or seen by the serial number), reset, gap, late or repeated message, restart."""
    source, form = both_ways(Register(across_gap=across, digits=digits, resets=resets, snap_s=2, exchanges=exchanges))
    at, total, lines, arrivals = NOON, 990, list[bytes](), list[tuple[int, int]]()
    for number, (step, ran, delay, again, serial) in enumerate(messages):
        at, total = at + step, (total + ran) % (1000 if digits == 0 else 10**9)
        lines.append(json.dumps({"id": "m", "at": at, "total": total / 1000, "serial": serial}).encode())
        arrivals += [
            (at + data.draw(st.integers(0, 1200)) if copy else at + delay, number) for copy in range(again + 1)
        ]
    kept: dict[str, str] = {}

    def load(meter: str) -> MeterState | None:
        return MeterState.parsed(kept[meter]) if meter in kept else None

    running, counting = Intervals(source, load), dict[int, Reading]()
    for arrived, number in sorted(arrivals):
        if data.draw(st.booleans()):
            running = Intervals(source, load)
        (sample,) = decode(source, "counters", lines[number], arrived * 1000)
        assert isinstance(sample, Sample)
        for one in running.take(sample):
            if isinstance(one, Reading):
                assert one.ts not in counting or one.revision == counting[one.ts].revision + 1
                counting[one.ts] = one
        kept |= {meter: state.text() for meter, state in running.changed.items()}
    live = {ts: one.values for ts, one in counting.items() if not one.is_gap}
    of_file = {
        int(row["ts"].replace(tzinfo=UTC).timestamp()): (row["energy"], row["estimated"])
        for row in tables(form, b"\n".join(lines))
        if row["reason"] is None
    }
    assert live == of_file


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
    state, oldest = running.changed["washer"], (NOON + seconds - 3000) // 300 * 300 - 1200
    assert min([*state.levels, *state.made]) >= oldest
    assert all(one.at_ms >= (NOON + seconds - 3000) * 1000 for one in state.recent)
