"""What becomes of a file's readings behind its reader: which of them the views will reject, and whether the file shows
the clock on the wall, for which a load refuses it. A dry run says so without Spark."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from batch_layer.ingest import summer_time
from batch_layer.ingest.summer_time import Times
from meterlake.precedence import gap_sql, key_columns
from meterlake.rules import reject_reason_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from batch_layer.ingest.errors import WallClock
    from batch_layer.ingest.rows import Tally
    from meterlake.declaration import MeterSeries
    from meterlake.wallclock import FileClock

_NEAR_S: Final = 4 * 3600
"""No clock goes back by half as much."""


class Outlook:
    """Readings and gap rows of one file, as rows of the master table, part by part. clock: the file's.

    lead: how long before the times in it its intervals begin.
    """

    def __init__(self, dataset: MeterSeries, clock: FileClock, lead: timedelta) -> None:
        self._dataset, self._clock, self._lead = dataset, clock, lead
        self._rejected: Counter[str] = Counter()
        self._near: list[pa.Table] = []

    @property
    def rejected(self) -> dict[str, int]:
        """Why the views will reject readings -> how many."""
        return dict(sorted(self._rejected.items()))

    def add(self, rows: pa.Table) -> None:
        """Take rows."""
        if len(rows):
            self._rejected.update(self._rejected_of(rows))
            self._keep_near(rows)

    def wall_clock(self, path: str, tally: Tally) -> WallClock | None:
        """Return the error of a file that was read by a fixed clock, if it is of another. tally: of all its rows."""
        if not self._near or not isinstance(self._clock, timedelta) or tally.first is None or tally.last is None:
            return None
        change = summer_time.change(self._dataset, self._clock, -self._lead, (tally.first, tally.last))
        if change is None:
            return None
        keys = list(key_columns(self._dataset))
        times = pa.concat_tables(self._near).group_by(keys).aggregate([([], "count_all")])
        seconds, counts = _seconds(times[self._dataset.event_time]), times["count_all"].to_numpy()
        during = _between(seconds, change.spans)
        before = _between(seconds, [(2 * begin - end, begin) for begin, end in change.spans])
        return change.wrong(path, _times(seconds, counts, during), _times(seconds, counts, before))

    def _rejected_of(self, rows: pa.Table) -> dict[str, int]:
        sql = (
            f"SELECT {reject_reason_sql(self._dataset, 'duckdb')} AS reason, count(*) FROM readings"  # noqa: S608
            f" WHERE NOT ({gap_sql(self._dataset)}) GROUP BY 1 HAVING reason IS NOT NULL"
        )
        with _database().cursor() as connection:
            connection.register("readings", rows)
            return dict(connection.execute(sql).fetchall())

    def _keep_near(self, rows: pa.Table) -> None:
        """Keep the keys of rows near changes of the zone's clock."""
        if not isinstance(self._clock, timedelta):
            return
        seconds = _seconds(rows[self._dataset.event_time])
        around = (int(seconds.min()) - _NEAR_S, int(seconds.max()) + _NEAR_S)
        if change := summer_time.change(self._dataset, self._clock, -self._lead, around):
            near = _between(seconds, [(2 * begin - end, end) for begin, end in change.spans])
            self._near.append(rows.select(list(key_columns(self._dataset))).filter(pa.array(near)))


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """Return a database for questions: making one takes longer than a question about a small file."""
    return duckdb.connect()


def _seconds(times: pa.ChunkedArray) -> NDArray[np.int64]:
    result: NDArray[np.int64] = times.cast(pa.int64()).to_numpy() // 1_000_000
    return result


def _between(seconds: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    result = np.zeros(len(seconds), bool)
    for begin, end in spans:
        result |= (seconds >= begin) & (seconds < end)
    return result


def _times(seconds: NDArray[np.int64], counts: NDArray[np.int64], picked: NDArray[np.bool_]) -> Times | None:
    """Return what times there are among the picked ones; None without any."""
    if not picked.any():
        return None
    twice = seconds[picked & (counts > 1)]
    return Times(int(picked.sum()), len(twice), int(twice.min()) if len(twice) else None)
