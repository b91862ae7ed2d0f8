"""Which readings stand behind a published run: snapshots of the master data set, each with its days. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from serving_layer.publish import history as past

if TYPE_CHECKING:
    from serving_layer.publish.history import History, Record


@dataclass(frozen=True)
class Layer:
    """A snapshot, and the UTC days whose readings the views have from it; None for all that no newer layer has."""

    snapshot: int
    days: tuple[date, ...] | None


def layers(history: History, record: Record) -> list[Layer]:
    """Return where the views of a finished run come from, newest first.

    A run over a range of days reads them as they are then, and leaves all others as the run before it had them.
    """
    found: list[Layer] = []
    at: Record | None = record
    while at is not None:
        read = at.details.get("read_snapshot", at.snapshot)
        if at.details.get("mode") != "range":
            found += [Layer(read, None)] if read is not None else []
            break
        days = at.details.get("tables", {}).get("master", {}).get("days") or []
        found.append(Layer(read, tuple(date.fromisoformat(day) for day in days)))
        at = _before(history, at.run_id)
    return found


def _before(history: History, run_id: str) -> Record | None:
    """Return the run that readers saw when a run was published."""
    begun = next((at for at, record in enumerate(history) if record.run_id == run_id), 0)
    return past.current(history[:begun])
