"""A sample whose lines each name their measure: told by a column of few texts that differ at the same time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from meterlake.physical_units import known_units, unit_texts
from meterlake.sample_values import Measured, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST: Final = 40
"""So many measures may a meter have."""


@dataclass(frozen=True)
class Registers:
    """column: the place of the texts. measures: text -> what its values measure."""

    column: int
    measures: tuple[tuple[str, Measured], ...]


def register_column(candidates: Sequence[int], fields: Sequence[Sequence[str]], whose: Sequence[object]) -> int | None:
    """Return the column that names the measure of each line, if one does. whose: the meter and time of each line.

    Its texts are few and each comes once at a time, of which most have several.
    """
    times = len(set(whose))
    if times * 3 > len(whose) * 2:
        return None
    for at in candidates:
        texts = set(fields[at])
        once = len(set(zip(whose, fields[at], strict=True))) == len(whose)
        if 2 <= len(texts) <= _MOST and once:
            return at
    return None


def registers(
    column: int, texts: Sequence[str], values: Sequence[str], units: Sequence[str], plain: Callable[[str], str | None]
) -> Registers:
    """Return what the values of each text measure. units: of each line; empty where no column says it."""
    names: set[str] = set()
    result = []
    for text in dict.fromkeys(texts):
        mine = [at for at, other in enumerate(texts) if other == text]
        numbers = [number for at in mine if (number := plain(values[at])) is not None] or ["0"]
        seen = measured(text, numbers, ".", names)
        symbol = _symbol(units[mine[0]])
        if symbol:
            seen = replace(seen, unit=symbol, is_guessed=True)
        result.append((text, seen))
    return Registers(column, tuple(result))


def _symbol(text: str) -> str | None:
    texts = [unit_texts(quantity) for quantity in dict.fromkeys(unit.quantity for unit in known_units())]
    return next((known[text] for known in texts if text in known), None)
