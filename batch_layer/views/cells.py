"""The quick way from readings to the finest view: one look that both sums them up and finds out whether any compete.

Almost no history holds a key twice or two interval lengths in a minute. So a run sums up as if nothing were contended,
and only where a cell turns out to be, it goes the long way (``engines.verdicts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.transforms import like_copied
from engines import columns as shared
from engines import verdicts
from engines.catalyst import Bits
from meterlake import state

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries

CONTENDED: Final = "contended"
_START: Final = "start_us"
_SECONDS: Final = "epoch_s"


def cells(judged: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return one row a cell: key, the time at which it starts, its state in units, and ``contended``.

    judged: as if nothing were contended. Where a cell is, its state is wrong; that of the others is right.
    """
    gap = (F.col(verdicts.VERDICT) == "gap").cast("bigint").alias("gap")
    units = shared.in_units(judged.where(F.col(verdicts.VERDICT) != "rejected"), dataset, gap)
    micros = Bits(units).micros(dataset.event_time)
    found = (
        units.withColumns(
            {_START: shared.floor_micros(micros, dataset.cell_s), _SECONDS: Bits(units).seconds(dataset.event_time)}
        )
        .groupBy(dataset.key, _START)
        .agg(
            *shared.state_columns(dataset),
            *verdicts.cell_aggregates(dataset, _SECONDS),
            F.sum("gap").alias("gaps"),
            F.sum(F.col("gap") * F.col(dataset.interval)).alias("gap_s"),
        )
    )
    # Gap rows compete, but add nothing: their values are NULL.
    used = {"readings": F.col("readings") - F.col("gaps"), "covered_s": F.col("covered_s") - F.col("gap_s")}
    names = [name for name, _ in state.merge_aggregates(dataset, "spark")]
    start = Bits(found).time(_START).alias(dataset.finest.grain)
    contended = verdicts.is_contended(dataset).alias(CONTENDED)
    return found.withColumns({**used, CONTENDED: contended}).select(dataset.key, start, *names, CONTENDED)


def rows(found: DataFrame) -> DataFrame:
    """Return the rows of the finest view, in units, from cells of which none is contended."""
    return like_copied(found.where("readings > 0").drop(CONTENDED))
