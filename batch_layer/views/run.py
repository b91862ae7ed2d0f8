"""One run: from the master data set to audited files that nobody reads yet.

The finest view comes from readings; hours, days and gaps come from the finest view's own new files. A partition that is
touched is written anew: its touched days are computed, the others copied from what is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import audit, cells, decimals, plan, tables, transforms
from batch_layer.views.tally import Tally
from engines import columns as shared
from engines import verdicts
from meterlake import timegrid
from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import Column, DataFrame

    from batch_layer.views.audit import Survey
    from batch_layer.views.context import Run
    from batch_layer.views.plan import Plan
    from batch_layer.views.tables import Table
    from meterlake.grains import Grain
    from meterlake.precedence import Balance


@dataclass(frozen=True)
class Result:
    """A run whose files are written and audited.

    tables: where every partition of every table lies once this run is published, touched or not.
    figures: what was read, computed, copied and written, for the run's record.
    """

    plan: Plan
    balance: Balance
    tables: dict[str, dict[str, str]]
    figures: dict[str, Any]


def compute(run: Run) -> Result:
    """Compute, write and audit what the plan asks for.

    Raises OutOfBalance or AuditFailed, with nothing published; a later clean-up removes the files of a failed run.
    """
    counted = _from_readings(run)
    for grain in sorted((view.grain for view in run.dataset.views), key=GRAIN_SECONDS.__getitem__)[1:]:
        _roll_up(run, grain)
    _gaps(run)
    _audit(run, counted.sums())
    return Result(run.plan, counted.balance(run.readings), run.after, run.figures)


def _from_readings(run: Run) -> Tally:
    """Write the finest view and the rejects; return what was counted on the way."""
    dataset, days = run.dataset, run.plan.days
    source = run.master.read(days, run.plan.read_snapshot)
    size = run.master.size(days, run.plan.read_snapshot)
    run.readings = size.rows if days is None else source.count()
    run.figures["master"] = {
        "days": None if days is None else [day.isoformat() for day in days],
        "files_read": size.files,
        "bytes_read": size.bytes,
        "readings": run.readings,
    }
    run.tell(f"judging {run.readings:,} readings")
    reasoned = verdicts.with_reason(source, dataset)
    judged = verdicts.judged(reasoned, dataset, None)
    counted = _as_if_undisputed(run, judged)
    if counted is not None:
        return _settled(run, judged, counted)
    run.tell("deciding between readings that compete")
    disputed = verdicts.disputed_cells(reasoned, dataset).persist()
    try:
        judged, counted = verdicts.judged(reasoned, dataset, disputed), Tally(dataset)
        _write_finest(run, transforms.finest_rows(counted.watch(judged), dataset))
        return _settled(run, judged, counted)
    finally:
        disputed.unpersist()


def _as_if_undisputed(run: Run, judged: DataFrame) -> Tally | None:
    """Write the finest view as if no reading competed with another; return what was counted, or None if some do."""
    counted, competing = Tally(run.dataset), Observation("competing")
    found = cells.cells(counted.watch(judged), run.dataset)
    found = found.observe(competing, F.count_if(cells.DISPUTED).alias("cells"))
    _write_finest(run, cells.rows(found, run.dataset))
    return None if competing.get["cells"] else counted


def _settled(run: Run, judged: DataFrame, counted: Tally) -> Tally:
    balance = counted.balance(run.readings)
    balance.check(f"Run {run.plan.run_id}")
    _rejects(run, judged, balance)
    return counted


def _write_finest(run: Run, units: DataFrame) -> None:
    grain = run.finest_grain
    _replace(run, run.finest, decimals.stored(units, run.dataset, grain), grain)


def _rejects(run: Run, judged: DataFrame, balance: Balance) -> None:
    table = tables.rejects_table(run.dataset)
    days = run.span("minute")
    rows = transforms.rejects(judged, run.dataset)
    if not balance.rejected + balance.conflicting:
        rows = rows.limit(0)  # spares reading everything once more
    _merge(run, table, rows, transforms.utc_day(run.dataset.event_time), days)


def _roll_up(run: Run, grain: Grain) -> None:
    """Write an hour or day view from the next finer one that it is made of, as that will be once published."""
    source = timegrid.rolls_up_from(run.dataset, grain)
    units = decimals.in_units(_rows_below(run, source, grain), run.dataset, source)
    rolled = shared.roll_up(units, run.dataset, finer=source, grain=grain)
    _replace(run, tables.view_table(run.dataset, grain), decimals.stored(rolled, run.dataset, grain), grain)
    run.figures[tables.view_table(run.dataset, grain).name]["from"] = tables.view_table(run.dataset, source).name


def _rows_below(run: Run, source: Grain, grain: Grain) -> DataFrame:
    """Return the rows of ``source`` from which the recomputed days of ``grain`` roll up."""
    table, span = tables.view_table(run.dataset, source), run.span(grain)
    folders = run.after[table.name]
    if span is None:
        return run.read(table, folders)
    utc = plan.utc_days(run.dataset, span) if grain == "day" else span
    held = {value: folders[value] for value in table.values(utc) & folders.keys()}
    return run.read(table, held).where(run.day_of(grain, table.time).isin(sorted(span)))


def _replace(run: Run, table: Table, rows: DataFrame, grain: Grain) -> None:
    """Write the recomputed days of a view, the other days of their partitions copied."""
    _merge(run, table, rows, transforms.view_day(grain), run.span(grain))


def _merge(run: Run, table: Table, rows: DataFrame, day: Column, days: set[date] | None) -> None:
    old = run.before(table, days)
    copied = None if days is None or not old else run.read(table, old).where(~day.isin(sorted(days)))
    run.write(table, rows, old, copied)


def _gaps(run: Run) -> None:
    """Write the partitions whose gaps have changed: new readings may end a gap that began years ago."""
    table, finest = tables.gaps_table(run.dataset), run.finest
    known = run.read(finest, run.after[finest.name]).select(run.dataset.key, finest.time)
    rows = transforms.gaps(known, run.dataset)
    before = run.before(table)
    if run.plan.days is None:
        run.write(table, rows, before)
        return
    new, old = _digests(rows.persist(), table), _digests(run.read(table, before), table)
    changed = {value for value in new.keys() | old.keys() if new.get(value) != old.get(value)}
    value = transforms.partition_of(table.time, table.partition)
    run.write(table, rows.where(value.isin(sorted(changed))), {key: before[key] for key in changed & before.keys()})
    rows.unpersist()


def _digests(rows: DataFrame, table: Table) -> dict[str, tuple[int, Any]]:
    """Return, for each partition, the number of rows and a sum of their hashes."""
    names = [column.name for column in table.columns]
    value = transforms.partition_of(table.time, table.partition).alias("value")
    digest = F.sum(F.xxhash64(*names).cast("decimal(20,0)"))
    return {row[0]: (row[1], row[2]) for row in rows.groupBy(value).agg(F.count("*"), digest).collect()}


def _audit(run: Run, expected: dict[str, int]) -> None:
    run.tell("auditing")
    dataset, run_id, finest = run.dataset, run.plan.run_id, run.finest_grain
    below: dict[Grain, Survey] = {}
    for view in sorted(dataset.views, key=lambda view: GRAIN_SECONDS[view.grain]):
        table, span = tables.view_table(dataset, view.grain), run.span(view.grain)
        inside = None if span is None else transforms.view_day(view.grain).isin(sorted(span))
        rows = run.read(table, run.written(table))
        found = below[view.grain] = audit.survey(rows, dataset, view.grain, inside)
        audit.check_survey(run_id, found, dataset, view.grain)
        if view.grain == "day":
            audit.check_days(run_id, rows, dataset)
        if view.grain == finest:
            audit.check_equal(run_id, f"readings and {table.name}", expected, audit.sums(found.inside, dataset))
        else:
            same_days = span == run.span(finest)
            made_of = (
                below[finest] if same_days else audit.survey(_rows_below(run, finest, view.grain), dataset, finest)
            )
            audit.check_equal(run_id, f"{run.finest.name} and {table.name}", made_of.inside, found.inside)
        if span is not None:
            old = audit.survey(run.read(table, run.before(table, span)), dataset, view.grain, inside)
            audit.check_equal(run_id, f"copied days of {table.name}", old.outside, found.outside)
