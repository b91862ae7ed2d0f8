"""Comparing the layers: why a minute of batch may differ from the same minute of speed.

Every reading of the minute is known by then, and which of them the speed layer leaves out (``meterlake.lateness``).
So an explanation is not guessed: what the speed layer must have seen is judged once more, and must make its row to the
last unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from meterlake.judgement import judge, state_of
from meterlake.lateness import is_late

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.reading import Reading
    from meterlake.state import State

Outcome = Literal["equal", "late", "revised", "withdrawn", "loaded", "arrived_since", "unexplained"]
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "equal",
    "late",
    "revised",
    "withdrawn",
    "loaded",
    "arrived_since",
    "unexplained",
)
"""equal: the same to the last unit.
late: the speed layer lacks readings that came after the declared lateness.
revised, withdrawn: the same, and one of them replaced a reading that it has, or took one back.
loaded: readings came by file, which it never sees.
arrived_since: it has readings that came on time, and after the snapshot that batch has read.
unexplained: none of these; somebody must look."""


def explain(
    dataset: MeterSeries,
    batch: State | None,
    speed: State | None,
    readings: Sequence[Reading],
    since: Sequence[Reading] = (),
) -> Outcome:
    """Return why the layers' states of one cell are what they are.

    batch, speed: None where there is no row. readings: all of that cell in the master data set, as batch read it.
    since: those that the master data set has got since then.
    """
    if batch == speed:
        return "equal"
    if _state(dataset, readings) != batch:
        return "unexplained"  # not even batch follows from them
    live = [reading for reading in readings if reading.origin == dataset.readings_topic]
    on_time = [reading for reading in live if not is_late(dataset, reading)]
    if _state(dataset, on_time) == speed:
        return "loaded" if _state(dataset, live) == speed else _reason(dataset, on_time, live)
    newer = sorted((reading for reading in since if _is_shown(dataset, reading)), key=_arrival)
    shown = (_state(dataset, [*on_time, *newer[:count]]) for count in range(1, len(newer) + 1))
    return "arrived_since" if any(state == speed for state in shown) else "unexplained"


def _is_shown(dataset: MeterSeries, reading: Reading) -> bool:
    return reading.origin == dataset.readings_topic and not is_late(dataset, reading)


def _reason(dataset: MeterSeries, on_time: Sequence[Reading], live: Sequence[Reading]) -> Outcome:
    """Return what the late ones of the readings that came by message have done to those on time."""
    known = {reading.key for reading in on_time if not reading.is_gap}
    winners = [judged.reading for judged in judge(dataset, live) if judged.verdict in ("used", "gap")]
    replacing = [winner for winner in winners if winner.key in known and is_late(dataset, winner)]
    if not replacing:
        return "late"
    return "withdrawn" if all(winner.is_gap for winner in replacing) else "revised"


def _state(dataset: MeterSeries, readings: Sequence[Reading]) -> State | None:
    return state_of(dataset, judge(dataset, readings))


def _arrival(reading: Reading) -> tuple[int, int]:
    """Return the order within a partition; a meter has one, as it is the key of its messages."""
    return (reading.origin_partition, reading.origin_offset)
