"""One batch run from end to end: what the layers and the boundary have to do with each other is joined here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from cli.output import progress_console
from meterlake import boundary as boundaries
from meterlake.errors import MeterlakeError, TransientError
from meterlake.fingerprint import fingerprint

if TYPE_CHECKING:
    from datetime import datetime

    from batch_layer.lease import Lease
    from batch_layer.views.plan import Plan, Request
    from batch_layer.views.run import Result
    from meterlake.boundary import PartitionProgress
    from meterlake.clock import Clock
    from meterlake.declaration import Dataset
    from meterlake.settings import Settings
    from serving_layer.publish.history import Record
    from serving_layer.publish.publish import Publication

DECLARATION: Final = "declaration"
"""Key of a record's details: the fingerprint of the declaration by which all days were last computed."""


def batch_once(settings: Settings, dataset: Dataset, request: Request, clock: Clock) -> tuple[str, Record | None]:
    """Run once, under the lease; return what came of it, and the record of the run that readers see."""
    from batch_layer import lease

    with lease.held(settings, dataset.name, f"batch of {dataset.name}", clock) as held:
        return _batch(settings, dataset, request, clock, held)


def _batch(
    settings: Settings, dataset: Dataset, request: Request, clock: Clock, held: Lease
) -> tuple[str, Record | None]:
    from batch_layer.views import plan
    from batch_layer.views import run as work
    from batch_layer.views.context import Run
    from batch_layer.views.tables import FOLDER
    from engines import spark
    from engines.errors import StorageFull
    from engines.master import master
    from engines.spark_failures import translated
    from serving_layer.publish import history as past
    from serving_layer.publish import publish

    begin, run_clock = time.monotonic(), clock()
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        # Spark starts while Trino and Kafka are asked. How far Kafka is archived is read after the clock and before the
        # table's snapshot: what is archived by then is in the snapshot.
        settled = pool.submit(publish.roll_forward, settings, dataset, clock)
        reached = pool.submit(archived, settings, dataset)
        session = stack.enter_context(spark.session(settings, "batch"))
        table, history, progress = master(session, settings, dataset), settled.result(), reached.result()
        present = past.current(history)
        before = plan.Current(present.run_id, present.snapshot, present.after) if present else None
        planned = plan.make(dataset, request, before, table, run_clock)
        boundary = next_boundary(dataset, planned, progress, run_clock, present)
        made_by = _made_by(dataset, planned, present)
        if planned.is_empty and not (present and progress and boundary > present.boundary):
            return "nothing has changed", present
        if present and planned.is_empty:
            publication, result = _moved(present, boundary), "boundary moved"
        else:
            base = f"{settings.hdfs}{FOLDER}"
            try:
                with translated(settings, f"run {planned.run_id} of {dataset.name}"):
                    computed = work.compute(Run(session, dataset, table, before, planned, base, run_clock, tell))
            except StorageFull:
                _clean_up(session, settings, dataset, history, held)  # its half-written files take the room
                raise
            details = {**_details(computed, time.monotonic() - begin), DECLARATION: made_by}
            after = computed.tables(before.tables if before else {})
            publication = publish.Publication(planned.run_id, boundary, planned.snapshot, after, details)
            result = "published"
        held.check()
        tell("publishing")
        record = publish.publish(settings, dataset, publication, shapes(dataset), clock)
        _clean_up(session, settings, dataset, [*history, record], held)
    return result, record


def _made_by(dataset: Dataset, planned: Plan, present: Record | None) -> str:
    """Return the fingerprint of the declaration that has made all days, or made the oldest of them; say if it changed.

    A run over some days leaves the others as an earlier declaration made them, until all are computed anew.
    """
    now = fingerprint(dataset)
    before = str(present.details.get(DECLARATION, now)) if present and planned.mode != "full" else now
    if before != now:
        tell(
            f"The declaration of {dataset.name} has changed: days without new readings stay as they were computed"
            f" before. `meterlake batch {dataset.name} --full` computes all of them anew."
        )
    return before


def archived(settings: Settings, dataset: Dataset) -> list[PartitionProgress] | None:
    """Return how far each partition is archived; empty where nothing arrives; None where that cannot be told."""
    from engines import archive_progress

    try:
        return archive_progress.read(settings, dataset) or archive_progress.untouched(settings, dataset)
    except TransientError as error:
        tell(f"{error.what} The boundary stays where it is.")
        return None


def next_boundary(
    dataset: Dataset,
    planned: Plan,
    progress: list[PartitionProgress] | None,
    run_clock: datetime,
    present: Record | None,
) -> datetime:
    """Return the boundary that goes with a run; a run over a range of days has not read all that is archived."""
    current = present.boundary if present else None
    if planned.mode == "range" or (progress is None and current):
        return current or boundaries.BEGINNING
    return boundaries.next_boundary(progress or [], run_clock, dataset.lateness, current)


def shapes(dataset: Dataset) -> list[Any]:
    """Return the tables that a publish switches."""
    from batch_layer.views.tables import all_tables
    from serving_layer.publish.tables import ViewTable

    return [ViewTable(table.name, table.columns, table.partitions) for table in all_tables(dataset)]


def tell(doing: str) -> None:
    """Say what is being done, beside the result."""
    progress_console.print(doing, markup=False, soft_wrap=True)


def _moved(present: Record, boundary: datetime) -> Publication:
    """Return the present run with a later boundary: nothing new has come, so it holds all up to there."""
    from serving_layer.publish import publish

    details = {key: value for key, value in present.details.items() if key != publish.RECONCILIATION}
    return publish.Publication(present.run_id, boundary, present.snapshot, present.after, details)


def _clean_up(session: Any, settings: Settings, dataset: Dataset, history: list[Record], held: Lease) -> None:  # noqa: ANN401
    """Remove the folders that no run reads to which readers may be taken. Where that fails, the next run does it."""
    from batch_layer.views import files
    from batch_layer.views.tables import FOLDER, all_tables
    from engines.spark_failures import translated
    from serving_layer.publish.history import folders_in_use

    kept = folders_in_use(history)
    try:
        held.check()
        with translated(settings, "remove folders of old runs"):
            for table in all_tables(dataset):
                files.remove_runs(session, table, f"{settings.hdfs}{FOLDER}", kept)
    except MeterlakeError as error:
        tell(f"{error.what} Folders of old runs stay until the next run or `meterlake maintain {dataset.name}`.")


def _details(result: Result, seconds: float) -> dict[str, Any]:
    return {
        "mode": result.plan.mode,
        "read_snapshot": result.plan.read_snapshot,
        "seconds": round(seconds, 1),
        "balance": asdict(result.balance),
        "tables": result.figures,
    }
