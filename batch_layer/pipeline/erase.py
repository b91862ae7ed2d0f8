"""An erasure from end to end: raw files, quarantine, live rows, master data set, views, old snapshots, messages.

It holds the lease of the data set. What is to be removed is recorded before anything is, and each step may be done
again: an erasure that was interrupted is completed by the same call.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from batch_layer import lease
from batch_layer.erase import loads, raw, tables
from batch_layer.pipeline import quality
from batch_layer.pipeline.batch import publish_erasure
from batch_layer.pipeline.correct import RETRY_FOR
from batch_layer.views import files
from batch_layer.views.tables import view_table
from engines import master, spark
from engines.spark_failures import translated
from meterlake.changes import BEFORE, Change
from meterlake.erasure import InTopic, Receipt, Remains
from meterlake.errors import TransientError
from serving_layer.publish import changes, records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from batch_layer.lease import Lease
    from batch_layer.pipeline.batch import Report
    from batch_layer.pipeline.correct import Reason
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.erasure import Erasure, Live
    from meterlake.fileformats import Format
    from meterlake.settings import Settings

MASTER: Final = "readings in the master data set"
QUARANTINE: Final = "rows in quarantine"
VIEWS: Final = "rows of views"
EARLIER: Final = "rows of views of earlier runs"
FINDINGS: Final = "quality findings"
_FOUND: Final = "found"
_REMAINS: Final = "remains"
_IN_TOPIC: Final = "in_topic"


class ReadingsArrived(TransientError):
    """Readings of the meter have arrived while it was erased."""

    def __init__(self, erasure: Erasure, count: int) -> None:
        super().__init__(
            f"{count} readings of meter {erasure.meter!r} of {erasure.dataset} have arrived while it was erased.",
            hint="Stop what sends or loads them, then run the same command again: it goes on where this one was.",
        )


@dataclass(frozen=True)
class Work:
    """What an erasure works with. forms: the data set's formats, by which raw files are read."""

    settings: Settings
    dataset: MeterSeries
    forms: Sequence[Format]
    live: Live
    clock: Clock
    report: Report = lambda _: None


@dataclass(frozen=True)
class _Found:
    """What there is of a meter. mine, bad: conditions of its rows in the master data set and in quarantine."""

    counts: dict[str, int]
    mine: str
    bad: str
    raw: raw.RawPlan
    in_topic: list[InTopic]


def look(work: Work, erasure: Erasure) -> Receipt:
    """Return what ``erase`` would remove; nothing is changed."""
    with _session(work) as session:
        counts = _find(work, session, erasure).counts
    return Receipt(erasure, "would be erased" if any(counts.values()) else "nothing to erase", counts)


def erase(work: Work, erasure: Erasure, reason: Reason) -> Receipt:
    """Remove readings of a meter, and publish views without them; return what was removed, and what remains.

    Raises RunUnderWay where a run of the data set lasts too long; ReadingsArrived; what the engines and ``run_batch``
    raise.
    """
    doing = f"erasure from {work.dataset.name}"
    with lease.held(work.settings, work.dataset.name, doing, work.clock, RETRY_FOR) as held, _session(work) as session:
        work.report("looking for readings of the meter")
        result, open_change = _find(work, session, erasure), _unfinished(work, erasure)
        if open_change is None and not any(result.counts.values()):
            return Receipt(erasure, "nothing to erase", result.counts)
        change = open_change or _begin(work, erasure, reason, result)
        run = _remove(work, session, held, change, erasure, result)
        in_topic = [_unpacked(part) for part in change.details[_IN_TOPIC]]
        remains = (*map(Remains.unpacked, change.details[_REMAINS]), *work.live.erase(), *work.live.trim(in_topic))
        removed = _larger(change.details[_FOUND], result.counts)
        details = {_FOUND: removed, _REMAINS: [each.packed() for each in remains], "run": run}
        done = change.done(work.clock(), details)
        changes.append(work.settings, done)
    return Receipt(erasure, "erased", removed, remains, done.id, done.at, done.by, done.why, run)


@contextmanager
def _session(work: Work) -> Iterator[SparkSession]:
    with spark.session(work.settings, "erase") as session, translated(work.settings, "erase"):
        yield session


def _find(work: Work, session: SparkSession, erasure: Erasure) -> _Found:
    settings, dataset = work.settings, work.dataset
    held, quarantine = master.master(session, settings, dataset), master.quarantine(session, settings, dataset)
    known = loads.find(settings, dataset, held, erasure)
    mine, bad = loads.of_meter(dataset, erasure), tables.of_quarantine(dataset, erasure, known)
    planned = raw.plan(settings, work.forms, erasure, known)
    counts = {
        MASTER: held.read().where(mine).count(),
        QUARANTINE: quarantine.read().where(bad).count(),
        **planned.counts,
        **_in_views(work, session, erasure),
        FINDINGS: quality.count(session, settings, dataset, erasure.meter),
        **work.live.count(),
    }
    first = work.live.first_offsets()
    in_topic = tables.in_topic(dataset, (held, mine), (quarantine, bad), first) if first else []
    return _Found(counts, mine, bad, planned, in_topic)


def _in_views(work: Work, session: SparkSession, erasure: Erasure) -> dict[str, int]:
    """Count rows of the finest view, in the run that readers see and in those that they may be taken back to."""
    dataset, history = work.dataset, records.load(work.settings, work.dataset.name)
    table = view_table(dataset, dataset.finest.grain)
    present = set(history.tables.get(table.name, {}).values())
    earlier = {folder for run in history.runs for folder in run.tables.get(table.name, {}).values()} - present
    mine = loads.of_meter(dataset, erasure, dataset.finest.grain)
    return {
        name: files.read(session, table, folders).where(mine).count()
        for name, folders in ((VIEWS, present), (EARLIER, earlier))
    }


def _unfinished(work: Work, erasure: Erasure) -> Change | None:
    """Return the erasure of the same readings that was begun and is not done, if there is one."""
    before = erasure.before.isoformat() if erasure.before else None
    return next(
        (
            change
            for change in changes.load(work.settings, work.dataset.name)
            if change.kind == "erasure" and change.meter == erasure.meter and change.details.get(BEFORE) == before
            if not change.is_done
        ),
        None,
    )


def _begin(work: Work, erasure: Erasure, reason: Reason, holdings: _Found) -> Change:
    details: dict[str, Any] = {
        _FOUND: holdings.counts,
        _REMAINS: [each.packed() for each in holdings.raw.remains],
        _IN_TOPIC: [_packed(part) for part in holdings.in_topic],
    }
    if erasure.before:
        details[BEFORE] = erasure.before.isoformat()
    change = Change(
        work.dataset.name, uuid.uuid4().hex[:12], "erasure", work.clock(), reason.by, reason.why, erasure.meter, details
    )
    changes.append(work.settings, change)
    return change


def _remove(work: Work, session: SparkSession, held: Lease, change: Change, erasure: Erasure, holdings: _Found) -> str:
    """Remove what was found; return the run whose views are without it. What leads to the rest is removed last."""
    settings, dataset = work.settings, work.dataset
    readings, quarantine = master.master(session, settings, dataset), master.quarantine(session, settings, dataset)
    work.report("removing raw files, quarantine, live rows")
    raw.erase(settings, dataset.name, holdings.raw)
    tables.delete(settings, quarantine, f"{dataset.name}_quarantine", holdings.bad)
    held.check()
    work.live.erase()
    work.report("removing readings from the master data set")
    tables.delete(settings, readings, dataset.name, holdings.mine)
    _forget_counters(work, session, erasure, change)
    run, seen = "", readings.current()
    history = records.load(settings, dataset.name)
    if history.present is not None or history.begun is not None:
        record = publish_erasure(settings, dataset, held, change.id, work.clock, work.report).record
        run, keep = (record.run_id, record.snapshot) if record else ("", None)
    else:
        keep = seen.id if seen else None
    quality.remove_meter(session, settings, dataset, erasure.meter, held, work.clock())
    work.report("forgetting earlier snapshots")
    held.check()
    if keep is not None:
        readings.forget(keep, change.at)
    if (last := quarantine.current()) is not None:
        quarantine.forget(last.id, change.at)
    arrived = f"({holdings.mine}) AND received_at < TIMESTAMP_NTZ '{change.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
    if left := readings.read().where(arrived).count():
        raise ReadingsArrived(erasure, left)
    return run


def _forget_counters(work: Work, session: SparkSession, erasure: Erasure, change: Change) -> None:
    """Remove what the meter's counters showed at the ends of files."""
    if not any(form.counter_interval_s for form in work.forms):
        return
    table = master.counters(session, work.settings, work.dataset)
    table.delete(loads.of_meter(work.dataset, erasure, "read_at"))
    if (last := table.current()) is not None:
        table.forget(last.id, change.at)


def _larger(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return of each place the larger count: one that was interrupted finds less the second time."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in (*one, *(n for n in other if n not in one))}


def _packed(part: InTopic) -> list[Any]:
    return [part.partition, part.count, part.bad, part.last_at.isoformat(), part.first, part.alone_until]


def _unpacked(content: Sequence[Any]) -> InTopic:
    partition, count, bad, last_at, first, alone_until = content
    return InTopic(partition, count, bad, datetime.fromisoformat(last_at), first, alone_until)
