"""Faults put into records, at most one in each, and what must become of all that is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import orjson

from meterlake.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from meterlake.lakehouse.simulation import Batch, Fault, Simulation

Message = tuple[str, bytes]
"""Key and value."""


@dataclass
class Account:
    """By topic: how many messages were sent, and what must become of them. The parts add up to what was sent."""

    topics: dict[str, Counter[str]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, topic: str, verdict: str, count: int = 1) -> None:
        """Count messages of a topic."""
        self.topics.setdefault(topic, Counter())[verdict] += count

    @property
    def sent(self) -> int:
        """All messages."""
        return sum(sum(counts.values()) for counts in self.topics.values())

    def as_json(self) -> bytes:
        """Return the account as a file holds it."""
        topics = {
            name: {"sent": sum(counts.values()), **dict(sorted(counts.items()))}
            for name, counts in sorted(self.topics.items())
        }
        return orjson.dumps({"topics": topics, "faults": dict(sorted(self.faults.items()))}, option=orjson.OPT_INDENT_2)


def parse(text: str, simulation: Simulation) -> dict[str, float]:
    """Return the shares of a simulation's faults of ``name=share,…``. Raises UsageError or UnknownName."""
    return shares_of(text, simulation.faults)


def shares_of(text: str, known: Collection[str]) -> dict[str, float]:
    """Return the shares of faults of ``name=share,…``. Raises UsageError or UnknownName."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = part.partition("=")
        if name not in known:
            raise UnknownName("fault", name, known)
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = -1.0
        if not 0 <= shares[name] <= 1:
            raise UsageError(f"--faults: {part!r} has no share.", hint="Write late=0.01,duplicate=0.01: from 0 to 1.")
    if sum(shares.values()) > 1:
        raise UsageError(
            f"--faults: the shares add up to {sum(shares.values()):g}, but a record has one fault at most.",
            hint="Write shares that add up to 1 at most.",
        )
    return shares


class Injector:
    """Turns batches into messages with faults among them."""

    def __init__(self, simulation: Simulation, shares: Mapping[str, float], seed: int, account: Account) -> None:
        self._faults = {name: (simulation.faults[name], share) for name, share in shares.items()}
        self._random = np.random.default_rng((seed, 1))
        self._account = account
        self._held: dict[str, list[Message]] = {}

    def messages(self, batch: Batch) -> list[Message]:
        """Return what is sent for a batch; what is to arrive late is held back."""
        chosen = self._chosen(batch)
        self._account.add(batch.topic, "accepted", len(batch.rows) - len(chosen))
        sent: list[Message] = []
        for number, (key, row) in enumerate(zip(batch.keys, batch.rows, strict=True)):
            name = chosen.get(number)
            if name is None:
                sent.append((key, orjson.dumps(row)))
                continue
            fault = self._faults[name][0]
            self._account.faults[name] += 1
            self._account.add(batch.topic, fault.verdict)
            if fault.repeat:
                sent.append((key, orjson.dumps(row)))
                self._account.add(batch.topic, "accepted")
            changed = fault.change(row)
            message = (key, changed if isinstance(changed, bytes) else orjson.dumps(changed))
            (self._held.setdefault(batch.topic, []) if fault.later else sent).append(message)
        return sent

    def held(self) -> Iterator[tuple[str, list[Message]]]:
        """Yield what was held back, by topic; it is then held no longer."""
        while self._held:
            yield self._held.popitem()

    def _chosen(self, batch: Batch) -> dict[int, str]:
        """Return the numbers of the rows that have a fault, and which."""
        names = [name for name, (fault, _) in self._faults.items() if batch.topic in fault.topics]
        if not names:
            return {}
        bounds = np.cumsum([self._faults[name][1] for name in names])
        which = np.searchsorted(bounds, self._random.random(len(batch.rows)), side="right")
        hit = np.flatnonzero(which < len(names))
        return {int(number): names[int(which[number])] for number in hit}


def meanings(faults: Mapping[str, Fault]) -> list[dict[str, str]]:
    """Return what each fault does, for people."""
    return [{"fault": name, "record": fault.meaning, "becomes": fault.verdict} for name, fault in faults.items()]
