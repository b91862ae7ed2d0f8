"""What rules find in rows of any number of meters: one pass of array operations over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meterlake.ranges import Rate
from meterlake.vee.declaration import Negative, OutOfRange, Spike, Stuck, Vee, ZeroRun

if TYPE_CHECKING:
    from meterlake.declaration import Measure
    from meterlake.vee.declaration import Action
    from meterlake.vee.grid import Flags, Integers

UNKNOWN = -1
"""What is usual for a meter, where that is not known."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of the finest view, sorted by meter and start: an array element each.

    meter: its number in the rows. starts: seconds since 1970. values: sums in units, of a whole interval. day: local
    day since 1970. usual_peak: of the meter before this day, in units; UNKNOWN where it has none.
    """

    meter: Integers
    starts: Integers
    values: Integers
    day: Integers
    usual_peak: Integers


@dataclass(frozen=True)
class Flagged:
    """A run of rows, first to last (not included), within one local day of a meter. value, expected: in units."""

    rule: str
    action: Action
    first: int
    last: int
    value: int
    expected: int | None


def find(rows: Rows, vee: Vee, measure: Measure, step: int) -> list[Flagged]:
    """Return what the rules find in single rows and in runs of them. step: seconds of an interval."""
    result: list[Flagged] = []
    for rule in vee.rules:
        if isinstance(rule, OutOfRange):
            result += _outside(rows, rule, measure, step)
        elif isinstance(rule, Negative):
            result += _runs(rows, step, rows.values < 0, rule.name, rule.action, np.zeros(len(rows.values), np.int64))
        elif isinstance(rule, Spike):
            result += _spikes(rows, rule, measure, step)
        elif isinstance(rule, Stuck | ZeroRun):
            result += _same(rows, rule, step)
    return result


def _outside(rows: Rows, rule: OutOfRange, measure: Measure, step: int) -> list[Flagged]:
    limits = rule.between.limits(step) if isinstance(rule.between, Rate) else rule.between
    seconds = step if measure.kind == "level" else 1
    low, high = (None if limit is None else round(float(limit) * 10**measure.scale) * seconds for limit in limits)
    result: list[Flagged] = []
    for limit, beyond in ((low, rows.values.__lt__), (high, rows.values.__gt__)):
        if limit is not None:
            passed = np.full(len(rows.values), limit, np.int64)
            result += _runs(rows, step, beyond(limit), rule.name, rule.action, passed)
    return result


def _spikes(rows: Rows, rule: Spike, measure: Measure, step: int) -> list[Flagged]:
    seconds = step if measure.kind == "level" else 1
    above = round(rule.above * 10**measure.scale) * seconds
    limit = np.maximum(np.floor(rows.usual_peak * rule.times).astype(np.int64), above)
    return _runs(rows, step, (rows.usual_peak >= 0) & (rows.values > limit), rule.name, rule.action, limit)


def _same(rows: Rows, rule: Stuck | ZeroRun, step: int) -> list[Flagged]:
    """Return runs of one value: of zero, or of any other."""
    if not len(rows.values):
        return []
    begins = np.r_[True, ~_touches(rows, step) | (rows.values[1:] != rows.values[:-1])]
    lengths = np.diff(np.r_[np.flatnonzero(begins), len(begins)])
    wanted = np.repeat(lengths * step >= rule.at_least.total_seconds(), lengths)
    wanted &= (rows.values == 0) if isinstance(rule, ZeroRun) else (rows.values != 0)
    return _runs(rows, step, wanted, rule.name, rule.action, None)


def _touches(rows: Rows, step: int) -> Flags:
    """Return of each row but the first whether it goes on where the row before ends."""
    same: Flags = rows.meter[1:] == rows.meter[:-1]
    next_to: Flags = rows.starts[1:] == rows.starts[:-1] + step
    return np.logical_and(same, next_to)


def _runs(rows: Rows, step: int, wanted: Flags, rule: str, action: Action, expected: Integers | None) -> list[Flagged]:
    """Return runs of wanted rows, cut where a local day ends, each with its value that is furthest from expected."""
    places = np.flatnonzero(wanted)
    if not len(places):
        return []
    goes_on = np.r_[False, _touches(rows, step) & (rows.day[1:] == rows.day[:-1])]
    cut = np.flatnonzero((np.diff(places) > 1) | ~goes_on[places[1:]]) + 1
    result = []
    for part in np.split(places, cut):
        limit = None if expected is None else expected[part]
        far = part[0] if limit is None else part[int(np.argmax(np.abs(rows.values[part] - limit)))]
        limit_there = None if expected is None else int(expected[far])
        result.append(Flagged(rule, action, int(part[0]), int(part[-1]) + 1, int(rows.values[far]), limit_there))
    return result
