"""From samples to readings on the grid.

Without counters, a sample is a reading of the interval in which it was taken. Of several in one interval the last one
counts: its milliseconds in the interval are the reading's revision, so that this needs no memory, and the same message
makes the same reading at any time.

With counters, an interval's reading is made when a sample has shown the counter at its end or after it: the amounts as
``meterlake.registers`` says, and of levels the last ones that were shown in the interval. A sample that is older than
others of its meter, and not older than the source's lateness, is put into its place among them: readings that come out
otherwise are made again with the next revision, and one that no longer is comes without values. So those that count
are the readings of all samples in order of time, as a file of them gives, whatever the order of their arrival. So much
is remembered of each meter (``MeterState``); who keeps it over a restart loses nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from meterlake.live.decode import Refusal
from meterlake.live.memory import Made, MeterState, Shown, Values
from meterlake.precedence import LIVE_REVISIONS
from meterlake.reading import Reading
from meterlake.registers import (
    CONFLICTING_STAMP,
    EQUAL_STAMP,
    OUT_OF_ORDER,
    Counter,
    CounterReading,
    IntervalAmount,
    State,
)
from meterlake.rules import MISSING_MEASURE
from meterlake.timegrid import floor_seconds
from meterlake.units import to_float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meterlake.live.decode import Sample
    from meterlake.live.memory import Amounts
    from meterlake.live.sources import LiveSource
    from meterlake.registers import Rule

__all__ = ["Intervals", "MeterState"]


class Intervals:
    """Makes readings of the samples of one source.

    load: returns the state of a meter as it was kept, if it was. changed: the states that are to be kept, by meter.
    """

    def __init__(self, source: LiveSource, load: Callable[[str], MeterState | None]) -> None:
        self._source, self._load = source, load
        self._states: dict[str, MeterState] = {}
        self._rules: dict[tuple[str, str], Rule] = {}
        self._counted = [value.measure for value in source.counters]
        self.changed: dict[str, MeterState] = {}
        by_name = [*(value.measure for value in source.values), *(value.measure for value in source.counters)]
        by_name += [source.estimated] if source.estimated else []
        self._order = [by_name.index(name) for name in source.measures]

    def take(self, sample: Sample) -> list[Reading | Refusal]:
        """Return the readings that a sample makes, and why it makes others not.

        The list is empty where all that it says is known already, or is remembered until its interval ends.
        """
        source = self._source
        begins = floor_seconds(sample.at_ms // 1000, source.interval_s)
        if not source.counters:
            revision = sample.at_ms - begins * 1000
            return [self._reading(sample.meter, begins, sample.values, revision=revision)]
        if all(given is None for given in (*sample.values, *sample.counters)):
            return [Refusal(MISSING_MEASURE, sample.meter)]
        state = self._state(sample.meter)
        newest = state.newest_ms
        if newest is not None and sample.at_ms // 1000 * 1000 < newest // 1000 * 1000 - source.reorder_ms:
            return [Refusal(OUT_OF_ORDER, sample.meter)]
        held = state.levels.get(begins)
        if held is None or held[0] <= sample.at_ms:
            state.levels[begins] = (sample.at_ms, sample.values)
        reasons, changed = self._insert(sample.meter, state, Shown(sample.at_ms, sample.counters, sample.serial))
        if begins in state.made:  # a level of an interval that is closed
            changed.add(begins)
        made, unsent = self._made(sample.meter, state, sorted(changed))
        self._forget(sample.meter, state)
        self.changed[sample.meter] = state
        reasons += [OUT_OF_ORDER] if unsent and OUT_OF_ORDER not in reasons else []
        return [*made, *(Refusal(reason, sample.meter) for reason in reasons)]

    def _state(self, meter: str) -> MeterState:
        if meter not in self._states:
            self._states[meter] = self._load(meter) or MeterState()
        return self._states[meter]

    def _insert(self, meter: str, state: MeterState, shown: Shown) -> tuple[list[str], set[int]]:
        """Put what counters showed into its place; return why it makes no amounts, and which intervals have others."""
        recent = state.recent
        first, place = (find(recent, shown.at_ms, key=lambda one: one.at_ms) for find in (bisect_left, bisect_right))
        if shown in recent[first:place]:
            return [], set()
        recent.insert(place, shown)
        if place == len(recent) - 1:
            amounts, reasons = self._count(meter, state.counters, shown)
            for begins, of_interval in amounts.items():
                state.made.setdefault(begins, Made()).amounts.update(of_interval)
            return reasons, set(amounts)
        return self._recount(meter, state, place)

    def _recount(self, meter: str, state: MeterState, place: int) -> tuple[list[str], set[int]]:
        """Make the amounts of the recent samples again, of which the one at a place is new."""
        counters, reasons = dict(state.before), list[str]()
        open_since = {
            measure: state.before[measure].last.at if measure in state.before else -1 for measure in self._counted
        }
        changed = set(state.made)
        for begins, made in state.made.items():
            end = begins + self._source.interval_s
            made.amounts = {name: amount for name, amount in made.amounts.items() if end <= open_since[name]}
        for at, shown in enumerate(state.recent):
            amounts, refused = self._count(meter, counters, shown)
            reasons = refused if at == place else reasons
            for begins, of_interval in amounts.items():
                state.made.setdefault(begins, Made()).amounts.update(of_interval)
                changed.add(begins)
        state.counters = counters
        return reasons, changed

    def _count(self, meter: str, counters: dict[str, State], shown: Shown) -> tuple[dict[int, Amounts], list[str]]:
        """Return the amounts that counters make, by interval, and the reasons of those that are none."""
        amounts: dict[int, Amounts] = {}
        reasons: list[str] = []
        for measure, units in zip(self._counted, shown.units, strict=True):
            if units is None:
                continue
            counter = Counter(self._rule(measure, meter), counters.get(measure))
            for outcome in counter.take(CounterReading(shown.at_ms // 1000, units, shown.serial)):
                if isinstance(outcome, IntervalAmount):
                    amounts.setdefault(outcome.begins, {})[measure] = (outcome.units, outcome.estimated)
                elif not self._is_known(outcome.reason) and outcome.reason not in reasons:
                    reasons.append(outcome.reason)
            if counter.state:
                counters[measure] = counter.state
        return amounts, reasons

    def _rule(self, measure: str, meter: str) -> Rule:
        if (measure, meter) not in self._rules:
            self._rules[measure, meter] = self._source.rule(measure, meter)
        return self._rules[measure, meter]

    def _is_known(self, reason: str) -> bool:
        """Return whether nothing is lost with a counter reading: the next one has its amount, too."""
        return reason == EQUAL_STAMP or (reason == CONFLICTING_STAMP and self._source.time is None)

    def _made(self, meter: str, state: MeterState, intervals: Iterable[int]) -> tuple[list[Reading], bool]:
        """Return the readings that are others than those sent last, and whether any has no revision left."""
        readings: list[Reading] = []
        unsent = False
        for begins in intervals:
            made = state.made[begins]
            values = self._values(state, begins, made.amounts)
            if values == made.values or (made.revision < 0 and not made.amounts):
                continue
            if made.revision >= LIVE_REVISIONS:
                unsent = True
                continue
            made.revision, made.values = made.revision + 1, values
            readings.append(self._reading(meter, begins, values, made.revision))
        return readings, unsent

    def _values(self, state: MeterState, begins: int, amounts: Amounts) -> Values:
        """Return the values of an interval; without amounts, none at all."""
        source = self._source
        counted = [amounts.get(measure) for measure in self._counted]
        levels = state.levels[begins][1] if amounts and begins in state.levels else (None,) * len(source.values)
        values = [
            None if amount is None else to_float(amount[0], source.measures[measure].scale)
            for amount, measure in zip(counted, self._counted, strict=True)
        ]
        estimated = float(any(is_estimated for _, is_estimated in amounts.values())) if amounts else None
        return (*levels, *values, *([estimated] if source.estimated else []))

    def _reading(self, meter: str, begins: int, values: Values, revision: int = 0) -> Reading:
        ordered = tuple(values[at] for at in self._order)
        return Reading(meter, begins, self._source.interval_s, ordered, revision)

    def _forget(self, meter: str, state: MeterState) -> None:
        """Forget the samples, readings and levels that no message can change any more."""
        source, newest = self._source, state.newest_ms or 0
        until_ms = newest // 1000 * 1000 - source.reorder_ms
        while state.recent and state.recent[0].at_ms < until_ms:
            self._count(meter, state.before, state.recent.pop(0))
        known = [one.last.at for one in state.before.values()]
        until = min(known) if len(known) == len(source.counters) else 0
        until = max(until, until_ms // 1000 - int(source.longest_gap.total_seconds())) - source.interval_s
        for of_intervals in (state.levels, state.made):
            for old in [begins for begins in of_intervals if begins <= until]:
                del of_intervals[old]
