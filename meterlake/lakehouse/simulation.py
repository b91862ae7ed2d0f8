"""What a lakehouse's folder gives so that its records can be simulated: people who live, and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

Verdict = Literal["accepted", "rejected", "duplicate", "superseded", "conflicting", "undecodable"]
"""What becomes of a record that is sent."""

Row = dict[str, Any]
"""A record as it is on the wire, before it is JSON."""


@dataclass(frozen=True)
class Request:
    """What is simulated: people, events a second, from when and for how long, and the seed of all random values.

    step: the longest time of which the events are made, and sent, at once; None leaves it to the world.
    """

    users: int
    rate: float
    start: datetime
    duration: timedelta
    seed: int
    step: timedelta | None = None


@dataclass(frozen=True)
class Batch:
    """Records of one topic, in order of time. keys: what the messages are keyed by."""

    topic: str
    keys: list[str]
    rows: list[Row]


class World(Protocol):
    """People and things that live."""

    def references(self) -> Iterator[Batch]:
        """Yield who and what there is: what must be known before the first event."""

    def events(self) -> Iterator[list[Batch]]:
        """Yield what happens, a stretch of time after the other."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a record.

    topics: whose records it can happen to. change: turns the row into what is sent (a row, or bytes that are no JSON).
    verdict: what becomes of what is sent. repeat: the row itself is sent, too, before it.
    """

    meaning: str
    topics: tuple[str, ...]
    change: Callable[[Row], Row | bytes]
    verdict: Verdict
    repeat: bool = False
    later: bool = False


@dataclass(frozen=True)
class Simulation:
    """How records of a lakehouse are made. faults: by name."""

    world: Callable[[Request], World]
    faults: Mapping[str, Fault]
