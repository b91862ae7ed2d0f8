"""From what is read to the finest view and the rejects: summed up, decided between where readings compete, written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Observation

from batch_layer.views import cells, decimals, tables, transforms
from batch_layer.views.scope import small
from batch_layer.views.tally import Counted, Tally, with_units
from engines import columns as shared
from engines import verdicts
from engines.catalyst import Bits

if TYPE_CHECKING:
    from batch_layer.views.context import Run
    from batch_layer.views.source import Source
    from meterlake.declaration import MeterSeries
    from meterlake.precedence import Balance


@dataclass(frozen=True)
class _Decided:
    """Readings of contended cells with their verdicts; tally: what is counted of them."""

    readings: DataFrame
    tally: Tally


def write(run: Run, source: Source) -> Counted:
    """Write the finest view and the rejects; return what was counted on the way.

    Raises OutOfBalance where a reading is lost or counted twice.
    """
    run.report(f"judging {source.expected:,} readings")
    if source.summed is None:
        counted, decided = _unread(run, source)
    else:
        summed = source.summed
        decided = _decided(run, source, summed.cells, summed.contended) if summed.contended else None
        _stage(run, source, summed.cells, decided)
        counted = summed.counted - summed.counted_contended
    try:
        if decided is not None:
            counted += decided.tally.counted()
        balance = counted.balance(source.expected)
        balance.check(f"Run {run.plan.run_id}")
        old = run.touched(run.finest, source.scope, run.finest_grain)
        run.place(run.finest, old, old if source.scope.is_partial else {})
        _rejects(run, source, decided, balance)
    finally:
        if decided is not None:
            decided.readings.unpersist()
    return counted


def judged(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return readings in units with the verdict that each has where no reading competes with it."""
    return with_units(verdicts.uncontended(verdicts.with_reason(rows, dataset), dataset), dataset)


def _unread(run: Run, source: Source) -> tuple[Counted, _Decided | None]:
    """Stage readings that nobody has looked at: as if none competed, and again with the decisions where some do."""
    dataset, tally, competing = run.dataset, Tally(run.dataset), Observation()
    result = cells.cells(tally.watch(judged(source.rows, dataset)), dataset)
    _stage(run, source, result.observe(competing, *cells.contended(dataset)), None)
    count, counted_contended = cells.counted_contended(competing.get, dataset)
    if not count:
        return tally.counted(), None
    again = cells.cells(judged(source.rows, dataset), dataset)
    decided = _decided(run, source, again, count)
    _stage(run, source, again, decided)
    return tally.counted() - counted_contended, decided


def _decided(run: Run, source: Source, celled: DataFrame, count: int) -> _Decided:
    """Decide between the readings of contended cells. found: cells, of which ``count`` are contended."""
    run.report("deciding between readings that compete")
    dataset, tally = run.dataset, Tally(run.dataset)
    cell = Bits(celled.sparkSession).seconds(dataset.finest.grain).alias(verdicts.CELL)
    contended = small(celled.where(cells.CONTENDED).select(dataset.key, cell), count)
    readings = verdicts.contended(verdicts.with_reason(source.rows, dataset), dataset, contended)
    return _Decided(tally.watch(with_units(readings, dataset)).persist(), tally)


def _stage(run: Run, source: Source, celled: DataFrame, decided: _Decided | None) -> None:
    """Stage the finest view from cells; from readings where decided."""
    grain = run.finest_grain
    units = cells.rows(celled, run.dataset)
    if decided is not None:
        units = units.unionByName(transforms.finest_rows(decided.readings, run.dataset))
    rows = decimals.stored(units, run.dataset, grain)
    copied = run.copied(run.finest, source.scope, grain)
    run.stage(run.finest, rows if copied is None else rows.unionByName(copied))


def _rejects(run: Run, source: Source, decided: _Decided | None, balance: Balance) -> None:
    table, finest, time = tables.rejects_table(run.dataset), run.finest_grain, run.dataset.event_time
    old = run.touched(table, source.scope, finest)
    if not (balance.rejected + balance.conflicting or old):
        return
    parts = []
    if balance.rejected:
        plain = verdicts.uncontended(verdicts.with_reason(source.rows, run.dataset), run.dataset)
        parts.append(transforms.rejects(plain, run.dataset))
    if balance.conflicting and decided is not None:
        parts.append(transforms.rejects(decided.readings, run.dataset))
    rows = reduce(DataFrame.unionByName, parts) if parts else run.read(table, {})
    copied = None
    if old and source.scope.is_partial:
        timed = shared.with_row_time(run.read(table, old), run.dataset, time, finest)
        copied = source.scope.outside(timed, finest).drop(finest)
    run.replace(table, rows, old, copied)
