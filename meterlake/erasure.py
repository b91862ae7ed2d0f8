"""The erasure of a meter's readings: what is asked for, what was found where, and what remains until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

FOR_EVER: Final = "until somebody removes it"


@dataclass(frozen=True)
class Erasure:
    """What is to be erased: all readings of a meter, or those before a moment (aware)."""

    dataset: str
    meter: str
    before: datetime | None = None


@dataclass(frozen=True)
class Remains:
    """What an erasure cannot remove. until: when it is gone by itself; None where it stays."""

    where: str
    what: str
    until: datetime | None = None

    def packed(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"where": self.where, "what": self.what, "until": self.until.isoformat() if self.until else None}

    @classmethod
    def unpacked(cls, content: Mapping[str, Any]) -> Remains:
        """Return what ``packed`` has made JSON of."""
        until = content["until"]
        return cls(content["where"], content["what"], datetime.fromisoformat(until) if until else None)


@dataclass(frozen=True)
class InTopic:
    """The messages of a meter in a partition of the readings' topic, as master data set and quarantine know them.

    bad: of count, those that are no readings, which the topic of rejects has, too.
    first: offset from which the topic keeps messages. alone_until: up to here, all of them are the meter's.
    """

    partition: int
    count: int
    bad: int
    last_at: datetime
    first: int
    alone_until: int

    def left(self, first: int) -> int:
        """Return how many of the messages a topic still has. first: offset from which it keeps them now."""
        return self.count - max(0, min(first, self.alone_until) - self.first)


class Retention(NamedTuple):
    """How long a topic keeps messages: None for ever. segment: so much longer may a file of messages be open."""

    kept: timedelta | None
    segment: timedelta


def left_in_topic(
    topic: str, messages: Iterable[InTopic], firsts: Mapping[int, int], retention: Retention, now: datetime
) -> list[Remains]:
    """Return what a topic still has of a meter's messages, and until when. firsts: offsets that are kept now."""
    parts = [(part, part.left(firsts[part.partition])) for part in messages]
    last = max((part.last_at for part, _ in parts), default=now)
    until = None if retention.kept is None else last + retention.kept + retention.segment
    if until and until <= now:
        return []
    stays = "" if until else f": retention.ms is -1, so {FOR_EVER}"
    left, deleted = sum(left for _, left in parts), sum(part.count - left for part, left in parts)
    remains = []
    if left:
        remains.append(Remains(f"Kafka topic {topic}", f"{left} messages of the meter{stays}", until))
    if deleted:
        what = f"{deleted} deleted messages, which no consumer can read{stays}"
        remains.append(Remains("files of Kafka's brokers", what, until))
    return remains


def left_among_rejects(topic: str, messages: Iterable[InTopic], retention: Retention, now: datetime) -> list[Remains]:
    """Return what the topic of rejects still has of a meter's messages, and until when."""
    bad = [InTopic(part.partition, part.bad, 0, part.last_at, 0, 0) for part in messages if part.bad]
    return left_in_topic(topic, bad, {part.partition: 0 for part in bad}, retention, now)


class Live(Protocol):
    """What the speed layer has of a meter's readings."""

    def count(self) -> dict[str, int]:
        """Return how many rows are in which table."""

    def erase(self) -> list[Remains]:
        """Remove them; return what cannot be removed. Doing it again changes nothing."""

    def first_offsets(self) -> dict[int, int]:
        """Return the first offset that is kept of each partition of the readings' topic."""

    def trim(self, messages: list[InTopic]) -> list[Remains]:
        """Delete messages that stand before all others of their partition; return what is left."""


@dataclass(frozen=True)
class Receipt:
    """What an erasure did. removed: place -> how many of its readings were there. run: whose views are without them.

    result: ``erased``; ``nothing to erase``; ``would be erased``.
    """

    erasure: Erasure
    result: str
    removed: Mapping[str, int] = field(hash=False)
    remains: tuple[Remains, ...] = ()
    id: str = ""
    at: datetime | None = None
    by: str = ""
    why: str = ""
    run: str = ""
