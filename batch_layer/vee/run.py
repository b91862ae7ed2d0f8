"""One run of validation and estimation: what has changed since the run before, and nothing else.

The table of days says what has been validated. It is written last, then the record of the run: one that was killed has
recorded nothing, and the next one does the same again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer import run_records
from batch_layer.presentation import changes, references
from batch_layer.presentation.changes import Inputs
from batch_layer.presentation.shapes import reference as reference_shape
from batch_layer.vee import estimated, observed, shapes, stretches
from batch_layer.vee.scope import Scope, of_dates
from batch_layer.vee.stretches import seconds
from batch_layer.views import files, tables
from engines import curated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.vee.scope import Work
    from engines.merge_table import Merged, Merging, Shape
    from meterlake.declaration import MeterSeries
    from meterlake.vee.declaration import Vee

_MOST_DAYS: Final = 3700


@dataclass(frozen=True)
class Done:
    """What a run did. meter_days: how many days of meters had changed. changes: table -> what changed in it."""

    run_id: str
    meter_days: int
    changes: Mapping[str, Merged]


def all_tables(spark: SparkSession, series: MeterSeries, vee: Vee, base: str) -> list[Merging]:
    """Return every table of validation and estimation."""
    wanted = [make(series, vee) for make in (shapes.findings, shapes.estimates, shapes.days)]
    if vee.registers is not None:
        wanted.append(reference_shape(series, vee.registers.reference))
    return [curated.open_table(spark, base, shape) for shape in (*wanted, shapes.runs(series))]


def run(work: Work, *, full: bool = False) -> Done:
    """Bring findings and estimates up to date with what readers of the views see. full: as if for the first time."""
    folders = _flat(work).values()
    with curated.noted(work.spark, work.run_id), files.planned_for(work.spark, folders):
        return _run(work, full=full)


def _run(work: Work, *, full: bool) -> Done:
    runs = _open(work, shapes.runs(work.series))
    opened = {
        make: _open(work, make(work.series, work.vee)) for make in (shapes.findings, shapes.estimates, shapes.days)
    }
    findings, estimates, days = (opened[make] for make in (shapes.findings, shapes.estimates, shapes.days))
    before = _last(runs, work.vee)
    registers = _registers(work)
    recorded = {} if registers is None else {registers.shape.name: references.recorded_until(registers)}
    after = Inputs(_flat(work), {name: time for name, time in recorded.items() if time})
    first = before is None or full
    dates = None if before is None or full else _dates(work, before, after)
    if dates is not None and len(dates) > _MOST_DAYS:
        dates = None
    scope = Scope(work, findings, estimates, days, registers, first=first)
    # Each of these is used many times: a plan that held all of them at once would be larger than the data.
    now = scope.days_now(dates).localCheckpoint()
    changed = observed.differing(scope.known_days(dates), now, work.series.key).localCheckpoint()
    grown = scope.stretches(changed, before, after)
    if grown is None:
        if before is None or before != after:
            _record(work, runs, 0, {}, after)
        return Done(work.run_id, 0, {})
    count = changed.count()
    merged = _bring_up_to_date(work, scope, grown, now, dates)
    _record(work, runs, count, merged, after)
    return Done(work.run_id, count, merged)


def _bring_up_to_date(
    work: Work, scope: Scope, grown: DataFrame, now: DataFrame, dates: list[date] | None
) -> dict[str, Merged]:
    series, key = work.series, work.series.key
    result, kept = scope.findings_now(grown, now, dates)
    made = scope.estimates_now(grown, result, kept).localCheckpoint()
    unequal = estimated.as_findings(made, series, work.vee)
    all_found = result if unequal is None else result.unionByName(unequal)
    work.report("merging findings and estimates")
    merged = {
        scope.findings.name: scope.findings.merge(
            _finding_rows(all_found, work),
            None if scope.first else lambda known: stretches.within(known, grown, key, seconds("begins")),
        ),
        scope.estimates.name: scope.estimates.merge(
            _estimate_rows(made, work),
            None if scope.first else lambda known: stretches.within(known, grown, key, seconds("interval_start")),
        ),
    }
    work.still_ours()
    merged[scope.days.name] = scope.days.merge(now, None if dates is None else lambda known: of_dates(known, dates))
    return merged


def _finding_rows(findings: DataFrame, work: Work) -> DataFrame:
    series, measure = work.series, work.vee.of(work.series)
    day = f"CAST(convert_timezone('UTC', '{series.time_zone}', begins) AS DATE)"
    timed = findings.withColumns({"begins": stretches.time_of("begins_s"), "ends": stretches.time_of("ends_s")})
    values = {name: F.expr(_decimal(name, measure.scale)) for name in ("value", "expected")}
    rows = timed.withColumns({"day": F.expr(day), **values})
    return rows.select(*(column.name for column in shapes.findings(series, work.vee).columns))


def _estimate_rows(made: DataFrame, work: Work) -> DataFrame:
    series, measure = work.series, work.vee.of(work.series)
    day = f"CAST(convert_timezone('UTC', '{series.time_zone}', interval_start) AS DATE)"
    rows = (
        made.where(f"kind = '{estimated.ESTIMATE}'")
        .withColumns(
            {
                "interval_start": stretches.time_of("begins_s"),
                "gap_begins": stretches.time_of("gap_begins_s"),
                "gap_ends": stretches.time_of("gap_ends_s"),
                f"{measure.name}_estimate": F.expr(_decimal("units", measure.scale)),
                "estimated_s": F.lit(series.cell_s).cast("bigint"),
            }
        )
        .withColumn("day", F.expr(day))
    )
    return rows.select(*(column.name for column in shapes.estimates(series, work.vee).columns))


def _decimal(name: str, scale: int) -> str:
    step = f"CAST('{10**-scale:.{scale}f}' AS DECIMAL({scale + 1}, {scale}))"
    return f"CAST(CAST({name} AS DECIMAL(18, 0)) * {step} AS DECIMAL(18, {scale}))"


def _flat(work: Work) -> dict[str, str]:
    wanted = (
        tables.view_table(work.series, work.series.finest.grain),
        tables.rejects_table(work.series),
        tables.gaps_table(work.series),
    )
    return {
        f"{table.name}/{name}": folder for table in wanted for name, folder in work.folders.get(table.name, {}).items()
    }


def _dates(work: Work, before: Inputs, after: Inputs) -> list[date]:
    gaps = f"{tables.gaps_table(work.series).name}/"
    old, new = (
        {name: folder for name, folder in one.folders.items() if not name.startswith(gaps)} for one in (before, after)
    )
    sliced = changes.changed_slices(old, new, partial(files.parts_of, work.spark))
    return list(changes.local_days(sliced, work.series.time_zone))


def _registers(work: Work) -> Merging | None:
    if work.vee.registers is None:
        return None
    return _open(work, reference_shape(work.series, work.vee.registers.reference))


def _open(work: Work, shape: Shape) -> Merging:
    work.still_ours()
    table = curated.open_table(work.spark, work.base, shape)
    table.create()
    return table


def _last(table: Merging, vee: Vee) -> Inputs | None:
    """Return what the last run read; None where there was none, or the declaration has changed since."""
    row = run_records.last(table)
    return Inputs.of(json.loads(row["inputs"])) if row and row["declared"] == declared_as(vee) else None


def declared_as(vee: Vee) -> str:
    """Return a declaration as text: with another one, all is done again."""
    return repr((vee.measure, vee.rules, vee.methods))


def _record(work: Work, table: Merging, meter_days: int, merged: Mapping[str, Merged], inputs: Inputs) -> None:
    run_records.add(
        table,
        work.run_id,
        work.now,
        work.batch_run,
        meter_days,
        json.dumps(inputs.as_json(), sort_keys=True),
        json.dumps({name: asdict(one) for name, one in merged.items()}, sort_keys=True),
        declared_as(work.vee),
    )
