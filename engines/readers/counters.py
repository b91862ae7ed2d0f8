"""The counter readings of a file, and the amounts that they make.

They are held until the end of the file, four numbers each, since suppliers write the newest first as well as last.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import numpy as np

from engines.readers.joined import Item
from meterlake.counter_ends import Ends, Neighbours
from meterlake.registers import Counter, CounterReading, IntervalAmount, Refused
from meterlake.units import to_float

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engines.readers.joined import Joined
    from engines.readers.port import Options
    from engines.readers.rows import Rows
    from meterlake.registers import Rule


PARTIAL_INTERVAL: Final = "partial_interval"
"""The file ends inside an interval: what the counter ran in it is not used."""


class Readings:
    """The readings of one counter."""

    def __init__(self) -> None:
        self._at, self._units, self._place, self._serial = array("q"), array("q"), array("q"), array("q")
        self._serials: dict[str, int] = {"": 0}

    def add(self, reading: CounterReading) -> None:
        """Add a reading, in the order of the file."""
        self._at.append(reading.at)
        self._units.append(reading.units)
        self._place.append(reading.place)
        self._serial.append(self._serials.setdefault(reading.serial, len(self._serials)))

    def in_order(self) -> Iterator[CounterReading]:
        """Yield them in order of time; of one time, in the order of a file whose oldest stand first."""
        at, names = np.asarray(self._at), list(self._serials)
        newest_first = len(at) > 1 and at[0] > at[-1]
        places = np.arange(len(at))
        for n in np.lexsort((-places if newest_first else places, at)).tolist():
            yield CounterReading(self._at[n], self._units[n], names[self._serial[n]], self._place[n])


class Counters:
    """The counters of a file, by meter and measure. options: of the file."""

    def __init__(self, options: Options) -> None:
        self._counters: dict[str, dict[str, Readings]] = {}
        self._options = options

    def add(self, meter: str, measure: str, reading: CounterReading) -> None:
        """Add a reading of one counter."""
        self._counters.setdefault(meter, {}).setdefault(measure, Readings()).add(reading)

    @property
    def meters(self) -> tuple[str, ...]:
        """The meters, in the order of their first readings."""
        return tuple(self._counters)

    def move(self, rows: Rows, joined: Joined, rules: Mapping[str, Rule], meter: str) -> Iterator[None]:
        """Join the amounts that the counters of a meter make, and forget them; yields after each refused reading.

        rules: by measure. What makes no amount is added to rows.
        """
        refused = set[tuple[int, str]]()
        for measure, readings in self._counters.pop(meter, {}).items():
            rule, scale = rules[measure], joined.form.dataset.measure(measure).scale
            in_order, key = list(readings.in_order()), (meter, measure)
            if self._options.ends is not None:
                self._options.ends[key] = Ends.of(in_order, rule.interval_s)
            for made in _outcomes(in_order, rule, self._options.neighbours.get(key, Neighbours())):
                if isinstance(made, IntervalAmount):
                    value = to_float(made.units, scale)
                    joined.put(Item(made.place, made.begins, rule.interval_s, measure, value, made.estimated))
                elif made not in refused:  # of several measures of one record
                    refused.add(made)
                    rows.refuse(made.place, made.reason, f"{meter},{measure}")
                    yield


def _outcomes(
    readings: Sequence[CounterReading], rule: Rule, neighbours: Neighbours
) -> Iterator[IntervalAmount | Refused]:
    """Yield what the readings of a counter make; at last, where they end inside an interval that nothing completes.

    What the readings of other files make by themselves is theirs.
    """
    counter = Counter(rule)
    for reading in neighbours.before:
        counter.take(reading)
    for reading in readings:
        yield from counter.take(reading)
    last = counter.state.last if counter.state else None
    completed = False
    for reading in neighbours.after:
        for made in counter.take(reading._replace(place=readings[-1].place)):
            if isinstance(made, IntervalAmount):
                completed = True
                yield made
    if last and last.at % rule.interval_s and not completed:
        yield Refused(last.place, PARTIAL_INTERVAL)
