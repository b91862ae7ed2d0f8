"""The meters of a simulation: the first lives the recorded history, every other one its own stretch and scale of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from meterlake import randomness
from meterlake.meter_names import check_meter_id

if TYPE_CHECKING:
    from meterlake.randomness import Numbers

THOUSAND: Final = 1000
_SMALLEST: Final = 400
_LARGEST: Final = 1600
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_LANES: Final = range(3)


@dataclass(frozen=True)
class Fleet:
    """One entry a meter: its name, how far in the past of the history it lives (seconds), its scale in thousandths."""

    ids: tuple[str, ...]
    phases: Numbers
    scales: Numbers

    @property
    def numbers(self) -> Numbers:
        """Meters counted from 0, for random values."""
        return np.arange(len(self.ids))


def fleet(first: str, count: int, seed: int, days: int) -> Fleet:
    """Return ``count`` meters; the others than the first are named after it.

    days: the length of the history. A meter depends on the seed and on its number, not on how many there are.
    Raises UsageError where a name gets too long.
    """
    keys = randomness.keys(seed, np.arange(count))
    phases = (1 + randomness.draw(keys, _LANES[0], max(days - 1, 1))) * _DAY_S
    phases += (randomness.draw(keys, _LANES[1], 5) - 2) * _HOUR_S
    scales = _SMALLEST + randomness.draw(keys, _LANES[2], _LARGEST - _SMALLEST + 1)
    phases[0], scales[0] = 0, THOUSAND
    first = check_meter_id(first)
    ids = (first, *(f"{first}-{number:04}" for number in range(2, count + 1)))
    check_meter_id(ids[-1])
    return Fleet(ids, phases, scales)
