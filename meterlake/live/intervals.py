"""From samples to readings on the grid.

Without counters, a sample is a reading of the interval in which it was taken. Of several in one interval the last one
counts: its milliseconds in the interval are the reading's revision, so that this needs no memory, and the same message
makes the same reading at any time.

With counters, an interval's reading is made when a sample has shown the counter at its end or after it: the amounts as
``meterlake.registers`` says, and of levels the last ones that were shown in the interval. So much is remembered of each
meter (``MeterState``); who keeps it over a restart loses nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from meterlake.live.decode import Refusal
from meterlake.reading import Reading
from meterlake.registers import CONFLICTING_STAMP, EQUAL_STAMP, Counter, CounterReading, Edge, IntervalAmount, State
from meterlake.rules import MISSING_MEASURE
from meterlake.timegrid import floor_seconds
from meterlake.units import to_float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meterlake.live.decode import Sample
    from meterlake.live.sources import LiveSource

Values: TypeAlias = tuple[float | None, ...]


@dataclass
class MeterState:
    """What is known of a meter after its samples.

    counters: by measure. levels: start of an open interval -> when, in milliseconds, and what was shown last in it.
    """

    counters: dict[str, State] = field(default_factory=dict)
    levels: dict[int, tuple[int, Values]] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as text, for ``parsed``."""
        counters = {
            measure: [state.last[:3], state.total, state.edge] for measure, state in sorted(self.counters.items())
        }
        return json.dumps({"counters": counters, "levels": list(self.levels.items())}, separators=(",", ":"))

    @classmethod
    def parsed(cls, text: str) -> MeterState:
        """Return what ``text`` has written."""
        content: dict[str, Any] = json.loads(text)
        counters = {
            measure: State(CounterReading(*last), total, None if edge is None else Edge(*edge))
            for measure, (last, total, edge) in content["counters"].items()
        }
        return cls(counters, {begins: (at, tuple(values)) for begins, (at, values) in content["levels"]})


class Intervals:
    """Makes readings of the samples of one source.

    load: returns the state of a meter as it was kept, if it was. changed: the states that are to be kept, by meter.
    """

    def __init__(self, source: LiveSource, load: Callable[[str], MeterState | None]) -> None:
        self._source, self._load = source, load
        self._states: dict[str, MeterState] = {}
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
        held = state.levels.get(begins)
        if held is None or held[0] <= sample.at_ms:
            state.levels[begins] = (sample.at_ms, sample.values)
        amounts, reasons = self._count(state, sample)
        made: list[Reading | Refusal] = [
            self._closed(sample.meter, begins, state, amounts[begins]) for begins in sorted(amounts)
        ]
        self._forget(state, begins)
        self.changed[sample.meter] = state
        return [*made, *(Refusal(reason, sample.meter) for reason in reasons)]

    def _state(self, meter: str) -> MeterState:
        if meter not in self._states:
            self._states[meter] = self._load(meter) or MeterState()
        return self._states[meter]

    def _count(self, state: MeterState, sample: Sample) -> tuple[dict[int, dict[str, IntervalAmount]], list[str]]:
        """Return the amounts that a sample makes, by interval and measure, and the reasons of those that are none."""
        amounts: dict[int, dict[str, IntervalAmount]] = {}
        reasons: list[str] = []
        for value, units in zip(self._source.counters, sample.counters, strict=True):
            if units is None:
                continue
            counter = Counter(self._source.rule(value.measure, sample.meter), state.counters.get(value.measure))
            for outcome in counter.take(CounterReading(sample.at_ms // 1000, units, sample.serial)):
                if isinstance(outcome, IntervalAmount):
                    amounts.setdefault(outcome.begins, {})[value.measure] = outcome
                elif not self._is_known(outcome.reason) and outcome.reason not in reasons:
                    reasons.append(outcome.reason)
            if counter.state:
                state.counters[value.measure] = counter.state
        return amounts, reasons

    def _is_known(self, reason: str) -> bool:
        """Return whether nothing is lost with a counter reading: the next one has its amount, too."""
        return reason == EQUAL_STAMP or (reason == CONFLICTING_STAMP and self._source.time is None)

    def _closed(self, meter: str, begins: int, state: MeterState, amounts: dict[str, IntervalAmount]) -> Reading:
        source = self._source
        _, levels = state.levels.get(begins, (0, (None,) * len(source.values)))
        counted = [amounts.get(value.measure) for value in source.counters]
        values = [
            None if amount is None else to_float(amount.units, source.measures[amount_of.measure].scale)
            for amount, amount_of in zip(counted, source.counters, strict=True)
        ]
        estimated = [float(any(amount.estimated for amount in amounts.values()))] if source.estimated else []
        return self._reading(meter, begins, (*levels, *values, *estimated))

    def _reading(self, meter: str, begins: int, values: Values, revision: int = 0) -> Reading:
        ordered = tuple(values[at] for at in self._order)
        return Reading(meter, begins, self._source.interval_s, ordered, revision)

    def _forget(self, state: MeterState, begins: int) -> None:
        """Forget the levels of intervals that are closed, or too old to be."""
        source = self._source
        known = [one.last.at for one in state.counters.values()]
        until = min(known) if len(known) == len(source.counters) else 0
        until = max(until, begins - int(source.longest_gap.total_seconds()))
        for old in _ended(state.levels, until - source.interval_s):
            del state.levels[old]


def _ended(levels: Iterable[int], last: int) -> list[int]:
    return [begins for begins in levels if begins <= last]
