"""One run: from the master data set to audited files that nobody reads yet.

The finest view comes from readings; hours, days and gaps come from the finest view's own new files. A slice that is
touched is written again: its touched rows are computed, the others copied from what is published.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import audit, coverage, decimals, finest, merging, slicing, tables
from batch_layer.views.scope import INSIDE, Everything, small
from batch_layer.views.source import open_source
from engines import columns as shared
from engines import spark as engine
from meterlake import slices, timegrid
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from batch_layer.views.context import Run
    from batch_layer.views.coverage import Places
    from batch_layer.views.plan import Plan
    from batch_layer.views.scope import Scope
    from batch_layer.views.tables import Locations
    from meterlake.grains import Grain
    from meterlake.precedence import Balance
    from meterlake.slices import Change

PLANNED_ONCE: Final = 20_000_000
"""Up to so many readings, planning again what is left of a query after each of its stages costs more than it gains."""
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
    with engine.planned_once(run.spark) if run.plan.readings <= PLANNED_ONCE else nullcontext():
        return _compute(run)


def _compute(run: Run) -> Result:
    source = open_source(run)
    run.newest, run.fleet = source.newest, source.fleet
    run.figures["master"] = {
        "days": None if source.days is None else [day.isoformat() for day in source.days],
        "files_read": source.size.files,
        "bytes_read": source.size.bytes,
        "readings": source.expected,
    }
    try:
        counted = finest.write(run, source)
        for grain in _coarser(run):
            _roll_up(run, source.scope, grain)
        _coverage(run, source.scope)
        _audit(run, source.scope, counted.sums(run.dataset))
    finally:
        source.release()
    merging.merge(run, limit=merging.A_RUN)
    return Result(run.plan, counted.balance(source.expected), run.changes, run.figures)


def _coarser(run: Run) -> list[Grain]:
    """Return the grains that roll up, finer ones first."""
    return sorted((view.grain for view in run.dataset.views), key=GRAIN_SECONDS.__getitem__)[1:]


def _roll_up(run: Run, scope: Scope, grain: Grain) -> None:
    """Write a coarser view from the next finer one that it is made of, as that will be once published."""
    source, table = timegrid.rolls_up_from(run.dataset, grain), tables.view_table(run.dataset, grain)
    units = decimals.in_units(_rows_below(run, scope, source, grain), run.dataset, source)
    rolled = shared.roll_up(units, run.dataset, finer=source, grain=grain)
    old = run.touched(table, scope, grain)
    run.replace(table, decimals.stored(rolled, run.dataset, grain), old, run.copied(table, scope, grain))
    run.figures[table.name]["from"] = tables.view_table(run.dataset, source).name


def _rows_below(run: Run, scope: Scope, source: Grain, grain: Grain) -> DataFrame:
    """Return the rows of ``source`` from which the recomputed rows of ``grain`` roll up.

    Rows that are recomputed themselves are among them; only of others some may not be.
    """
    table = tables.view_table(run.dataset, source)
    whole, others = _slices_below(run, scope, source, grain)
    parts = [run.read(table, whole)] if whole or not others else []
    if others:
        parts.append(scope.below(run.read(table, others), source, grain))
    return reduce(DataFrame.unionByName, parts)


def _slices_below(run: Run, scope: Scope, source: Grain, grain: Grain) -> tuple[dict[str, str], dict[str, str]]:
    """Return the slices that hold ``_rows_below``: those of which all rows are recomputed, and the others."""
    table = tables.view_table(run.dataset, source)
    after = run.after(table)
    return run.apart(table, {name: after[name] for name in scope.slices_below(after, source, grain)}, scope)


def _coverage(run: Run, scope: Scope) -> None:
    """Write the gaps and the meters whose coverage has changed."""
    dataset = run.dataset
    gaps, meters = tables.gaps_table(dataset), tables.meters_table(dataset)
    if isinstance(scope, Everything):
        new = run.read(run.finest, run.written(run.finest))
        changes = coverage.all_new(new, dataset)
        none = run.read(meters, {}), run.read(gaps, {})
        ranges = coverage.uncovered(changes, *none, dataset, by_day=True).persist()
        run.replace(gaps, coverage.gaps(ranges, dataset), run.before(gaps), None)
        run.replace(meters, coverage.meters(ranges, dataset), run.before(meters), None)
        ranges.unpersist()
        return
    changes = _changes(run, scope).persist()
    try:
        known = run.read(meters, run.before(meters))
        count, places = coverage.places(changes, known, dataset)
        if count:
            _changed_coverage(run, changes, known, count, places)
    finally:
        changes.unpersist()


def _changes(run: Run, scope: Scope) -> DataFrame:
    """Return the rows of the finest view whose coverage has changed; where there were no rows, all of the new ones."""
    table, grain = run.finest, run.finest_grain
    whole, others = run.apart(table, run.written(table), scope)
    old = run.touched(table, scope, grain)
    parts = [coverage.all_new(run.read(table, whole), run.dataset)] if whole or not old else []
    if old:
        before, after = (scope.inside(run.read(table, folders), grain) for folders in (old, others))
        parts.append(coverage.changed(before, after, run.dataset))
    return reduce(DataFrame.unionByName, parts)


def _changed_coverage(run: Run, changes: DataFrame, known: DataFrame, count: int, places: Places) -> None:
    dataset, key = run.dataset, run.dataset.key
    gaps, meters = tables.gaps_table(dataset), tables.meters_table(dataset)
    near = _gaps_near(run, changes, known, places)
    loaded = run.read(gaps, {}) if near is None else near.persist()
    ranges = coverage.uncovered(changes, known, loaded, dataset, by_day=count >= MANY_CHANGES).persist()
    seen = Observation()
    others = known.join(small(coverage.meters_of(ranges, dataset), count), key, "left_anti")
    observed = ranges.observe(seen, F.count_if(coverage.is_gap()).alias("gaps"))
    run.replace(meters, coverage.meters(observed, dataset), run.before(meters), others)
    if near is not None or seen.get["gaps"]:
        _changed_gaps(run, near, coverage.gaps(ranges, dataset))
    for kept in (loaded, ranges):
        kept.unpersist()


def _changed_gaps(run: Run, old: DataFrame | None, new: DataFrame) -> None:
    """Write the slices in which gaps differ. old: the published ones that may; None: none may."""
    gaps, key = tables.gaps_table(run.dataset), run.dataset.key
    differing = coverage.differing(old, new) if old is not None else new.withColumn(coverage.IS_NEW, F.lit(True))
    differing.persist()
    name = slicing.slice_column(gaps, run.layout(gaps)).alias("name")
    names = {row["name"] for row in differing.select(name).distinct().collect()}
    if names:
        before = run.before(gaps)
        rewritten = {name: before[name] for name in names & before.keys()}
        added, removed = (differing.where(side).drop(coverage.IS_NEW) for side in (coverage.IS_NEW, "NOT is_new"))
        stay = run.read(gaps, rewritten) if rewritten else None
        if stay is not None and old is not None:
            stay = stay.join(removed, [key, "gap_start", "gap_end"], "left_anti")
        run.replace(gaps, added, rewritten, stay)
    differing.unpersist()


def _gaps_near(run: Run, changes: DataFrame, known: DataFrame, places: Places) -> DataFrame | None:
    """Return the published gaps of all meters and months in which coverage has changed within what was known.

    Of meters whose first or last row is gone, all gaps: one of them may be none any more. None where there are none.
    """
    dataset, table = run.dataset, tables.gaps_table(run.dataset)
    before = run.before(table)
    some = {name: before[name] for name in before if name.startswith(tuple(places))}
    if not some:
        return None
    touched = coverage.touched(changes, known, dataset)
    rows = run.read(table, some).withColumn(coverage.PART, coverage.partition_of("gap_start", table.partition))
    near = rows.join(touched, [dataset.key, coverage.PART], "left_semi").drop(coverage.PART)
    if any(places.values()):
        ended = touched.where(coverage.ENDED)
        every = run.read(table, before).join(ended, dataset.key, "left_semi")
        near = near.unionByName(every).distinct()
    return near


def _audit(run: Run, scope: Scope, expected: dict[str, int]) -> None:
    run.report("auditing")
    dataset, run_id, first = run.dataset, run.plan.run_id, run.finest_grain
    views = [_to_audit(run, scope, grain) for grain in (first, *_coarser(run))]
    seen = audit.look(dataset, views)
    for view in views:
        table = tables.view_table(dataset, view.grain)
        if view.grain == first:
            audit.check_equal(run_id, f"readings and {table.name}", expected, seen[first].sums)
        audit.check_rows(run_id, seen[view.grain], dataset, view, table.name)


def _to_audit(run: Run, scope: Scope, grain: Grain) -> audit.View:
    table = tables.view_table(run.dataset, grain)
    whole, others = run.apart(table, run.written(table), scope)
    parts = [run.read_placed(table, whole).withColumn(INSIDE, F.lit(True))] if whole or not others else []
    if others:
        parts.append(scope.marked(run.read_placed(table, others), grain))
    new, copied = reduce(DataFrame.unionByName, parts), run.copied(table, scope, grain)
    if grain == run.finest_grain:
        return audit.View(grain, new, copied)
    source = timegrid.rolls_up_from(run.dataset, grain)
    _, mixed = _slices_below(run, scope, source, grain)
    return audit.View(grain, new, copied, source, _rows_below(run, scope, source, grain) if mixed else None)
