"""Late: one definition for both layers, a function of the reading alone.

A reading is late if its broker took it ``lateness`` or more after the end of its cell:

    late  ⇔  received_at ≥ end of cell + lateness

The speed layer drops late readings by this expression; the batch layer has them from the archive. So a replay, a
restart or a topic without news cannot change what is late, and nothing that the speed layer has shown is missing when
the boundary moves (``meterlake.boundary``):

- The boundary B is the beginning of a cell, and B + lateness ≤ A_p for every partition p, where everything that p
  received before A_p is archived: within a partition, offsets and broker times grow together.
- Let a reading of a cell before B be on time. Its cell ends at B or earlier, so
  received_at < end + lateness ≤ B + lateness ≤ A_p: it is archived, and in the run that B belongs to.
- Equality is late, because a second record may carry the very broker time A_p and not be archived yet.

Spark's watermark only evicts state: it never drops a reading that is on time. It stands ``watermark_delay`` behind the
newest cell, which begins at most ``clock_tolerance`` after the newest arrival T (later ones are rejected). A reading
that is on time and arrives at T − ``SPREAD`` or later is of a cell that begins after T − SPREAD − lateness − cell_s,
which is the watermark or later. SPREAD is how far apart in broker time a micro-batch may read its partitions.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from meterlake.reading import EPOCH
from meterlake.timegrid import epoch_seconds_sql, floor_seconds

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.reading import Reading

SPREAD: Final = timedelta(minutes=1)
"""How far apart in broker time the partitions of a topic may be read without a loss in the speed layer.

A query that keeps up reads all of them to their ends. One that has been away reads them in equal shares.
"""


def is_late(dataset: MeterSeries, reading: Reading) -> bool:
    """Return whether a reading is left to the batch layer."""
    end = floor_seconds(reading.ts, dataset.cell_s) + dataset.cell_s
    return reading.received_at - EPOCH >= timedelta(seconds=end) + dataset.lateness


def late_sql(
    dataset: MeterSeries,
    dialect: Literal["spark", "duckdb"],
    epoch_seconds: str | None = None,
    arrival_seconds: str | None = None,
) -> str:
    """Return the condition that a reading is late. Both engines cut the arrival to whole seconds: the limit is one.

    epoch_seconds, arrival_seconds: SQL of the start and of the arrival in whole seconds, if they are at hand.
    """
    arrival = arrival_seconds or epoch_seconds_sql("received_at", dialect)
    seconds = epoch_seconds or epoch_seconds_sql(dataset.event_time, dialect)
    wait = dataset.cell_s + int(dataset.lateness.total_seconds())
    return f"{arrival} >= {seconds} - {seconds} % {dataset.cell_s} + {wait}"


def watermark_delay(dataset: MeterSeries) -> timedelta:
    """Return how far the speed layer's watermark stands behind the newest cell."""
    return dataset.lateness + timedelta(seconds=dataset.cell_s) + dataset.clock_tolerance + SPREAD
