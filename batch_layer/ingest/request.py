"""What a load is asked for, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from batch_layer.ingest.compare import Conflicts, Overlap

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.fileformats import Format
    from meterlake.wallclock import FileClock


@dataclass(frozen=True)
class Request:
    """What to load. offset: of the files' clock from UTC, or its zone; by default
    what the format of each says. rebase: move it by whole weeks to end now.

    forms: of which each file is one. paths: as the user names them: files, folders, patterns.
    meter_id: of all lines; empty where a column says it. meter_from_name: regular expression of the meter in the name.
    corrects: whether its readings replace those that are there; else they are added beside them.
    skip_bad_files: whether files that cannot be loaded are set aside; else they stop the load.
    password: of encrypted members of zip archives.
    """

    forms: tuple[Format, ...]
    paths: tuple[str, ...]
    meter_id: str
    offset: FileClock | None
    rebase: bool = False
    corrects: bool = False
    meter_from_name: str = ""
    skip_bad_files: bool = False
    password: str = field(default="", repr=False)

    @property
    def dataset(self) -> MeterSeries:
        """Whose readings they are."""
        return self.forms[0].dataset

    @property
    def title(self) -> str:
        """What is loaded, for messages."""
        first, *others = self.paths
        return f"{first} and {len(others)} more" if others else first


class Progress(NamedTuple):
    """How far the files have been read: of those that were found, and of their bytes as they lie there."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int


class Commit(NamedTuple):
    """What is about to be shown to readers. load_id: of all files; load_ids: of each. revision: of the rows."""

    load_id: str
    load_ids: tuple[str, ...]
    revision: int


Status = Literal["loaded", "already loaded", "set aside"]


@dataclass(frozen=True)
class FileResult:
    """What became of a file. lines = readings + gaps + quarantined + not_loaded, where it was loaded.

    as_before: of its readings, those that were there already, with the same values. reason: why it was set aside.
    """

    path: str
    status: Status
    meter_id: str = ""
    load_id: str = ""
    lines: int = 0
    readings: int = 0
    gaps: int = 0
    quarantined: int = 0
    not_loaded: int = 0
    as_before: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What a load did. lines = readings + gaps + quarantined + not_loaded; ``already_loaded``: it did nothing.

    overlap: how its readings compare with those that were there. conflicts: between its files.
    revision: of its readings; above 0, they replace.
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
    conflicts: Conflicts = field(default_factory=Conflicts)
    files: tuple[FileResult, ...] = ()

    def with_status(self, status: Status) -> list[FileResult]:
        """Return the files of which something became."""
        return [file for file in self.files if file.status == status]
