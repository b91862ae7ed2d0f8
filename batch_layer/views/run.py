"""One run: from the master data set to audited files that nobody reads yet.

The finest view comes from readings; hours, days and gaps come from the finest view's own new files. A slice that is
touched is written again: its touched rows are computed, the others copied from what is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import audit, cells, coverage, decimals, merging, slicing, tables, transforms
from batch_layer.views.scope import Everything
from batch_layer.views.source import open_source
from batch_layer.views.tally import Tally
from engines import columns as shared
from engines import verdicts
from meterlake import slices, timegrid
from meterlake.grains import GRAIN_SECONDS, is_calendar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from batch_layer.views.context import Run
    from batch_layer.views.plan import Plan
    from batch_layer.views.scope import Scope
    from batch_layer.views.source import Source
    from batch_layer.views.tables import Locations, Table
    from meterlake.grains import Grain
    from meterlake.precedence import Balance
    from meterlake.slices import Change

MANY_CHANGES: Final = 1_000_000
"""From so many rows whose coverage has changed on, whole days of them are looked at."""


@dataclass(frozen=True)
class Result:
    """A run whose files are written and audited.

    changes: table -> name of its partition in Hive -> what becomes of it once this run is published. figures: what was
    read, computed, copied and written, for the run's record.
    """

    plan: Plan
    balance: Balance
    changes: dict[str, dict[str, Change]]
    figures: dict[str, Any]

    def tables(self, before: Locations) -> dict[str, dict[str, str]]:
        """Return where every partition of every table lies once this run is published, touched or not."""
        names = sorted(before.keys() | self.changes.keys())
        return {name: slices.changed(before.get(name, {}), self.changes.get(name, {})) for name in names}


def compute(run: Run) -> Result:
    """Compute, write and audit what the plan asks for.

    Raises OutOfBalance or AuditFailed, with nothing published; a later clean-up removes the files of a failed run.
    """
    run.give_up_unsliced()
    source = open_source(run)
    run.newest, run.fleet = source.newest, source.fleet
    run.figures["master"] = {
        "days": None if source.days is None else [day.isoformat() for day in source.days],
        "files_read": source.size.files,
        "bytes_read": source.size.bytes,
        "readings": source.expected,
    }
    try:
        counted = _from_readings(run, source)
        for grain in _coarser(run):
            _roll_up(run, source.scope, grain)
        _coverage(run, source.scope)
        _audit(run, source.scope, counted.sums())
    finally:
        source.release()
    merging.merge(run, limit=merging.A_RUN)
    return Result(run.plan, counted.balance(source.expected), run.changes, run.figures)


def _coarser(run: Run) -> list[Grain]:
    """Return the grains that roll up, finer ones first."""
    return sorted((view.grain for view in run.dataset.views), key=GRAIN_SECONDS.__getitem__)[1:]


def _from_readings(run: Run, source: Source) -> Tally:
    """Write the finest view and the rejects; return what was counted on the way."""
    dataset = run.dataset
    run.report(f"judging {source.expected:,} readings")
    reasoned = verdicts.with_reason(source.rows, dataset)
    judged = verdicts.judged(reasoned, dataset, None)
    old = run.touched(run.finest, source.scope, run.finest_grain)
    counted = _as_if_uncontended(run, source.scope, judged, old)
    if counted is not None:
        return _settled(run, source, judged, counted, old)
    run.report("deciding between readings that compete")
    contended = verdicts.contended_cells(reasoned, dataset).persist()
    try:
        judged, counted = verdicts.judged(reasoned, dataset, contended), Tally(dataset)
        units = transforms.finest_rows(counted.watch(judged), dataset)
        _stage_finest(run, source.scope, units, old)
        return _settled(run, source, judged, counted, old)
    finally:
        contended.unpersist()


def _as_if_uncontended(run: Run, scope: Scope, judged: DataFrame, old: dict[str, str]) -> Tally | None:
    """Stage the finest view as if no reading competed with another; return what was counted, or None if some do."""
    counted, competing = Tally(run.dataset), Observation("competing")
    found = cells.cells(counted.watch(judged), run.dataset)
    found = found.observe(competing, F.count_if(cells.CONTENDED).alias("cells"))
    _stage_finest(run, scope, cells.rows(found), old)
    return None if competing.get["cells"] else counted


def _stage_finest(run: Run, scope: Scope, units: DataFrame, old: dict[str, str]) -> None:
    grain = run.finest_grain
    rows = decimals.stored(units, run.dataset, grain)
    copied = _copied(run, run.finest, scope, grain, old)
    run.stage(run.finest, rows if copied is None else rows.unionByName(copied))


def _settled(run: Run, source: Source, judged: DataFrame, counted: Tally, old: dict[str, str]) -> Tally:
    balance = counted.balance(source.expected)
    balance.check(f"Run {run.plan.run_id}")
    run.place(run.finest, old, {} if isinstance(source.scope, Everything) else old)
    _rejects(run, source.scope, judged, balance)
    return counted


def _copied(run: Run, table: Table, scope: Scope, grain: Grain, old: dict[str, str]) -> DataFrame | None:
    """Return the rows of touched slices that stay as they are; None where there are no such."""
    if isinstance(scope, Everything) or not old:
        return None
    return scope.outside(run.read(table, old), grain)


def _rejects(run: Run, scope: Scope, judged: DataFrame, balance: Balance) -> None:
    table, finest, time = tables.rejects_table(run.dataset), run.finest_grain, run.dataset.event_time
    old = run.touched(table, scope, finest)
    if not (balance.rejected + balance.conflicting or old):
        return
    rows = transforms.rejects(judged, run.dataset)
    if not balance.rejected + balance.conflicting:
        rows = rows.limit(0)  # spares reading everything once more
    copied = None
    if old and not isinstance(scope, Everything):
        timed = shared.with_row_time(run.read(table, old), run.dataset, time, finest)
        copied = scope.outside(timed, finest).drop(finest)
    run.replace(table, rows, old, copied)


def _roll_up(run: Run, scope: Scope, grain: Grain) -> None:
    """Write a coarser view from the next finer one that it is made of, as that will be once published."""
    source, table = timegrid.rolls_up_from(run.dataset, grain), tables.view_table(run.dataset, grain)
    units = decimals.in_units(_rows_below(run, scope, source, grain), run.dataset, source)
    rolled = shared.roll_up(units, run.dataset, finer=source, grain=grain)
    old = run.touched(table, scope, grain)
    run.replace(table, decimals.stored(rolled, run.dataset, grain), old, _copied(run, table, scope, grain, old))
    run.figures[table.name]["from"] = tables.view_table(run.dataset, source).name


def _rows_below(run: Run, scope: Scope, source: Grain, grain: Grain) -> DataFrame:
    """Return the rows of ``source`` from which the recomputed rows of ``grain`` roll up."""
    table = tables.view_table(run.dataset, source)
    after = run.after(table)
    held = {name: after[name] for name in scope.slices_below(after, source, grain)}
    return scope.below(run.read(table, held), source, grain)


def _coverage(run: Run, scope: Scope) -> None:
    """Write the gaps and the meters whose coverage has changed."""
    dataset, finest = run.dataset, run.finest
    gaps, meters = tables.gaps_table(dataset), tables.meters_table(dataset)
    written = run.written(finest)
    if isinstance(scope, Everything):
        changes = coverage.all_new(run.read(finest, written), dataset)
        none = run.read(meters, {}), run.read(gaps, {})
        ranges = coverage.uncovered(changes, *none, dataset, by_day=True).persist()
        run.replace(gaps, coverage.gaps(ranges, dataset), run.before(gaps), None)
        run.replace(meters, coverage.meters(ranges, dataset), run.before(meters), None)
        ranges.unpersist()
        return
    old = run.touched(finest, scope, run.finest_grain)
    changes = coverage.changed(run.read(finest, old), run.read(finest, written), dataset).persist()
    try:
        if count := changes.count():
            _changed_coverage(run, changes, by_day=count >= MANY_CHANGES)
    finally:
        changes.unpersist()


def _changed_coverage(run: Run, changes: DataFrame, *, by_day: bool) -> None:
    dataset, key = run.dataset, run.dataset.key
    gaps, meters = tables.gaps_table(dataset), tables.meters_table(dataset)
    known = run.read(meters, run.before(meters))
    touched = coverage.touched(changes, known, dataset).persist()
    loaded = _gaps_near(run, touched).persist()
    ranges = coverage.uncovered(changes, known, loaded, dataset, by_day=by_day).persist()
    differing = coverage.differing(loaded, coverage.gaps(ranges, dataset)).persist()
    name = slicing.slice_column(gaps, run.layout(gaps)).alias("name")
    names = {row["name"] for row in differing.select(name).distinct().collect()}
    if names:
        before = run.before(gaps)
        old = {name: before[name] for name in names & before.keys()}
        added, removed = (differing.where(side).drop(coverage.IS_NEW) for side in (coverage.IS_NEW, "NOT is_new"))
        stay = run.read(gaps, old).join(removed, [key, "gap_start", "gap_end"], "left_anti") if old else None
        run.replace(gaps, added, old, stay)
    others = known.join(changes.select(key).distinct(), key, "left_anti")
    run.replace(meters, coverage.meters(ranges, dataset), run.before(meters), others)
    for kept in (touched, loaded, ranges, differing):
        kept.unpersist()


def _gaps_near(run: Run, touched: DataFrame) -> DataFrame:
    """Return the published gaps of all meters and months in which coverage has changed within what was known.

    touched: as ``coverage.touched`` tells. Of meters whose first or last row is gone, all gaps: one of them may be none
    any more.
    """
    dataset, table = run.dataset, tables.gaps_table(run.dataset)
    before = run.before(table)
    places = touched.select(coverage.PART, coverage.ENDED).distinct().collect()
    some = {name: before[name] for name in before if any(name.startswith(row[coverage.PART]) for row in places)}
    rows = run.read(table, some).withColumn(coverage.PART, coverage.partition_of("gap_start", table.partition))
    near = rows.join(touched, [dataset.key, coverage.PART], "left_semi").drop(coverage.PART)
    if any(row[coverage.ENDED] for row in places):
        ended = touched.where(coverage.ENDED)
        every = run.read(table, before).join(ended, dataset.key, "left_semi")
        near = near.unionByName(every).distinct()
    return near


def _audit(run: Run, scope: Scope, expected: dict[str, int]) -> None:
    run.report("auditing")
    dataset, run_id, finest = run.dataset, run.plan.run_id, run.finest_grain
    views = [_to_audit(run, scope, grain) for grain in (finest, *_coarser(run))]
    seen = audit.look(dataset, views)
    for view in views:
        table = tables.view_table(dataset, view.grain)
        if view.grain == finest:
            audit.check_equal(run_id, f"readings and {table.name}", expected, seen[finest].sums)
        audit.check_rows(run_id, seen[view.grain], dataset, view.grain, table.name)
        if is_calendar(view.grain):
            audit.check_calendar(run_id, view.new, dataset, view.grain)


def _to_audit(run: Run, scope: Scope, grain: Grain) -> audit.View:
    table, finest = tables.view_table(run.dataset, grain), run.finest_grain
    new = scope.marked(run.read_placed(table, run.written(table)), grain)
    made_of = None if grain == finest else _rows_below(run, scope, finest, grain)
    if isinstance(scope, Everything):
        return audit.View(grain, new, made_of, None)
    return audit.View(grain, new, made_of, scope.marked(run.read(table, run.touched(table, scope, grain)), grain))
