"""The files of a load, known by their place in it: what identifies them, and their rows as Spark has them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from batch_layer.ingest import tasks
from batch_layer.ingest.identity import Identity, together
from batch_layer.ingest.raw_notes import Note
from batch_layer.ingest.rows import Raw
from batch_layer.ingest.tasks import Job, Piece, Wanted
from engines.readers.port import Options
from meterlake.wallclock import clock_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.ingest.request import Request
    from batch_layer.ingest.stored import Seen, Stored
    from meterlake.counter_ends import Neighbours
    from meterlake.jumps import Stretch
    from meterlake.settings import Settings
    from meterlake.wallclock import FileClock


class Files:
    """Files that lie in HDFS. now: when they arrive, UTC without zone.

    shift: added to their times. revision: of their readings. kept: of a file, where readings of a meter may lie, where
    that is not anywhere. neighbours: readings of other files with which counters go on. revisions: of files that
    replace estimates.
    """

    def __init__(
        self, settings: Settings, spark: SparkSession, request: Request, stored: dict[int, Stored], now: datetime
    ) -> None:
        self._settings, self._spark, self._request, self._now = settings, spark, request, now
        self.stored = stored
        self.shift, self.revision = timedelta(0), 0
        self.kept: dict[int, dict[str, list[Stretch]]] = {}
        self.neighbours: dict[int, dict[tuple[str, str], Neighbours]] = {}
        self.revisions: dict[int, int] = {}

    def seen(self, file: int) -> Seen:
        """Return what is known of a file."""
        return self.stored[file].seen

    def clock(self, file: int) -> FileClock:
        """Return a file's clock: as the request says, or its format."""
        given = self._request.offset
        return self.seen(file).form.clock if given is None else given

    def _identity(self, file: int) -> Identity:
        seen = self.seen(file)
        return Identity(
            self._request.dataset.name, seen.sha256, seen.meter_id, self.clock(file), self.shift, self.revision
        )

    def load_id(self, file: int) -> str:
        """Return the short name of a file's identity."""
        return self._identity(file).load_id

    def _raws(self, files: Iterable[int]) -> dict[int, Raw]:
        """Return files as tasks need them. Where two contradict each other, the first that was named counts."""
        return {
            file: Raw(
                form=self.seen(file).form,
                options=Options(self.seen(file).meter_id, self.clock(file), self.neighbours.get(file, {})),
                location=self.stored[file].location,
                origin=self.seen(file).origin,
                load_id=self.load_id(file),
                received_at=self._now + timedelta(microseconds=file),
                revision=max(self.revision, self.revisions.get(file, 0)),
                kept=self.kept.get(file, {}),
            )
            for file in files
        }

    def frame(self, files: Iterable[int], wanted: Wanted) -> DataFrame:
        """Return rows of files; see ``tasks.frame``."""
        raws = self._raws(files)
        now = self._now if self._request.rebase else None
        return tasks.frame(self._spark, Job(self._settings, raws, self.shift, now), self._pieces(raws), wanted)

    def _pieces(self, raws: dict[int, Raw]) -> list[Piece]:
        return [
            piece
            for file, raw in raws.items()
            for stored in [self.stored[file]]
            for piece in tasks.pieces(file, raw, stored.begin, stored.seen.bytes, stored.seen.starts)
        ]

    def token(self, files: Iterable[int]) -> str:
        """Return the short name of the loads of files together."""
        return together(self.load_id(file) for file in files)

    def properties(self, files: list[int]) -> dict[str, str]:
        """Return what a commit says about its load."""
        return {"load-id": self.token(files), **self._origin(files)}

    def load_ids(self, files: Iterable[int]) -> tuple[str, ...]:
        """Return the short names of the loads of files."""
        return tuple(sorted({self.load_id(file) for file in files}))

    def notes(self, files: Iterable[int]) -> list[Note]:
        """Return which raw file each load reads."""
        return [
            Note(
                load_id=self.load_id(file),
                sha256=self.seen(file).sha256,
                meter_id=self.seen(file).meter_id,
                name=self.seen(file).origin,
                clock=clock_text(self.clock(file)),
                shift_s=int(self.shift.total_seconds()),
            )
            for file in files
        ]

    def _origin(self, files: list[int]) -> dict[str, str]:
        said = self._identity(files[0]).properties()
        lines = str(sum(self.seen(file).rows for file in files))
        if len(files) > 1:
            del said["load-sha256"], said["load-meter-id"]
            return {**said, "load-files": str(len(files)), "load-lines": lines}
        one = self.stored[files[0]]
        raw = f"{self._settings.hdfs}{one.location}"
        return {**said, "load-file": one.seen.origin, "load-raw": raw, "load-lines": lines}
