"""Changes that people make to what has arrived: corrections and erasures, with who, when and why. Pure.

Each is recorded twice: as begun before anything changes, and as done. One that is only begun was interrupted: the same
command, run again, completes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["correction", "erasure"]

LOADS: Final = "loads"
"""Key of a correction's details: the loads that brought it."""
BEFORE: Final = "before"
"""Key of an erasure's details: the moment before which readings were erased, in ISO 8601; absent where all were."""


@dataclass(frozen=True)
class Change:
    """One change. id: of it, the same for begun and done. at: when it was begun; done_at: None while it is not done.

    by, why: as they were given. meter: whose readings; empty where a correction has several. details: its figures.
    """

    dataset: str
    id: str
    kind: Kind
    at: datetime
    by: str
    why: str
    meter: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    done_at: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of it has been done."""
        return self.done_at is not None

    def done(self, at: datetime, details: Mapping[str, Any] | None = None) -> Change:
        """Return the change as done, with more of its details."""
        return replace(self, done_at=at, details={**self.details, **(details or {})})


def joined(records: Iterable[Change]) -> list[Change]:
    """Return each change once, in order of their beginnings. records: of begun and done ones, in any order.

    Of one that was begun several times, the first says who and why.
    """
    result: dict[str, Change] = {}
    for record in sorted(records, key=lambda each: (each.at, each.is_done)):
        before = result.get(record.id)
        if before is None:
            result[record.id] = record
        elif record.done_at is not None and not before.is_done:
            result[record.id] = before.done(record.done_at, record.details)
    return sorted(result.values(), key=lambda each: each.at)


def by_load(changes: Iterable[Change]) -> dict[str, Change]:
    """Return the corrections by the loads that brought them."""
    return {load: change for change in changes if change.kind == "correction" for load in change.details.get(LOADS, ())}


def covers(erasure: Change, moment: datetime) -> bool:
    """Return whether an erasure removed the readings of a moment."""
    before = erasure.details.get(BEFORE)
    return before is None or moment < datetime.fromisoformat(before)
