"""The boundary between the layers: batch answers ``minute < B``, speed ``minute >= B``.

B is the beginning of a cell: floor(min over Kafka partitions of A_p − lateness), with the lateness by which the speed
layer drops readings (``meterlake.lateness`` says why nothing that it has shown is missing then). Everything that
partition p received before A_p is archived: A_p is the broker time of the last archived record of p; the run's clock if
p is archived to its end, or if there is no archive at all. The run's clock is read **before** the ends of the
partitions, so that nothing can arrive unseen in between. Only a roll-back lowers B.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from meterlake.durations import duration_text
from meterlake.errors import KafkaRetentionTooShort, RollbackLosesMinutes, TtlTooShort
from meterlake.timegrid import floor_minute, floor_seconds, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries

SPARE_DAYS: Final = timedelta(days=2)
"""How far beyond now + TTL the merged view lists days: the time to notice that no batch has run."""

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The boundary before the first run: speed answers all."""


@dataclass(frozen=True)
class PartitionProgress:
    """How far a Kafka partition is archived.

    archived_until: broker time of its last archived record, None if there is none.
    at_end: whether every record up to the partition's end (read after the run's clock) is archived.
    """

    partition: int
    archived_until: datetime | None
    at_end: bool


@dataclass(frozen=True)
class UncoveredRange:
    """Minutes from ``since`` up to, not including, ``until`` that neither layer could answer."""

    since: datetime
    until: datetime


def next_boundary(
    dataset: MeterSeries,
    progress: Sequence[PartitionProgress],
    run_clock: datetime,
    current: datetime | None = None,
) -> datetime:
    """Return the boundary for a run that read everything archived so far, in UTC.

    progress: every partition of the topic; empty where there is no archive.
    current: the boundary of the run that readers see, below which the result never falls.
    """
    clock = utc(run_clock)
    reached = [_reached(partition, clock) for partition in progress]
    earliest = max(min(reached, default=clock), BEGINNING + dataset.lateness)
    seconds = int((earliest - dataset.lateness).timestamp())
    proposed = datetime.fromtimestamp(floor_seconds(seconds, dataset.cell_s), UTC)
    return proposed if current is None else max(proposed, utc(current))


def _reached(partition: PartitionProgress, run_clock: datetime) -> datetime:
    """Return before which broker time everything of a partition is archived."""
    if partition.at_end:
        return run_clock
    if partition.archived_until is None:
        return BEGINNING
    return min(utc(partition.archived_until), run_clock)


def speed_days(boundary: datetime, now: datetime, ttl: timedelta) -> list[str]:
    """Return the UTC days, as Cassandra's ``day`` texts, that the merged view asks for.

    From the boundary's day to now + ttl + two days, both included: always at least one. Where batch has not reached
    the present for long, or never run, the days before now − ttl − two days are left out: their rows have expired.
    """
    first = max(utc(boundary), utc(now) - ttl - SPARE_DAYS).date()
    last = max(first, (utc(now) + ttl + SPARE_DAYS).date())
    return [(first + timedelta(days=step)).isoformat() for step in range((last - first).days + 1)]


def needed_ttl(batch_interval: timedelta, lateness: timedelta) -> timedelta:
    """Return the shortest safe life of a speed row: batch interval + lateness + one missed run."""
    return batch_interval + lateness + batch_interval


def check_ttl(dataset: str, ttl: timedelta, batch_interval: timedelta, lateness: timedelta) -> None:
    """Raise TtlTooShort where speed rows could expire before batch has covered them."""
    needed = needed_ttl(batch_interval, lateness)
    if ttl < needed:
        raise TtlTooShort(dataset, duration_text(ttl), duration_text(needed))


def check_kafka_retention(
    dataset: str, retention: timedelta | None, batch_interval: timedelta, lateness: timedelta
) -> None:
    """Raise KafkaRetentionTooShort where Kafka could drop messages whose minutes batch has not covered.

    A speed query that begins again makes such minutes again from what Kafka still has. retention: None without an end.
    """
    needed = needed_ttl(batch_interval, lateness)
    if retention is not None and retention < needed:
        raise KafkaRetentionTooShort(dataset, duration_text(retention), duration_text(needed))


def first_living(now: datetime, ttl: timedelta) -> datetime:
    """Return the first minute whose speed row cannot have expired."""
    return floor_minute(utc(now) - ttl) + timedelta(minutes=1)


def uncovered_by_rollback(older: datetime, current: datetime, now: datetime, ttl: timedelta) -> UncoveredRange | None:
    """Return the minutes that a roll-back to an older boundary would lose, or None.

    A minute's speed row is written when the minute begins or later, and lives for ``ttl``.
    """
    since = utc(older)
    until = min(utc(current), first_living(now, ttl))
    return UncoveredRange(since, until) if since < until else None


def check_rollback(dataset: str, uncovered: UncoveredRange | None, ttl: timedelta, *, allow_gap: bool = False) -> None:
    """Raise RollbackLosesMinutes where a roll-back would leave a range uncovered and nobody allowed it."""
    if uncovered is not None and not allow_gap:
        since, until = (f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (uncovered.since, uncovered.until))
        raise RollbackLosesMinutes(dataset, since, until, duration_text(ttl))
