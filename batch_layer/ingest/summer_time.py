"""Whether a file that was read by a fixed clock shows the clock on the wall of the data set's zone: its times tell.

They come twice just when the zone's clock goes back. Files where they do so in the hour before, too, are of another
kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from batch_layer.ingest.errors import WallClock
from meterlake.precedence import key_columns
from meterlake.timegrid import epoch_seconds_sql
from meterlake.wallclock import clock_text, repeats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries


class Times(NamedTuple):
    """Times of readings, each of a meter and length counted once. twice: those that come more than once, the earliest
    of which is first."""

    all: int
    twice: int
    first: int | None


@dataclass(frozen=True)
class Change:
    """Where times would come twice. spans: seconds of the readings' times, begin and end. moved: what the file's own
    clock shows is so many seconds later."""

    dataset: MeterSeries
    offset: timedelta
    moved: int
    spans: tuple[tuple[int, int], ...]

    def wrong(self, path: str, during: Times | None, before: Times | None) -> WallClock | None:
        """Return the error of a file, if it is one. during: in the spans; before: in as much time before each."""
        if during is None or during.first is None or during.twice * 2 < during.all or (before and before.twice):
            return None
        first = f"{datetime.fromtimestamp(during.first + self.moved, UTC):%Y-%m-%d %H:%M}"
        return WallClock(path, during.twice, first, self.dataset.time_zone, clock_text(self.offset))


def change(dataset: MeterSeries, offset: timedelta, shift: timedelta, span: tuple[int, int]) -> Change | None:
    """Return where times of files would come twice, if at all. offset: of their clock. shift: what was added to their
    times. span: first and last."""
    moved = int((offset - shift).total_seconds())
    spans = [(begin - moved, end - moved) for begin, end in repeats(ZoneInfo(dataset.time_zone))]
    spans = [(begin, end) for begin, end in spans if span[0] <= begin <= span[1]]
    return Change(dataset, offset, moved, tuple(spans)) if spans else None


def check(paths: Mapping[str, str], readings: DataFrame, repeated: Change) -> dict[str, WallClock]:
    """Return load id -> error of the files that are wrong. paths: load id -> file. readings: of these, as staged."""
    from pyspark.sql import functions as F  # noqa: N812 - a dry run has no Spark, which takes half a second to import

    second = epoch_seconds_sql(repeated.dataset.event_time, "spark")
    near = " OR ".join(f"{second} BETWEEN {2 * begin - end} AND {end - 1}" for begin, end in repeated.spans)
    keys = key_columns(repeated.dataset)
    times = readings.where(near).groupBy("load_id", *keys).agg(F.count(F.lit(1)).alias("times"))
    inside = " OR ".join(f"{second} BETWEEN {begin} AND {end - 1}" for begin, end in repeated.spans)
    counts = times.groupBy("load_id", F.expr(inside).alias("inside")).agg(
        F.count(F.lit(1)).alias("all"),
        F.count_if(F.expr("times > 1")).alias("twice"),
        F.min(F.expr(f"CASE WHEN times > 1 THEN {second} END")).alias("first"),
    )
    seen: dict[str, dict[bool, Times]] = {}
    for row in counts.collect():
        seen.setdefault(row.load_id, {})[row.inside] = Times(row["all"], row.twice, row["first"])
    wrong = {
        load_id: repeated.wrong(path, seen.get(load_id, {}).get(True), seen.get(load_id, {}).get(False))
        for load_id, path in paths.items()
    }
    return {load_id: error for load_id, error in wrong.items() if error}
