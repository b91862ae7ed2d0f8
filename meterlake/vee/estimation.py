"""Estimates of a gap by one method: pure functions of a meter's cells, and of the group's.

A method reads what lies before the gap and the intervals beside it, never what comes later: an estimate stays what it
is when more days arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from meterlake.vee.declaration import DaysAndGroup, GroupProfile, Linear, Method, SimilarDays
from meterlake.vee.grid import Gap, moment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from meterlake.vee.grid import Cells, Integers

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """What all meters of a group have at each of a meter's cells: the sum of their values, and how many they are."""

    total: Integers
    meters: Integers


@dataclass(frozen=True, eq=False)
class Estimated:
    """A gap with its estimates, in units. inputs: what they are made of, for people."""

    gap: Gap
    method: str
    values: Integers
    inputs: str


def estimate(
    cells: Cells, gap: Gap, methods: tuple[Method, ...], group: Group | None = None, lowest: float = -np.inf
) -> Estimated | None:
    """Return the estimates of a gap by the first method that may fill it, and can. None: no method can.

    lowest: what no value is below, in units.
    """
    for method in methods:
        if gap.length * cells.step > method.longest.total_seconds():
            continue
        if isinstance(method, Linear):
            made: Estimated | None = linear(cells, gap)
        elif isinstance(method, SimilarDays):
            made = similar_days(cells, gap, method, lowest)
        elif isinstance(method, DaysAndGroup):
            made = days_and_group(cells, gap, method, group, lowest)
        else:
            made = group_profile(cells, gap, method, group)
        if made is not None:
            return made
    return None


def linear(cells: Cells, gap: Gap) -> Estimated:
    """Return the straight line between the intervals beside the gap."""
    before, after = int(cells.values[gap.first - 1]), int(cells.values[gap.last])
    steps = np.arange(1, gap.length + 1, dtype=np.int64)
    # Halves are rounded upwards, in integers: floor((2x + n) / 2n).
    parts = gap.length + 1
    values = before + (2 * (after - before) * steps + parts) // (2 * parts)
    inputs = f"the line from {_at(cells, gap.first - 1)} to {_at(cells, gap.last)}"
    return Estimated(gap, Linear.name, values, inputs)


def similar_days(cells: Cells, gap: Gap, method: SimilarDays, lowest: float) -> Estimated | None:
    """Return the mean of similar days, drawn towards the intervals beside the gap; None where too few are known."""
    first_day = int(cells.day[gap.first])
    window = np.flatnonzero(cells.usable[: gap.first - 1] & (cells.day[: gap.first - 1] >= first_day - method.days))
    kinds = cells.weekend * cells.slots + cells.slot
    size = 2 * cells.slots + 1
    counted = np.bincount(kinds[window], minlength=size)
    # Exact: a sum of so few values is far below 2^53.
    summed = np.bincount(kinds[window], weights=cells.values[window], minlength=size)
    places = np.arange(gap.first - 1, gap.last + 1)
    wanted = kinds[places]
    if (counted[wanted[1:-1]] < method.at_least).any():
        return None
    means = summed[wanted] / np.maximum(counted[wanted], 1)
    near = counted[wanted[[0, -1]]] >= method.at_least
    left, right = (cells.values[places[[0, -1]]] - means[[0, -1]]) * near
    weight_left, weight_right = _weights(gap.length, 0.5 ** (cells.step / method.fades.total_seconds()))
    values = _whole(np.maximum(means[1:-1] + left * weight_left + right * weight_right, lowest))
    days = len(np.unique(cells.day[window]))
    since, until = _at(cells, int(window[0])), _at(cells, int(window[-1]) + 1)
    inputs = f"{days} days from {since} to {until}, and the intervals on both sides"
    return Estimated(gap, SimilarDays.name, values, inputs)


def group_profile(cells: Cells, gap: Gap, method: GroupProfile, group: Group | None) -> Estimated | None:
    """Return the group's mean, scaled to the meter's level beside the gap; None where too few are known."""
    if group is None or (group.meters[gap.first : gap.last] < method.at_least).any():
        return None
    reach = int(method.beside.total_seconds()) // cells.step
    near = np.r_[max(gap.first - reach, 0) : gap.first, gap.last : min(gap.last + reach, cells.count)]
    near = near[cells.usable[near] & (group.meters[near] >= method.at_least)]
    if 2 * len(near) < reach:  # less than half of one side
        return None
    level = int(cells.values[near].sum())
    beside = group.total[near] / group.meters[near]
    of_group = float(sum(beside.tolist()))  # one after the other: the same on any machine
    if of_group <= 0:
        return None
    means = group.total[gap.first : gap.last] / group.meters[gap.first : gap.last]
    values = _whole(means * (level / of_group))
    fewest = int(group.meters[gap.first : gap.last].min())
    inputs = f"{fewest} or more other meters at that time, times {level / of_group:.4f} by {len(near)} intervals beside"
    return Estimated(gap, GroupProfile.name, values, inputs)


def days_and_group(
    cells: Cells, gap: Gap, method: DaysAndGroup, group: Group | None, lowest: float
) -> Estimated | None:
    """Return the mean of both, in which the days count twice; None where the days are not known."""
    of_days = similar_days(cells, gap, method.days, lowest)
    of_group = group_profile(cells, gap, method.group, group)
    if of_days is None:
        return None
    if of_group is None:
        return replace(of_days, method=DaysAndGroup.name)
    # Rounded upwards, in integers.
    values = (2 * (2 * of_days.values + of_group.values) + 3) // 6
    return Estimated(gap, DaysAndGroup.name, values, f"two thirds of {of_days.inputs}; a third of {of_group.inputs}")


def _weights(length: int, fading: float) -> tuple[Floats, Floats]:
    """Return how much of each side's deviation reaches the intervals of a gap: 1 at a side, fading away from it.

    It is the mean of a process of which both ends are known (a bridge): at each end the other's share is 0.
    """
    powers = np.cumprod(np.full(length + 1, fading))
    near, far, whole = powers[:-1], powers[:-1][::-1], powers[-1]
    divisor = 1 - whole * whole
    left = (near - far * whole) / divisor
    return left, left[::-1]


def _whole(values: Floats) -> Integers:
    return np.floor(values + 0.5).astype(np.int64)


def _at(cells: Cells, place: int) -> str:
    return f"{moment(cells.starts(place)):%Y-%m-%d %H:%M}"
