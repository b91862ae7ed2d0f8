"""Validation and estimation: what rules find, what methods make of a gap, and registers that add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake import registry
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.errors import DeclarationError
from meterlake.vee.declaration import (
    DaysAndGroup,
    GroupProfile,
    Linear,
    Negative,
    OutOfRange,
    SimilarDays,
    Spike,
    Stuck,
    SumCheck,
    Vee,
    WrongMultiplier,
    ZeroRun,
)
from meterlake.vee.estimation import Group, estimate
from meterlake.vee.grid import Cells, Gap, cells, day_of, local
from meterlake.vee.meter import Of, validate_and_estimate
from meterlake.vee.registers import Period, periods, shared
from meterlake.vee.rules import UNKNOWN, Rows, find

pytestmark = pytest.mark.unit

STEP, DAY = 1800, 86_400
KWH = Amount("consumption", "kWh", "0.001", between=per_hour(0, 100))
SERIES = MeterSeries(
    name="half",
    time_zone="Europe/London",
    intervals=("30 min",),
    measures=(KWH,),
    views=(View("30 min"), View("day")),
)
HOUR = timedelta(hours=1)
LONG = timedelta(days=40)


def at(day: date, hour: float = 0) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + hour * 3600)


MONDAY = at(date(2021, 2, 1))


def made(values: list[int | None], begin: int = MONDAY, replaced: tuple[int, ...] = ()) -> Cells:
    """A meter's cells, from a Monday in winter on: None is missing."""
    there = [place for place, value in enumerate(values) if value is not None]
    starts = np.array([begin + STEP * place for place in there], np.int64)
    held = np.array([values[place] for place in there], np.int64)
    usable = np.array([place not in replaced for place in there], np.bool_)
    return cells(starts, held, usable, STEP, "Europe/London")


def rows(values: list[int], usual_peak: int = UNKNOWN, meters: list[int] | None = None, hour: float = 0) -> Rows:
    starts = MONDAY + int(hour * 3600) + STEP * np.arange(len(values), dtype=np.int64)
    days = local(starts, STEP, "Europe/London")[0]
    return Rows(
        np.array(meters or [0] * len(values), np.int64),
        starts,
        np.array(values, np.int64),
        days,
        np.full(len(values), usual_peak, np.int64),
    )


def told(some: Rows, *rules: Any) -> list[tuple[Any, ...]]:
    result = find(some, Vee(measure="consumption", rules=rules), KWH, STEP)
    return [(one.rule, one.first, one.last, one.value, one.expected) for one in result]


def test_local_days_and_slots_follow_the_clock_on_the_wall() -> None:
    for change, cells_of_day, first in ((date(2021, 3, 28), 46, (0, 1, 4)), (date(2021, 10, 31), 50, (0, 1, 2, 3, 2))):
        begin = at(change) if change.month == 3 else at(change) - 3600
        days, slots = local(begin + STEP * np.arange(60, dtype=np.int64), STEP, "Europe/London")
        assert int((days == days[0]).sum()) == cells_of_day
        assert day_of(int(days[0])) == change
        assert tuple(slots[: len(first)]) == first or slots[: len(first)].tolist() == list(first)


def test_gaps_lie_between_usable_intervals() -> None:
    some = made([5, None, None, 7, 9, 1, None, 2], replaced=(4,))
    assert some.gaps() == [Gap(1, 3), Gap(4, 5), Gap(6, 7)]
    assert made([1, 2, 3]).gaps() == []


def test_single_values_are_found_each_with_its_limit() -> None:
    some = rows([10, -3, 700, 800, 20, 600])
    assert told(some, Negative()) == [("negative", 1, 2, -3, 0)]
    assert told(some, OutOfRange(per_hour(0, 1))) == [
        ("out_of_range", 1, 2, -3, 0),
        ("out_of_range", 2, 4, 800, 500),
        ("out_of_range", 5, 6, 600, 500),
    ]
    assert told(rows([10, 61, 59], usual_peak=20), Spike(3.0)) == [("spike", 1, 2, 61, 60)]
    assert told(rows([10, 61, 59], usual_peak=20), Spike(3.0, above=0.061)) == []
    assert told(rows([10, 9999]), Spike(3.0)) == []  # nobody knows what is usual


def test_runs_are_found_and_cut_where_the_day_ends() -> None:
    run = rows([4, 4, 4, 4, 0, 0, 0, 0], hour=22)  # midnight falls before the first zero
    assert told(run, Stuck(2 * HOUR)) == [("stuck", 0, 4, 4, None)]
    assert told(run, Stuck(2.5 * HOUR)) == []
    assert told(run, ZeroRun(2 * HOUR)) == [("zero_run", 4, 8, 0, None)]
    assert told(rows([3] * 8, hour=22), Stuck(3 * HOUR)) == [("stuck", 0, 4, 3, None), ("stuck", 4, 8, 3, None)]
    assert told(rows([3] * 6, meters=[0, 0, 0, 1, 1, 1]), Stuck(2 * HOUR)) == []  # two meters are no run


def test_a_line_is_rounded_as_values_are() -> None:
    result = estimate(made([10, None, None, 21]), Gap(1, 3), (Linear(HOUR),))
    assert result is not None
    assert (result.method, result.values.tolist()) == ("linear", [14, 17])  # 13.67, 17.33
    assert estimate(made([10, None, None, None, 21]), Gap(1, 4), (Linear(HOUR),)) is None


def test_similar_days_are_of_the_same_kind_and_lie_before_the_gap() -> None:
    week = [100 + slot for slot in range(48)] * 5 + [500] * 96  # Monday to Friday, then a week-end
    method = SimilarDays(LONG, days=14)
    monday = made([*week, *week, *[None] * 48, *([7000] * 48)])  # what comes later does not count
    result = estimate(monday, Gap(672, 720), (replace(method, fades=timedelta(seconds=1)),))
    assert result is not None
    # The first interval is a weekday's: Sunday's last (500) is its own mean, Tuesday's first (7000) is far above it,
    # and fades within a second.
    assert result.values.tolist() == [100 + slot for slot in range(48)]
    assert result.inputs.startswith("14 days from 2021-02-01 00:00 to 2021-02-14 23:30")


def test_near_the_sides_an_estimate_follows_them() -> None:
    flat: list[int | None] = [100] * 48 * 4 + [100] * 23 + [180] + [None] * 3 + [100] * 30
    result = estimate(made(flat), Gap(216, 219), (SimilarDays(LONG, fades=HOUR),))
    assert result is not None
    # Of the 80 above the mean 0.660, 0.4 and 0.189 are left: (q^i - q^(4-i) / 4) / (15/16) with q = sqrt(1/2).
    assert result.values.tolist() == [153, 132, 115]
    down: list[int | None] = [10] * 48 * 4 + [10] * 23 + [0] + [None] * 3 + [0] * 30
    low = estimate(made(down), Gap(216, 219), (SimilarDays(LONG, fades=100 * HOUR),), lowest=0)
    assert low is not None
    assert min(low.values) >= 0


def test_where_too_little_is_known_the_next_method_is_used() -> None:
    some = made([4, None, 6])
    assert estimate(some, Gap(1, 2), (SimilarDays(LONG),)) is None
    result = estimate(some, Gap(1, 2), (SimilarDays(LONG), Linear(HOUR)))
    assert result is not None
    assert (result.method, result.values.tolist()) == ("linear", [5])


def test_the_group_gives_the_shape_and_the_meter_the_level() -> None:
    own: list[int | None] = [20] * 48 + [None] * 4 + [20] * 48
    some = made(own)
    total = np.full(100, 300, np.int64)
    total[48:52] = [300, 600, 900, 0]
    group = Group(total, np.full(100, 3, np.int64))
    result = estimate(some, Gap(48, 52), (GroupProfile(LONG),), group)
    assert result is not None
    assert result.values.tolist() == [20, 40, 60, 0]  # the meter has a fifth of what the others have
    assert "3 or more other meters" in result.inputs
    assert estimate(some, Gap(48, 52), (GroupProfile(LONG, at_least=4),), group) is None
    assert estimate(some, Gap(48, 52), (GroupProfile(LONG),)) is None


def test_days_and_group_are_one_estimate_where_both_are_known() -> None:
    own: list[int | None] = [20] * 48 * 4 + [None] * 4 + [20] * 48
    some, gap, count = made(own), Gap(192, 196), 48 * 5 + 4
    total = np.full(count, 300, np.int64)
    total[192:196] = [300, 600, 900, 0]
    group = Group(total, np.full(count, 3, np.int64))
    both = (DaysAndGroup(SimilarDays(LONG), GroupProfile(LONG)),)
    result = estimate(some, gap, both, group)
    assert result is not None
    # Two thirds of 20, and a third of 20, 40, 60, 0.
    assert (result.method, result.values.tolist()) == ("days_and_group", [20, 27, 33, 13])
    alone = estimate(some, gap, both)
    assert alone is not None
    assert (alone.method, alone.values.tolist()) == ("days_and_group", [20] * 4)
    assert estimate(made([20] * 40 + [None] * 4 + [20] * 4), Gap(40, 44), both, group) is None
    vee = Vee(measure="energy", methods=both)
    assert vee.parts == (SimilarDays(LONG), GroupProfile(LONG))
    assert vee.looks_back == timedelta(days=29)


def test_what_comes_after_a_gap_does_not_change_its_estimate() -> None:
    random = np.random.default_rng(5)
    values: list[int | None] = random.integers(0, 900, 48 * 30).tolist()
    for place in range(1000, 1030):
        values[place] = None
    methods = (Linear(HOUR), SimilarDays(LONG))
    whole = estimate(made(values), Gap(1000, 1030), methods)
    cut = estimate(made(values[:1031]), Gap(1000, 1030), methods)
    assert whole is not None
    assert cut is not None
    assert whole.values.tolist() == cut.values.tolist()


def test_shares_add_up_by_the_largest_remainder() -> None:
    assert shared(10, [1, 1, 1]) == [4, 3, 3]
    assert shared(7, [0, 0]) == [4, 3]
    assert shared(100, [1, 2, 0]) == [33, 67, 0]
    assert shared(10**15, [10**11, 10**11 + 1]) == [499_999_999_997_500, 500_000_000_002_500]
    with pytest.raises(ValueError, match="nothing may be below 0"):
        shared(-1, [1])


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 5000)), min_size=50, max_size=200),
    st.integers(0, 10**6),
    st.lists(st.integers(1, 199), min_size=2, max_size=5, unique=True),
)
@settings(max_examples=150, deadline=None)
def test_with_a_register_sums_are_exact(values: list[int | None], above: int, reads: list[int]) -> None:
    values = [1, *values, 1]
    ordered = sorted({min(read, len(values)) for read in reads})
    counted, register = 0, []
    for first, last in zip([0, *ordered], ordered, strict=False):
        counted += sum(value or 0 for value in values[first:last])
        counted += above * (first > 0 and any(value is None for value in values[first:last]))
        register.append((MONDAY + STEP * last, counted))
    some = made(values)
    vee = Vee(measure="consumption", rules=(SumCheck(),), methods=(Linear(HOUR),))
    whole = [(MONDAY, MONDAY + STEP * len(values))]
    result, unequal = validate_and_estimate(some, vee, KWH, whole, Of(periods=periods(register)))
    assert unequal == []
    best = {MONDAY + STEP * place: value for place, value in enumerate(values) if value is not None}
    assert not best.keys() & {one.start for one in result}
    best |= {one.start: one.value for one in result}
    for period in periods(register):
        assert sum(value for ts, value in best.items() if period.begin <= ts < period.end) == period.advance
        assert all(ts in best for ts in range(period.begin, period.end, STEP))


def test_a_register_tells_what_is_not_so() -> None:
    vee = Vee(measure="consumption", rules=(SumCheck(tolerance="0.005"),), methods=(Linear(HOUR),))
    day = [(MONDAY, MONDAY + DAY)]
    some = made([10] * 47 + [None, 10])

    def unequal(values: Cells, advance: int) -> list[tuple[int, int]]:
        reads = periods([(MONDAY, 1000), (MONDAY + DAY, 1000 + advance)])
        return [
            (one.measured, one.period.advance)
            for one in validate_and_estimate(values, vee, KWH, day, Of(None, reads))[1]
        ]

    assert unequal(made([10] * 49), 485) == []
    assert unequal(made([10] * 49), 486) == [(480, 486)]
    assert unequal(some, 469) == [(470, 469)]  # nothing is left for what is missing: the estimate stays as it is
    assert validate_and_estimate(some, vee, KWH, day, Of(None, [Period(MONDAY, MONDAY + DAY, 469)]))[0][0].value == 10
    (one,) = validate_and_estimate(some, vee, KWH, day, Of(None, [Period(MONDAY, MONDAY + DAY, 497)]))[0]
    assert (one.value, one.method) == (27, "linear+register")
    assert one.inputs.endswith("the register's advance of 0.497 kWh from 2021-02-01 00:00 to 2021-02-02 00:00")
    (bare,) = validate_and_estimate(
        some, replace(vee, methods=()), KWH, day, Of(None, [Period(MONDAY, MONDAY + DAY, 480)])
    )[0]
    assert (bare.value, bare.method) == (10, "register")
    assert periods([(0, 9), (1800, 12), (3600, 3)]) == [Period(0, 1800, 3)]  # one that counts back was reset


def test_replaced_readings_are_told_from_missing_ones() -> None:
    some = made([10, 999, None, 10], replaced=(1,))
    vee = Vee(measure="consumption", methods=(Linear(HOUR),))
    result, _ = validate_and_estimate(some, vee, KWH, [(MONDAY, MONDAY + DAY)])
    assert [(one.value, one.reason) for one in result] == [(10, "replaced"), (10, "missing")]
    assert validate_and_estimate(some, vee, KWH, [(MONDAY + DAY, MONDAY + 2 * DAY)]) == ([], [])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Vee(measure="x", rules=(Negative(), Negative())), "a rule is there twice"),
        (lambda: Vee(measure="x", rules=(WrongMultiplier(action="replace"),)), "nobody knows what is wrong"),
        (lambda: Vee(measure="x", rules=(Spike(1.0),)), "times is 1"),
        (lambda: Vee(measure="x", rules=(Stuck(timedelta(0)),)), "at_least is 0"),
        (lambda: Vee(measure="x", methods=(Linear(timedelta(0)),)), "longest is 0"),
        (lambda: Vee(measure="x").of(SERIES), "there is no measure 'x'"),
    ],
)
def test_contradictions_are_refused(make: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        make()


def test_a_level_is_counted_in_unit_seconds() -> None:
    household = registry.entry("household")
    vee, series = household.vee(), household.declaration
    power = vee.of(series)
    minute = 60
    starts = MONDAY + minute * np.array([0, 1, 2, 6, 7], np.int64)
    values = np.array([1_000, 1_200, 1_500, 2_300, 2_000], np.int64) * minute  # W over a minute, in 0.001 kW s
    some = cells(starts, values, np.ones(5, np.bool_), minute, series.time_zone)
    made_of, _ = validate_and_estimate(some, vee, power, [(MONDAY, MONDAY + DAY)])
    assert [(one.start, one.value, one.method) for one in made_of] == [
        (MONDAY + minute * place, value * minute, "linear") for place, value in ((3, 1_700), (4, 1_900), (5, 2_100))
    ]
    held = Rows(np.zeros(5, np.int64), starts, values, np.zeros(5, np.int64), np.full(5, 500 * minute, np.int64))
    (spike,) = (
        one for one in find(held, replace(vee, rules=(Spike(3.0, above=1.9),)), power, minute) if one.first == 3
    )
    assert (spike.last, spike.value, spike.expected) == (5, 2_300 * minute, 1_900 * minute)
    assert not vee.after_batch
