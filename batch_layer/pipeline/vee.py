"""From the views that readers see to findings and estimates: callable by any scheduler, under the data set's lease."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from batch_layer import lease
from batch_layer.pipeline.present import NothingPublished
from batch_layer.presentation.shapes import reference as reference_shape
from batch_layer.vee import run as work
from batch_layer.vee.scope import Work
from batch_layer.views.plan import new_run_id
from batch_layer.views.tables import gaps_table, rejects_table, view_table
from engines import curated, lineage, metastore, spark, trino
from engines.spark_failures import translated
from engines.table_format_delta import CATALOG
from meterlake.vee import views
from serving_layer.publish.publish import Publisher

if TYPE_CHECKING:
    from batch_layer.pipeline.batch import Report
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from meterlake.vee.declaration import Vee


def run_vee(
    settings: Settings,
    dataset: MeterSeries,
    vee: Vee,
    clock: Clock,
    report: Report = lambda _: None,
    *,
    full: bool = False,
) -> work.Done:
    """Bring findings, estimates and the validated views up to date; an interrupted publish is finished first.

    full: as if nothing had been validated. Raises NothingPublished, RunUnderWay, and what the engines raise.
    """
    doing = f"validation and estimation of {dataset.name}"
    views_read = (view_table(dataset, dataset.finest.grain), rejects_table(dataset), gaps_table(dataset))
    reads = [f"hive.batch.{table.name}" for table in views_read]
    if vee.registers is not None:
        shape = reference_shape(dataset, vee.registers.reference)
        reads.append(f"{CATALOG}.{shape.database}.{shape.name}")
    with (
        lineage.job(settings, f"{dataset.name}.vee", clock, reads) as job,
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "vee") as session,
        translated(settings, doing),
    ):
        history = Publisher(settings, dataset, held, clock).roll_forward()
        if history.current is None:
            raise NothingPublished(dataset.name)
        base, now = curated.folder(settings), clock()
        run = Work(
            session,
            dataset,
            vee,
            base,
            history.tables,
            history.current.run_id,
            new_run_id(now),
            now,
            report,
            held.check,
        )
        done = work.run(run, full=full)
        curated.register(settings, work.all_tables(session, dataset, vee, base))
        held.check()
        with metastore.client(settings) as client:
            metastore.ensure_database(client, views.DATABASE, f"{base}/{views.DATABASE}")
        for sql in (views.validated_sql(dataset, vee), views.validated_days_sql(dataset, vee)):
            trino.rows(settings, sql)
        job.of(done.run_id, {name: one.rows for name, one in done.changes.items()})
    return done


def rows_of(done: work.Done) -> list[dict[str, Any]]:
    """Return a run's changes, a row a table."""
    return [
        {"table": name, **{what: count for what, count in asdict(one).items() if what != "version"}}
        for name, one in done.changes.items()
    ]
