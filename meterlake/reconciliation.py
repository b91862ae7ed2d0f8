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
"""equal: the same to the last unit. late: the speed layer lacks the last readings, which came when its watermark may
have passed. revised: it keeps the first reading of a key, and a later one won. loaded: readings came by file, which it
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
        if _first_seen(dataset, live[:kept]) == speed:
            return _reason(dataset, batch, readings, live, is_late=kept < len(live))
    return "unexplained"


def may_be_late(dataset: Dataset, reading: Reading) -> bool:
    """Return whether the watermark may have passed a reading's minute when it arrived.

    The watermark follows the newest accepted reading, which may be ahead of the broker's clock by the tolerance.
    """
    watermark = (
        reading.received_at.timestamp() + dataset.clock_tolerance.total_seconds() - dataset.lateness.total_seconds()
    )
    return floor_seconds(reading.ts, dataset.cell_s) < watermark


def _reason(
    dataset: Dataset, batch: State | None, readings: Sequence[Reading], live: Sequence[Reading], *, is_late: bool
) -> Outcome:
    if is_late:
        return "late"
    only_live = state_of(dataset, judge(dataset, live))
    return "loaded" if len(live) < len(readings) and only_live != batch else "revised"


def _first_seen(dataset: Dataset, arrived: Sequence[Reading]) -> State | None:
    """Return the state that the first accepted reading of each key makes, as the speed layer keeps it."""
    accepted = [found.reading for found in judge(dataset, arrived) if found.verdict != "rejected"]
    first: dict[tuple[str, int, int], Reading] = {}
    for reading in accepted:
        first.setdefault(reading.key, reading)
    return state_of(dataset, judge(dataset, list(first.values())))


def _arrival(reading: Reading) -> tuple[int, int]:
    """Return the order within a partition; a meter has one, as it is the key of its messages."""
    return (reading.origin_partition, reading.origin_offset)
