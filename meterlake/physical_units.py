"""The registry of physical units: what a declaration's ``unit`` means to reports, dashboards and exports.

A unit that is not listed is taken as it is: a quantity of its own, shown by its symbol. A *rate* (kW, m³/h) and the
*amount* that it makes in time (kWh, m³) know each other: a level in kW has a total in kWh, an amount in kWh a mean
rate in kW.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from meterlake.errors import PermanentError

HOUR_S: Final = 3600


@dataclass(frozen=True)
class PhysicalUnit:
    """A unit.

    symbol: as it is printed. quantity: what it measures. scale: one of it in the quantity's base unit.
    grafana: Grafana's name of it. amount: of a rate, the symbol of what it makes in one hour, such as kWh for kW.
    """

    symbol: str
    quantity: str
    scale: float = 1.0
    grafana: str = ""
    amount: str = ""

    @property
    def grafana_id(self) -> str:
        """Name by which Grafana writes values of this unit."""
        return self.grafana or f"suffix:{self.symbol}"


class UnitsDiffer(PermanentError):
    """Two units measure different quantities."""

    def __init__(self, given: PhysicalUnit, wanted: PhysicalUnit) -> None:
        super().__init__(
            f"{given.symbol} ({given.quantity}) cannot be turned into {wanted.symbol} ({wanted.quantity}).",
            hint="Declare the value in a unit of the same quantity; known units: meterlake/physical_units.py.",
        )


_UNITS: Final = (
    PhysicalUnit("1", "ratio", 1.0, "none"),
    PhysicalUnit("%", "ratio", 0.01, "percent"),
    PhysicalUnit("W", "power", 1.0, "watt", "Wh"),
    PhysicalUnit("kW", "power", 1e3, "kwatt", "kWh"),
    PhysicalUnit("MW", "power", 1e6, "megwatt", "MWh"),
    PhysicalUnit("Wh", "energy", 1.0, "watth"),
    PhysicalUnit("kWh", "energy", 1e3, "kwatth"),
    PhysicalUnit("MWh", "energy", 1e6, "mwatth"),
    PhysicalUnit("J", "energy", 1 / HOUR_S, "joule"),
    PhysicalUnit("MJ", "energy", 1e6 / HOUR_S),
    PhysicalUnit("var", "reactive power", 1.0, "voltampreact", "varh"),
    PhysicalUnit("kvar", "reactive power", 1e3, "kvoltampreact", "kvarh"),
    PhysicalUnit("varh", "reactive energy", 1.0),
    PhysicalUnit("kvarh", "reactive energy", 1e3),
    PhysicalUnit("VA", "apparent power", 1.0, "voltamp", "VAh"),
    PhysicalUnit("kVA", "apparent power", 1e3, "kvoltamp", "kVAh"),
    PhysicalUnit("VAh", "apparent energy", 1.0),
    PhysicalUnit("kVAh", "apparent energy", 1e3),
    PhysicalUnit("mV", "voltage", 1e-3, "mvolt"),
    PhysicalUnit("V", "voltage", 1.0, "volt"),
    PhysicalUnit("kV", "voltage", 1e3, "kvolt"),
    PhysicalUnit("mA", "current", 1e-3, "mamp", "mAh"),
    PhysicalUnit("A", "current", 1.0, "amp", "Ah"),
    PhysicalUnit("kA", "current", 1e3, "kamp", "kAh"),
    PhysicalUnit("mAh", "charge", 1e-3, "mamph"),
    PhysicalUnit("Ah", "charge", 1.0, "amph"),
    PhysicalUnit("kAh", "charge", 1e3, "kamph"),
    PhysicalUnit("Hz", "frequency", 1.0, "hertz"),
    PhysicalUnit("ml", "volume", 1e-6, "mlitre"),
    PhysicalUnit("l", "volume", 1e-3, "litre"),
    PhysicalUnit("m³", "volume", 1.0, "m3"),
    PhysicalUnit("l/h", "flow", 1e-3, "litreh", "l"),
    PhysicalUnit("m³/h", "flow", 1.0, "", "m³"),
    PhysicalUnit("l/min", "flow", 0.06, "flowlpm"),
    PhysicalUnit("°C", "temperature", 1.0, "celsius"),
    PhysicalUnit("K", "absolute temperature", 1.0, "kelvin"),
    PhysicalUnit("Pa", "pressure", 1.0, "pressurepa"),
    PhysicalUnit("hPa", "pressure", 1e2, "pressurehpa"),
    PhysicalUnit("kPa", "pressure", 1e3, "pressurekpa"),
    PhysicalUnit("mbar", "pressure", 1e2, "pressurembar"),
    PhysicalUnit("bar", "pressure", 1e5, "pressurebar"),
    PhysicalUnit("g", "mass", 1e-3, "massg"),
    PhysicalUnit("kg", "mass", 1.0, "masskg"),
    PhysicalUnit("t", "mass", 1e3, "masst"),
    PhysicalUnit("s", "time", 1.0, "s"),
    PhysicalUnit("min", "time", 60.0, "m"),
    PhysicalUnit("h", "time", 3600.0, "h"),
    PhysicalUnit("GBP", "pounds", 1.0, "currencyGBP"),
    PhysicalUnit("EUR", "euros", 1.0, "currencyEUR"),
    PhysicalUnit("USD", "dollars", 1.0, "currencyUSD"),
)
_BY_SYMBOL: Final = {unit.symbol: unit for unit in _UNITS}
_ALIASES: Final = {
    "": "1",
    "L": "l",
    "litre": "l",
    "litres": "l",
    "liter": "l",
    "mL": "ml",
    "m3": "m³",
    "L/h": "l/h",
    "m3/h": "m³/h",
    "VAr": "var",
    "VAR": "var",
    "kVAr": "kvar",
    "kVAR": "kvar",
    "kVArh": "kvarh",
    "kVARh": "kvarh",
    "degC": "°C",
    "C": "°C",
}
_RATE_OF: Final = {unit.amount: unit for unit in _UNITS if unit.amount}
_TOTALS: Final = {"Wh": "kWh", "varh": "kvarh", "VAh": "kVAh", "mAh": "Ah", "ml": "l", "l": "m³", "J": "kWh", "g": "kg"}
_SMALL: Final = {"kW": "W", "MW": "kW", "kvar": "var", "kVA": "VA", "m³/h": "l/h", "kA": "A"}


@lru_cache(maxsize=256)
def physical_unit(symbol: str) -> PhysicalUnit:
    """Return the unit of a declaration's symbol; one that is not listed is a quantity of its own."""
    known = _BY_SYMBOL.get(_ALIASES.get(symbol, symbol))
    return known or PhysicalUnit(symbol, symbol, amount="")


def known_units() -> tuple[PhysicalUnit, ...]:
    """Return all listed units."""
    return _UNITS


def factor(given: str, wanted: str) -> float:
    """Return by what a value in ``given`` is multiplied to be one in ``wanted``.

    Raises UnitsDiffer where they measure different quantities.
    """
    here, there = physical_unit(given), physical_unit(wanted)
    if here.quantity != there.quantity:
        raise UnitsDiffer(here, there)
    return here.scale / there.scale


def exact_factor(given: str, wanted: str) -> Fraction:
    """Return ``factor`` as the fraction that it is: 1000 for kWh in Wh, 1/3600 for J in Wh.

    Raises UnitsDiffer where they measure different quantities.
    """
    factor(given, wanted)
    return _exact(physical_unit(given).scale) / _exact(physical_unit(wanted).scale)


def _exact(scale: float) -> Fraction:
    # Scales are decimal or a 3600th of one: the simplest fraction that is that float.
    return Fraction(scale).limit_denominator(10_000_000)


def unit_texts(quantity: str) -> dict[str, str]:
    """Return how files write the units of a quantity -> their symbols: ``KWH`` and ``kwh`` are kWh, too.

    Never other letters where they would mean something else: mW is not MW.
    """
    texts: dict[str, str] = {}
    for unit in _UNITS:
        if unit.quantity == quantity:
            others = [alias for alias, symbol in _ALIASES.items() if symbol == unit.symbol and alias]
            for text in (unit.symbol, *others):
                texts[text] = unit.symbol
                if not text.startswith("m"):
                    texts.setdefault(text.upper(), unit.symbol)
                if not text.startswith("M"):
                    texts.setdefault(text.lower(), unit.symbol)
    return texts


def same_quantity(left: str, right: str) -> bool:
    """Return whether two units measure the same quantity."""
    return physical_unit(left).quantity == physical_unit(right).quantity


def amount_of(rate: str) -> PhysicalUnit | None:
    """Return the unit of what a rate makes in an hour, such as kWh for kW; None where there is none."""
    symbol = physical_unit(rate).amount
    return physical_unit(symbol) if symbol else None


def rate_of(amount: str) -> PhysicalUnit:
    """Return the unit of an amount per hour, such as kW for kWh; one that has no name of its own is ``x/h``."""
    symbol = physical_unit(amount).symbol
    return _RATE_OF.get(symbol) or PhysicalUnit(f"{symbol}/h", f"{physical_unit(amount).quantity} per time")


def for_totals(symbol: str) -> PhysicalUnit:
    """Return the unit in which totals over weeks and months are read, such as kWh for Wh."""
    shown = physical_unit(symbol).symbol
    return physical_unit(_TOTALS.get(shown, shown))


def for_small_values(symbol: str) -> PhysicalUnit:
    """Return the unit in which small values are read, such as W for kW."""
    shown = physical_unit(symbol).symbol
    return physical_unit(_SMALL.get(shown, shown))
