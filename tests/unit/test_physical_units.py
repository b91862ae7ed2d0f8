"""The registry of units: conversions, rates and amounts, and what is not listed."""

from __future__ import annotations

import pytest

from meterlake.physical_units import (
    UnitsDiffer,
    amount_of,
    factor,
    for_small_values,
    for_totals,
    known_units,
    physical_unit,
    rate_of,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ("Wh", "kWh", 0.001),
        ("kW", "W", 1000.0),
        ("MWh", "kWh", 1000.0),
        ("J", "Wh", 1 / 3600),
        ("MJ", "kWh", 1 / 3.6),
        ("litres", "m³", 0.001),
        ("L", "ml", 1000.0),
        ("m3", "m³", 1.0),
        ("kVAr", "kvar", 1.0),
        ("mA", "A", 0.001),
        ("%", "1", 0.01),
        ("widgets", "widgets", 1.0),
    ],
)
def test_values_are_converted(given: str, wanted: str, expected: float) -> None:
    assert factor(given, wanted) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "wanted"), [("kW", "kWh"), ("m³", "kWh"), ("widgets", "W"), ("var", "W"), ("°C", "K")]
)
def test_other_quantities_are_refused(given: str, wanted: str) -> None:
    with pytest.raises(UnitsDiffer, match="cannot be turned into"):
        factor(given, wanted)


@pytest.mark.parametrize(
    ("rate", "amount"),
    [("kW", "kWh"), ("W", "Wh"), ("MW", "MWh"), ("kvar", "kvarh"), ("A", "Ah"), ("m³/h", "m³"), ("l/h", "l")],
)
def test_a_rate_and_its_amount_know_each_other(rate: str, amount: str) -> None:
    made = amount_of(rate)
    assert made is not None
    assert made.symbol == amount
    assert rate_of(amount).symbol == rate
    # In an hour, one of the rate makes one of the amount.
    assert physical_unit(rate).scale == physical_unit(amount).scale


def test_what_makes_nothing_in_time_and_what_has_no_rate_of_its_own() -> None:
    assert amount_of("V") is None
    assert amount_of("°C") is None
    assert rate_of("parcels").symbol == "parcels/h"
    assert rate_of("MJ").symbol == "MJ/h"


def test_units_for_totals_and_small_values() -> None:
    assert for_totals("Wh").symbol == "kWh"
    assert for_totals("kWh").symbol == "kWh"
    assert for_totals("l").symbol == "m³"
    assert for_small_values("kW").symbol == "W"
    assert for_small_values("W").symbol == "W"
    for symbol in ("Wh", "l", "J", "g", "kW", "m³/h"):
        factor(symbol, for_totals(symbol).symbol)
        factor(symbol, for_small_values(symbol).symbol)


def test_an_unlisted_unit_is_shown_by_its_symbol() -> None:
    assert physical_unit("kWp").grafana_id == "suffix:kWp"
    assert physical_unit("kW").grafana_id == "kwatt"
    assert physical_unit("m³/h").grafana_id == "suffix:m³/h"


def test_symbols_are_unique_and_every_amount_is_listed() -> None:
    symbols = [unit.symbol for unit in known_units()]
    assert len(set(symbols)) == len(symbols)
    assert {unit.amount for unit in known_units() if unit.amount} <= set(symbols)
