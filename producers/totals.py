"""What a simulation has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol


class Deliveries(Protocol):
    """What a sink counts: messages handed to it, and those that are safe there."""

    sent: int
    acknowledged: int


@dataclass
class Totals:
    """Counts of a run. Of readings: sent = readings − missing + duplicate + conflict + revision + withdraw − held
    back.

    readings: of the script. raised: recorded intervals whose power was raised to what its parts need.
    silent: readings that were left out because the history has a gap there. faults, corrupt: by name and by kind.
    sent: handed to the sink. acknowledged: safe there. held_back: delayed ones whose time had not come, at an abort.
    """

    meters: int
    start: int
    interval_s: int
    shift_days: int = 0
    until: int = 0
    readings: int = 0
    raised: int = 0
    silent: int = 0
    sent: int = 0
    acknowledged: int = 0
    held_back: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    corrupt: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return the totals for people and programs."""
        return {
            "meters": self.meters,
            "from": datetime.fromtimestamp(self.start, UTC),
            "to": datetime.fromtimestamp(max(self.start, self.until), UTC),
            "history_moved_by_days": self.shift_days,
            "readings": self.readings,
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "held_back": self.held_back,
            "silent_in_gaps": self.silent,
            "minutes_raised": self.raised,
            "faults": dict(sorted(self.faults.items())),
            "corrupt": dict(sorted(self.corrupt.items())),
            "seconds": round(self.seconds, 2),
            "sent_per_second": round(self.sent / self.seconds) if self.seconds else 0,
        }
