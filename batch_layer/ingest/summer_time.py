"""Whether a file that was read by a fixed clock shows the clock on the wall of the data set's zone: its times tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest.errors import WallClock
from meterlake.precedence import key_columns
from meterlake.timegrid import epoch_seconds_sql
from meterlake.wallclock import clock_text, repeats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries


def check(
    paths: Mapping[str, str],
    readings: DataFrame,
    dataset: MeterSeries,
    offset: timedelta,
    shift: timedelta,
    span: tuple[int, int],
) -> dict[str, WallClock]:
    """Return load id -> error of the files where times come twice just when the zone's clock goes back.

    Files where they do so in the hour before, too, are of another kind.

    paths: load id -> file. readings: of the files, as staged. offset: of their clock. shift: what was added to their
    times. span: first and last.
    """
    moved = int((offset - shift).total_seconds())
    zone = ZoneInfo(dataset.time_zone)
    spans = [(begin - moved, end - moved) for begin, end in repeats(zone)]
    spans = [(begin, end) for begin, end in spans if span[0] <= begin <= span[1]]
    if not spans:
        return {}
    second = epoch_seconds_sql(dataset.event_time, "spark")
    near = " OR ".join(f"{second} BETWEEN {2 * begin - end} AND {end - 1}" for begin, end in spans)
    times = readings.where(near).groupBy("load_id", *key_columns(dataset)).agg(F.count(F.lit(1)).alias("times"))
    inside = " OR ".join(f"{second} BETWEEN {begin} AND {end - 1}" for begin, end in spans)
    counts = times.groupBy("load_id", F.expr(inside).alias("inside")).agg(
        F.count(F.lit(1)).alias("all"),
        F.count_if(F.expr("times > 1")).alias("twice"),
        F.min(F.expr(f"CASE WHEN times > 1 THEN {second} END")).alias("first"),
    )
    found: dict[str, dict[bool, Any]] = {}
    for row in counts.collect():
        found.setdefault(row.load_id, {})[row.inside] = row
    wrong: dict[str, WallClock] = {}
    for load_id, path in paths.items():
        rows = found.get(load_id, {})
        during, before = rows.get(True), rows.get(False)
        if during is None or during.twice * 2 < during["all"] or (before is not None and before.twice):
            continue
        first = f"{datetime.fromtimestamp(during.first + moved, UTC):%Y-%m-%d %H:%M}"
        wrong[load_id] = WallClock(path, during.twice, first, dataset.time_zone, clock_text(offset))
    return wrong
