"""Amounts that make up a total, stacked, with the rest that nothing measured by itself."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.report_specs import Stack
from serving_layer.reports import style
from serving_layer.reports.frames import coverage, period, plot_times
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent
from serving_layer.reports.units import GRAIN_WORDS, IN_A, Quantity, larger, quantity, sum_column

_COLOURS = (style.ORANGE, style.SKY, style.GREEN, style.PURPLE)
_REST = "#B6BEC6"


def stack(report: Stack, request: Request, inputs: Inputs) -> Result:
    """Return stacked amounts; a negative rest stays negative, in the picture and in the numbers."""
    parts = [_shown(request, name, inputs.grain) for name in (*report.parts, report.rest)]
    label = f"{quantity(request.dataset, report.total).title} {IN_A[inputs.grain]} ({parts[0].unit})"
    table = stack_table(inputs.frame, request, parts)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  {GRAIN_WORDS[inputs.grain]}",
        key_figures=_key_figures(request, inputs.frame, table, parts),
        table=_named(table, parts),
        draw=partial(_draw, request, inputs.frame, table, parts, label),
        notes=_notes(table[report.rest], parts[-1]),
    )


def _shown(request: Request, name: str, grain: Grain) -> Quantity:
    shown = quantity(request.dataset, name)
    return shown if GRAIN_SECONDS[grain] < GRAIN_SECONDS["hour"] else larger(shown)


def stack_table(frame: pd.DataFrame, request: Request, parts: list[Quantity]) -> pd.DataFrame:
    """Return the parts (the rest last) by interval, in their shown units, and ``flagged`` readings."""
    columns = {part.name: frame[sum_column(request.dataset, part.name)] * part.factor for part in parts}
    return pd.DataFrame(columns).assign(flagged=frame["flagged"], covered_s=frame["covered_s"])


def _named(table: pd.DataFrame, parts: list[Quantity]) -> pd.DataFrame:
    names = {part.name: part.name.removesuffix("_wh") + part.suffix for part in parts}
    return table.rename(columns=names).rename_axis("start")


def _key_figures(
    request: Request, frame: pd.DataFrame, table: pd.DataFrame, parts: list[Quantity]
) -> tuple[KeyFigure, ...]:
    whole = [larger(quantity(request.dataset, part.name)) for part in parts]
    totals = [frame[sum_column(request.dataset, part.name)].sum() * part.factor for part in whole]
    figures = [figure(style.shortened(part.title), total, part.unit) for part, total in zip(whole, totals, strict=True)]
    return (
        *figures,
        percent("Coverage", coverage(frame)),
        figure("Flagged readings", table["flagged"].sum(), digits=0),
    )


def _notes(rest: pd.Series, shown: Quantity) -> tuple[str, ...]:
    negative = rest[rest < 0]
    if negative.empty:
        return ()
    lowest = f"{negative.min():.2f} {shown.unit}".replace("-", "−")
    return (
        f"In {len(negative):,} intervals the parts count more than the total: there “{shown.title}” is negative, "
        f"at least {lowest}. It is the meters' own rounding: shown as it is, never clipped.",
    )


def _draw(
    request: Request, frame: pd.DataFrame, table: pd.DataFrame, parts: list[Quantity], label: str, canvas: Figure
) -> None:
    axes = style.single_axes(canvas)
    handles = _layers(axes, frame, table, parts)
    handles += style.shade_missing(axes, frame)
    axes.set_ylabel(label)
    style.time_axis(axes, request.zone, *period(frame))
    style.legend_above(axes, handles)


def _layers(axes: Axes, frame: pd.DataFrame, table: pd.DataFrame, parts: list[Quantity]) -> list[Artist]:
    """Stack the parts upwards from zero; what of the rest is below zero hangs under the axis."""
    starts = plot_times(frame, middle=False)
    edges = np.append(starts, starts[-1] + np.timedelta64(int(frame["full_s"].iloc[-1]), "s"))
    base = np.zeros(len(table))
    handles: list[Artist] = []
    for part, colour in zip(parts, (*_COLOURS[: len(parts) - 1], _REST), strict=True):
        values = table[part.name].to_numpy()
        top = base + np.maximum(values, 0.0)
        _steps(axes, edges, base, top, colour)
        handles.append(Patch(color=colour, label=part.title))
        base = top
    rest = table[parts[-1].name].to_numpy()
    if not (rest < 0).any():
        axes.set_ylim(bottom=0)
    else:
        _steps(axes, edges, np.minimum(rest, 0.0), np.where(np.isfinite(rest), 0.0, np.nan), style.VERMILLION)
        handles.append(Patch(color=style.VERMILLION, label=f"{parts[-1].title}: below zero (flagged)"))
        axes.axhline(0, color=style.INK, linewidth=0.8)
    return handles


def _steps(axes: Axes, edges: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    """Fill each interval over its whole width; NaN leaves a gap."""
    axes.fill_between(edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=colour, linewidth=0)
