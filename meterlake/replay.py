"""Replay: how the recorded history of a data set becomes the readings of live meters, as a declaration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meterlake.errors import DeclarationError
from meterlake.randomness import Numbers, RandomValues

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.text.format import TextFormat

Marks: TypeAlias = NDArray[np.bool_]

Split: TypeAlias = Callable[[Numbers, RandomValues], tuple[Numbers, Marks]]
"""Splits recorded intervals into the readings of a live meter.

First argument: units of shape (intervals, 3, measures): the interval before, the interval itself, the one after (where
that is missing, the interval itself again). Returns units of shape (intervals, parts, measures), and a mark for every
interval that had to be changed because it contradicts itself. Pure: chance comes from the random values only.
"""

BEFORE: Final = 0
ITSELF: Final = 1
AFTER: Final = 2


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How history becomes live readings.

    form: of the history's file, whose path in the checkout is ``history``.
    interval_s: of the live readings; divides that of the history.
    scaled: measures that are larger in a larger household; the others are the same for all meters.
    split: the function above.
    """

    form: TextFormat
    history: str
    interval_s: int
    scaled: tuple[str, ...]
    split: Split

    def __post_init__(self) -> None:
        where = f"Replay of {self.dataset.name!r}"
        if self.interval_s not in self.dataset.intervals or self.form.interval_s % self.interval_s:
            raise DeclarationError(
                where,
                f"its interval of {self.interval_s} s does not fit",
                expected=f"Use one of {self.dataset.intervals} that divides the history's {self.form.interval_s} s",
            )
        if self.form.has_meters:
            raise DeclarationError(where, "its history is that of many meters", expected="Use a format of one meter")
        unknown = set(self.scaled) - {measure.name for measure in self.dataset.measures}
        if unknown:
            raise DeclarationError(
                where, f"{sorted(unknown)} are no measures", expected="Scale measures of the data set"
            )

    @property
    def dataset(self) -> MeterSeries:
        """The data set that is replayed."""
        return self.form.dataset

    @property
    def parts(self) -> int:
        """Live readings in one interval of the history."""
        return self.form.interval_s // self.interval_s
