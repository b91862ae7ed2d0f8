"""One load: raw files into HDFS, their rows decoded in Spark's tasks, and all readings into the master in one commit.

Readings are written first where no reader sees them and counted; the lines of quarantine follow; the commit that
shows the readings is the last step. A load that dies before it has added no reading, and the next try finds out
what is there already: nothing is doubled.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest import balance, far, raw_notes, results, summer_time, tasks
from batch_layer.ingest.compare import Conflicts, Overlap, conflicts, highest_revision, overlap
from batch_layer.ingest.counters import CountersOfLoad
from batch_layer.ingest.files import Files
from batch_layer.ingest.known import MANY, known
from batch_layer.ingest.request import Commit
from batch_layer.ingest.rows import Tally, total
from batch_layer.ingest.stored import SetAside, Stored
from batch_layer.ingest.tasks import Wanted
from batch_layer.ingest.upload import upload
from engines import hdfs, lineage, master, metastore
from engines import spark as engine
from engines.errors import EngineUnavailable
from engines.spark_failures import translated
from engines.table_format import AlreadyPublished
from meterlake.errors import OutOfBalance
from meterlake.precedence import LIVE_REVISIONS, correcting_revision
from meterlake.rebase import whole_weeks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.ingest.request import Progress, Request, Result
    from engines.table_format import Snapshot, Table
    from meterlake.clock import Clock
    from meterlake.errors import MeterlakeError
    from meterlake.settings import Settings


@dataclass
class _Phases:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self.last, 2)
        self.last = now

    def total(self) -> dict[str, float]:
        return {**self.seconds, "total": round(time.monotonic() - self.begin, 2)}


def load(
    settings: Settings,
    request: Request,
    clock: Clock,
    on_progress: Callable[[Progress], None],
    before_commit: Callable[[Commit], None] = lambda _: None,
) -> Result:
    """Load files. A repeated load is no error: the result says so, as it does of files that were set aside.

    before_commit: called when all is written, before readers see it.
    Raises what ``upload`` raises; NotThisFormat; WallClock; OutOfBalance; EngineUnavailable, also in the middle.
    """
    paths = [path if "://" in path else str(Path(path).absolute()) for path in request.paths]
    with lineage.job(settings, f"{request.dataset.name}.load", clock, paths) as job:
        result = _load(settings, request, clock, on_progress, before_commit)
        job.of(result.load_id, {f"iceberg.{master.DATABASE}.{request.dataset.name}": result.readings + result.gaps})
        return result


def _load(
    settings: Settings,
    request: Request,
    clock: Clock,
    on_progress: Callable[[Progress], None],
    before_commit: Callable[[Commit], None],
) -> Result:
    phases = _Phases()
    _servers_answer(settings)
    now = clock()
    # The driver starts while the files are under way.
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload, settings, request, on_progress)
        _wait_briefly(uploading)
        with engine.session(settings, "load") as spark:
            phases.done("session")
            files = uploading.result()
            phases.done("upload")
            with translated(settings, request.title):
                work = _Load(settings, spark, request, files, now, phases)
                work.before_commit = before_commit
                return work.run()


def _wait_briefly(uploading: Future[list[Stored | SetAside]]) -> None:
    """Let a small or wrong file be known before Spark is started for it. Raises what the upload raised."""
    try:
        uploading.result(timeout=1.0)
    except TimeoutError:
        return


def _servers_answer(settings: Settings) -> None:
    try:
        hdfs.client(settings).status("/")
    except hdfs.ERRORS as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error
    with metastore.client(settings) as client:
        client.get_all_databases()


class _Load:
    """The steps of one load. Files are known by their place in it."""

    def __init__(
        self,
        settings: Settings,
        spark: SparkSession,
        request: Request,
        files: list[Stored | SetAside],
        now: datetime,
        phases: _Phases,
    ) -> None:
        self.settings, self.spark, self.request, self.phases = settings, spark, request, phases
        self.before_commit: Callable[[Commit], None] = lambda _: None
        self.dataset = request.dataset
        self.now = now.astimezone(UTC).replace(tzinfo=None)
        stored = {at: file for at, file in enumerate(files) if isinstance(file, Stored)}
        self.files = Files(settings, spark, request, stored, self.now)
        self.set_aside = {at: file for at, file in enumerate(files) if isinstance(file, SetAside)}
        self.same: dict[str, int] = {}
        self.counters = CountersOfLoad(settings, spark, self.dataset, self.files)
        if request.rebase and stored:
            self.files.shift = self._shift()

    def run(self) -> Result:
        """Stage, check, quarantine, publish."""
        table = master.master(self.spark, self.settings, self.dataset)
        self.phases.done("open")
        if self.request.corrects:
            self._revise(table)
        staged, tallies = self._stage_all(table, self._with_neighbours(self._new(table)))
        self.phases.done("parse and write")
        if staged is None:
            return self._result({})
        self._quarantine(tallies)
        self.phases.done("quarantine")
        compared, contradicting = self._compare(table, staged, tallies)
        self.phases.done("compare")
        if len(tallies) > 1 and self._is_overtaken(table, staged, tallies):
            return self.run()
        self._note(tallies)
        try:
            published = table.publish(staged)
        except AlreadyPublished:
            return self._result({})
        self.phases.done("commit")
        days, first, last = self._extent(table, staged)
        self.phases.done("count days")
        return self._result(
            tallies,
            days=days,
            first=first,
            last=last,
            snapshot=published.id,
            overlap=compared,
            conflicts=contradicting,
            revision=self.files.revision,
        )

    def _revise(self, table: Table) -> None:
        """Give the readings a higher revision than any of their meters has; the same correction is loaded once."""
        highest = highest_revision(self._held(table.read(), self.files.stored))
        self.files.revision = highest
        if highest <= LIVE_REVISIONS or self._new(table):
            self.files.revision = correcting_revision(highest)

    def _note(self, tallies: dict[int, Tally]) -> None:
        """Write down which raw files the readings come from, and let the caller know what is to be seen."""
        token = self.files.token(tallies)
        raw_notes.write(self.settings, self.dataset.name, token, self.files.notes(tallies))
        self.counters.write(tallies)
        self.before_commit(Commit(token, self.files.load_ids(tallies), self.files.revision))

    def _new(self, table: Table) -> list[int]:
        """Return the files that are not in the master data set yet; of the same content twice, the first."""
        ids = {file: self.files.load_id(file) for file in self.files.stored}
        if not ids:
            return []
        there = known(table, set(ids.values()))
        todo: dict[str, int] = {}
        for file, load_id in ids.items():
            if load_id not in there:
                todo.setdefault(load_id, file)
        return list(todo.values())

    def _with_neighbours(self, files: list[int]) -> list[int]:
        """Return the files, whose counters know their neighbours' readings; a moved history has none."""
        if not self.request.rebase:
            self.counters.find(files)
        return files

    def _held(self, rows: DataFrame, files: Iterable[int]) -> DataFrame:
        """Return readings of the master, of the files' meters where they are known before reading."""
        meters = {self.files.seen(file).meter_id for file in files}
        if "" in meters or len(meters) > MANY:
            return rows
        return rows.where(F.col(self.dataset.key).isin(sorted(meters)))

    def _shift(self) -> timedelta:
        """Return by how much the history moves to end now; all files by the same."""
        ends = far.find_kept(self.files, self.dataset, dict.fromkeys(self.files.stored)).values()
        self.phases.done("find the end")
        return whole_weeks(max(ends), self.now) if ends else timedelta(0)

    def _set_far_aside(self, tallies: dict[int, Tally]) -> bool:
        """Return whether readings far from all others are now to be set aside; most files show at once that none is."""
        if self.request.rebase:  # known before
            return False
        doubtful = {
            file: meters
            for file, tally in tallies.items()
            if file not in self.files.kept and (meters := far.may_jump(self.dataset, tally)) != []
        }
        if doubtful:
            far.find_kept(self.files, self.dataset, doubtful)
        return any(file in self.files.kept for file in doubtful)

    def _stage(self, table: Table, files: list[int]) -> tuple[Snapshot, dict[int, Tally]]:
        observed = Observation("tallies")
        said = F.array_join(F.collect_list(tasks.TALLY), "\n").alias("tallies")
        rows = self.files.frame(files, Wanted.READINGS).observe(observed, said).where(F.col(tasks.TALLY).isNull())
        staged = table.stage(rows.drop(tasks.TALLY), self.files.token(files), self.files.properties(files))
        return staged, tasks.tallies(observed.get["tallies"].split("\n"))

    def _stage_all(self, table: Table, files: list[int]) -> tuple[Snapshot | None, dict[int, Tally]]:
        """Stage all files but those that turn out not to be loadable; None where nothing is left."""
        while files:
            staged, tallies = self._stage(table, files)
            if self._set_far_aside(tallies):
                continue
            wrong = self._check(staged, tallies) or self._check_clock(table, staged, tallies)
            if not wrong:
                return staged, tallies
            for file, error in sorted(wrong.items()):
                if not self.request.skip_bad_files:
                    raise error
                self.set_aside[file] = SetAside(self.files.seen(file).path, error)
                del self.files.stored[file]
            files = [file for file in files if file not in wrong]
        return None, {}

    def _check(self, staged: Snapshot, tallies: dict[int, Tally]) -> dict[int, MeterlakeError]:
        """Raise unless every line of every file is accounted for once; return the files that are of another format."""
        balance.check_written(self.request.title, tallies, staged.added_rows)
        for file, tally in tallies.items():
            if not tally.problem:
                balance.check_lines(self.files.seen(file), tally)
        wrong: dict[int, MeterlakeError] = {}
        for file, tally in tallies.items():
            if error := balance.not_of_format(self.files.seen(file).path, self.files.seen(file).form, tally):
                wrong[file] = error
        return wrong

    def _check_clock(self, table: Table, staged: Snapshot, tallies: dict[int, Tally]) -> dict[int, MeterlakeError]:
        """Return the files that were read by a fixed clock, and are not of one."""
        groups: dict[tuple[timedelta, timedelta], list[int]] = {}
        for file in tallies:
            clock = self.files.clock(file)
            if isinstance(clock, timedelta):
                groups.setdefault((clock, self.files.seen(file).lead), []).append(file)
        wrong: dict[int, MeterlakeError] = {}
        for (clock, lead), files in groups.items():
            span = total(tallies[file] for file in files)
            if not staged.added_rows or span.first is None or span.last is None:
                continue
            change = summer_time.change(self.dataset, clock, self.files.shift - lead, (span.first, span.last))
            if change:
                paths = {self.files.load_id(file): self.files.seen(file).path for file in files}
                result = summer_time.check(paths, self._mine(table, staged), change)
                wrong |= {
                    file: result[self.files.load_id(file)] for file in files if self.files.load_id(file) in result
                }
        return wrong

    def _is_overtaken(self, table: Table, staged: Snapshot, tallies: dict[int, Tally]) -> bool:
        """Return whether another load has brought one of the files meanwhile; of all together the token tells it."""
        current = table.current()
        if current is None or current.id == staged.parent:
            return False
        return bool(known(table, {self.files.load_id(file) for file in tallies}))

    def _mine(self, table: Table, staged: Snapshot) -> DataFrame:
        """Return the staged readings."""
        if staged.parent is None:
            return table.read(snapshot=staged.id)
        return table.read_added(staged.parent, staged.id)

    def _compare(self, table: Table, staged: Snapshot, tallies: dict[int, Tally]) -> tuple[Overlap, Conflicts]:
        """Compare staged readings with those of the same time that readers see, and files with each other."""
        if not staged.added_rows:
            return Overlap(), Conflicts()
        mine, time = self._mine(table, staged), F.col(self.dataset.event_time)
        paths = {self.files.load_id(file): self.files.seen(file).path for file in tallies}
        contradicting = conflicts(mine, self.dataset, paths)
        if staged.parent is None:
            return Overlap(), contradicting
        first, last = mine.agg(F.min(time), F.max(time)).collect()[0]
        held = self._held(table.read(snapshot=staged.parent), tallies).where(time.between(first, last))
        result, self.same = overlap(held, mine, self.dataset, paths)
        return result, contradicting

    def _quarantine(self, tallies: dict[int, Tally]) -> None:
        """Put undecodable lines into quarantine, unless a load that died later has."""
        bad = {self.files.load_id(file): file for file, tally in tallies.items() if tally.rejected}
        if not bad:
            return
        table = master.quarantine(self.spark, self.settings, self.dataset)
        there = known(table, set(bad))
        files = [file for load_id, file in bad.items() if load_id not in there]
        if files:
            added = table.append(self.files.frame(files, Wanted.REJECTED), self.files.properties(files))
            expected = sum(tallies[file].rejected for file in files)
            if added.added_rows != expected:
                raise OutOfBalance(f"Quarantine of {self.request.title}", expected, {"kept": added.added_rows})

    def _extent(self, table: Table, staged: Snapshot) -> tuple[int, datetime | None, datetime | None]:
        time = F.col(self.dataset.event_time)
        row = self._mine(table, staged).agg(F.count_distinct(time.cast("date")), F.min(time), F.max(time)).collect()[0]
        return int(row[0]), row[1], row[2]

    def _result(self, tallies: dict[int, Tally], **more: Any) -> Result:  # noqa: ANN401 - fields of Result
        files = []
        for file in sorted([*self.files.stored, *self.set_aside]):
            if file in self.set_aside:
                files.append(results.of_set_aside(self.set_aside[file]))
                continue
            seen, load_id = self.files.seen(file), self.files.load_id(file)
            if file in tallies:
                files.append(results.of_loaded(seen, load_id, tallies[file], self.same))
            else:
                files.append(results.of_known(seen, load_id))
        return results.result_of(
            self.request,
            self.files.token(tallies or self.files.stored),
            files,
            tallies.values(),
            shift_days=self.files.shift.days,
            bytes=sum(file.seen.bytes for file in self.files.stored.values()),
            seconds=self.phases.total(),
            **more,
        )
