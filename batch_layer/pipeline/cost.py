"""From joined readings, estimates and tariffs to costs: callable by any scheduler, under the data set's lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_layer import lease
from batch_layer.cost import run as work
from batch_layer.cost.run import Work
from batch_layer.presentation import shapes as presentation_shapes
from batch_layer.vee import shapes as vee_shapes
from batch_layer.views.plan import new_run_id
from engines import curated, lineage, spark
from engines.spark_failures import translated
from engines.table_format_delta import CATALOG

if TYPE_CHECKING:
    from batch_layer.pipeline.batch import Report
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation
    from meterlake.settings import Settings
    from meterlake.tariffs.declaration import Tariffs
    from meterlake.vee.declaration import Vee


def run_costs(
    settings: Settings,
    presentation: tuple[MeterSeries, Presentation, Vee | None],
    tariffs: Tariffs,
    clock: Clock,
    report: Report = lambda _: None,
    *,
    reprice: bool = False,
) -> work.Done:
    """Bring the costs up to date. presentation: of what, with what estimates it, if anything.

    reprice: days in the past, too, whose prices the tariffs say otherwise now. Raises PastPrices without it, NoTariff,
    NoPrice, RunUnderWay, and what the engines raise.
    """
    dataset, declared, vee = presentation
    doing = f"costs of {dataset.name}"
    read = [presentation_shapes.staging(dataset, declared), *([vee_shapes.estimates(dataset, vee)] if vee else [])]
    reads = [f"{CATALOG}.{shape.database}.{shape.name}" for shape in read]
    with (
        lineage.job(settings, f"{dataset.name}.cost", clock, reads) as job,
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "cost") as session,
        translated(settings, doing),
    ):
        base, now = curated.folder(settings), clock()
        run = Work(session, dataset, declared, vee, tariffs, base, new_run_id(now), now, report, held.check)
        done = work.run(run, reprice=reprice)
        tables = work.all_tables(session, dataset, base)
        curated.register(settings, tables)
        job.of(done.run_id, {tables[0].name: done.merged.rows if done.merged else 0})
    return done
