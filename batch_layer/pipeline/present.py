"""From the views that readers see, and reference tables, to the presentation: callable by any scheduler.

Reference tables and the presentation are under the data set's lease, as batch is: one of them works at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_layer import lease
from batch_layer.presentation import references, shapes
from batch_layer.presentation import run as work
from batch_layer.presentation.run import Asked, Presented, Work
from batch_layer.views.plan import new_run_id
from batch_layer.views.tables import view_table
from engines import curated, lineage, relational, spark
from engines.spark_failures import translated
from engines.table_format_delta import CATALOG
from meterlake.errors import PermanentError
from serving_layer.publish.publish import Publisher

if TYPE_CHECKING:
    from batch_layer.pipeline.batch import Report
    from engines.merge_table import Merged
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation, ReferenceTable
    from meterlake.settings import Settings


@dataclass(frozen=True)
class Source:
    """Where reference tables are read. name: a SQLAlchemy URL, or the path of a SQLite file.

    allow_empty: a table without rows is taken as it is, and ends all that it had. optional: tables that are taken, too,
    where the source has them.
    """

    name: str
    allow_empty: bool = False
    optional: tuple[ReferenceTable, ...] = ()

    @property
    def shown(self) -> str:
        """Its name without a password."""
        return relational.shown(self.name)

    @property
    def address(self) -> str:
        """Its name, of a file the whole path."""
        return self.shown if "://" in self.shown else str(Path(self.shown).absolute())


class NothingPublished(PermanentError):
    """No batch run has published views yet."""

    def __init__(self, dataset: str) -> None:
        super().__init__(f"Nothing of {dataset} is published yet.", hint=f"Run `meterlake batch {dataset}`.")


def load_references(
    settings: Settings,
    dataset: MeterSeries,
    presentation: Presentation,
    source: Source,
    clock: Clock,
    report: Report = lambda _: None,
) -> dict[str, Merged]:
    """Bring the reference tables up to date with a database; nothing changes unless all of it can be read.

    Raises BadSource, BadReference, RunUnderWay, and what the engines raise.
    """
    read: dict[str, Any] = {}
    with relational.opened(source.name) as connection:
        there = [one for one in source.optional if relational.has_table(connection, one.table)]
        wanted = (*presentation.references, *there)
        for declared in wanted:
            read[declared.name] = relational.rows(connection, declared.table, declared.columns, source.name)
    for declared in wanted:
        references.check(declared, source.shown, read[declared.name], allow_empty=source.allow_empty)
    doing = f"reference tables of {dataset.name}"
    with (
        lineage.job(settings, f"{dataset.name}.reference", clock, [source.address]) as job,
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "reference") as session,
        translated(settings, doing),
        curated.noted(session, source.shown),
    ):
        tables = work.open_tables(session, dataset, wanted, curated.folder(settings))
        done = {}
        for declared in wanted:
            report(f"{declared.name}: {len(read[declared.name]):,} rows")
            held.check()
            rows, table = read[declared.name], tables[declared.name]
            done[table.name] = references.load(session, table, declared, rows, clock())
        curated.register(settings, tables.values())
        job.of("", {name: one.rows for name, one in done.items()})
    return done


def run_presentation(
    settings: Settings,
    dataset: MeterSeries,
    presentation: Presentation,
    asked: Asked,
    clock: Clock,
    report: Report = lambda _: None,
) -> Presented:
    """Bring the presentation up to date with what readers of the views see; an interrupted publish is finished first.

    Raises NothingPublished, NoReferences, RunUnderWay, and what the engines raise.
    """
    doing = f"presentation of {dataset.name}"
    finest = view_table(dataset, dataset.finest.grain).name
    known = [shapes.reference(dataset, declared) for declared in presentation.references]
    reads = [f"hive.batch.{finest}", *(f"{CATALOG}.{shape.database}.{shape.name}" for shape in known)]
    with (
        lineage.job(settings, f"{dataset.name}.present", clock, reads) as job,
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "presentation") as session,
        translated(settings, doing),
    ):
        history = Publisher(settings, dataset, held, clock).roll_forward()
        if history.current is None:
            raise NothingPublished(dataset.name)
        base, now = curated.folder(settings), clock()
        folders = history.tables.get(finest, {})
        run = Work(
            session,
            dataset,
            presentation,
            base,
            folders,
            history.current.run_id,
            new_run_id(now),
            now,
            report,
            held.check,
        )
        presented = work.present(run, asked)
        curated.register(settings, work.all_tables(session, dataset, presentation, base))
        job.of(presented.run_id, {name: one.rows for name, one in presented.changes.items()})
    return presented
