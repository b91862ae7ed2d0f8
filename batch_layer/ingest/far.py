"""Which readings of a load lie far from all others of their meter: days are counted in Spark, ``jumps`` decides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest.known import MANY
from batch_layer.ingest.tasks import Wanted
from meterlake import jumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch_layer.ingest.files import Files
    from batch_layer.ingest.rows import Tally
    from meterlake.declaration import MeterSeries


def may_jump(dataset: MeterSeries, tally: Tally) -> list[str] | None:
    """Return the meters of a file of which readings may lie far from all others; None where it has too many to say."""
    if tally.spans is None:
        first, last = tally.first or 0, tally.last or 0
        return None if jumps.may_jump(dataset, first, last, 0) else []
    return [meter for meter, span in tally.spans.items() if jumps.may_jump(dataset, *span)]


def find_kept(files: Files, dataset: MeterSeries, doubtful: Mapping[int, Sequence[str] | None]) -> dict[int, datetime]:
    """Note in ``files`` where readings of meters may lie, and return when the latest interval there ends, of each file.

    doubtful: file -> meters to look at; None for all.
    """
    days = files.frame(doubtful, Wanted.DAYS).where("meter_id IS NOT NULL")
    named = sorted({meter for meters in doubtful.values() for meter in meters or ()})
    if None not in doubtful.values() and len(named) <= MANY:
        days = days.where(F.col("meter_id").isin(named))
    of_day = (F.sum("rows").alias("rows"), F.max("latest").alias("latest"), F.max("interval_s").alias("interval_s"))
    summed = days.groupBy("file", "meter_id", "day").agg(*of_day)
    listed = F.collect_list(F.struct("day", "rows", "latest", "interval_s")).alias("days")
    ends: dict[int, datetime] = {}
    for row in summed.groupBy("file", "meter_id").agg(listed).toLocalIterator():
        end = _keep(files, dataset, row.file, row.meter_id, row.days)
        if end is not None:
            ends[row.file] = max(end, ends.get(row.file, end))
    return ends


def _keep(files: Files, dataset: MeterSeries, file: int, meter: str, days: list[Any]) -> datetime | None:
    interval_s = max(day.interval_s or 0 for day in days) or jumps.DAY_S
    stretches = jumps.stretches(dataset, {day.day: day.rows for day in days}, jumps.DAY_S)
    kept = jumps.kept(dataset, stretches, interval_s)
    if len(kept) < len(stretches):
        files.kept.setdefault(file, {})[meter] = kept
    inside = [day.latest for day in days if any(s.begin <= day.day < s.end for s in kept)]
    return max(inside) + timedelta(seconds=interval_s) if inside else None
