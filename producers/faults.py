"""Faults: what goes wrong with sensors and networks, by name and share, decided by the seed alone.

A reading has at most one fault. Delays count in the readings' own time; at the end of a run all that is under way
arrives, so that nothing is lost but what is called ``missing``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from meterlake import randomness
from meterlake.errors import UnknownName, UsageError
from meterlake.units import to_float, to_units
from meterlake.wire import Undecodable, decode, encode
from producers.corruption import KINDS

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.randomness import Numbers
    from meterlake.reading import Reading

CLOCK_SKEW: Final = "clock_skew"
SKEW_S: Final = 86_400
FUTURE_S: Final = 366 * 86_400
SOON_S: Final = 30
"""Within a lateness of minutes, as networks delay."""
MOST_DELAYED: Final = 3
"""So many times the lateness a delayed reading may need."""
_RANDOM_VALUES: Final = 1 << 32


class Message(NamedTuple):
    """What is sent: the record's key and its value, None for a tombstone."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Case:
    """A reading that something goes wrong with. random: a value below 2^32."""

    dataset: MeterSeries
    reading: Reading
    message: Message
    random: int

    def again(self, **changes: Any) -> Message:  # noqa: ANN401 - fields of Reading
        """Return the message of the reading with changes."""
        return Message(self.message.key, encode(self.dataset, replace(self.reading, **changes)))

    @property
    def soon(self) -> int:
        """A delay that the speed layer waits for, in seconds."""
        return 1 + self.random % SOON_S

    @property
    def no_values(self) -> tuple[None, ...]:
        """What a reading has whose meter takes it back."""
        return (None,) * len(self.dataset.measures)

    @property
    def other_values(self) -> tuple[float | None, ...]:
        """Values one unit away from the reading's in one measure, within its range."""
        at = self.random % len(self.dataset.measures)
        measure, value = self.dataset.measures[at], self.reading.values[at]
        units = to_units(value or 0.0, measure.scale) + 1
        units -= 2 if to_float(units, measure.scale) > measure.limits(self.reading.interval_s)[1] else 0
        return (*self.reading.values[:at], to_float(units, measure.scale), *self.reading.values[at + 1 :])


@dataclass(frozen=True)
class Outcome:
    """What becomes of a reading. now: sent in its place. later: sent ``delay_s`` after it. facts: for the oracle."""

    now: Message | None = None
    later: Message | None = None
    delay_s: int = 0
    kind: str = ""
    reason: str = ""


def _late(case: Case) -> Outcome:
    lateness = int(case.dataset.lateness.total_seconds())
    return Outcome(later=case.message, delay_s=lateness + case.dataset.cell_s + case.random % max(60, lateness))


def _delayed(case: Case) -> Outcome:
    lateness = int(case.dataset.lateness.total_seconds())
    return Outcome(later=case.message, delay_s=1 + case.random % (MOST_DELAYED * lateness))


def _corrupt(case: Case) -> Outcome:
    kind = list(KINDS)[case.random % len(KINDS)]
    value = KINDS[kind](case.dataset, case.message.value or b"")
    refused = decode(case.dataset, value)
    reason = refused.reason if isinstance(refused, Undecodable) else ""
    return Outcome(Message(case.message.key, value), kind=kind, reason=reason)


FAULTS: Final[dict[str, Callable[[Case], Outcome]]] = {
    "late": _late,
    "out_of_order": lambda case: Outcome(later=case.message, delay_s=case.soon),
    "duplicate": lambda case: Outcome(case.message, case.message, case.soon),
    "conflict": lambda case: Outcome(case.message, case.again(values=case.other_values), case.soon),
    "revision": lambda case: Outcome(case.message, case.again(values=case.other_values, revision=1), case.soon),
    "corrupt": _corrupt,
    "missing": lambda _: Outcome(),
    "future": lambda case: Outcome(case.again(ts=case.reading.ts + FUTURE_S)),
    "withdraw": lambda case: Outcome(case.message, case.again(values=case.no_values, revision=1), case.soon),
    "delayed": _delayed,
}
"""Name -> what becomes of a reading. ``clock_skew`` is not among them: it is of a meter, not of a reading."""

MEANINGS: Final = {
    "late": "arrives after the lateness that the speed layer waits for",
    "out_of_order": f"arrives up to {SOON_S} s after its turn",
    "duplicate": "arrives twice",
    "conflict": "arrives a second time with another value",
    "revision": "is corrected by a later revision",
    "corrupt": f"is spoilt: {', '.join(KINDS)}",
    "missing": "does not arrive",
    "future": "claims to be from a year ahead",
    "withdraw": "is taken back by a later revision without values",
    "delayed": f"arrives anything up to {MOST_DELAYED} times that lateness after its turn: before and after each limit",
    CLOCK_SKEW: "comes from one of this share of meters (at least one) whose clock runs a day ahead",
}


def parse(text: str) -> dict[str, float]:
    """Return name -> share of ``late=0.01,duplicate=0.01``. Raises UnknownName or UsageError."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = (word.strip() for word in part.partition("="))
        if name not in MEANINGS:
            raise UnknownName("fault", name, MEANINGS)
        if name in shares:
            raise UsageError(f"The fault {name!r} is given twice.", hint="Give each fault one share.")
        shares[name] = _share(name, share)
    together = sum(share for name, share in shares.items() if name != CLOCK_SKEW)
    if together > 1:
        raise UsageError(
            f"The faults' shares make {together:g}, more than all readings.",
            hint="A reading has at most one fault: let the shares be at most 1 together.",
        )
    return shares


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(
            f"The share {text!r} of the fault {name!r} is not between 0 and 1.",
            hint=f"Write a share of all readings, such as {name}=0.01 for one in a hundred.",
        )
    return share


def skews(shares: Mapping[str, float], seed: int, meters: int) -> Numbers:
    """Return by how many seconds each meter's clock runs ahead."""
    share = shares.get(CLOCK_SKEW, 0.0)
    count = max(1, round(share * meters)) if share else 0
    order = np.argsort(randomness.draw(randomness.keys(seed, np.arange(meters)), 9, _RANDOM_VALUES), kind="stable")
    result = np.zeros(meters, dtype=np.int64)
    result[order[:count]] = SKEW_S
    return result


def limits(shares: Mapping[str, float]) -> tuple[list[str], Numbers]:
    """Return the faults of readings, and below which random value each of them strikes."""
    names = [name for name in FAULTS if shares.get(name)]
    together = np.cumsum([shares[name] for name in names])
    return names, np.round(together * _RANDOM_VALUES).astype(np.int64)
