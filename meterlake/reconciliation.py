"""Comparing the layers: why a minute of batch may differ from the same minute of speed.

Every reading of the minute is known by then, so an explanation is not guessed: what the speed layer is held to have
seen is judged once more, and must make its row to the last unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from meterlake.judgement import judge, state_of
from meterlake.timegrid import floor_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import Dataset
    from meterlake.reading import Reading
    from meterlake.state import State

Outcome = Literal["equal", "late", "revised", "loaded", "unexplained"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("equal", "late", "revised", "loaded", "unexplained")
"""equal: the same to the last unit. late: the speed layer lacks the last readings, which came after the declared
lateness. revised: the same, and one of them replaced a reading that it has. loaded: readings came by file, which it
never sees. unexplained: none of these; somebody must look."""


def explain(dataset: Dataset, batch: State | None, speed: State | None, readings: Sequence[Reading]) -> Outcome:
    """Return why the layers' states of one cell are what they are.

    batch, speed: None where there is no row. readings: all of that cell in the master data set, as batch read it.
    """
    if batch == speed:
        return "equal"
    if state_of(dataset, judge(dataset, readings)) != batch:
        return "unexplained"  # not even batch follows from them
    live = sorted((found for found in readings if found.origin == dataset.readings_topic), key=_arrival)
    for kept in range(len(live), -1, -1):
        if kept < len(live) and not may_be_late(dataset, live[kept]):
            break
        if state_of(dataset, judge(dataset, live[:kept])) == speed:
            return _reason(dataset, live[:kept], live)
    return "unexplained"


def may_be_late(dataset: Dataset, reading: Reading) -> bool:
    """Return whether a reading came after the declared lateness, counted from the end of its minute.

    The speed layer drops none that came before; of those that came after, the ones whose minute it had closed.
    """
    end = floor_seconds(reading.ts, dataset.cell_s) + dataset.cell_s
    return reading.received_at.timestamp() > end + dataset.lateness.total_seconds()


def _reason(dataset: Dataset, kept: Sequence[Reading], live: Sequence[Reading]) -> Outcome:
    """Return what tells batch, which has all readings, from what is made of the first ones that came by message."""
    if len(kept) == len(live):
        return "loaded"
    known = {reading.key for reading in kept}
    winners = (found.reading for found in judge(dataset, live) if found.verdict in ("used", "gap"))
    dropped = live[len(kept) :]
    return "revised" if any(winner in dropped and winner.key in known for winner in winners) else "late"


def _arrival(reading: Reading) -> tuple[int, int]:
    """Return the order within a partition; a meter has one, as it is the key of its messages."""
    return (reading.origin_partition, reading.origin_offset)
