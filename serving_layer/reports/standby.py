"""Standby: the load of quiet nights, and what it comes to in a year."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from meterlake.report_specs import Standby
from serving_layer.reports import style
from serving_layer.reports.frames import coverage, local_index, local_midnights, period
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent
from serving_layer.reports.tariff import Tariff, priced
from serving_layer.reports.units import Quantity, larger, quantity, smaller

YEAR_HOURS: Final = 8766.0
"""365.25 days."""
_MEASURED: Final = 0.9
"""Coverage from which an hour takes part: a few minutes are not a quiet hour."""


def standby(report: Standby, request: Request, inputs: Inputs) -> Result:
    """Return the base load: the median over nights of each night's quietest hour."""
    level, energy = quantity(request.dataset, report.level), larger(quantity(request.dataset, report.energy))
    nights = night_base(inputs.frame, f"{report.level}_avg", report.night)
    base = base_load(nights)
    shown = smaller(level)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  quietest hour of each night, "
        f"{report.night[0]:02d}:00 to {report.night[1]:02d}:00, {request.zone.key}",
        key_figures=_key_figures(request, inputs.frame, base, (shown, energy)),
        table=pd.DataFrame({f"quietest_hour{level.suffix}": nights}).rename_axis("night"),
        draw=partial(_draw, report, request, inputs.frame, nights * shown.factor, shown),
        notes=("The year at the base load: its median over the nights of the range, at all hours of 365.25 days.",),
    )


def night_base(frame: pd.DataFrame, column: str, night: tuple[int, int]) -> pd.Series:
    """Return local day -> lowest hourly mean of its night; NaN where no hour of it was measured."""
    index = local_index(frame)
    hours = np.asarray(index.hour)
    days = pd.DatetimeIndex(index.date)
    good = (hours >= night[0]) & (hours < night[1]) & (frame["covered_s"] >= _MEASURED * frame["full_s"]).to_numpy()
    lowest = pd.Series(frame[column].to_numpy()[good], index=days[good]).groupby(level=0).min()
    return lowest.reindex(pd.date_range(days[0], days[-1], freq="D"))


def base_load(nights: pd.Series) -> float:
    """Return the median of the nights that were measured; NaN if none was."""
    known = nights.dropna()
    return float(known.median()) if len(known) else float("nan")


def _key_figures(
    request: Request, frame: pd.DataFrame, base: float, shown: tuple[Quantity, Quantity]
) -> tuple[KeyFigure, ...]:
    level, energy = shown
    used = float((frame[energy.name] * energy.factor).sum())
    measured_h = float(frame["covered_s"].sum()) / 3600
    figures = [
        figure("Base load", base * level.factor, level.unit, 0),
        figure("Energy of a year", base * YEAR_HOURS, energy.unit, 0),
        percent("Of all energy", base * measured_h / used if used else np.nan),
    ]
    if request.tariff is not None:
        last = local_index(frame)[-1].date()
        figures.append(figure("Cost of a year", yearly_cost(base, request.tariff, last), request.tariff.currency, 2))
    return (*figures, percent("Coverage", coverage(frame)))


def yearly_cost(base_kw: float, tariff: Tariff, day: date) -> float:
    """Return what a constant load costs in a year at the price in force on a day (standing charge apart)."""
    price = tariff.at(day)
    week = pd.date_range(pd.Timestamp(day), periods=7 * 24 * 60, freq="min")
    frozen = (
        tariff.model_copy(update={"price": (price.model_copy(update={"valid_from": day, "valid_to": None}),)})
        if price
        else tariff
    )
    return base_kw * YEAR_HOURS * float(priced(week, frozen)["per_kwh"].mean())


def _draw(
    report: Standby, request: Request, frame: pd.DataFrame, nights: pd.Series, shown: Quantity, canvas: Figure
) -> None:
    axes = style.single_axes(canvas)
    base = base_load(nights)
    middle = pd.Timedelta(hours=sum(report.night) / 2)
    days = (local_midnights(pd.DatetimeIndex(nights.index), request.zone) + middle).tz_convert("UTC").tz_localize(None)
    many = len(nights) > 90
    axes.plot(days, nights, "o", color=style.SKY, markersize=3 if many else 6, markeredgewidth=0)
    handles: list[Artist] = [
        Line2D([], [], color=style.SKY, marker="o", linestyle="", label="quietest hour of a night")
    ]
    if many:
        smooth = nights.rolling(28, center=True, min_periods=14).median().where(nights.notna())
        handles += axes.plot(days, smooth, color=style.BLUE, linewidth=2, label="median of four weeks")
    if np.isnan(base):
        axes.text(0.5, 0.5, "no night was measured", transform=axes.transAxes, ha="center", color=style.QUIET)
    else:
        label = f"base load {base:.0f} {shown.unit}"
        handles.append(axes.axhline(base, color=style.VERMILLION, linewidth=1.5, linestyle="--", label=label))
        handles += _louder(axes, days, nights, base * 2.3 or float(nights.max()) or 1.0)
    axes.set_ylabel(shown.label)
    handles += style.shade_missing(axes, frame)
    style.time_axis(axes, request.zone, *period(frame))
    style.legend_above(axes, handles)


def _louder(axes: Axes, days: pd.DatetimeIndex, nights: pd.Series, top: float) -> list[Artist]:
    """End the axis at ``top``; mark and count what lies above, or guests and night shifts would squeeze the rest."""
    axes.set_ylim(0, top)
    beyond = (nights > top).to_numpy()
    if not beyond.any():
        return []
    axes.plot(days[beyond], np.full(beyond.sum(), top), "^", color=style.ORANGE, markersize=4, clip_on=False)
    label = f"{beyond.sum()} louder nights, above the axis"
    return [Line2D([], [], color=style.ORANGE, marker="^", linestyle="", label=label)]
