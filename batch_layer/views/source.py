"""What a run reads from the master data set: all of it, some days, or what is new.

What is new are the files added since the run before; beside them only those earlier readings are read that belong to a
row of the finest view to which new ones have come. Where rows were deleted or overwritten since, which Iceberg's
metadata tells, the days that this touches are read whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.scope import Cells, Days, Everything
from batch_layer.views.slicing import ROWS_A_TASK, Fleet
from engines import columns as shared
from engines.table_format import Size, Span
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import DataFrame

    from batch_layer.views.context import Run
    from batch_layer.views.scope import Scope

MOST_SPANS: Final = 64
"""So many conditions at most look for earlier readings; nearer ones become one."""
KEPT_ROWS: Final = 20_000_000
"""So many new readings at most are kept between the queries of a run; more are read from their files again."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - times in tables are UTC without zone


@dataclass(frozen=True)
class Source:
    """What is read. rows: as in the master data set. expected: how many those are, by metadata or a count of its own.

    days: UTC days whose readings are new or read again; None: all.
    """

    rows: DataFrame
    scope: Scope
    size: Size
    expected: int
    newest: date
    days: tuple[date, ...] | None
    fleet: Fleet
    kept: tuple[DataFrame, ...] = ()

    def release(self) -> None:
        """Forget what was kept between queries."""
        for rows in self.kept:
            rows.unpersist()


def open_source(run: Run) -> Source:
    """Return what the plan says is to be read."""
    if run.plan.since is not None:
        return _new(run, run.plan.since)
    master, snapshot, days = run.master, run.plan.read_snapshot, run.plan.days
    rows, size = master.read(days, snapshot), master.size(days, snapshot)
    exact = days is None and not master.has_deleted_rows(snapshot)
    count = size.rows if exact else rows.count()
    scope: Scope = Everything(run.dataset) if days is None else Days.of(run.dataset, days)
    known = days if days is not None else tuple(master.changed_days(None, snapshot))
    newest = run.newest_of(known)
    return Source(rows, scope, size, count, newest, days, _recent_fleet(run, size, newest))


def _recent_fleet(run: Run, size: Size, newest: date) -> Fleet:
    """Return the fleet of the newest day."""
    if size.rows < ROWS_A_TASK:
        return Fleet()
    recent = run.master.read([newest], run.plan.read_snapshot).select(run.dataset.key).distinct()
    return _fleet(run, recent, recent.count())


def _new(run: Run, since: int) -> Source:
    dataset, until = run.dataset, run.plan.read_snapshot
    added, finest = run.master.added(since, until), dataset.finest.grain
    rows = run.master.read_added(since, until)
    kept = [rows.persist()] if added.size.rows <= KEPT_ROWS else []
    hours = _hours(rows, dataset.event_time, dataset.key)
    timed = shared.with_row_time(rows, dataset, dataset.event_time, finest)
    touched = timed.select(dataset.key, finest).distinct().persist()
    spans = _spans(hours, GRAIN_SECONDS[finest])
    earlier = run.master.span_size(spans, since)
    size, expected = added.size, added.size.rows
    if earlier.files:
        known = shared.with_row_time(run.master.read_spans(spans, since), dataset, dataset.event_time, finest)
        again = known.join(touched, [dataset.key, finest], "left_semi").drop(finest).persist()
        expected += again.count()
        size = Size(size.files + earlier.files, size.bytes + earlier.bytes, size.rows + earlier.rows)
        rows = rows.unionByName(again)
        kept.append(again)
    begun = frozenset(row["hour"] for row in hours)
    days = tuple(sorted({hour.date() for hour in begun}))
    fleet = _fleet(run, touched, max((row["meters"] for row in hours), default=0))
    scope = Cells(dataset, begun, cells=touched)
    return Source(rows, scope, size, expected, run.newest_of(days), days, fleet, (*kept, touched))


def _hours(rows: DataFrame, time: str, key: str) -> list[Any]:
    """Return the hours of readings in order, with the bounds of their times and meters in each."""
    hour = F.date_trunc("HOUR", time).cast("timestamp_ntz").alias("hour")
    bounds = [F.min(time).alias("first"), F.max(time).alias("last"), F.min(key).alias("low"), F.max(key).alias("high")]
    return rows.groupBy(hour).agg(*bounds, F.approx_count_distinct(key).alias("meters")).orderBy("hour").collect()


def _spans(hours: list[Any], seconds: int) -> list[Span]:
    """Return bounded conditions that hold of all rows of the finest view in which there are new readings."""
    length = timedelta(seconds=seconds)
    spans = [
        Span(_floor(row["first"], length), _floor(row["last"], length) + length, row["low"], row["high"])
        for row in hours
    ]
    joined = _joined(spans, timedelta(0))
    if len(joined) <= MOST_SPANS:
        return joined
    pauses = sorted((after.begin - before.end for before, after in pairwise(joined)), reverse=True)
    return _joined(joined, pauses[MOST_SPANS - 1])


def _joined(spans: list[Span], pause: timedelta) -> list[Span]:
    """Return spans in order, those with no longer a pause between them as one."""
    found: list[Span] = []
    for span in spans:
        if found and span.begin - found[-1].end <= pause:
            found[-1] = _union(found[-1], span)
        else:
            found.append(span)
    return found


def _union(one: Span, other: Span) -> Span:
    return Span(
        min(one.begin, other.begin), max(one.end, other.end), min(one.first, other.first), max(one.last, other.last)
    )


def _floor(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % length


def _fleet(run: Run, rows: DataFrame, meters: int) -> Fleet:
    """Return the fleet that is known, or that of some rows where those are of many more meters."""
    known = run.known_meters()
    if known is not None and 2 * known.meters >= meters:
        return known
    return Fleet.of(rows, run.dataset.key, meters)
