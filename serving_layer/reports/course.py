"""Values over time: a line with the range of its readings, and stacked amounts with their rest."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from meterlake.report_specs import Course, Limits
from serving_layer.reports import style
from serving_layer.reports.frames import coverage, isolated, period, plot_times
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent
from serving_layer.reports.units import GRAIN_WORDS, MEAN_WORDS, Quantity, quantity


def course(report: Course, request: Request, inputs: Inputs) -> Result:
    """Return a value over time."""
    shown = quantity(request.dataset, report.value)
    table = course_table(inputs.frame, shown)
    chosen = table
    if request.threshold is not None:
        chosen = table.loc[table["mean"] >= request.threshold]
    words = (MEAN_WORDS if shown.level else GRAIN_WORDS)[inputs.grain]
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  {words}",
        key_figures=_key_figures(report, request, inputs.frame, table, shown),
        table=_named(chosen, shown),
        draw=partial(_draw, report, request, inputs.frame, table, shown),
    )


def course_table(frame: pd.DataFrame, shown: Quantity) -> pd.DataFrame:
    """Return ``mean`` (for a level also ``low`` and ``high``) and ``covered_s`` for every interval of the grid."""
    if not shown.level:
        return pd.DataFrame({"mean": frame[shown.column], "covered_s": frame["covered_s"]})
    columns = {"mean": f"{shown.name}_avg", "low": f"{shown.name}_min", "high": f"{shown.name}_max"}
    table = pd.DataFrame({short: frame[name] for short, name in columns.items()})
    return table.assign(covered_s=frame["covered_s"])


def _named(table: pd.DataFrame, shown: Quantity) -> pd.DataFrame:
    names = {"mean": f"mean{shown.suffix}" if shown.level else f"{shown.name}{shown.suffix}"}
    names |= {"low": f"min{shown.suffix}", "high": f"max{shown.suffix}"}
    return table.rename(columns=names).rename_axis("start")


def _key_figures(
    report: Course, request: Request, frame: pd.DataFrame, table: pd.DataFrame, shown: Quantity
) -> tuple[KeyFigure, ...]:
    weights = table["covered_s"].where(table["mean"].notna(), 0.0)
    mean = float((table["mean"] * weights).sum() / weights.sum()) if weights.sum() else np.nan
    unit, digits = shown.shown_unit, shown.digits
    low = table["low" if shown.level else "mean"].min()
    high = table["high" if shown.level else "mean"].max()
    figures = [
        figure("Mean", mean, unit, digits),
        figure("Lowest", low, unit, digits),
        figure("Highest", high, unit, digits),
    ]
    if shown.amount:
        figures.insert(0, figure("Sum", table["mean"].sum(), unit, digits))
    if report.limits:
        outside = (table["low"] < report.limits.low) | (table["high"] > report.limits.high)
        figures.append(figure("Intervals with a value outside the limits", float(outside.sum()), digits=0))
    if request.threshold is not None:
        above = float(table.loc[table["mean"] >= request.threshold, "covered_s"].sum())
        figures.append(figure(f"Time at {request.threshold:g} {unit} or more", above / 3600, "h"))
    return (*figures, percent("Coverage", coverage(frame)))


def _draw(
    report: Course, request: Request, frame: pd.DataFrame, table: pd.DataFrame, shown: Quantity, canvas: Figure
) -> None:
    axes = style.single_axes(canvas)
    times = plot_times(frame)
    handles: list[Artist] = []
    if shown.level:
        handles += _band(axes, times, table)
    if request.threshold is None:
        handles = [
            *_line(axes, times, table["mean"].to_numpy(), style.BLUE, "mean" if shown.level else shown.title),
            *handles,
        ]
    else:
        handles = [*_above(axes, times, table["mean"].to_numpy(), request.threshold, shown), *handles]
    if report.limits:
        handles += _limits(axes, report.limits)
    if report.from_zero:
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(table["low" if shown.level else "mean"]))))
    handles += style.shade_missing(axes, frame)
    axes.set_ylabel(shown.label)
    style.time_axis(axes, request.zone, *period(frame))
    style.legend_above(axes, handles)


def _band(axes: Axes, times: np.ndarray, table: pd.DataFrame) -> list[Artist]:
    """Fill between lowest and highest reading, where they differ at all."""
    low, high = table["low"].to_numpy(), table["high"].to_numpy()
    if not np.nanmax(high - low, initial=0.0) > 0:
        return []
    axes.fill_between(times, low, high, color=style.SKY, alpha=0.45, linewidth=0)
    alone = isolated(table["mean"].to_numpy())
    axes.vlines(times[alone], low[alone], high[alone], color=style.SKY, alpha=0.6, linewidth=1.5)
    return [Patch(color=style.SKY, alpha=0.45, label="lowest to highest reading")]


def _line(axes: Axes, times: np.ndarray, values: np.ndarray, colour: str, label: str) -> list[Artist]:
    """Draw a line that breaks at NaN, and a dot for a value without neighbours."""
    alone = isolated(values)
    (line,) = axes.plot(times, values, color=colour, linewidth=1.3, label=label)
    axes.plot(times[alone], values[alone], ".", color=colour, markersize=4)
    return [line]


def _above(axes: Axes, times: np.ndarray, values: np.ndarray, threshold: float, shown: Quantity) -> list[Artist]:
    """Draw all in grey, and what reaches the threshold in colour."""
    high = np.where(values >= threshold, values, np.nan)
    axes.plot(times, values, color=style.GREY, linewidth=0.9, alpha=0.7)
    axes.axhline(threshold, color=style.VERMILLION, linewidth=1, linestyle="--")
    lines = _line(axes, times, high, style.VERMILLION, f"{threshold:g} {shown.shown_unit} or more")
    return [*lines, Line2D([], [], color=style.GREY, label="mean below")]


def _limits(axes: Axes, limits: Limits) -> list[Artist]:
    for value in (limits.low, limits.high):
        axes.axhline(value, color=style.VERMILLION, linewidth=1.2, linestyle="--")
    low, high = cast("Any", axes.get_ylim())
    margin = 0.04 * (limits.high - limits.low)
    axes.set_ylim(min(low, limits.low - margin), max(high, limits.high + margin))
    return [Line2D([], [], color=style.VERMILLION, linestyle="--", label=f"limits: {limits.name}")]
