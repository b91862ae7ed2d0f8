"""Text files as the input of a run: ``raw_files`` of one declared format and clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meterlake.meter_names import meter_of_file
from serving_layer.verify.raw_files import RawFile, RawFiles, check_paths, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock

__all__ = ["RawText", "check_paths", "meters_in", "unpack"]


class RawText(RawFiles):
    """Text files in the order in which they were loaded.

    meter_id: of all lines; empty where the format says it.
    corrections: further files, each of which replaces what those before it say.
    """

    def __init__(
        self,
        form: TextFormat,
        paths: Sequence[Path],
        meter_id: str,
        offset: FileClock,
        received_at: datetime,
        corrections: Sequence[Path] = (),
    ) -> None:
        revisions = [0] * len(paths) + list(range(1, len(corrections) + 1))
        files = [
            RawFile(path, form, meter_id or meter_of_file(form, str(path), path.name), offset, revision)
            for path, revision in zip([*paths, *corrections], revisions, strict=True)
        ]
        super().__init__(files, received_at)


def meters_in(form: TextFormat, paths: Sequence[Path]) -> set[str]:
    """Return the meters that the lines of files name. Raises UnreadableFile."""
    return RawText(form, paths, "", form.clock, datetime(1970, 1, 1, tzinfo=UTC)).meters()
