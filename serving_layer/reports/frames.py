"""Frames on the full time grid: a missing row is a row of NaN, so that nothing is ever drawn across a gap.

A gridded frame is indexed by the start of each interval in the data set's local time; ``covered_s`` is 0
where nothing was measured, ``full_s`` is the interval's length, ``expected_s`` what should have been covered.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import cast

import numpy as np
import pandas as pd

from meterlake.grains import GRAIN_SECONDS, Grain
from serving_layer.reports.request import Request

STATE = ("covered_s", "flagged")
"""Columns that every frame has beside its values."""


def gridded(frame: pd.DataFrame, grain: Grain, request: Request) -> pd.DataFrame:
    """Return a source's rows on the grid of the request.

    frame: ``start`` (UTC wall clock, or a day's date) and values. Before the meter's first reading and after
    its last there is no grid: nothing is missing there.
    """
    starts = pd.DatetimeIndex(frame["start"])
    local = (
        local_midnights(starts, request.zone) if grain == "day" else starts.tz_localize("UTC").tz_convert(request.zone)
    )
    measured = frame.drop(columns="start").set_index(local)
    grid = _grid(grain, request)
    if len(measured):
        grid = _trimmed(grid, measured.index, request)
    result = measured.reindex(grid)
    result["covered_s"] = result["covered_s"].fillna(0.0)
    result["full_s"] = _lengths(pd.DatetimeIndex(result.index), grain)
    result["expected_s"] = _expected(result, request)
    return result


def _grid(grain: Grain, request: Request) -> pd.DatetimeIndex:
    if grain == "day":
        # A day that the zone skipped begins when the next one does.
        return local_midnights(pd.date_range(*request.days, freq="D"), request.zone).unique()
    step = f"{GRAIN_SECONDS[grain]}s"
    since = pd.Timestamp(request.since).floor(step)
    return pd.date_range(since, request.until, freq=step, inclusive="left").tz_convert(request.zone)


def local_midnights(days: pd.DatetimeIndex, zone: tzinfo | None) -> pd.DatetimeIndex:
    """Return the first instant of local days; where a clock skips midnight, that is the moment of the change."""
    return days.tz_localize(zone, ambiguous=np.ones(len(days), dtype=bool), nonexistent="shift_forward")


def _trimmed(grid: pd.DatetimeIndex, measured: pd.Index, request: Request) -> pd.DatetimeIndex:
    """Return the grid without what lies before the meter's first and after its last reading."""
    first, last = request.extent
    keep = np.ones(len(grid), dtype=bool)
    if request.days[0] <= first:
        keep &= np.asarray(grid >= measured.min())
    if request.days[1] >= last:
        keep &= np.asarray(grid <= measured.max())
    return grid[keep]


def _expected(frame: pd.DataFrame, request: Request) -> pd.Series:
    """Return the seconds that should have been covered: of the meter's very first and last row, those that were."""
    expected = frame["full_s"].copy()
    days = np.asarray(local_index(frame).date)
    if len(frame) and days[0] == request.extent[0]:
        expected.iloc[0] = frame["covered_s"].iloc[0]
    if len(frame) and days[-1] == request.extent[1]:
        expected.iloc[-1] = frame["covered_s"].iloc[-1]
    return expected


def _lengths(index: pd.DatetimeIndex, grain: Grain) -> np.ndarray:
    if grain != "day":
        return np.full(len(index), float(GRAIN_SECONDS[grain]))
    following = (index.tz_localize(None) + pd.Timedelta(days=1)).normalize()
    ends = local_midnights(following, index.tz)
    return np.asarray((ends - index).total_seconds(), dtype=float)


def local_index(frame: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the index of a gridded frame."""
    return cast("pd.DatetimeIndex", frame.index)


def plot_times(frame: pd.DataFrame, *, middle: bool = True) -> np.ndarray:
    """Return the intervals' middles (or starts) as UTC wall clock, as matplotlib takes them."""
    index = local_index(frame).tz_convert("UTC").tz_localize(None)
    halves = pd.to_timedelta(frame["full_s"].to_numpy() / 2 if middle else np.zeros(len(frame)), unit="s")
    return np.asarray((index + halves).to_numpy())


def missing_spans(frame: pd.DataFrame) -> list[tuple[np.datetime64, np.datetime64]]:
    """Return (start, end) of the runs of rows without coverage, as UTC wall clock."""
    missing = frame["covered_s"].to_numpy() == 0
    starts = plot_times(frame, middle=False)
    ends = starts + pd.to_timedelta(frame["full_s"].to_numpy(), unit="s").to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(int)))
    return [(starts[begin], ends[end - 1]) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def isolated(values: np.ndarray) -> np.ndarray:
    """Return which values have no neighbour to be joined to by a line."""
    known = np.isfinite(values)
    before, after = np.concatenate(([False], known[:-1])), np.concatenate((known[1:], [False]))
    return np.asarray(known & ~before & ~after)


def coverage(frame: pd.DataFrame) -> float:
    """Return covered seconds as a share of those between the meter's first and last reading."""
    expected = float(frame["expected_s"].sum())
    return float(frame["covered_s"].sum()) / expected if expected else 0.0


def period(frame: pd.DataFrame) -> tuple[datetime, datetime]:
    """Return start and end of the grid, in local time."""
    index = local_index(frame)
    end = index[-1].tz_convert("UTC") + pd.Timedelta(seconds=float(frame["full_s"].iloc[-1]))
    return index[0].to_pydatetime(), end.tz_convert(index.tz).to_pydatetime()
