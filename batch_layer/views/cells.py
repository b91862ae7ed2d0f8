"""The quick way from readings to the finest view: one look that both sums them up and finds out whether any compete.

Few cells (a meter's row of the finest view) hold a key twice or two interval lengths. So a run sums up as if nothing
were contended; only the readings of cells that turn out to be go the long way (``engines.verdicts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.tally import Counted, sum_names
from batch_layer.views.transforms import like_copied
from engines import columns as shared
from engines import verdicts
from engines.catalyst import Bits
from meterlake import state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries

CONTENDED: Final = "contended"
_START: Final = "start_us"
_SECONDS: Final = "epoch_s"
_ADDED: Final = ("gaps", "idle", "idle_s", "rejected")


def cells(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return one row a cell: key, the time at which it starts, its state in units, and whether it is ``contended``.

    rows: readings in units (``tally.with_units``), judged as if nothing were contended. Where a cell is, its state is
    wrong; that of the others is right. A cell of which nothing is used has no readings. ``merged`` joins such rows.
    """
    verdict, interval = F.col(verdicts.VERDICT), F.col(dataset.interval)
    idle = verdict.isin("gap", "rejected")
    marks = {
        "gaps": (verdict == "gap").cast("bigint"),
        "rejected": (verdict == "rejected").cast("bigint"),
        "idle": idle.cast("bigint"),
        "idle_s": F.when(verdict == "gap", interval).otherwise(0).cast("bigint"),
        # A rejected reading does not compete, and may have any length.
        dataset.interval: F.when(verdict != "rejected", interval),
    }
    bits = Bits(rows.sparkSession)
    times = {
        _START: shared.floor_micros(bits.micros(dataset.event_time), dataset.cell_s),
        _SECONDS: bits.seconds(dataset.event_time),
    }
    result = (
        rows.withColumns(marks)
        .withColumns(times)
        .groupBy(dataset.key, _START)
        .agg(
            *shared.state_columns(dataset),
            *verdicts.cell_aggregates(dataset, _SECONDS),
            *(F.sum(name).alias(name) for name in _ADDED),
        )
    )
    # Gap rows compete, but add nothing: their values are NULL.
    used = {
        "readings": F.col("readings") - F.col("idle"),
        "covered_s": F.coalesce("covered_s", F.lit(0)) - F.col("idle_s"),
        "n": F.col("n") - F.col("rejected"),
    }
    start = Bits(result.sparkSession).time(_START).alias(dataset.finest.grain)
    return _with_contended(result.withColumns(used).select(dataset.key, start, *_names(dataset)), dataset)


def merged(some: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return cells of which ``some`` may be there twice, each from other readings, as those of all the readings."""
    grouped = some.groupBy(dataset.key, dataset.finest.grain).agg(
        *shared.merge_columns(dataset), *verdicts.merged_cell_aggregates(dataset), F.sum("gaps").alias("gaps")
    )
    return _with_contended(grouped, dataset)


def rows(celled: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the finest view, in units, of the cells that are not contended."""
    names = [name for name, _ in state.merge_aggregates(dataset, "spark")]
    used = celled.where((F.col("readings") > 0) & ~F.col(CONTENDED))
    return like_copied(used.select(dataset.key, dataset.finest.grain, *names))


def contended(dataset: MeterSeries) -> list[Column]:
    """Return aggregates over cells: how many are contended, and what was counted of those as if they were not."""
    totals = [F.sum(F.when(F.col(CONTENDED), F.col(held))).alias(name) for name, held in _counted(dataset).items()]
    return [F.count_if(CONTENDED).alias(CONTENDED), *totals]


def counted_contended(counts: Mapping[str, Any], dataset: MeterSeries) -> tuple[int, Counted]:
    """Return, from a row with the aggregates ``contended``, how many cells are, and what was counted of them."""
    return int(counts.get(CONTENDED) or 0), Counted({name: int(counts.get(name) or 0) for name in _counted(dataset)})


def _counted(dataset: MeterSeries) -> dict[str, str]:
    """Return what is counted of readings -> the column of cells that holds it."""
    return {"used": "readings", "gap": "gaps"} | {name: name for name in sum_names(dataset)}


def _with_contended(celled: DataFrame, dataset: MeterSeries) -> DataFrame:
    return celled.withColumn(CONTENDED, F.coalesce(verdicts.is_contended(dataset), F.lit(False)))


def _names(dataset: MeterSeries) -> list[str]:
    return [
        *(name for name, _ in state.merge_aggregates(dataset, "spark")),
        *verdicts.cell_aggregate_names(dataset),
        "gaps",
    ]
