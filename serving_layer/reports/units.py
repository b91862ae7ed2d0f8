"""How values are called and counted in pictures: titles and units come from the declaration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from meterlake.declaration import MeterSeries
from meterlake.grains import Grain
from meterlake.physical_units import factor, for_small_values, for_totals, physical_unit

GRAIN_WORDS: Final[dict[Grain, str]] = {
    "minute": "minute by minute",
    "five_minutes": "by five minutes",
    "ten_minutes": "by ten minutes",
    "quarter_hour": "by the quarter of an hour",
    "half_hour": "by the half-hour",
    "hour": "by the hour",
    "day": "by the day",
    "month": "by the month",
}
MEAN_WORDS: Final[dict[Grain, str]] = {
    "minute": "minute means",
    "five_minutes": "five-minute means",
    "ten_minutes": "ten-minute means",
    "quarter_hour": "quarter-hour means",
    "half_hour": "half-hour means",
    "hour": "hourly means",
    "day": "daily means",
    "month": "monthly means",
}
IN_A: Final[dict[Grain, str]] = {
    "minute": "in a minute",
    "five_minutes": "in five minutes",
    "ten_minutes": "in ten minutes",
    "quarter_hour": "in a quarter of an hour",
    "half_hour": "in half an hour",
    "hour": "in an hour",
    "day": "in a day",
    "month": "in a month",
}
"""After an amount, such as ``in an hour``."""
_FINE: Final = 1000.0
"""Units that are worth so many base units or more are read with three digits after the point, ratios likewise."""


@dataclass(frozen=True)
class Quantity:
    """A measure or derived value as shown: ``factor`` turns the declared unit into ``unit``."""

    name: str
    title: str
    unit: str
    factor: float = 1.0
    level: bool = False
    amount: bool = False

    @property
    def column(self) -> str:
        """The view's column of what is no level: an amount's sum, or a derived value itself."""
        return f"{self.name}_sum" if self.amount else self.name

    @property
    def label(self) -> str:
        """For an axis: title and unit; a ratio has no unit."""
        return self.title if self.unit == "1" else f"{self.title} ({self.unit})"

    @property
    def suffix(self) -> str:
        """For a table's column: ``_kWh``; nothing for a ratio."""
        return "" if self.unit == "1" else f"_{self.unit}"

    @property
    def digits(self) -> int:
        """Digits after the point of its figures: three of a ratio and of a large unit such as kW, else one."""
        return 3 if self.unit == "1" or physical_unit(self.unit).scale >= _FINE else 1

    @property
    def shown_unit(self) -> str:
        """For a number: nothing for a ratio."""
        return "" if self.unit == "1" else self.unit


def quantity(dataset: MeterSeries, name: str) -> Quantity:
    """Return a measure or derived value, in its declared unit. Raises KeyError for an unknown name."""
    for measure in dataset.measures:
        if measure.name == name:
            level = measure.kind == "level"
            return Quantity(name, measure.title or name, measure.unit, level=level, amount=not level)
    derived = {value.name: value for value in dataset.derived}[name]
    return Quantity(name, derived.title or name, derived.unit)


def larger(shown: Quantity) -> Quantity:
    """Return a quantity in the unit for totals, such as kWh for Wh."""
    return in_unit(shown, for_totals(shown.unit).symbol)


def smaller(shown: Quantity) -> Quantity:
    """Return a quantity in the unit for small values, such as W for kW."""
    return in_unit(shown, for_small_values(shown.unit).symbol)


def in_unit(shown: Quantity, unit: str) -> Quantity:
    """Return a quantity in another unit. Raises UnitsDiffer where that measures something else."""
    return replace(shown, unit=unit, factor=shown.factor * factor(shown.unit, unit))


def columns_of(shown: Quantity) -> tuple[str, ...]:
    """Return the view columns of a quantity: mean, lowest and highest of a level, else its one column."""
    if shown.level:
        return (f"{shown.name}_avg", f"{shown.name}_min", f"{shown.name}_max")
    return (shown.column,)


def sum_column(dataset: MeterSeries, name: str) -> str:
    """Return the column that holds a total: an amount's sum, or a derived value itself."""
    return quantity(dataset, name).column
