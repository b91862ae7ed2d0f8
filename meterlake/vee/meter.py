"""Estimation for one meter: gaps filled by the declared methods, and made to add up to its register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from meterlake.units import to_decimal
from meterlake.vee import estimation
from meterlake.vee.declaration import SumCheck, Vee, tolerance_units
from meterlake.vee.grid import moment
from meterlake.vee.registers import Period, shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meterlake.declaration import Measure
    from meterlake.vee.estimation import Group
    from meterlake.vee.grid import Cells, Gap, Integers

REGISTER = "register"
"""Name of the method where a register is all that is known of a gap; added to another's where it scales that."""


@dataclass(frozen=True)
class Estimate:
    """The estimate of an interval. start, gap_begins, gap_ends: seconds since 1970. value: in units."""

    start: int
    value: int
    reason: Literal["missing", "replaced"]
    method: str
    inputs: str
    gap_begins: int
    gap_ends: int


@dataclass(frozen=True)
class Unequal:
    """A period in which intervals add up to something else than the register. In units."""

    period: Period
    intervals: int
    measured: int


@dataclass(frozen=True)
class Of:
    """What is known of a meter beside its cells: its group, and the periods of its register."""

    group: Group | None = None
    periods: Sequence[Period] = ()


def validate_and_estimate(
    cells: Cells, vee: Vee, measure: Measure, wanted: Iterable[tuple[int, int]], of: Of = Of()
) -> tuple[list[Estimate], list[Unequal]]:
    """Return the estimates of all gaps that begin or end in a wanted stretch of time, and where the register differs.

    wanted: (begin, end) in seconds since 1970. A gap whose register period has other gaps needs those, too: they are
    taken into account whether they are wanted or not.
    """
    stretches = list(wanted)
    periods = [period for period in of.periods if _within(cells, period)]
    lowest = _lowest(measure, cells.step)
    made: dict[Gap, estimation.Estimated | None] = {}
    for gap in cells.gaps():
        begin, end = cells.starts(gap.first), cells.starts(gap.last)
        relevant = _meets(begin, end, stretches) or any(
            _meets(period.begin, period.end, [(begin, end)]) and _meets(period.begin, period.end, stretches)
            for period in periods
        )
        if relevant:
            made[gap] = estimation.estimate(cells, gap, vee.methods, of.group, lowest)
    values = np.zeros(cells.count, np.int64)
    names: dict[int, tuple[str, str]] = {}
    for gap, one in made.items():
        if one is not None:
            values[gap.first : gap.last] = one.values
            names |= dict.fromkeys(range(gap.first, gap.last), (one.method, one.inputs))
    unequal = [
        result
        for period in periods
        if _meets(period.begin, period.end, stretches)
        for result in _constrain(cells, vee, measure, period, values, names)
    ]
    kept = [gap for gap in made if _meets(cells.starts(gap.first), cells.starts(gap.last), stretches)]
    return [_row(cells, gap, place, values, names) for gap in kept for place in _places(gap) if place in names], unequal


def _constrain(
    cells: Cells, vee: Vee, measure: Measure, period: Period, values: Integers, names: dict[int, tuple[str, str]]
) -> list[Unequal]:
    """Make the estimates in a period add up to what its register leaves for them; return where it leaves too little."""
    first, last = cells.place(period.begin), cells.place(period.end)
    open_places = [place for place in range(first, last) if not cells.usable[place]]
    read = cells.usable[first:last]
    measured = int(cells.values[first:last][read].sum())
    left = period.advance - measured
    rule = vee.rule(SumCheck)
    if not open_places:
        tolerance = tolerance_units(rule, measure.scale) if isinstance(rule, SumCheck) else abs(left)
        return [Unequal(period, last - first, measured)] if abs(left) > tolerance else []
    if left < 0:
        return [Unequal(period, last - first, measured)] if rule is not None else []
    mean = measured // max(int(read.sum()), 1)
    weights = [max(int(values[place]), 0) if place in names else mean for place in open_places]
    advance = f"{to_decimal(period.advance, measure.scale)} {measure.unit}"
    note = f"the register's advance of {advance} from {_time(period.begin)} to {_time(period.end)}"
    for place, value in zip(open_places, shared(left, weights), strict=True):
        values[place] = value
        method, inputs = names.get(place, ("", "the mean of the period"))
        names[place] = (f"{method}+{REGISTER}" if method else REGISTER, f"{inputs}; scaled to {note}")
    return []


def _row(cells: Cells, gap: Gap, place: int, values: Integers, names: dict[int, tuple[str, str]]) -> Estimate:
    reason: Literal["missing", "replaced"] = "replaced" if cells.known[place] else "missing"
    begins, ends = cells.starts(gap.first), cells.starts(gap.last)
    return Estimate(cells.starts(place), int(values[place]), reason, *names[place], begins, ends)


def _places(gap: Gap) -> range:
    return range(gap.first, gap.last)


def _within(cells: Cells, period: Period) -> bool:
    """Return whether a period is on the grid, and between the first and the last usable interval."""
    usable = np.flatnonzero(cells.usable)
    if not len(usable) or period.begin % cells.step or period.end % cells.step:
        return False
    first, last = cells.starts(int(usable[0])), cells.starts(int(usable[-1]) + 1)
    return first <= period.begin and period.end <= last


def _meets(begin: int, end: int, stretches: Iterable[tuple[int, int]]) -> bool:
    return any(begin < until and since < end for since, until in stretches)


def _lowest(measure: Measure, step: int) -> float:
    low = measure.limits(step)[0]
    return low * 10.0**measure.scale * (step if measure.kind == "level" else 1)


def _time(ts: int) -> str:
    return f"{moment(ts):%Y-%m-%d %H:%M}"
