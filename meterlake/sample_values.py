"""What the numbers of a sample's column measure: a name, a unit guessed from the header, resolution and range."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from meterlake.names import MAX_NAME, RESERVED
from meterlake.validation import OWN_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
NUMBER_COMMA: Final = re.compile(r"[+-]?\d*,\d+")

_UNITS: Final = (
    ("kvarh", "kvarh"),
    ("kwh", "kWh"),
    ("mwh", "MWh"),
    ("wh", "Wh"),
    ("kvar", "kvar"),
    ("kva", "kVA"),
    ("kw", "kW"),
    ("w|watts?", "W"),
    ("v|volts?|voltage", "V"),
    ("a|amps?|amperes?|current|intensity", "A"),
    ("m3|m³", "m³"),
    ("l|litres?|liters?", "l"),
    ("hz|frequency", "Hz"),
    ("c|°c|temperature|temp", "°C"),
    ("reactive", "kvar"),
    ("energy|consumption", "kWh"),
    ("power|demand", "kW"),
)
"""Word of a header -> unit; the first that occurs."""

AMOUNTS: Final = frozenset({"kWh", "MWh", "Wh", "kvarh", "m³", "l"})
"""Units of what belongs to an interval; the others hold over it."""

_FINEST: Final = 9
_ROOM: Final = 10
"""The range to declare goes so many times beyond what the sample shows."""

_HOUR_S: Final = 3600


@dataclass(frozen=True)
class Measured:
    """A column of numbers. lowest, highest: as seen. grows: as a counter does."""

    name: str
    title: str
    unit: str
    is_guessed: bool
    resolution: str
    lowest: Decimal
    highest: Decimal
    grows: bool

    @property
    def is_amount(self) -> bool:
        """Whether it belongs to its interval, by its unit."""
        return self.unit in AMOUNTS

    def range(self, interval_s: int) -> tuple[int, int]:
        """Return the range to declare; of an amount, in one hour."""
        share = Decimal(_HOUR_S) / interval_s if self.is_amount else Decimal(1)
        low = 0 if self.lowest >= 0 else -_nice(-self.lowest * share)
        return low, _nice(max(self.highest * share, -self.lowest * share, Decimal(1)))


def measured(header: str, numbers: Sequence[str], decimal: str, names: set[str]) -> Measured:
    """Return what a column's numbers measure. names: those that are taken; the new one is added."""
    values = [Decimal(number.replace(",", ".") if decimal == "," else number) for number in numbers]
    unit = next((unit for words, unit in _UNITS if _has_word(header, words)), "")
    lowest, highest = min(values), max(values)
    name = _name(header, names)
    names.add(name)
    return Measured(
        name=name,
        title=header.strip().replace("_", " "),
        unit=unit or "1",
        is_guessed=bool(unit),
        resolution=_resolution(values),
        lowest=lowest,
        highest=highest,
        grows=_grows(values),
    )


def _has_word(header: str, words: str) -> bool:
    return bool(re.search(rf"(?<![a-z])({words})(?![a-z])", header.lower()))


def _name(header: str, taken: set[str]) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")
    words = words if words[:1].isalpha() else f"value_{words}".strip("_")
    name = words[: MAX_NAME - 6].rstrip("_")
    if name in RESERVED or name in OWN_COLUMNS or name in ("meter_id", "ts", "interval_s"):
        name = f"{name}_value"
    number = 2
    while name in taken:
        name, number = f"{words[: MAX_NAME - 6].rstrip('_')}_{number}", number + 1
    return name


def _resolution(values: Sequence[Decimal]) -> str:
    digits = max(max(0, -int(value.normalize().as_tuple().exponent)) for value in values)
    # More digits are those of a binary fraction that was printed: rounded to what meters report.
    return f"{Decimal(1).scaleb(-(digits if digits <= _FINEST else 3)):f}"


def _nice(value: Decimal) -> int:
    """Return the first of 1, 2, 5, 10, 20, 50 … that leaves room above a value."""
    wanted = value * _ROOM
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= wanted:
                return step * power
        power *= 10


def _grows(values: Sequence[Decimal]) -> bool:
    """Return whether values hardly ever fall and often rise: those of a counter."""
    steps = [after - before for before, after in pairwise(values)]
    falls, rises = sum(step < 0 for step in steps), sum(step > 0 for step in steps)
    return rises >= 10 and values[0] > 0 and falls * 1000 <= len(steps)
