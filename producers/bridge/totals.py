"""What a bridge has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class BridgeTotals:
    """Counts of a run.

    messages: those that came again, too. readings: made of them. remembered: messages that made none, and are
    in the next one of their meter. refused: to quarantine, by reason. sent, acknowledged: messages to Kafka.
    last_ms: arrival of the last message. connected: the broker sends us what we asked for.
    """

    messages: int = 0
    readings: int = 0
    remembered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    acknowledged: int = 0
    connected: bool = False
    last_ms: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the totals for people and programs."""
        return {
            "messages": self.messages,
            "readings": self.readings,
            "remembered": self.remembered,
            "refused": dict(sorted(self.refused.items())),
            "sent": self.sent,
            "acknowledged": self.acknowledged,
        }
