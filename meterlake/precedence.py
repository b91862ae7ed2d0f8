"""Precedence: which of several readings of one key counts, and what becomes of the others.

One reading a key (meter_id, ts, interval_s): the highest revision; then one with values before a gap row;
then the earliest received, then origin, partition, offset or line. The losers:

- ``superseded``: of a lower revision, or a gap row where values of the same revision exist;
- ``duplicate``: the same payload, compared in units, at the winner's revision;
- ``conflicting``: another payload at the winner's revision; the loser is recorded.

A winning gap row (all values missing) has the verdict ``gap``: it is kept and counted, and adds no
coverage; of a higher revision it withdraws the values before it. Rejected readings take no part.
The order is total, so the outcome does not depend on the order of arrival in a job.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Final, Literal

from meterlake.errors import OutOfBalance, PermanentError
from meterlake.schema import MAX_REVISION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from meterlake.declaration import MeterSeries
    from meterlake.reading import Reading

LIVE_REVISIONS: Final = 999
"""Bridges and devices number their own readings up to here; a correction's revision is higher."""

Verdict = Literal["used", "gap", "duplicate", "superseded", "conflicting", "rejected"]
VERDICTS: Final[tuple[Verdict, ...]] = ("used", "gap", "duplicate", "superseded", "conflicting", "rejected")


def order(reading: Reading) -> tuple[int, bool, datetime, str, int, int]:
    """Return the sort key of precedence among readings of one key: the smallest wins."""
    return (
        -reading.revision,
        reading.is_gap,
        reading.received_at,
        reading.origin,
        reading.origin_partition,
        reading.origin_offset,
    )


def order_sql(dataset: MeterSeries) -> list[str]:
    """Return the ORDER BY terms of precedence, for all dialects; the first row wins.

    ``origin`` is compared by bytes in all engines: names of topics and files are ASCII.
    """
    return [
        "revision DESC",
        f"CASE WHEN {gap_sql(dataset)} THEN 1 ELSE 0 END ASC",
        "received_at ASC",
        "origin ASC",
        "origin_partition ASC",
        "origin_offset ASC",
    ]


def correcting_revision(highest: int) -> int:
    """Return the revision of a correction, so that it counts against all that is there and what may still arrive.

    highest: of the readings that are there. Raises NoHigherRevision.
    """
    revision = max(highest, LIVE_REVISIONS) + 1
    if revision > MAX_REVISION:
        raise NoHigherRevision(
            f"There are readings of revision {highest}, the highest that there is: none can replace them.",
            hint="Erase the meter's readings (`meterlake erase`), and load them again with lower revisions.",
        )
    return revision


def gap_sql(dataset: MeterSeries) -> str:
    """Return the condition that a row is a gap row: all its measures are NULL."""
    return " AND ".join(f"{measure.name} IS NULL" for measure in dataset.measures)


def key_columns(dataset: MeterSeries) -> tuple[str, str, str]:
    """Return the columns that identify a reading, for PARTITION BY."""
    return (dataset.key, dataset.event_time, dataset.interval)


def resolve(dataset: MeterSeries, readings: Sequence[Reading]) -> list[Verdict]:
    """Return the verdict on each reading, in the order given.

    readings: of any keys, all accepted by the rules. Choosing between interval lengths comes after.
    """
    groups: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for index, reading in enumerate(readings):
        groups[reading.key].append(index)
    verdicts: dict[int, Verdict] = {}
    for indices in groups.values():
        winner, *losers = sorted(indices, key=lambda index: order(readings[index]))
        verdicts[winner] = "gap" if readings[winner].is_gap else "used"
        for loser in losers:
            verdicts[loser] = judge(dataset, readings[winner], readings[loser])
    return [verdicts[index] for index in range(len(readings))]


def judge(dataset: MeterSeries, winner: Reading, loser: Reading) -> Verdict:
    """Return the verdict on a reading that lost against another of its key."""
    if loser.revision < winner.revision:
        return "superseded"
    if loser.units(dataset) == winner.units(dataset):
        return "duplicate"
    return "superseded" if loser.is_gap else "conflicting"


class NoHigherRevision(PermanentError):
    """What is there has the highest revision that there is."""


@dataclass(frozen=True)
class Balance:
    """Counts of a run's readings by verdict: read = used + gap + duplicate + … + rejected."""

    read: int
    used: int = 0
    gap: int = 0
    duplicate: int = 0
    superseded: int = 0
    conflicting: int = 0
    rejected: int = 0

    @classmethod
    def of(cls, read: int, verdicts: Iterable[Verdict]) -> Balance:
        """Count verdicts; ``read`` is counted elsewhere, or the balance would prove nothing."""
        counts = dict.fromkeys(VERDICTS, 0)
        for verdict in verdicts:
            counts[verdict] += 1
        return cls(read, **counts)

    def __add__(self, other: Balance) -> Balance:
        mine, theirs = asdict(self), asdict(other)
        return Balance(**{name: mine[name] + theirs[name] for name in mine})

    def check(self, place: str = "Balance") -> None:
        """Raise OutOfBalance, with ``place`` in its message, unless both sides are equal."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "read"}
        if sum(parts.values()) != self.read:
            raise OutOfBalance(place, self.read, parts)
