"""Cumulative registers become amounts of intervals, exactly, and nothing is invented."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterlake.registers import Counter, CounterReading, IntervalAmount, KnownExchange, Outcome, Refused, Rule, outcomes

pytestmark = pytest.mark.unit

T = 1_800_000_000 - 1_800_000_000 % 3600
HALF_HOUR = 1800


def made(rule: Rule, *readings: tuple[object, ...]) -> list[Outcome]:
    """Return the outcomes of readings of (minutes after T, units, serial); the place is their number from 1."""
    return list(
        outcomes(
            [
                CounterReading(T + int(at * 60), units, *more, place=n)
                for n, (at, units, *more) in enumerate(readings, 1)
            ],  # type: ignore[operator,misc,arg-type]
            rule,
        )
    )


def amount(minutes: int, units: int, place: int, *, estimated: bool = False) -> IntervalAmount:
    return IntervalAmount(T + minutes * 60, units, estimated, place)


PLAIN = Rule(interval_s=HALF_HOUR)
SPREAD = Rule(interval_s=HALF_HOUR, across_gap="spread")


def test_differences_of_a_counter_that_is_read_on_the_grid() -> None:
    assert made(PLAIN, (0, 100), (30, 130), (60, 130), (90, 135)) == [
        Refused(1, "first_reading"),
        amount(0, 30, 2),
        amount(30, 0, 3),
        amount(60, 5, 4),
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (PLAIN, [Refused(2, "across_gap"), amount(90, 7, 3)]),
        (
            Rule(interval_s=HALF_HOUR, across_gap="one_interval"),
            [amount(60, 10, 2, estimated=True), amount(90, 7, 3)],
        ),
        (
            SPREAD,
            [
                amount(0, 3, 2, estimated=True),
                amount(30, 3, 2, estimated=True),
                amount(60, 4, 2, estimated=True),
                amount(90, 7, 3),
            ],
        ),
    ],
)
def test_the_amount_across_a_gap_is_as_declared(rule: Rule, expected: list[Outcome]) -> None:
    assert made(rule, (0, 100), (90, 110), (120, 117))[1:] == expected


def test_a_roll_over_is_the_shorter_way_round() -> None:
    rule = Rule(interval_s=HALF_HOUR, modulus=1000)
    assert made(rule, (0, 990), (30, 5), (60, 600), (90, 590), (120, 610)) == [
        Refused(1, "first_reading"),
        amount(0, 15, 2),
        amount(30, 595, 3),
        Refused(4, "counter_went_back"),
        Refused(5, "across_gap"),
    ]


def test_a_reset_counts_what_came_after_it() -> None:
    rule = Rule(interval_s=HALF_HOUR, resets=True)
    assert made(rule, (0, 90), (30, 100), (60, 4), (90, 9))[1:] == [
        amount(0, 10, 2),
        amount(30, 4, 3, estimated=True),
        amount(60, 5, 4),
    ]


def test_without_a_declared_reset_a_smaller_value_changes_nothing() -> None:
    assert made(SPREAD, (0, 90), (30, 4), (60, 100))[1:] == [
        Refused(2, "counter_went_back"),
        amount(0, 5, 3, estimated=True),
        amount(30, 5, 3, estimated=True),
    ]


def test_an_exchange_begins_again() -> None:
    assert made(PLAIN, (0, 100, "old"), (30, 110, "old"), (60, 3, "new"), (90, 8, "new"))[1:] == [
        amount(0, 10, 2),
        Refused(3, "meter_exchange"),
        amount(60, 5, 4),
    ]


def test_an_exchange_whose_values_are_declared_loses_nothing() -> None:
    rule = Rule(interval_s=HALF_HOUR, exchanges=(KnownExchange(T + 40 * 60, final=116, first=1),))
    assert made(rule, (0, 100, "old"), (30, 110, "old"), (60, 3, "new"), (90, 8, "new"))[1:] == [
        amount(0, 10, 2),
        amount(30, 8, 3),
        amount(60, 5, 4),
    ]
    assert made(rule, (30, 110), (60, 3))[1:] == [amount(30, 8, 2)]


def test_an_exchange_that_the_readings_tell_loses_nothing() -> None:
    rows = made(SPREAD, (0, 100, "old"), (40, 120, "old"), (40, 0, "new"), (60, 10, "new"), (90, 13, "new"))
    assert rows[1:] == [amount(0, 15, 2, estimated=True), amount(30, 15, 4, estimated=True), amount(60, 3, 5)]


def test_stamps_out_of_order_and_equal_ones() -> None:
    assert made(PLAIN, (0, 1), (30, 2), (0, 1), (30, 2), (30, 3), (60, 4)) == [
        Refused(1, "first_reading"),
        amount(0, 1, 2),
        Refused(3, "out_of_order"),
        Refused(4, "equal_stamp"),
        Refused(5, "conflicting_stamp"),
        amount(30, 2, 6),
    ]


def test_readings_beside_the_grid() -> None:
    assert made(PLAIN, (0, 1), (31, 2), (60, 9))[1:] == [Refused(2, "off_grid"), Refused(3, "across_gap")]
    assert made(Rule(interval_s=HALF_HOUR, snap_s=60), (0, 1), (31, 2), (59, 9))[1:] == [
        amount(0, 1, 2),
        amount(30, 7, 3),
    ]
    # Read each hour at ten past: nothing is known of half an hour alone, nor before the first whole one.
    assert made(SPREAD, (10, 0), (70, 600), (130, 1200))[1:] == [
        amount(30, 300, 2, estimated=True),
        amount(60, 300, 3, estimated=True),
        amount(90, 300, 3, estimated=True),
    ]


def test_readings_inside_an_interval_do_not_make_it_an_estimate() -> None:
    assert made(SPREAD, (0, 1), (10, 4), (20, 5), (30, 9))[1:] == [amount(0, 8, 4)]


def test_nothing_is_made_across_a_gap_that_is_too_long() -> None:
    rule = Rule(interval_s=HALF_HOUR, across_gap="spread", longest_gap_s=3600)
    assert made(rule, (0, 1), (90, 9), (120, 10))[1:] == [Refused(2, "gap_too_long"), amount(90, 1, 3)]


def test_a_load_begins_where_another_ended() -> None:
    readings = [CounterReading(T + n * 1000, n * n, place=n) for n in range(20)]
    first = Counter(SPREAD)
    parts = [outcome for reading in readings[:9] for outcome in first.take(reading)]
    parts += outcomes(readings[9:], SPREAD, first.state)
    assert parts == list(outcomes(readings, SPREAD))


gaps = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1000)), min_size=1, max_size=12)


@given(gaps, st.integers(0, 10**6))
def test_what_is_spread_adds_up_to_the_difference(gaps: list[tuple[int, int]], start: int) -> None:
    at, units, readings = T, start, [CounterReading(T, start)]
    for steps, amount_ in gaps:
        at, units = at + steps * HALF_HOUR, units + amount_
        readings.append(CounterReading(at, units))
    rows = [row for row in outcomes(readings, SPREAD) if isinstance(row, IntervalAmount)]
    assert sum(row.units for row in rows) == units - start
    assert all(two.begins - one.begins == HALF_HOUR for one, two in pairwise(rows))
    assert (rows[0].begins, rows[-1].begins + HALF_HOUR) == (T, at)
    assert min(row.units for row in rows) >= 0
    known = {reading.at for reading in readings}
    assert all(row.estimated == (not {row.begins, row.begins + HALF_HOUR} <= known) for row in rows)


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 999)), max_size=12),
    st.sampled_from(["one_interval", "spread", "drop"]),
    st.booleans(),
)
def test_nothing_is_invented(steps: list[tuple[int, int]], across_gap: str, resets: bool) -> None:
    """Whatever the counter does, its amounts are at most what it ran, and no interval has two."""
    at, readings = T, []
    for number, (seconds, units) in enumerate(steps):
        at += seconds
        readings.append(CounterReading(at, units, place=number))
    rule = Rule(interval_s=HALF_HOUR, across_gap=across_gap, resets=resets, modulus=1000)  # type: ignore[arg-type]
    rows = list(outcomes(readings, rule))
    amounts = [row for row in rows if isinstance(row, IntervalAmount)]
    assert len({row.begins for row in amounts}) == len(amounts)
    assert all(row.units >= 0 and row.begins % HALF_HOUR == 0 for row in amounts)
    assert all(readings[0].at <= row.begins and row.begins + HALF_HOUR <= readings[-1].at for row in amounts)
    # Each step is taken once at the most: forwards, across the modulus, or from zero.
    most = sum(max(two.units - one.units, two.units, 1000 + two.units - one.units) for one, two in pairwise(readings))
    assert sum(row.units for row in amounts) <= most
    assert len([row for row in rows if isinstance(row, Refused)]) <= len(readings)
