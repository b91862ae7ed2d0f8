"""The hours that people live in: where a zone is not whole hours away from UTC, rows of UTC hours cut them.

So reports by the hour of the day, and prices by the time of day, read the coarsest view of which local hours are made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from meterlake.grains import GRAIN_SECONDS, Grain, is_fixed
from serving_layer.reports.frames import local_index
from serving_layer.reports.request import Request

HOUR_S = 3600


def hour_grain(request: Request, step_s: int = HOUR_S) -> Grain:
    """Return the coarsest declared grain whose rows no local time that is a multiple of ``step_s`` cuts.

    Where even the finest is cut, it is the finest.
    """
    offsets = offsets_between(request.dataset.time_zone, request.since, request.until)
    fixed = [view.grain for view in request.dataset.views if is_fixed(view.grain)]
    fitting = [grain for grain in fixed if all(edge % GRAIN_SECONDS[grain] == 0 for edge in (*offsets, step_s))]
    return max(fitting, key=GRAIN_SECONDS.__getitem__) if fitting else request.dataset.finest.grain


@lru_cache(maxsize=64)
def offsets_between(time_zone: str, since: datetime, until: datetime) -> frozenset[int]:
    """Return the offsets from UTC, in seconds, that a zone has within a range, looked at once a day."""
    zone, days = ZoneInfo(time_zone), (until - since).days + 1
    moments = [*(since.astimezone(UTC) + timedelta(days=day) for day in range(days)), until]
    offsets = (moment.astimezone(zone).utcoffset() for moment in moments)
    return frozenset(int(offset.total_seconds()) for offset in offsets if offset is not None)


def by_local_hours(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a gridded frame of finer rows by local hours, in order.

    An hour that occurs twice makes two rows, also where the clock goes back by half an hour. Averages are those over
    the covered time, ``_min`` and ``_max`` the lowest and highest, and all else is added up.
    """
    index = local_index(frame)
    at = index.tz_convert("UTC").tz_localize(None).as_unit("s").astype("int64").to_numpy()
    offset = index.tz_localize(None).as_unit("s").astype("int64").to_numpy() - at
    hour = (at + offset) // HOUR_S
    number = np.concatenate(([0], np.cumsum((np.diff(hour) != 0) | (np.diff(offset) != 0))))
    columns = {str(column): _combined(frame, str(column), number) for column in frame.columns}
    first = np.concatenate(([True], np.diff(number) != 0))
    return pd.DataFrame(columns).set_axis(index[first])


def _combined(frame: pd.DataFrame, column: str, number: np.ndarray) -> pd.Series:
    values = frame[column]
    if column.endswith("_avg"):
        weights = frame["covered_s"].where(values.notna())
        total = (values * weights).groupby(number).sum(min_count=1)
        return total / weights.groupby(number).sum(min_count=1)
    if column.endswith("_min"):
        return values.groupby(number).min()
    if column.endswith("_max"):
        return values.groupby(number).max()
    return values.groupby(number).sum(min_count=1)
