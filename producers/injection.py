"""Faults put into a run: steps become messages in the order in which they are sent."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from meterlake import randomness
from meterlake.reading import Reading
from meterlake.units import to_float
from producers.errors import SinkFailed
from producers.faults import CLOCK_SKEW, FAULTS, Case, Message, limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from producers.faults import Outcome
    from producers.script import Script, Step
    from producers.totals import Totals

_FAULT: Final = 1
_RANDOM_VALUES: Final = 1 << 32


class Oracle:
    """A file with a line of JSON for every fault, so that a test knows what is true. Raises SinkFailed."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name, self._lines = file, name, 0

    def report(self, **facts: object) -> None:
        """Write a line."""
        self._lines += 1
        self._checked(lambda: self._file.write(json.dumps(facts).encode() + b"\n"))

    def flush(self) -> None:
        """Write what is buffered."""
        self._checked(self._file.flush)

    def _checked(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            raise SinkFailed(self._name, error.strerror, self._lines) from error


class Injection:
    """Turns steps into messages, and keeps what arrives later."""

    def __init__(self, script: Script, shares: Mapping[str, float], totals: Totals, oracle: Oracle | None) -> None:
        self._script, self._totals, self._oracle = script, totals, oracle
        self._dataset = script.replay.dataset
        self._names, self._limits = limits(shares)
        self._keys = np.array([meter.encode() for meter in script.fleet.ids], dtype=object)
        self._later: defaultdict[int, list[Message]] = defaultdict(list)
        for number in np.flatnonzero(script.skews).tolist():
            self._report(CLOCK_SKEW, {"meter_id": script.fleet.ids[number], "seconds": int(script.skews[number])})

    def messages(self, step: Step) -> list[Message]:
        """Return what is sent at a step: what was due before, then its readings by meter."""
        if skewed := np.count_nonzero(self._script.skews[step.meters]):
            self._totals.faults[CLOCK_SKEW] += int(skewed)
        due = self._later.pop(step.ts, [])
        messages: list[Message | None] = list(map(Message, self._keys[step.meters].tolist(), step.values))
        for at, name, random in self._struck(step):
            messages[at] = self._strike(step, at, name, random)
        return due + [message for message in messages if message is not None]

    def rest(self) -> Iterator[Message]:
        """Return all that is still under way, in the order in which it would arrive."""
        for ts in sorted(self._later):
            yield from self._later.pop(ts)

    def __len__(self) -> int:
        return sum(map(len, self._later.values()))

    def _struck(self, step: Step) -> Iterator[tuple[int, str, int]]:
        """Return the readings of a step that something goes wrong with: index, fault, random value."""
        if not self._names or not len(step.meters):
            return
        keys = randomness.keys(self._script.seed, step.meters, np.full(len(step.meters), step.ts), [_FAULT])
        which = np.searchsorted(self._limits, randomness.draw(keys, 0, _RANDOM_VALUES), side="right")
        for at in np.flatnonzero(which < len(self._names)).tolist():
            yield at, self._names[which[at]], int(randomness.draw(keys[at : at + 1], 1, _RANDOM_VALUES)[0])

    def _strike(self, step: Step, at: int, name: str, random: int) -> Message | None:
        reading = self._reading(step, at)
        key: bytes = self._keys[step.meters[at]]
        outcome = FAULTS[name](Case(self._dataset, reading, Message(key, step.values[at]), random))
        delay = -(-outcome.delay_s // reading.interval_s) * reading.interval_s
        if outcome.later:
            self._later[step.ts + delay].append(outcome.later)
        self._totals.faults[name] += 1
        if outcome.kind:
            self._totals.corrupt[outcome.kind] += 1
        self._report(name, {"meter_id": reading.meter_id, "ts": reading.ts, **_facts(outcome, delay)})
        return outcome.now

    def _reading(self, step: Step, at: int) -> Reading:
        number = int(step.meters[at])
        values = tuple(
            to_float(unit, measure.scale)
            for unit, measure in zip(step.units[at].tolist(), self._dataset.measures, strict=True)
        )
        ts = step.ts + int(self._script.skews[number])
        return Reading(self._script.fleet.ids[number], ts, self._script.replay.interval_s, values)

    def _report(self, name: str, facts: dict[str, object]) -> None:
        if self._oracle:
            self._oracle.report(fault=name, **facts)


def _facts(outcome: Outcome, delay: int) -> dict[str, object]:
    facts = {"delay_s": delay if outcome.later else 0, "kind": outcome.kind, "reason": outcome.reason}
    return {name: value for name, value in facts.items() if value}
