"""What a run reads from the master data set: all of it, some days, or what is new.

What is new are the files added since the run before; beside them only those earlier readings are read that belong to a
row of the finest view to which new ones have come. Both are summed up to rows of the finest view at once: all that
follows works with these, and readings are looked at again only where they compete. Where rows were deleted or
overwritten since, which Iceberg's metadata tells, the days that this touches are read whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import cells
from batch_layer.views.finest import judged
from batch_layer.views.scope import Cells, Days, Everything
from batch_layer.views.slicing import ROWS_A_TASK, Fleet
from batch_layer.views.tally import Counted, Tally
from engines import columns as shared
from engines.table_format import Size, Span
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import Column, DataFrame

    from batch_layer.views.context import Run
    from batch_layer.views.scope import Scope
    from meterlake.declaration import MeterSeries

MOST_SPANS: Final = 64
"""So many conditions at most look for earlier readings; nearer ones become one."""
SUMMED_ROWS: Final = 20_000_000
"""So many new readings at most are summed up before anything else; of more, too much would be kept."""


@dataclass(frozen=True)
class Summed:
    """Readings summed up to cells (``views.cells``) as if none competed.

    counted: of all readings, with their verdicts as if none competed. contended: in how many cells some do.
    counted_contended: of the readings of those.
    """

    cells: DataFrame
    counted: Counted
    contended: int
    counted_contended: Counted


@dataclass(frozen=True)
class Source:
    """What is read. rows: as in the master data set. expected: how many those are, by metadata or a count of its own.

    days: UTC days whose readings are new or read again; None: all. summed: the rows summed up, where that is done.
    kept: what is kept between the queries of a run.
    """

    rows: DataFrame
    scope: Scope
    size: Size
    expected: int
    newest: date
    days: tuple[date, ...] | None
    fleet: Fleet
    summed: Summed | None = None
    kept: tuple[DataFrame, ...] = ()

    def release(self) -> None:
        """Forget what was kept between queries."""
        self.scope.release()
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
    last = master.newest_day(run.last_day, snapshot) if days is None else None
    newest = run.newest_of([last] if last else days or ())
    return Source(rows, scope, size, count, newest, days, _recent_fleet(run, size, newest))


def _recent_fleet(run: Run, size: Size, newest: date) -> Fleet:
    """Return the fleet of the newest day."""
    if size.rows < ROWS_A_TASK:
        return Fleet()
    return Fleet.of(run.master.read([newest], run.plan.read_snapshot), run.dataset.key)


def _new(run: Run, since: int) -> Source:
    dataset, until = run.dataset, run.plan.read_snapshot
    added, rows, finest = run.master.added(since, until), run.master.read_added(since, until), run.finest_grain
    size, tally = added.size, Tally(dataset)
    if is_summed := size.rows <= SUMMED_ROWS:
        result = cells.cells(tally.watch(judged(rows, dataset)), dataset).persist()
    else:
        timed = shared.with_row_time(rows, dataset, dataset.event_time, finest)
        result = timed.select(dataset.key, finest).distinct().persist()
    hours = _hours(result, dataset, *(cells.contended(dataset) if is_summed else ()))
    begun, count = frozenset(row["hour"] for row in hours), sum(row["cells"] for row in hours)
    scope = Cells(dataset, begun, cells=result, count=count)
    spans = _spans(hours, GRAIN_SECONDS[finest])
    summed = _summed(result, tally, hours, dataset) if is_summed else None
    expected, kept = size.rows, [result]
    earlier = run.master.span_size(spans, since)
    if earlier.files:
        known = shared.with_row_time(run.master.read_spans(spans, since), dataset, dataset.event_time, finest)
        again = scope.inside(known, finest).drop(finest)
        if summed is not None:
            summed, read_again = _with_earlier(summed, again, dataset)
            kept.append(summed.cells)
            scope = Cells(dataset, begun, cells=summed.cells, count=count)
        else:
            kept.append(again.persist())
            read_again = again.count()
        size = Size(size.files + earlier.files, size.bytes + earlier.bytes, size.rows + earlier.rows)
        rows, expected = rows.unionByName(again), expected + read_again
    days = tuple(sorted({hour.date() for hour in begun}))
    fleet = _fleet(run, result, max((row["meters"] for row in hours), default=0))
    return Source(rows, scope, size, expected, run.newest_of(days), days, fleet, summed, tuple(kept))


def _summed(celled: DataFrame, tally: Tally, hours: list[Any], dataset: MeterSeries) -> Summed:
    """Return what was summed up of new readings. hours: with the aggregates of ``cells.contended``."""
    contended = [cells.counted_contended(row.asDict(), dataset) for row in hours]
    counted = reduce(add, (each for _, each in contended), Counted())
    return Summed(celled, tally.counted(), sum(count for count, _ in contended), counted)


def _with_earlier(new: Summed, again: DataFrame, dataset: MeterSeries) -> tuple[Summed, int]:
    """Return what was summed up of new and of the earlier readings of the same cells, and the number of those."""
    tally = Tally(dataset)
    earlier = cells.cells(tally.watch(judged(again, dataset)), dataset)
    merged = cells.merged(new.cells.unionByName(earlier), dataset).persist()
    result = merged.agg(*cells.contended(dataset)).first()
    contended, of_those = cells.counted_contended(result.asDict() if result else {}, dataset)
    counted = tally.counted()
    return Summed(merged, new.counted + counted, contended, of_those), counted.readings


def _hours(celled: DataFrame, dataset: MeterSeries, *more: Column) -> list[Any]:
    """Return the hours of cells in order, with the bounds of their times and meters in each, and how many there are."""
    key, time = dataset.key, dataset.finest.grain
    hour = F.date_trunc("HOUR", time).cast("timestamp_ntz").alias("hour")
    bounds = [F.min(time).alias("first"), F.max(time).alias("last"), F.min(key).alias("low"), F.max(key).alias("high")]
    counts = [F.count(F.lit(1)).alias("cells"), F.approx_count_distinct(key).alias("meters")]
    rows = celled.groupBy(hour).agg(*bounds, *counts, *more).collect()
    return sorted(rows, key=lambda row: row["hour"])


def _spans(hours: list[Any], seconds: int) -> list[Span]:
    """Return bounded conditions that hold of all rows of the finest view in which there are new readings."""
    length = timedelta(seconds=seconds)
    spans = [Span(row["first"], row["last"] + length, row["low"], row["high"]) for row in hours]
    joined = _joined(spans, timedelta(0))
    if len(joined) <= MOST_SPANS:
        return joined
    pauses = sorted((after.begin - before.end for before, after in pairwise(joined)), reverse=True)
    return _joined(joined, pauses[MOST_SPANS - 1])


def _joined(spans: list[Span], pause: timedelta) -> list[Span]:
    """Return spans in order, those with no longer a pause between them as one."""
    result: list[Span] = []
    for span in spans:
        if result and span.begin - result[-1].end <= pause:
            result[-1] = _union(result[-1], span)
        else:
            result.append(span)
    return result


def _union(one: Span, other: Span) -> Span:
    return Span(
        min(one.begin, other.begin), max(one.end, other.end), min(one.first, other.first), max(one.last, other.last)
    )


def _fleet(run: Run, rows: DataFrame, meters: int) -> Fleet:
    """Return the fleet that is known, or that of some rows where those are of many more meters."""
    known = run.known_meters()
    if known is not None and 2 * known.meters >= meters:
        return known
    return Fleet.of(rows, run.dataset.key) if meters > 1 else Fleet(meters)
