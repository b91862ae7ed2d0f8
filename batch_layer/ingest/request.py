"""What a load is asked for, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from batch_layer.ingest.compare import Overlap

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock


@dataclass(frozen=True)
class Request:
    """What to load. offset: of the file's clock from UTC, or its zone. rebase: move it by whole weeks to end now.

    corrects: who says that its readings replace those that are there; empty where they are added beside them.
    """

    form: TextFormat
    path: str
    meter_id: str
    offset: FileClock
    rebase: bool = False
    corrects: str = ""


@dataclass(frozen=True)
class Result:
    """What a load did. lines = readings + gaps + quarantined + not_loaded; ``already_loaded``: it did nothing.

    overlap: how its readings compare with those that were there. revision: of its readings; above 0, they replace.
    """

    dataset: str
    file: str
    meter_id: str
    load_id: str
    already_loaded: bool
    lines: int
    readings: int = 0
    gaps: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    not_loaded: int = 0
    days: int = 0
    first: datetime | None = None
    last: datetime | None = None
    shift_days: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    snapshot: int | None = None
    overlap: Overlap = field(default_factory=Overlap)
    revision: int = 0
    corrected_by: str = ""


@dataclass(frozen=True)
class Counts:
    """What Spark saw of the lines below the header."""

    lines: int
    line_sum: int
    bad: int
    future: int
    gaps: int
    first: int
    last: int
