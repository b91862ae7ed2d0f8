"""Upkeep of the batch tables: all slices that are old enough become larger ones, and readers notice nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_layer.pipeline.batch import shapes
from batch_layer.views import merging, plan, tables
from batch_layer.views.context import Report, Run
from engines.master import master
from serving_layer.publish.publish import OF_ONE_MOVE, Publication

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from serving_layer.publish.history import History
    from serving_layer.publish.publish import Publisher


def merge_slices(session: SparkSession, publisher: Publisher, report: Report = lambda _: None) -> int:
    """Merge all slices that are old enough; return how many there are less.

    It is published as the run that readers see: once with the larger partitions beside the others, and once with the
    rows in them. Call it under the lease of ``publisher``.
    """
    history, base = publisher.roll_forward(), f"{publisher.settings.hdfs}{tables.FOLDER}"
    before = _slices(history, base)
    for _ in range(2):
        present = history.current
        if present is None or present.snapshot is None:
            break
        current = plan.Current(present.run_id, present.snapshot, history.tables)
        if not current.is_sliced:
            break
        now = publisher.clock()
        merged = plan.Plan(plan.new_run_id(now), "merge", present.snapshot, present.snapshot)
        source = master(session, publisher.settings, publisher.dataset)
        changes = merging.merge_all(Run(session, publisher.dataset, source, current, merged, base, now, report))
        if not changes:
            break
        details = {key: value for key, value in present.details.items() if key not in OF_ONE_MOVE}
        about = (present.run_id, present.boundary, present.snapshot)
        history = publisher.publish(Publication(*about, history.seq, changes, details), shapes(publisher.dataset))
    return before - _slices(history, base)


def _slices(history: History, base: str) -> int:
    return sum(len({*partitions.values()} - {tables.empty(base)}) for partitions in history.tables.values())
