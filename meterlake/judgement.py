"""What becomes of readings, and the state that they make: rules, precedence, choice of a length.

The reference for both layers: batch and speed decide the same in bulk. A cell is a row of the finest view
(``dataset.cell_s`` seconds).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterlake import precedence, rules, timegrid
from meterlake.state import State, merge_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.precedence import Verdict
    from meterlake.reading import Reading


@dataclass(frozen=True)
class Judged:
    """A reading, what became of it, and why: a rule's name, or what won against it."""

    reading: Reading
    verdict: Verdict
    reason: str = ""


def judge(dataset: MeterSeries, readings: Sequence[Reading]) -> list[Judged]:
    """Return the verdict on each reading, in the order given. readings: all of their cells, or precedence errs."""
    refused = [rules.quarantine_reason(dataset, result) or rules.reject_reason(dataset, result) for result in readings]
    accepted = [result for result, reason in zip(readings, refused, strict=True) if reason is None]
    verdicts = _choose_length(dataset, accepted, precedence.resolve(dataset, accepted))
    return [
        Judged(result, "rejected", reason) if reason else Judged(result, *next(verdicts))
        for result, reason in zip(readings, refused, strict=True)
    ]


def state_of(dataset: MeterSeries, judged: Sequence[Judged]) -> State | None:
    """Return the state of the used readings; None where there are none, and so no row."""
    used = [result.reading for result in judged if result.verdict == "used"]
    states = [
        State.of_reading(
            dataset,
            reading.interval_s,
            [value for value in reading.units(dataset) if value is not None],
            flagged=rules.is_flagged(dataset, reading),
        )
        for reading in used
    ]
    return merge_all(dataset, states) if states else None


def _choose_length(
    dataset: MeterSeries, readings: Sequence[Reading], verdicts: Sequence[Verdict]
) -> Iterator[tuple[Verdict, str]]:
    """Let one interval length count in each cell: the used readings of the others are superseded."""
    coverage: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    for reading, verdict in zip(readings, verdicts, strict=True):
        if verdict == "used":
            coverage[_cell(dataset, reading)][reading.interval_s] += reading.interval_s
    chosen = {cell: timegrid.choose_interval(lengths) for cell, lengths in coverage.items()}
    for reading, verdict in zip(readings, verdicts, strict=True):
        length = chosen.get(_cell(dataset, reading), reading.interval_s)
        if verdict == "used" and reading.interval_s != length:
            yield "superseded", f"readings of {length} s cover more"
        else:
            yield verdict, ""


def _cell(dataset: MeterSeries, reading: Reading) -> tuple[str, int]:
    return reading.meter_id, timegrid.floor_seconds(reading.ts, dataset.cell_s)
