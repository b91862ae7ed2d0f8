"""Counting is exact, and the state is a monoid: order, grouping and layer cannot matter."""

# ruff: noqa: S608 - the SQL under test is generated

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from core_samples import TANK, query, tank_columns, tank_readings
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake import registry
from meterlake.declaration import MAX_UNITS, MeterSeries
from meterlake.rules import flagged_sql, is_flagged
from meterlake.state import (
    State,
    merge_aggregates,
    merge_all,
    physical,
    state_aggregates,
    unit_columns,
    units,
)
from meterlake.units import (
    decimal_to_units_sql,
    exact_units,
    to_decimal,
    to_float,
    to_units,
    units_sql,
    units_to_decimal_sql,
)
from meterlake.views import derived_sql, derived_values, published_columns, read_time_values, view_columns

if TYPE_CHECKING:
    from meterlake.reading import Reading

pytestmark = pytest.mark.unit

SCALES = st.integers(0, 9)
COUNTS = st.integers(-MAX_UNITS * 90_000, MAX_UNITS * 90_000)


def state_of(reading: Reading) -> State:
    counted = [
        to_units(value, m.scale) for value, m in zip(reading.values, TANK.measures, strict=True) if value is not None
    ]
    return State.of_reading(TANK, reading.interval_s, counted, flagged=is_flagged(TANK, reading))


READINGS = st.lists(tank_readings(), min_size=1, max_size=12)
STATES = tank_readings().map(state_of)


@settings(max_examples=60)
@given(data=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), scale=SCALES)
def test_units_are_the_same_in_duckdb(data: list[float], scale: int) -> None:
    edges = [*data, *(round(value) / 10**scale + 0.5 / 10**scale for value in data)]
    answered = query(f"SELECT {units_sql('v', scale)} FROM t", {"v": ("DOUBLE", edges)})
    assert [row[0] for row in answered] == [to_units(value, scale) for value in edges]


@given(count=st.integers(-MAX_UNITS, MAX_UNITS), scale=SCALES)
def test_no_digit_of_a_value_at_its_resolution_is_lost(count: int, scale: int) -> None:
    assert to_units(to_float(count, scale), scale) == count
    assert exact_units(to_decimal(count, scale), scale) == count
    assert exact_units(f"{to_decimal(count, scale):f}", scale) == count


def test_halves_go_up_and_further_digits_are_rounded_away() -> None:
    assert [to_units(value, 0) for value in (0.5, -0.5, 1.5, -1.5, 0.49)] == [1, 0, 2, -1, 0]
    assert exact_units("4.21649", 3) == 4216
    assert exact_units(Decimal("-0.0005"), 3) == 0
    assert str(to_decimal(4_210, 3)) == "4.210"
    with pytest.raises((ValueError, OverflowError)):
        to_units(math.nan, 3)


@settings(max_examples=40)
@given(counts=st.lists(COUNTS, min_size=1, max_size=20), scale=SCALES)
def test_units_to_decimal_and_back_is_exact_at_the_largest_sums(counts: list[int], scale: int) -> None:
    decimal = units_to_decimal_sql("u", scale, "duckdb")
    back = decimal_to_units_sql("d", scale, "duckdb")
    rows = query(f"SELECT d, {back}, CAST(d AS DOUBLE) FROM (SELECT {decimal} AS d FROM t)", {"u": ("BIGINT", counts)})
    assert rows == [(to_decimal(count, scale), count, to_float(count, scale)) for count in counts]


def test_the_bound_keeps_every_sum_exact() -> None:
    longest_day = int(timedelta(hours=25).total_seconds())
    assert MAX_UNITS * longest_day < 2**53
    top = State.of_reading(TANK, longest_day, [MAX_UNITS] * 3)
    assert float(top.measures["pressure"].sum) == top.measures["pressure"].sum


@given(STATES, STATES, STATES)
def test_state_is_a_commutative_monoid(a: State, b: State, c: State) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(State.empty(TANK)) == a == State.empty(TANK).merge(a)


@given(READINGS, st.randoms(use_true_random=False), st.integers(0, 12))
def test_state_does_not_depend_on_order_or_grouping(readings: list[Reading], random: Any, cut: int) -> None:
    shuffled = random.sample(readings, len(readings))
    whole = merge_all(TANK, map(state_of, readings))
    parts = merge_all(TANK, map(state_of, shuffled[:cut])).merge(merge_all(TANK, map(state_of, shuffled[cut:])))
    assert whole == parts


def test_levels_weigh_by_time_and_amounts_do_not() -> None:
    state = State.of_reading(TANK, 60, [150, 300, 7000]).merge(State.of_reading(TANK, 10, [50, 310, 1000]))
    assert state.row() == {
        "readings": 2, "covered_s": 70, "flagged": 0,
        "pressure_sum": 150 * 60 + 50 * 10, "pressure_min": 50, "pressure_max": 150,
        "temperature_sum": 300 * 60 + 310 * 10, "temperature_min": 300, "temperature_max": 310,
        "inflow_sum": 8000, "inflow_min": 1000, "inflow_max": 7000,
    }  # fmt: skip
    derived = derived_values(TANK, state)
    assert derived["pressure_avg"] == 95.0 / 70
    assert derived["flow"] == 8.0 / 70
    assert set(derived) == {"pressure_avg", "temperature_avg", "flow", "work"}  # no average of an amount


def test_states_of_other_measures_do_not_merge() -> None:
    with pytest.raises(ValueError, match="do not merge"):
        State.empty(TANK).merge(State.empty(registry.declaration("household")))


@settings(max_examples=40)
@given(READINGS)
def test_duckdb_computes_the_same_state_rolls_it_up_and_derives_the_same(readings: list[Reading]) -> None:
    expected = merge_all(TANK, map(state_of, readings))
    unit_row = ", ".join(f"{sql} AS {name}" for name, sql in unit_columns(TANK))
    prepared = f"SELECT n, interval_s, {flagged_sql(TANK, 'duckdb')} AS flagged, {unit_row} FROM t"
    parts = f"SELECT n % 3 AS part, {_list(state_aggregates(TANK, 'duckdb'))} FROM ({prepared}) GROUP BY part"
    stored = f"SELECT {_list(physical(TANK, 'duckdb'))} FROM ({parts})"
    rolled = f"SELECT {_list(merge_aggregates(TANK, 'duckdb', 'decimal'))} FROM ({stored})"
    counted = f"SELECT {_list(merge_aggregates(TANK, 'duckdb'))} FROM ({parts})"
    in_units = ", ".join(sql for _, sql in units(TANK, "duckdb"))
    derived = ", ".join(sql for _, sql in derived_sql(TANK, "duckdb"))
    columns = tank_columns(readings)
    assert query(f"SELECT * FROM ({counted})", columns) == [tuple(expected.row().values())]
    [row] = query(f"SELECT {in_units}, {derived} FROM ({rolled})", columns)
    assert row == (*expected.row().values(), *derived_values(TANK, expected).values())
    assert State.from_row(TANK, dict(zip(expected.row(), row, strict=False))) == expected


def _list(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in columns)


def test_view_columns_are_as_promised() -> None:
    names = [column.name for column in view_columns(TANK, "hour")]
    assert names[:6] == ["meter_id", "hour", "readings", "covered_s", "flagged", "pressure_sum"]
    types = {column.name: column.type.sql("hive") for column in published_columns(TANK, "day")}
    assert types["day"] == "DATE"
    assert types["pressure_sum"] == "DECIMAL(18,2)"
    assert types["pressure_avg"] == types["work"] == "DOUBLE"
    assert "inflow_avg" not in types
    assert list(types)[-1] == "source"


def test_derived_values_read_only_the_state() -> None:
    household: MeterSeries = registry.declaration("household")
    state_names = {column.name for column in view_columns(household, "day")}
    for formula in read_time_values(household).values():
        assert state_names.issuperset(formula.columns)


def test_household_formulas() -> None:
    household = registry.declaration("household")
    state = State.of_reading(household, 60, [3000, 4000, 23_000, 21_739, 10_000, 20_000, 30_000])
    derived = derived_values(household, state)
    assert derived["energy_wh"] == 180.0 / 3.6  # 3 kW for a minute: 50 Wh
    assert derived["apparent_power"] == 5.0
    assert derived["power_factor"] == 0.6
    assert derived["other_devices_wh"] == -10.0  # shown as it is, never clipped
    idle = derived_values(household, State.of_reading(household, 60, [0] * 7))
    assert idle["power_factor"] is None
    assert idle["apparent_power"] == 0.0
