"""Values that come one by one, each measure in a place of its own, joined to readings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from engines.readers.rows import Rows
    from meterlake.fileformats.base import FileFormat
    from meterlake.text.format import TextFormat


class Item(NamedTuple):
    """A value of a measure in an interval. value: None where the file says that there is none."""

    place: int
    begins: int
    interval_s: int
    measure: str
    value: float | None
    estimated: bool = False


class _Reading:
    """A reading that is being joined."""

    def __init__(self, place: int) -> None:
        self.place, self.estimated = place, False
        self.values: dict[str, float | None] = {}


class Joined:
    """The values of one meter. What is given twice makes two readings: which counts is not decided here."""

    def __init__(self, form: FileFormat | TextFormat) -> None:
        self.form = form
        self._readings: dict[tuple[int, int], list[_Reading]] = {}

    def put(self, item: Item) -> None:
        """Add a value to the first reading of its interval that lacks it."""
        readings = self._readings.setdefault((item.begins, item.interval_s), [])
        reading = next((one for one in readings if item.measure not in one.values), None)
        if reading is None:
            reading = _Reading(item.place)
            readings.append(reading)
        reading.values[item.measure] = item.value
        reading.estimated = reading.estimated or item.estimated

    def move(self, rows: Rows, meter: str, absent: Mapping[str, float] | None = None) -> Iterator[None]:
        """Add all readings to rows, in order of time, and forget them; yields after each.

        absent: measure -> its value where a reading has others, but not this one.
        """
        names = [measure.name for measure in self.form.dataset.measures]
        for (begins, interval_s), readings in sorted(self._readings.items()):
            for reading in readings:
                given = dict(reading.values)
                if any(value is not None for value in given.values()):
                    given = {**(absent or {}), **given}
                    if self.form.estimated:
                        given[self.form.estimated] = float(reading.estimated)
                values = [given.get(name) for name in names]
                rows.add(reading.place, meter, begins, interval_s, values, partial(_text, meter, begins, reading))
                yield
        self._readings.clear()


def _text(meter: str, begins: int, reading: _Reading) -> str:
    return f"{meter},{begins},{reading.values}"
