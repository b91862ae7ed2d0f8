"""One batch run from end to end: plan, compute, publish. What the layers have to do with each other is joined here.

A scheduler calls ``run_batch``; it holds the lease on the data set as long as it works, and says what it does through
``report``. What computes with Spark is imported once Spark is needed: a run that finds nothing new does without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from batch_layer import lease
from batch_layer.views import plan, tables
from batch_layer.views.plan import Request
from engines import archive_progress, lineage, spark
from engines.master import DATABASE as MASTER
from engines.master import master
from engines.spark_failures import translated
from meterlake import boundary as boundaries
from meterlake.errors import MeterlakeError, TransientError
from meterlake.fingerprint import fingerprint
from serving_layer.publish import records
from serving_layer.publish.history import ERASURE, out_of_reach
from serving_layer.publish.publish import OF_ONE_MOVE, Publication, Publisher
from serving_layer.publish.tables import ViewTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pyspark.sql import SparkSession

    from batch_layer.lease import Lease
    from batch_layer.views.context import Run
    from batch_layer.views.plan import Mode, Plan
    from batch_layer.views.run import Result
    from engines.archive_progress import Newer
    from meterlake.boundary import PartitionProgress
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.history import History, Record

Report = Callable[[str], None]
"""Takes one line about what is being done, for people."""

FEW_ROWS: Final = 500_000
"""So many new readings at most are over before it pays that Java compiles well, where the process ends with them."""
DECLARATION: Final = "declaration"
"""Key of a record's details: the fingerprint of the declaration by which all days were last computed."""
_BASE: Final = tables.FOLDER


@dataclass(frozen=True)
class Outcome:
    """What a run has done, and the record of the run that readers see."""

    result: Literal["published", "boundary moved", "nothing has changed"]
    record: Record | None


@dataclass(frozen=True)
class _Batch:
    """What all steps of a run work with."""

    settings: Settings
    dataset: MeterSeries
    clock: Clock
    report: Report
    held: Lease
    more: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False

    @property
    def base(self) -> str:
        """Folder of all batch tables."""
        return f"{self.settings.hdfs}{_BASE}"

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.settings, self.dataset, self.held, self.clock)


def run_batch(
    settings: Settings,
    dataset: MeterSeries,
    request: Request,
    clock: Clock,
    report: Report = lambda _: None,
    *,
    once: bool = False,
) -> Outcome:
    """Compute what was asked for, audit it and let readers see it; an interrupted publish is finished first.

    once: whether the process ends after this run and what follows from it.
    Raises RunUnderWay where somebody else works on the data set, LeaseLost or Overtaken where somebody else has taken
    over; nothing of the run is visible then. Raises AuditFailed, NothingLoaded, and what the engines raise.
    """
    reads = [f"iceberg.{MASTER}.{dataset.name}"]
    writes = [f"hive.batch.{table.name}" for table in tables.all_tables(dataset)]
    with (
        lineage.job(settings, f"{dataset.name}.batch", clock, reads, writes) as job,
        lease.held(settings, dataset.name, f"batch of {dataset.name}", clock) as held,
    ):
        outcome = _run(_Batch(settings, dataset, clock, report, held, once=once), request)
        job.of(outcome.record.run_id if outcome.record else "", {})
        return outcome


def publish_erasure(
    settings: Settings, dataset: MeterSeries, held: Lease, erasure: str, clock: Clock, report: Report = lambda _: None
) -> Outcome:
    """Compute what has changed and publish it as the only run that readers may see: no way back leads to readings that
    were erased before. held: the lease. erasure: its id. Raises what ``run_batch`` raises.
    """
    return _run(_Batch(settings, dataset, clock, report, held, {ERASURE: erasure}), Request())


def _run(batch: _Batch, request: Request) -> Outcome:
    settings, dataset = batch.settings, batch.dataset
    begin, run_clock = time.monotonic(), batch.clock()
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        # Spark starts while Kafka is asked. How far Kafka is archived is read after the clock and before the table's
        # snapshot: what is archived by then is in the snapshot.
        settled = pool.submit(batch.publisher.roll_forward)
        reached = pool.submit(archived, settings, dataset, batch.report)
        history = settled.result()
        present = history.current
        before = plan.Current(present.run_id, present.snapshot, history.tables) if present else None
        newer = _newer(batch, request, before)
        if present and before and newer and _is_idle(batch, before, newer, present, reached, run_clock):
            _made_by(batch, "incremental", present)
            return Outcome("nothing has changed", present)  # found out without Spark, whose start takes longest
        few = newer is not None and newer.rows is not None and newer.rows <= FEW_ROWS
        session = stack.enter_context(spark.session(settings, "batch", brief=batch.once and few))
        source, progress = master(session, settings, dataset), reached.result()
        planned = plan.make(dataset, request, before, source, run_clock)
        boundary = next_boundary(dataset, planned, progress, run_clock, present)
        made_by = _made_by(batch, planned.mode, present)
        if present and planned.is_empty:
            if not _moves(batch, present, progress, boundary):
                return Outcome("nothing has changed", present)
            publication = _moved(history, present, boundary, batch.more)
        else:
            from batch_layer.views.context import Run

            computed = _compute(
                batch, Run(session, dataset, source, before, planned, batch.base, run_clock, batch.report)
            )
            details = {**_details(computed, time.monotonic() - begin), DECLARATION: made_by, **batch.more}
            about = (planned.run_id, boundary, planned.snapshot)
            publication = Publication(*about, history.seq, computed.changes, details)
        batch.report("publishing")
        after = batch.publisher.publish(publication, shapes(dataset))
        _clean_up(batch, session, out_of_reach(history, after))
        _tidy(batch, session, after)
    return Outcome("boundary moved" if publication.changes == {} else "published", after.current)


def _newer(batch: _Batch, request: Request, before: plan.Current | None) -> Newer | None:
    """Return, without Spark, what is new to a run that brings the views up to date; None for other runs."""
    if before is None or request.full or request.is_range or not before.is_sliced or before.snapshot is None:
        return None
    return archive_progress.newer(batch.settings, batch.dataset.name, before.snapshot)


def _is_idle(
    batch: _Batch,
    before: plan.Current,
    newer: Newer,
    present: Record,
    reached: Future[list[PartitionProgress] | None],
    run_clock: datetime,
) -> bool:
    """Return, without Spark, whether there is nothing to do: the master data set is as the present run has read it."""
    if newer.snapshot != before.snapshot:
        return False
    progress = reached.result() or []
    boundary = boundaries.next_boundary(batch.dataset, progress, run_clock, present.boundary)
    return not _moves(batch, present, progress, boundary)


def _moves(batch: _Batch, present: Record, progress: list[PartitionProgress] | None, boundary: datetime) -> bool:
    """Return whether there is something to publish where no reading is new: a later boundary, or an erasure."""
    return bool((progress and boundary > present.boundary) or batch.more)


def _compute(batch: _Batch, run: Run) -> Result:
    """Compute a run. One that fails leaves no files: on a full disk, they would take the room of the next."""
    from batch_layer.views import run as work

    try:
        with translated(batch.settings, f"run {run.plan.run_id} of {run.dataset.name}"):
            return work.compute(run)
    except MeterlakeError:
        _clean_up(batch, run.spark, run.new_folders())
        raise


def _made_by(batch: _Batch, mode: Mode, present: Record | None) -> str:
    """Return the fingerprint of the declaration that has made all days, or made the oldest; report that it changed.

    A run over some days leaves the others as an earlier declaration made them, until all are recomputed.
    """
    now, name = fingerprint(batch.dataset), batch.dataset.name
    before = str(present.details.get(DECLARATION, now)) if present and mode != "full" else now
    if before != now:
        batch.report(
            f"The declaration of {name} has changed: days without new readings stay as they were computed before."
            f" `meterlake batch {name} --full` computes all of them again."
        )
    return before


def archived(settings: Settings, dataset: MeterSeries, report: Report) -> list[PartitionProgress] | None:
    """Return how far each partition is archived; empty where nothing arrives; None where that is not known."""
    try:
        return archive_progress.read(settings, dataset) or archive_progress.untouched(settings, dataset)
    except TransientError as error:
        report(f"{error.what} The boundary stays where it is.")
        return None


def next_boundary(
    dataset: MeterSeries,
    planned: Plan,
    progress: list[PartitionProgress] | None,
    run_clock: datetime,
    present: Record | None,
) -> datetime:
    """Return the boundary that goes with a run; a run over a range of days has not read all that is archived."""
    current = present.boundary if present else None
    if planned.mode == "range" or (progress is None and current):
        return current or boundaries.BEGINNING
    return boundaries.next_boundary(dataset, progress or [], run_clock, current)


def shapes(dataset: MeterSeries) -> list[ViewTable]:
    """Return the tables that a publish switches."""
    return [ViewTable(table.name, table.columns, table.partitions) for table in tables.all_tables(dataset)]


def _moved(history: History, present: Record, boundary: datetime, more: Mapping[str, Any]) -> Publication:
    """Return the present run with a later boundary: nothing new has come, so it holds all up to there."""
    details = {key: value for key, value in present.details.items() if key not in OF_ONE_MOVE}
    return Publication(present.run_id, boundary, present.snapshot, history.seq, {}, {**details, **more})


def _clean_up(batch: _Batch, session: SparkSession, folders: Iterable[str]) -> None:
    """Remove folders that no run reads, and what killed runs have staged. Where that fails, upkeep does it."""
    from batch_layer.views import files

    name = batch.dataset.name
    try:
        batch.held.check()
        with translated(batch.settings, "remove folders of old runs"):
            files.remove(session, set(folders) - {tables.empty(batch.base)})
            for table in tables.all_tables(batch.dataset):
                files.remove_staged(session, table, batch.base)
    except MeterlakeError as error:
        batch.report(f"{error.what} Folders of old runs stay until `meterlake maintain {name}`.")


def _tidy(batch: _Batch, session: SparkSession, history: History) -> None:
    """Now and then, make the record of runs small to read. Where that fails, `meterlake maintain` does it."""
    if not records.tidy_is_due(history):
        return
    try:
        records.tidy(session, batch.settings, history, batch.clock())
    except MeterlakeError as error:
        batch.report(f"{error.what} The record of runs is compacted by `meterlake maintain {batch.dataset.name}`.")


def _details(result: Result, seconds: float) -> dict[str, Any]:
    return {
        "mode": result.plan.mode,
        "read_snapshot": result.plan.read_snapshot,
        "seconds": round(seconds, 1),
        "balance": asdict(result.balance),
        "tables": result.figures,
    }
