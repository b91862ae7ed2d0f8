"""One run of the presentation: readings joined with what was valid, and the tables made of them, merged day by day.

What is computed again follows from the inputs of the last run that was recorded. A run that was killed has recorded
nothing: the next one computes the same again, and finds that part of it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from batch_layer import run_records
from batch_layer.presentation import changes, references, shapes, staging
from batch_layer.presentation.changes import Inputs
from batch_layer.presentation.staging import Changed
from batch_layer.views import files, tables
from engines import curated
from meterlake import assignments as core
from meterlake.errors import PermanentError
from meterlake.presentation import AS_OF, ASKED, DAY, STAGING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from pyspark.sql import DataFrame, SparkSession

    from engines.merge_table import Merged, Merging, Shape
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation, PresentationTable, ReferenceTable

Task = Callable[[], "dict[str, Merged]"]
"""Brings one table up to date; returns what changed in it."""

TABLES_AT_ONCE: Final = 3
"""So many tables are merged at the same time: much of it is planning, and reading a log."""
MOST_DAYS: Final = 3700
"""Beyond so many local days all are computed again: naming them would take longer."""


@dataclass(frozen=True)
class Asked:
    """What a run is asked for beside what has changed. as_of: of tables as of a day; None: the newest day with data.

    since, until: local days that are computed again, changed or not. full: all are.
    """

    as_of: date | None = None
    since: date | None = None
    until: date | None = None
    full: bool = False

    def days(self) -> tuple[date, ...]:
        """Return the days asked for, if any."""
        if self.since is None or self.until is None:
            return ()
        return tuple(self.since + timedelta(days=number) for number in range((self.until - self.since).days + 1))


@dataclass(frozen=True)
class Work:
    """What a run works with. base: folder of Delta tables. folders: of the finest view that readers see now.

    still_ours: raises LeaseLost where somebody else is at work; asked before each table.
    """

    spark: SparkSession
    series: MeterSeries
    presentation: Presentation
    base: str
    folders: Mapping[str, str]
    batch_run: str
    run_id: str
    now: datetime
    report: Callable[[str], None]
    still_ours: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Presented:
    """What a run did. mode: how it chose days. days: how many, None: all. changes: table -> what changed in it."""

    run_id: str
    mode: Literal["full", "incremental", "range", "nothing has changed"]
    days: int | None
    as_of: date | None
    changes: Mapping[str, Merged]
    unused: int


class NoReferences(PermanentError):
    """Reference tables have not been loaded."""

    def __init__(self, series: MeterSeries, missing: list[str]) -> None:
        super().__init__(
            f"Nothing has been loaded into {', '.join(missing)} of {series.name}.",
            hint=f"Run `meterlake reference {series.name} DATABASE`.",
        )


def open_references(
    spark: SparkSession, series: MeterSeries, presentation: Presentation, base: str
) -> dict[str, Merging]:
    """Open the reference tables, created where they are not there."""
    return open_tables(spark, series, presentation.references, base)


def open_tables(
    spark: SparkSession, series: MeterSeries, wanted: Iterable[ReferenceTable], base: str
) -> dict[str, Merging]:
    """Open some reference tables, created where they are not there."""
    opened = {declared.name: curated.open_table(spark, base, shapes.reference(series, declared)) for declared in wanted}
    for table in opened.values():
        table.create()
    return opened


def all_tables(spark: SparkSession, series: MeterSeries, presentation: Presentation, base: str) -> list[Merging]:
    """Return every table of a presentation."""
    wanted = [shapes.reference(series, declared) for declared in presentation.references]
    wanted += [shapes.staging(series, presentation)]
    wanted += [shapes.table(series, declared) for declared in presentation.tables]
    return [curated.open_table(spark, base, shape) for shape in (*wanted, shapes.runs(series))]


def present(work: Work, asked: Asked) -> Presented:
    """Bring all tables up to date with what readers of the finest view see, and the reference tables.

    Every commit carries the run's id. Raises NoReferences where a reference table has never had a row.
    """
    with curated.noted(work.spark, work.run_id):
        return _present(work, asked)


def _present(work: Work, asked: Asked) -> Presented:
    known = open_references(work.spark, work.series, work.presentation, work.base)
    before, runs = _last(work)
    earlier = before.recorded if before else {}
    versions = {name: references.known(table, earlier.get(name)) for name, table in known.items()}
    times = {name: one.until for name, one in versions.items()}
    if missing := [name for name, time in times.items() if time is None]:
        raise NoReferences(work.series, missing)
    after = Inputs(dict(work.folders), {name: time for name, time in times.items() if time})
    rows = {name: one.at(after.recorded[name]) for name, one in versions.items()}
    assigned = core.assignments(work.series, work.presentation, rows)
    changed = _changed(work, asked, before, after, versions, assigned)
    folders = changes.folders_with(after.folders, changed.days, changed.touched, work.series.time_zone)
    with files.planned_for(work.spark, folders):
        merged, days, as_of = _bring_up_to_date(work, asked, changed, folders, known, assigned)
    count = None if days is None and not changed.is_nothing else len(days or ())
    unused = core.empty_periods(work.presentation, rows)
    if changed.is_nothing and not any(one.rows for one in merged.values()):
        return Presented(work.run_id, "nothing has changed", 0, as_of, merged, unused)
    mode: Literal["full", "incremental", "range"] = (
        "full" if changed.days is None else "range" if asked.since else "incremental"
    )
    presented = Presented(work.run_id, mode, count, as_of, merged, unused)
    _record(work, runs, presented, after)
    return presented


def _bring_up_to_date(
    work: Work,
    asked: Asked,
    changed: Changed,
    folders: list[str],
    known: Mapping[str, Merging],
    assigned: core.Assignments,
) -> tuple[dict[str, Merged], list[date] | None, date | None]:
    """Bring all tables up to date; return what changed in each, the local days (None: all), and the day asked for."""
    merged: dict[str, Merged] = {}
    staged = _open(work, shapes.staging(work.series, work.presentation))
    days: list[date] | None = None
    if not changed.is_nothing:
        merged[staged.name], days = _stage(work, staged, changed, folders, assigned)
    as_of = asked.as_of or _newest_day(staged)
    tasks = [
        _as_of_task(work, declared, known, as_of)
        for declared in work.presentation.tables
        if declared.by == AS_OF and as_of
    ]
    if not changed.is_nothing:
        _within(staged.read(), days).createOrReplaceTempView(STAGING)
        tasks += [_by_day_task(work, declared, days) for declared in work.presentation.tables if declared.by == DAY]
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        for done in pool.map(lambda task: task(), tasks):
            merged |= done
    return merged, days, as_of


def _changed(
    work: Work,
    asked: Asked,
    before: Inputs | None,
    after: Inputs,
    versions: Mapping[str, references.Known],
    assigned: core.Assignments,
) -> Changed:
    if before is None or asked.full:
        return Changed(None)
    sliced = changes.changed_slices(before.folders, after.folders, partial(files.parts_of, work.spark))
    days = tuple(sorted({*changes.local_days(sliced, work.series.time_zone), *asked.days()}))
    if len(days) > MOST_DAYS:
        return Changed(None)
    if before.recorded == after.recorded:
        return Changed(days)
    rows = {name: one.at(before.recorded[name]) for name, one in versions.items()}
    earlier = core.assignments(work.series, work.presentation, rows)
    return Changed(days, tuple(assigned.differing(earlier)))


def _stage(
    work: Work, table: Merging, changed: Changed, folders: list[str], assigned: core.Assignments
) -> tuple[Merged, list[date] | None]:
    """Bring staging up to date; return what changed, and the local days that have been computed (None: all)."""
    series = work.series
    work.report(f"joining readings of {len(folders)} slices with {work.presentation.assignment.reference}")
    cells = files.read(work.spark, tables.view_table(series, series.finest.grain), folders)
    rows = changed.within(staging.timed(cells, series), series, "interval_start")
    joined = staging.staged(rows, series, work.presentation, assigned)
    done = table.merge(joined, lambda known: changed.within(known, series, "interval_start"))
    if changed.days is None:
        return done, None
    touched = set(changed.days)
    if changed.touched:
        others = Changed((), changed.touched)
        touched.update(staging.days_of(others.within(table.read(), series, "interval_start")))
    return done, sorted(touched)


def _within(rows: DataFrame, days: list[date] | None) -> DataFrame:
    return rows if days is None else rows.where(rows[DAY].isin(days))


def _by_day_task(work: Work, declared: PresentationTable, days: list[date] | None) -> Task:
    """Return what brings a table up to date for some local days (None: all)."""

    def run() -> dict[str, Merged]:
        table = _open(work, shapes.table(work.series, declared))
        work.report(f"merging {table.name}")
        rows = work.spark.sql(declared.select("spark")).persist()  # few; asked for more than once
        try:
            return {table.name: table.merge(rows, lambda known: _within(known, days))}
        finally:
            rows.unpersist()

    return run


def _as_of_task(work: Work, declared: PresentationTable, known: Mapping[str, Merging], as_of: date) -> Task:
    """Return what brings a table as of a day up to date: it holds that day only."""
    for name in declared.reads:
        if name in known:
            references.current(known[name]).createOrReplaceTempView(name)
    work.spark.createDataFrame([(as_of,)], f"{AS_OF} DATE").createOrReplaceTempView(ASKED)

    def run() -> dict[str, Merged]:
        table = _open(work, shapes.table(work.series, declared))
        work.report(f"merging {table.name} as of {as_of}")
        return {table.name: table.merge(work.spark.sql(declared.select("spark")), None)}

    return run


def _open(work: Work, shape: Shape) -> Merging:
    work.still_ours()
    table = curated.open_table(work.spark, work.base, shape)
    table.create()
    return table


def _newest_day(staged: Merging) -> date | None:
    row = staged.read().agg({DAY: "max"}).first()
    return row[0] if row else None


def _last(work: Work) -> tuple[Inputs | None, Merging]:
    """Return the inputs of the last recorded run, if there is one, and the table of the records."""
    table = _open(work, shapes.runs(work.series))
    row = run_records.last(table)
    return (Inputs.of(json.loads(row["inputs"])) if row else None), table


def _record(work: Work, table: Merging, presented: Presented, inputs: Inputs) -> None:
    changed = {name: asdict(merged) for name, merged in presented.changes.items()}
    run_records.add(
        table,
        work.run_id,
        work.now,
        work.batch_run,
        presented.mode,
        presented.days,
        json.dumps(inputs.as_json(), sort_keys=True),
        json.dumps(changed, sort_keys=True),
    )
