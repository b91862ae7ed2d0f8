"""The quick way from readings to the finest view: one look that both sums them up and finds out whether any compete.

Almost no history holds a key twice or two interval lengths in a minute. So a run sums up as if nothing were disputed,
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

    from meterlake.declaration import Dataset

DISPUTED: Final = "disputed"
_START: Final = "start_us"
_SECONDS: Final = "epoch_s"


def cells(judged: DataFrame, dataset: Dataset) -> DataFrame:
    """Return one row a cell: key, ``minute`` in which it starts, its state in units, and ``disputed``.

    judged: as if nothing were disputed. Where a cell is, its state is wrong; that of the others is right.
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
    minute = Bits(found).time(_START).alias("minute")
    disputed = verdicts.is_disputed(dataset).alias(DISPUTED)
    return found.withColumns({**used, DISPUTED: disputed}).select(dataset.key, minute, *names, DISPUTED)


def rows(found: DataFrame, dataset: Dataset) -> DataFrame:
    """Return the rows of the finest view, in units, from cells of which none is disputed."""
    covered, grain = found.where("readings > 0").drop(DISPUTED), dataset.finest.grain
    return like_copied(covered if grain == "minute" else shared.roll_up(covered, dataset, finer="minute", grain=grain))
