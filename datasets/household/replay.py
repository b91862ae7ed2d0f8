"""Smart plugs of a household, one reading a second, that add up to its recorded minutes.

Active and reactive power and voltage have the recorded mean, sub-meters the recorded amount, to the last unit. Within
the minute, power rises and falls as appliances do: where it lies between its neighbours it steps from one to the other,
where it is above both something ran for a part of the minute; and it flickers. Voltage gives way under load. Current is
√(P²+Q²)/V. A second's sub-meters never count more than its active power; where the history's rounding says so for a
whole minute, the power is raised to what the sub-meters need, and the minute is marked.

All of it is integer arithmetic but the square root, so the same on every machine. Units: W, var, 0.01 V, mA, mWh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.randomness import Numbers, RandomValues
from meterlake.replay import AFTER, BEFORE, ITSELF, Marks, Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS: Final = np.arange(60, dtype=np.int64)
_SHORTEST_RUN: Final = 20
_STEADY: Final = 256
_FLICKER: Final = 8
"""Power flickers by 8/256, 3 %."""
_W_PER_CENTIVOLT: Final = 50
"""The voltage gives way by 1 V under 5 kW."""
_NOISE_CENTIVOLT: Final = 15


def split(minutes: Numbers, random: RandomValues) -> tuple[Numbers, Marks]:
    """Return the seconds of recorded minutes, and where active power had to be raised."""
    power, reactive, voltage, _, *metered = np.moveaxis(minutes, 2, 0)
    # 1 mWh within a minute is 0.06 W.
    hundredths = 6 * _sum(metered)
    needed = -(-hundredths // 100)
    raised = np.maximum(power, needed)
    other = 100 * raised - hundredths
    amounts = [_apportion(_course(one, random, lane), one[:, ITSELF]) for lane, one in enumerate(metered)]
    # 1 mWh within a second is 3.6 W. Rounded down, the sub-meters' share is never more than the minute's power.
    watts = _sum(amounts) * 18 // 5
    watts = watts + _apportion(_course(other, random, 3), 60 * raised[:, ITSELF] - watts.sum(axis=1))
    vars_ = _apportion(_course(reactive, random, 4), 60 * reactive[:, ITSELF])
    centivolts = _voltage(voltage, watts, random)
    seconds = np.stack([watts, vars_, centivolts, _current(watts, vars_, centivolts), *amounts], axis=2)
    return seconds, power[:, ITSELF] < needed[:, ITSELF]


def _course(levels: Numbers, random: RandomValues, lane: int) -> Numbers:
    """Return the relative course of a power within a minute, from its means in the minute before, itself and after."""
    before, here, after = np.abs(levels[:, BEFORE : AFTER + 1]).T[:, :, None]
    low, high = np.minimum(before, after), np.maximum(before, after)
    change = np.where(low == high, 1, after - before)
    stepped = np.where(60 * (after - here) // change > _SECONDS, before, after)
    begin, length = _run(random, lane)
    running = (begin <= _SECONDS) & (begin + length > _SECONDS)
    idle = np.where(begin > _SECONDS, before, after)
    excess = 60 * here - np.where(running, 0, idle).sum(axis=1, keepdims=True)
    pulsed = np.where(running, excess // length, idle)
    course: Numbers = np.where(here > high, pulsed, np.where((low < high) & (here >= low), stepped, here))
    return course * (_STEADY - _FLICKER + random.parts(lane, 2 * _FLICKER + 1))


def _run(random: RandomValues, lane: int) -> tuple[Numbers, Numbers]:
    """Return at which second an appliance starts, and how long it runs, within the minute."""
    length = _SHORTEST_RUN + random.rows(2 * lane, 60 - 2 * _SHORTEST_RUN)
    begin = random.rows(2 * lane + 1, 1 << 16) % (61 - length)
    return begin[:, None], length[:, None]


def _apportion(weights: Numbers, totals: Numbers) -> Numbers:
    """Return whole numbers in proportion to ``weights`` whose sum is the total of each minute."""
    weights = np.where(weights.any(axis=1, keepdims=True), weights, 1)
    reached = np.cumsum(weights, axis=1)
    ends = reached * totals[:, None] // reached[:, -1:]
    return np.diff(ends, axis=1, prepend=0)


def _sum(amounts: Sequence[Numbers]) -> Numbers:
    total: Numbers = np.sum(amounts, axis=0)
    return total


def _voltage(levels: Numbers, watts: Numbers, random: RandomValues) -> Numbers:
    """Return voltages whose mean is the recorded one."""
    before, here, after = levels.T[:, :, None]
    drop = (watts - watts.sum(axis=1, keepdims=True) // 60) // _W_PER_CENTIVOLT
    trend = (after - before) * (2 * _SECONDS - 59) // 240
    noise = random.parts(5, 2 * _NOISE_CENTIVOLT + 1) - _NOISE_CENTIVOLT
    away: Numbers = np.clip(trend + noise - drop, -here // 4, here // 4)
    surplus = away.sum(axis=1, keepdims=True)
    centivolts: Numbers = here + away - ((_SECONDS + 1) * surplus // 60 - _SECONDS * surplus // 60)
    return centivolts


def _current(watts: Numbers, vars_: Numbers, centivolts: Numbers) -> Numbers:
    apparent = np.sqrt((watts * watts + vars_ * vars_).astype(np.float64))
    return np.floor(apparent * 100_000.0 / np.maximum(centivolts, 1) + 0.5).astype(np.int64)


HOUSEHOLD_REPLAY: Final = Replay(
    form=HOUSEHOLD_TEXT,
    history="data/household_power_consumption.txt.xz",
    interval_s=1,
    scaled=(
        "global_active_power",
        "global_reactive_power",
        "sub_metering_1",
        "sub_metering_2",
        "sub_metering_3",
    ),
    split=split,
)
