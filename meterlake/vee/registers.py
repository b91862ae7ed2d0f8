"""Estimates that add up to what a register has counted: exactly, in whole units."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Period:
    """Time between two reads of a register, seconds since 1970, and its advance in units."""

    begin: int
    end: int
    advance: int


def periods(reads: Iterable[tuple[int, int]]) -> list[Period]:
    """Return the time between reads (instant, units). None where it was reset: it counts back."""
    ordered = sorted(set(reads))
    return [
        Period(begin, end, after - before)
        for (begin, before), (end, after) in pairwise(ordered)
        if begin < end and after >= before
    ]


def shared(total: int, weights: Sequence[int]) -> list[int]:
    """Return ``total`` in whole parts that are as the weights are, and add up to it: by the largest remainder.

    Of equal remainders the earlier part is rounded up. All weights 0: equal parts.
    """
    if total < 0 or not weights or min(weights) < 0:
        raise ValueError(f"{total} cannot be shared among {list(weights)}: nothing may be below 0.")
    given = [int(weight) for weight in weights] if any(weights) else [1] * len(weights)
    whole = sum(given)
    parts = [total * weight // whole for weight in given]
    remainders = [total * weight % whole for weight in given]
    order = sorted(range(len(given)), key=lambda place: (-remainders[place], place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts
