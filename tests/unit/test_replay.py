"""Replay: chance that depends on nothing but its seed, and seconds that add up to their minute."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from core_samples import TANK, tank_values
from hypothesis import given
from hypothesis import strategies as st

from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY, split
from meterlake import randomness, registry
from meterlake.errors import DeclarationError, UnknownName
from meterlake.randomness import Numbers, RandomValues
from meterlake.reading import Reading
from meterlake.rules import is_flagged, reject_reason
from meterlake.units import to_float, to_units
from meterlake.wire import encode, encode_units

pytestmark = pytest.mark.unit

P, Q, V, CURRENT = range(4)
SUBS = slice(4, 7)
NOON = datetime(2007, 2, 1, 12, tzinfo=UTC)
Minute = tuple[int, ...]

KETTLE = (4216, 418, 23484, 18400, 0, 1000, 17000)
NIGHT = (216, 0, 24150, 800, 0, 0, 0)
CONTRADICTION = (500, 0, 23000, 2200, 0, 9000, 500)
"""9.5 Wh by the sub-meters, 8.33 Wh by the main meter."""


def minutes() -> st.SearchStrategy[Minute]:
    """Return minutes of a house, in units, empty and contradicting ones among them."""
    wh = st.one_of(st.just(0), st.integers(0, 90_000))
    return st.one_of(
        st.tuples(
            st.integers(0, 15_000), st.integers(0, 2000), st.integers(0, 26_000), st.integers(0, 80_000), wh, wh, wh
        ),
        st.sampled_from([KETTLE, NIGHT, CONTRADICTION]),
    )


def seconds_of(*three: Minute, seed: int = 1) -> tuple[Numbers, bool]:
    readings, raised = split(np.array([three], dtype=np.int64), RandomValues(randomness.keys(seed, [0]), 60))
    return readings[0], bool(raised[0])


@given(minutes(), minutes(), minutes(), st.integers(0, 2**63 - 1))
def test_seconds_add_up_to_their_minute(before: Minute, minute: Minute, after: Minute, seed: int) -> None:
    seconds, raised = seconds_of(before, minute, after, seed=seed)
    assert seconds.shape == (60, 7)
    assert seconds.min() >= 0
    power = max(minute[P], -(-6 * sum(minute[SUBS]) // 100))
    assert raised == (power > minute[P])
    assert seconds.sum(axis=0).tolist() == [
        60 * power, 60 * minute[Q], 60 * minute[V], seconds[:, CURRENT].sum(), *minute[SUBS]
    ]  # fmt: skip


@given(minutes(), minutes(), minutes(), st.integers(0, 2**63 - 1))
def test_every_second_is_plausible(before: Minute, minute: Minute, after: Minute, seed: int) -> None:
    seconds, _ = seconds_of(before, minute, after, seed=seed)
    metered = seconds[:, SUBS].sum(axis=1)
    assert (5 * seconds[:, P] > 18 * metered - 5).all()  # W against mWh, rounded down
    for watts, vars_, centivolts, milliamperes, *_ in seconds.tolist():
        apparent = (watts**2 + vars_**2) ** 0.5
        assert abs(milliamperes - apparent * 1e5 / max(centivolts, 1)) <= 0.51


@pytest.mark.parametrize("minute", [KETTLE, NIGHT, CONTRADICTION])
def test_a_real_minute_is_neither_rejected_nor_flagged_and_not_constant(minute: Minute) -> None:
    seconds, raised = seconds_of(NIGHT, minute, KETTLE)
    assert raised == (minute is CONTRADICTION)
    for row in seconds.tolist():
        values = tuple(to_float(unit, measure.scale) for unit, measure in zip(row, HOUSEHOLD.measures, strict=True))
        reading = Reading("m", int(NOON.timestamp()), 1, values, received_at=NOON)
        assert reject_reason(HOUSEHOLD, reading) is None
        assert not is_flagged(HOUSEHOLD, reading)
    assert len(set(seconds[:, P].tolist())) > 5
    assert len(set(seconds[:, V].tolist())) > 5


def test_power_steps_from_one_neighbour_to_the_other() -> None:
    low, high = (300, 0, 24000, 0, 0, 0, 0), (3300, 0, 24000, 0, 0, 0, 0)
    between = (1300, 0, 24000, 0, 0, 0, 0)
    power = seconds_of(low, between, high)[0][:, P]
    assert power[:40].max() < 400
    assert power[40:].min() > 3000


def test_what_ran_within_a_minute_runs_for_a_part_of_it() -> None:
    idle, toast = (300, 0, 24000, 0, 0, 0, 0), (800, 0, 24000, 0, 8000, 0, 0)
    power = seconds_of(idle, toast, idle)[0][:, P].tolist()
    changes = sum(abs(one - next_one) > 200 for one, next_one in pairwise(power))
    assert 1 <= changes <= 6


def test_portions_do_not_matter() -> None:
    rows = np.array([[NIGHT, KETTLE, NIGHT], [KETTLE, NIGHT, KETTLE], [NIGHT, CONTRADICTION, KETTLE]], dtype=np.int64)
    keys = randomness.keys(7, [1, 2, 3], [60, 120, 180])
    whole, marks = split(rows, RandomValues(keys, 60))
    for at in range(3):
        alone, mark = split(rows[at : at + 1], RandomValues(keys[at : at + 1], 60))
        assert (alone[0] == whole[at]).all()
        assert mark[0] == marks[at]


def test_the_numbers_are_the_same_for_ever() -> None:
    seconds, _ = seconds_of(NIGHT, KETTLE, NIGHT, seed=20261121)
    assert hashlib.sha256(seconds.astype("<i8").tobytes()).hexdigest().startswith("f9b983b6996c3afd")


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**32), st.integers(0, 9))
def test_numbers_stay_below_their_limit(seed: int, limit: int, lane: int) -> None:
    numbers = randomness.draw(randomness.keys(seed, np.arange(50)), lane, limit)
    assert numbers.min() >= 0
    assert numbers.max() < limit


def test_numbers_are_even_and_differ_by_lane_seed_and_thing() -> None:
    keys = randomness.keys(1, np.arange(100_000))
    counts = np.bincount(randomness.draw(keys, 0, 10), minlength=10)
    assert abs(counts - 10_000).max() < 500
    assert (randomness.draw(keys, 0, 1 << 32) == randomness.draw(keys, 1, 1 << 32)).sum() < 5
    assert (
        randomness.draw(keys, 0, 1 << 32) == randomness.draw(randomness.keys(2, np.arange(100_000)), 0, 1 << 32)
    ).sum() < 5
    assert len(set(randomness.keys(1, np.arange(300).repeat(300), np.tile(np.arange(300), 300)).tolist())) == 90_000


def test_a_replay_is_found_by_name() -> None:
    assert registry.replay("household") is HOUSEHOLD_REPLAY
    with pytest.raises(UnknownName, match="household"):
        registry.replay("houshold")


@pytest.mark.parametrize(
    ("change", "problem"), [({"interval_s": 7}, "7 s does not fit"), ({"scaled": ("power",)}, "no measures")]
)
def test_a_contradiction_is_found_at_construction(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(HOUSEHOLD_REPLAY, **change)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b-2", 'é "1" \\ %s']), st.integers(0, 10**8), tank_values()), max_size=5)
)
def test_many_messages_say_what_each_says(rows: list[tuple[str, int, tuple[float, ...]]]) -> None:
    scales = [measure.scale for measure in TANK.measures]
    units = [[to_units(values[at], scale) for _, _, values in rows] for at, scale in enumerate(scales)]
    many = encode_units(TANK, [meter for meter, _, _ in rows], [ten * 10 for _, ten, _ in rows], 10, units)
    each = [encode(TANK, Reading(meter, ten * 10, 10, values)) for meter, ten, values in rows]
    assert [json.loads(message, object_pairs_hook=list) for message in many] == [
        json.loads(message, object_pairs_hook=list) for message in each
    ]
