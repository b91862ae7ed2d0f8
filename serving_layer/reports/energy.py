"""Where energy goes: by month, and by hour of the day."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meterlake.report_specs import Monthly, PeakHours
from serving_layer.reports import style
from serving_layer.reports.frames import coverage, local_index, local_midnights, period
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent
from serving_layer.reports.units import Quantity, larger, quantity

NEARLY_ALL = 0.99
"""Coverage from which a month is drawn as measured in full."""


def monthly(report: Monthly, request: Request, inputs: Inputs) -> Result:
    """Return a total by local calendar month, as measured."""
    shown = larger(quantity(request.dataset, report.total))
    table = monthly_table(inputs.frame, shown)
    full = table[table["coverage"] >= NEARLY_ALL]
    since, until = period(inputs.frame)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(since, until)}  ·  local months, {request.zone.key}, as measured",
        key_figures=(
            figure("Total", table["total"].sum(), shown.unit, 0),
            figure("Mean of full months", full["total"].mean() if len(full) else np.nan, shown.unit, 0),
            _month("Highest", full["total"], shown, highest=True),
            _month("Lowest", full["total"], shown, highest=False),
            percent("Coverage", coverage(inputs.frame)),
        ),
        table=table.set_axis(pd.DatetimeIndex(table.index).strftime("%Y-%m"))
        .rename_axis("month")
        .rename(columns={"total": f"total{shown.suffix}"}),
        draw=partial(_draw_monthly, table, shown, request),
        notes=("Highest, lowest and mean are of months measured to 99 % or more; nothing is added for gaps.",),
    )


def monthly_table(frame: pd.DataFrame, shown: Quantity) -> pd.DataFrame:
    """Return month start -> ``total`` and ``coverage``: covered seconds as a share of the whole calendar month."""
    index = local_index(frame)
    months = index.tz_localize(None).to_period("M")
    total = (frame[shown.name] * shown.factor).groupby(months).sum(min_count=1)
    covered = frame["covered_s"].groupby(months).sum()
    table = pd.DataFrame({"total": total, "covered_s": covered})
    held = pd.PeriodIndex(table.index)
    begin = local_midnights(held.to_timestamp(), index.tz)
    end = local_midnights(held.shift(1).to_timestamp(), index.tz)
    table["coverage"] = table["covered_s"] / (end - begin).total_seconds()
    return table.set_axis(held.to_timestamp())


def _month(label: str, totals: pd.Series, shown: Quantity, *, highest: bool) -> KeyFigure:
    if totals.empty:
        return figure(label, np.nan)
    when = pd.Timestamp(str(totals.idxmax() if highest else totals.idxmin()))
    item = figure(label, float(totals[when]), shown.unit, 0)
    return KeyFigure(label, item.number, f"{item.text} ({when:%b %Y})")


def _draw_monthly(table: pd.DataFrame, shown: Quantity, request: Request, canvas: Figure) -> None:
    axes = style.single_axes(canvas)
    place = np.arange(len(table))
    full = (table["coverage"] >= NEARLY_ALL).to_numpy()
    width = 0.78 if len(table) > 3 else 0.4
    axes.bar(place[full], table["total"][full], width, color=style.BLUE)
    axes.bar(
        place[~full], table["total"][~full], width, color="#CFE3EF", edgecolor=style.BLUE, hatch="///", linewidth=0.8
    )
    for x, total, share in zip(place, table["total"], table["coverage"], strict=True):
        if share < NEARLY_ALL and len(table) <= 60:
            text = f"{share * 100:.0f} %" if len(table) <= 36 else f"{share * 100:.0f}"
            axes.annotate(
                text,
                (x, 0 if np.isnan(total) else total),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=style.QUIET,
            )
    axes.set_ylabel(shown.label)
    axes.set_xlabel(f"Month, {request.zone.key}")
    _month_ticks(axes, pd.DatetimeIndex(table.index))
    axes.set_xlim(-0.7, max(len(table), 3) - 0.3)
    axes.xaxis.set_label_coords(0.5, -0.105)  # years stand in a second line
    handles = [Patch(color=style.BLUE, label="measured in full")] if full.any() else []
    if not full.all():
        label = "measured in part (with its coverage in %)"
        handles.append(Patch(facecolor="#CFE3EF", edgecolor=style.BLUE, hatch="///", label=label))
    style.legend_above(axes, handles)


def _month_ticks(axes: Axes, months: pd.DatetimeIndex) -> None:
    """Name months while there is room; the year stands under each first month shown."""
    step = max(1, int(np.ceil(len(months) / 48)))
    short = len(months) > 18
    labels = []
    for place, month in enumerate(months[::step]):
        name = f"{month:%b}"[:1] if short else f"{month:%b}"
        begins = place == 0 or month.year != months[::step][place - 1].year
        labels.append(f"{name}\n{month.year}" if begins and not (short and place == 0 and month.month > 9) else name)
    axes.set_xticks(np.arange(0, len(months), step), labels)
    axes.tick_params(axis="x", length=0)


def peak_hours(report: PeakHours, request: Request, inputs: Inputs) -> Result:
    """Return which local hours of the day take most, and the highest single hours."""
    shown = larger(quantity(request.dataset, report.energy))
    by_hour = hours_table(inputs.frame, shown)
    top = top_hours(inputs.frame, shown)
    three = by_hour["total"].nlargest(3)
    whole = by_hour["total"].sum()
    names = ", ".join(f"{hour:02d}" for hour in sorted(three.index))
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  measured hours, local time",
        key_figures=(
            percent(f"Share of the three busiest hours ({names} h)", float(three.sum()) / whole if whole else np.nan),
            figure("Highest single hour", top.iloc[0] if len(top) else np.nan, shown.unit, 2),
            figure("Mean hour", inputs.frame[shown.name].mean() * shown.factor, shown.unit, 2),
            percent("Coverage", coverage(inputs.frame)),
        ),
        table=by_hour.rename(columns={"total": f"total{shown.suffix}", "mean": f"mean_of_an_hour{shown.suffix}"}),
        draw=partial(_draw_peaks, by_hour, top, shown, request),
    )


def hours_table(frame: pd.DataFrame, shown: Quantity) -> pd.DataFrame:
    """Return local hour -> ``total``, its ``share``, and ``mean`` of a fully measured hour."""
    hours = np.asarray(local_index(frame).hour)
    total = (frame[shown.name] * shown.factor).groupby(hours).sum()
    covered = frame["covered_s"].groupby(hours).sum()
    table = pd.DataFrame({"total": total, "share": total / total.sum(), "mean": total / covered * 3600})
    return table.reindex(range(24)).rename_axis("hour")


def top_hours(frame: pd.DataFrame, shown: Quantity, count: int = 10) -> pd.Series:
    """Return the highest single hours, by their local start."""
    return (frame[shown.name].dropna() * shown.factor).nlargest(count)


def _draw_peaks(by_hour: pd.DataFrame, top: pd.Series, shown: Quantity, request: Request, canvas: Figure) -> None:
    height = style.TOP - style.BOTTOM
    left = canvas.add_axes((style.LEFT, style.BOTTOM, 0.52, height))
    busiest = by_hour["mean"].nlargest(3).index
    colours = [style.VERMILLION if hour in busiest else style.SKY for hour in by_hour.index]
    left.bar(by_hour.index + 0.5, by_hour["mean"], 0.86, color=colours)
    left.set_xlim(0, 24)
    left.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    left.set_xlabel(f"Hour of the day, local time, {request.zone.key}")
    left.set_ylabel(f"Mean {shown.title.lower()} of an hour ({shown.unit})")
    style.legend_above(
        left,
        [Patch(color=style.VERMILLION, label="the three busiest hours"), Patch(color=style.SKY, label="other hours")],
    )
    right = canvas.add_axes((0.75, style.BOTTOM, style.RIGHT - 0.75, height - 0.045))
    names = [f"{when:%a %-d %b %Y, %H:00}" for when in pd.DatetimeIndex(top.index)]
    bars = right.barh(np.arange(len(top)), top, 0.7, color=style.ORANGE)
    right.bar_label(bars, fmt=" {:.2f} ", padding=-36, fontsize=9.5)
    right.set_yticks(np.arange(len(top)), names, fontsize=9.5)
    right.invert_yaxis()
    right.grid(visible=False, axis="y")
    right.grid(visible=True, axis="x")
    right.set_xlabel(shown.label)
    right.set_title("The highest single hours")
