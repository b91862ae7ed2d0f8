"""Coverage: a calendar of years, or strips of hours for a short range, and the longest gaps."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meterlake.durations import duration_text
from meterlake.report_specs import Coverage
from serving_layer.reports import style
from serving_layer.reports.frames import local_index, period
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent

STRIPS_UP_TO: Final = 62
"""Days that are drawn as strips of 24 hours; beyond that a calendar."""

MOST_YEARS: Final = 16
"""Years for which a picture has room."""

_CLASSES: Final = (
    ("nothing", "#1F2933", 0.0),
    ("under half", style.VERMILLION, 0.5),
    ("half to 95 %", style.ORANGE, 0.95),
    ("95 % to all", "#F3E2A9", 1.0),
    ("complete", "#BFE3D6", 1.0),
)


def coverage_report(report: Coverage, request: Request, inputs: Inputs) -> Result:
    """Return the calendar of coverage and the gaps."""
    gaps = whole_gaps(inputs.gaps, request)
    days = day_coverage(inputs.frame, gaps)
    covered_s = float(days["covered_s"].sum())
    missing_s = float(gaps["missing_s"].sum())
    longest = float(gaps["missing_s"].max()) if len(gaps) else 0.0
    since, until = period(inputs.frame)
    zone = style.zone_text(request.zone, since, until)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(since, until)}  ·  local days, {zone}",
        key_figures=(
            percent("Coverage", covered_s / (covered_s + missing_s), 2),
            figure("Missing minutes", missing_s / 60, digits=0),
            figure("Gaps", len(gaps), digits=0),
            _duration("Longest", longest),
            figure("Complete days", float((days["share"] == 1.0).sum()), digits=0),
        ),
        table=gaps.rename(columns={"gap_start": "start", "gap_end": "end"}).set_index("start"),
        draw=partial(_draw, days, gaps),
    )


def _duration(label: str, seconds: float) -> KeyFigure:
    return KeyFigure(label, seconds, duration_text(timedelta(seconds=seconds)))


def whole_gaps(gaps: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Return gaps in local time with ``missing_s``, cut to the request; parts that touch are one gap again."""
    start = gaps["gap_start"].dt.tz_localize("UTC").clip(lower=pd.Timestamp(request.since))
    end = gaps["gap_end"].dt.tz_localize("UTC").clip(upper=pd.Timestamp(request.until))
    run = (start != end.shift()).cumsum()
    joined = pd.DataFrame({"gap_start": start.groupby(run).min(), "gap_end": end.groupby(run).max()})
    joined["missing_s"] = (joined["gap_end"] - joined["gap_start"]).dt.total_seconds()
    for column in ("gap_start", "gap_end"):
        joined[column] = joined[column].dt.tz_convert(request.zone)
    return joined[joined["missing_s"] > 0].reset_index(drop=True)


def day_coverage(frame: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """Return ``covered_s``, ``missing_s`` and ``share`` of each local day of a grid.

    What lies before the first and after the last reading is neither covered nor missing.
    """
    index = local_index(frame)
    starts = _seconds(index)
    ends = starts + frame["full_s"].to_numpy()
    missing = np.zeros(len(frame))
    for begin, end in zip(_seconds(gaps["gap_start"]), _seconds(gaps["gap_end"]), strict=True):
        missing += np.clip(np.minimum(ends, end) - np.maximum(starts, begin), 0.0, None)
    covered = frame["covered_s"].to_numpy()
    expected = covered + missing
    share = np.divide(covered, expected, out=np.full(len(frame), np.nan), where=expected > 0)
    return pd.DataFrame({"covered_s": covered, "missing_s": missing, "share": share}, index=index)


def _seconds(moments: pd.DatetimeIndex | pd.Series) -> np.ndarray:
    """Return seconds since 1970."""
    return np.asarray(pd.DatetimeIndex(moments).as_unit("s").astype("int64"), dtype=float)


def _draw(days: pd.DataFrame, gaps: pd.DataFrame, canvas: Figure) -> None:
    if len(days) <= STRIPS_UP_TO:
        _draw_strips(days, gaps, canvas)
    else:
        _draw_calendar(days, canvas)
    _list_longest(gaps, canvas)


def _draw_calendar(days: pd.DataFrame, canvas: Figure) -> None:
    index = local_index(days)
    every = sorted(set(index.year))
    years = every
    if len(every) > MOST_YEARS:
        measured = set(index.year[days["covered_s"].to_numpy() > 0])
        years = [year for year in every if year in measured][-MOST_YEARS:]
        counts = {"years without readings": len(every) - len(measured), "earlier years": len(measured) - len(years)}
        parts = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        canvas.text(style.LEFT, 0.012, f"{parts} left out", fontsize=9, color=style.QUIET)
    height = min(0.3, (style.TOP - 0.075) / len(years))
    for place, year in enumerate(years):
        bottom = style.TOP - (place + 1) * height
        axes = canvas.add_axes((style.LEFT + 0.015, bottom + 0.022, 0.67, height - 0.03))
        _draw_year(axes, days[np.asarray(index.year) == year], year, labels=len(years) <= 8)
    handles = [Patch(facecolor=colour, edgecolor="#B8C0C8", label=name) for name, colour, _ in reversed(_CLASSES)]
    canvas.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(style.LEFT - 0.008, style.TOP),
        ncols=len(handles),
        columnspacing=1.3,
    )


def _draw_year(axes: Axes, days: pd.DataFrame, year: int, *, labels: bool) -> None:
    """Draw a year as 7 rows of weekdays and columns of weeks."""
    index = local_index(days)
    offset = pd.Timestamp(year, 1, 1).dayofweek
    place = np.asarray(index.dayofyear) - 1 + offset
    cells = np.full((7, 54), np.nan)
    cells[place % 7, place // 7] = [_class(share) for share in days["share"]]
    colours = ListedColormap([colour for _, colour, _ in _CLASSES])
    axes.pcolormesh(
        cells,
        cmap=colours,
        norm=BoundaryNorm(np.arange(-0.5, 5), 5),
        edgecolors="white",
        linewidth=0.8,
        rasterized=True,
    )
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    months = [(pd.Timestamp(year, month, 1).dayofyear - 1 + offset) / 7 for month in range(1, 13)]
    names = [f"{pd.Timestamp(year, month, 1):%b}" for month in range(1, 13)]
    axes.set_xticks(months, names, ha="left", fontsize=8.5)
    axes.set_yticks([0.5, 3.5, 6.5] if labels else [], ["Mon", "Thu", "Sun"] if labels else [], fontsize=8.5)
    axes.tick_params(length=0, pad=2)
    axes.set_ylabel(str(year), fontweight="bold", rotation=0, ha="right", va="center", labelpad=8)


def _class(share: float) -> float:
    if np.isnan(share):
        return np.nan
    if share == 0:
        return 0.0
    return 4.0 if share == 1 else next(float(n) for n, (_, _, top) in enumerate(_CLASSES) if n and share < top)


def _draw_strips(days: pd.DataFrame, gaps: pd.DataFrame, canvas: Figure) -> None:
    """Draw each day as a strip of its hours; missing time is exact to the second."""
    axes = canvas.add_axes((style.LEFT + 0.035, style.BOTTOM, 0.65, style.TOP - style.BOTTOM))
    index = local_index(days)
    for row, (start, share) in enumerate(zip(index, days["share"], strict=True)):
        if not np.isnan(share):
            axes.broken_barh([(0, 24)], (row + 0.12, 0.76), color=_CLASSES[4][1])
        missing = [_hours(gap, start) for gap in gaps.itertuples()]
        axes.broken_barh([span for span in missing if span[1] > 0], (row + 0.12, 0.76), color=_CLASSES[0][1])
    step = 1 if len(days) <= 20 else 7
    names = [f"{start:%a} {start.day} {start:%b}" for start in index[::step]]
    axes.set_yticks(np.arange(0, len(days), step) + 0.5, names, fontsize=9)
    axes.set_ylim(max(len(days), 7), 0)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Hour of the day, local time")
    style.legend_above(
        axes, [Patch(color=_CLASSES[4][1], label="measured"), Patch(color=_CLASSES[0][1], label="no readings")]
    )


def _hours(gap: object, day: pd.Timestamp) -> tuple[float, float]:
    """Return begin and width of a gap on a local day's clock, width 0 where it does not touch the day."""
    clock = day.tz_localize(None).normalize()
    begin, end = (getattr(gap, name).tz_localize(None) for name in ("gap_start", "gap_end"))
    first = max((begin - clock).total_seconds() / 3600, 0.0)
    last = min((end - clock).total_seconds() / 3600, 24.0)
    return first, max(last - first, 0.0)


def _list_longest(gaps: pd.DataFrame, canvas: Figure) -> None:
    x, y = 0.79, style.TOP - 0.01
    canvas.text(x, y + 0.03, "Longest gaps" if len(gaps) else "No gaps", fontweight="bold", fontsize=11)
    for gap in gaps.sort_values("missing_s", ascending=False).head(10).itertuples():
        y -= 0.058
        length = duration_text(timedelta(seconds=float(gap.missing_s)))  # type: ignore[arg-type]
        canvas.text(x, y + 0.024, length, fontsize=10.5)
        canvas.text(x, y, f"from {gap.gap_start:%-d %b %Y %H:%M}", fontsize=9, color=style.QUIET)
