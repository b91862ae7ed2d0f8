"""One run: from the master data set to audited files that nobody reads yet.

The finest view comes from readings; hours, days and gaps come from the finest view's own new files. A partition that is
touched is written anew: its touched days are computed, the others copied from what is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import audit, decimals, plan, tables, transforms
from engines import columns as shared
from engines import verdicts
from meterlake.precedence import Balance

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import Column, DataFrame

    from batch_layer.views.context import Run
    from batch_layer.views.plan import Plan
    from batch_layer.views.tables import Table
    from meterlake.grains import Grain


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
    balance, expected = _from_readings(run)
    for view in run.dataset.views:
        if view.grain != run.dataset.finest.grain:
            _roll_up(run, view.grain)
    _gaps(run)
    _audit(run, expected)
    return Result(run.plan, balance, run.after, run.figures)


def _from_readings(run: Run) -> tuple[Balance, dict[str, int]]:
    """Write the finest view and the rejects; return the balance, and what the sums of the view must be."""
    dataset, days = run.dataset, run.plan.days
    source = run.master.read(days, run.plan.read_snapshot)
    size = run.master.size(days, run.plan.read_snapshot)
    read = size.rows if days is None else source.count()
    run.figures["master"] = {
        "days": None if days is None else [day.isoformat() for day in days],
        "files_read": size.files,
        "bytes_read": size.bytes,
        "readings": read,
    }
    run.tell(f"judging {read:,} readings")
    reasoned = verdicts.with_reason(source, dataset)
    disputed = verdicts.disputed_cells(reasoned, dataset).persist()
    judged = verdicts.judged(reasoned, dataset, disputed if disputed.count() else None)
    balance, expected = audit.tally(judged, dataset, read)
    balance.check(f"Run {run.plan.run_id}")
    grain = dataset.finest.grain
    _replace(run, run.finest, decimals.stored(transforms.finest_rows(judged, dataset), dataset, grain), grain)
    _rejects(run, judged, balance)
    disputed.unpersist()
    return balance, expected


def _rejects(run: Run, judged: DataFrame, balance: Balance) -> None:
    table = tables.rejects_table(run.dataset)
    days = run.span("minute")
    rows = transforms.rejects(judged, run.dataset)
    if not balance.rejected + balance.conflicting:
        rows = rows.limit(0)  # spares reading everything once more
    _merge(run, table, rows, transforms.utc_day(run.dataset.event_time), days)


def _roll_up(run: Run, grain: Grain) -> None:
    """Write an hour or day view from the finest view as it will be once published."""
    finest = run.finest
    units = decimals.in_units(_finest_rows(run, grain), run.dataset, run.dataset.finest.grain)
    rolled = shared.roll_up(units, run.dataset, finer=run.dataset.finest.grain, grain=grain)
    _replace(run, tables.view_table(run.dataset, grain), decimals.stored(rolled, run.dataset, grain), grain)
    run.figures[tables.view_table(run.dataset, grain).name]["from"] = finest.name


def _finest_rows(run: Run, grain: Grain) -> DataFrame:
    """Return the finest view's rows from which the recomputed days of ``grain`` roll up."""
    finest, span = run.finest, run.span(grain)
    folders = run.after[finest.name]
    if span is None:
        return run.read(finest, folders)
    utc = plan.utc_days(run.dataset, span) if grain == "day" else span
    held = {value: folders[value] for value in finest.values(utc) & folders.keys()}
    return run.read(finest, held).where(run.day_of(grain, finest.time).isin(sorted(span)))


def _replace(run: Run, table: Table, rows: DataFrame, grain: Grain) -> None:
    """Write the recomputed days of a view, the other days of their partitions copied."""
    day = F.col(grain) if grain == "day" else transforms.utc_day(grain)
    _merge(run, table, rows, day, run.span(grain))


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
    dataset, run_id, finest = run.dataset, run.plan.run_id, run.dataset.finest.grain
    below = audit.totals(_finest_rows(run, finest), dataset, finest)
    audit.check_equal(run_id, f"readings and {run.finest.name}", expected, audit.sums(below, dataset))
    for view in dataset.views:
        table, span = tables.view_table(dataset, view.grain), run.span(view.grain)
        rows = run.read(table, run.written(table))
        audit.check_rows(run_id, rows, dataset, view.grain)
        if view.grain != finest:
            same_days = span == run.span(finest)
            wanted = below if same_days else audit.totals(_finest_rows(run, view.grain), dataset, finest)
            found = audit.totals(_days(rows, view.grain, span), dataset, view.grain)
            audit.check_equal(run_id, f"{run.finest.name} and {table.name}", wanted, found)
        if span is not None:
            old = run.read(table, run.before(table, span))
            copied = (
                audit.totals(_days(part, view.grain, span, other=True), dataset, view.grain) for part in (old, rows)
            )
            audit.check_equal(run_id, f"copied days of {table.name}", *copied)


def _days(rows: DataFrame, grain: Grain, span: set[date] | None, *, other: bool = False) -> DataFrame:
    """Return a view's rows of some days (None: all), or those of the other days."""
    if span is None:
        return rows
    chosen = (F.col(grain) if grain == "day" else transforms.utc_day(grain)).isin(sorted(span))
    return rows.where(~chosen if other else chosen)
