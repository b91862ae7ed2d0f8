"""What makes two loads the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterlake.wallclock import clock_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from meterlake.wallclock import FileClock


def together(load_ids: Iterable[str]) -> str:
    """Return one short name for the loads of several files; that of one file is its own."""
    ids = sorted(set(load_ids))
    return ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Identity:
    """Loads of one identity add their readings once, however often they are run.

    offset: of the file's clock, or its zone. revision: of its readings; above 0 for a correction.
    """

    dataset: str
    sha256: str
    meter_id: str
    offset: FileClock
    shift: timedelta
    revision: int = 0

    @property
    def load_id(self) -> str:
        """Short name, the same for the same identity."""
        return hashlib.sha256("\n".join(self.properties().values()).encode()).hexdigest()[:24]

    def properties(self) -> dict[str, str]:
        """Return what a load's commit says about it."""
        result = {
            "load-dataset": self.dataset,
            "load-sha256": self.sha256,
            "load-meter-id": self.meter_id,
            "load-utc-offset": clock_text(self.offset),
            "load-shift-s": str(int(self.shift.total_seconds())),
        }
        return {**result, "load-revision": str(self.revision)} if self.revision else result
