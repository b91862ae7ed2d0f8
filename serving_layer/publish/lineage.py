"""Which readings stand behind a run: snapshots of the master data set, each with its days. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A snapshot, and the UTC days whose readings the views have from it; None for all that no newer layer has."""

    snapshot: int
    days: tuple[date, ...] | None


def layers_of(details: Mapping[str, Any], snapshot: int | None, earlier: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return where the views of a run come from, newest first.

    A run over a range of days reads them as they are then, and leaves all others as the run before it had them.
    details, snapshot: of its record. earlier: the layers of the run that it started from.
    """
    read = details.get("read_snapshot", snapshot)
    if read is None:
        return ()
    if details.get("mode") != "range":
        return (Layer(read, None),)
    days = tuple(date.fromisoformat(day) for day in details.get("tables", {}).get("master", {}).get("days") or ())
    visible = [layer for layer in earlier if layer.days is None or not set(layer.days) <= set(days)]
    return (Layer(read, days), *visible)
