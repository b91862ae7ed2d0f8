"""Random values without state: numbers that depend only on a seed and on what they are for.

The same on every machine and in whatever order or portions they are drawn, since all of it is integer arithmetic
(the finaliser of SplitMix64). Not for secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Keys: TypeAlias = NDArray[np.uint64]
Numbers: TypeAlias = NDArray[np.int64]

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def keys(seed: int, *things: Numbers | Sequence[int]) -> Keys:
    """Return one key for each row of ``things``: arrays of one length that say what the numbers are for."""
    result = _mixed(np.array([seed], dtype=np.uint64))
    for thing in things:
        result = _mixed(result * _STEP + np.asarray(thing, dtype=np.int64).astype(np.uint64))
    return result


def draw(of: Keys, lane: int, limit: int) -> Numbers:
    """Return a number from 0 up to, not including, ``limit`` (at most 2^32) for each key; another for each lane."""
    high = _mixed(of + _mixed(np.array([lane + 1], dtype=np.uint64))) >> np.uint64(32)
    return ((high * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


class RandomValues:
    """Numbers for intervals that are split into ``parts``."""

    def __init__(self, of: Keys, parts: int) -> None:
        self._keys = of
        self._parts = _mixed(of[:, None] + _mixed(np.arange(1, parts + 1, dtype=np.uint64)))

    def rows(self, lane: int, limit: int) -> Numbers:
        """Return one number below ``limit`` for each interval."""
        return draw(self._keys, lane, limit)

    def parts(self, lane: int, limit: int) -> Numbers:
        """Return one number below ``limit`` for each part of each interval."""
        return draw(self._parts, lane, limit)


def _mixed(values: Keys) -> Keys:
    mixed = (values ^ (values >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
