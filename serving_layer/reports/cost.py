"""Cost by time-of-use prices, and what using devices at the cheapest hours would save."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meterlake.grains import Grain
from meterlake.report_specs import Cost
from serving_layer.reports import style
from serving_layer.reports.errors import TariffNeeded
from serving_layer.reports.frames import coverage, local_index, local_midnights, period
from serving_layer.reports.local_hours import hour_grain
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent
from serving_layer.reports.tariff import Tariff, priced
from serving_layer.reports.units import in_unit, quantity, sum_column

STANDING: Final = "standing charge"
PRICED: Final = "kWh"
"""The unit to which a tariff's prices apply, whatever unit the energy is declared in."""
DAILY_UP_TO: Final = 45
"""Days that are drawn one by one; beyond that months."""
_COLOURS: Final = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.VERMILLION)
YEAR_S: Final = 365.25 * 86400


class Saving(NamedTuple):
    """What an amount cost, and what it would have cost less at the cheapest hours of its day's price."""

    title: str
    cost: float
    saved: float


def cost(report: Cost, request: Request, inputs: Inputs) -> Result:
    """Return what the energy of the range cost."""
    tariff = tariff_of(report, request)
    shown = in_unit(quantity(request.dataset, report.energy), PRICED)
    prices = priced(local_index(inputs.frame), tariff)
    energy = inputs.frame[shown.name] * shown.factor
    table = cost_table(inputs.frame, energy, prices, tariff)
    savings = savings_of(report, request, inputs.frame, prices)
    since, until = period(inputs.frame)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(since, until)}  ·  tariff: {style.shortened(tariff.name)}",
        key_figures=_key_figures(table, savings, energy, inputs.frame, tariff),
        table=_named(table, tariff),
        draw=partial(_draw, table, savings, tariff, request),
        notes=(
            "Energy that was not measured is not priced; the standing charge counts every day of the range.",
            "Savings are what each would cost less if all of it were used at the cheapest hours: the most possible.",
        ),
    )


def tariff_of(report: Cost, request: Request) -> Tariff:
    """Return the request's tariff; raises TariffNeeded where none was given."""
    if request.tariff is None:
        raise TariffNeeded(report.name)
    return request.tariff


def grain_for(report: Cost, request: Request) -> Grain:
    """Return the coarsest grain whose rows no change of a price cuts, at any offset that the zone has in the range."""
    return hour_grain(request, tariff_of(report, request).step_s)


def cost_table(frame: pd.DataFrame, energy: pd.Series, prices: pd.DataFrame, tariff: Tariff) -> pd.DataFrame:
    """Return local day -> cost by period and of the standing charge, and the energy in ``PRICED`` and ``coverage``.

    The standing charge of a day that the range holds in part counts in part.
    """
    index = local_index(frame)
    days = pd.DatetimeIndex(index.date)
    spent = (energy * prices["per_kwh"]).to_numpy()
    period_names = prices["period"].to_numpy()
    table = pd.DataFrame(index=days.unique())
    for name in tariff.period_names:
        table[name] = pd.Series(np.where(period_names == name, spent, 0.0), index=days).groupby(level=0).sum()
    # full_s against the length of the local day, which has 23, 24 or 25 hours
    calendar = pd.DatetimeIndex(table.index)
    ends = local_midnights(calendar + pd.Timedelta(days=1), index.tz)
    lengths = ends - local_midnights(calendar, index.tz)
    full = frame["full_s"].groupby(np.asarray(days)).sum().to_numpy()
    per_day = pd.Series(prices["standing_per_day"].to_numpy(), index=days).groupby(level=0).first()
    table[STANDING] = per_day * full / lengths.total_seconds()
    table[PRICED] = pd.Series(energy.to_numpy(), index=days).groupby(level=0).sum()
    table["coverage"] = frame["covered_s"].groupby(np.asarray(days)).sum().to_numpy() / full
    return table


def savings_of(report: Cost, request: Request, frame: pd.DataFrame, prices: pd.DataFrame) -> list[Saving]:
    """Return what moving each movable amount to the cheapest hours would save."""
    result = []
    for name in report.movable:
        shown = in_unit(quantity(request.dataset, name), PRICED)
        used = frame[sum_column(request.dataset, name)] * shown.factor
        paid = float((used * prices["per_kwh"]).sum())
        result.append(Saving(shown.title, paid, paid - float((used * prices["cheapest"]).sum())))
    return result


def _named(table: pd.DataFrame, tariff: Tariff) -> pd.DataFrame:
    names = {name: f"{name} [{tariff.currency}]" for name in (*tariff.period_names, STANDING)}
    return table.rename(columns=names).rename_axis("day")


def _key_figures(
    table: pd.DataFrame, savings: list[Saving], energy: pd.Series, frame: pd.DataFrame, tariff: Tariff
) -> tuple[KeyFigure, ...]:
    money = tariff.currency
    spent = float(table[list(tariff.period_names)].to_numpy().sum())
    total = spent + float(table[STANDING].sum())
    used = float(energy.sum())
    years = float(frame["full_s"].sum()) / YEAR_S
    saved = sum(saving.saved for saving in savings)
    figures = [
        figure("Cost", total, money, 2),
        figure(f"Mean price of a {PRICED}", spent / used if used else np.nan, money, 4),
        figure("Moving devices saves up to", saved, money, 2),
    ]
    if years > 1:
        figures.append(figure("Of it a year", saved / years, money, 2))
    return (*figures, percent("Coverage", coverage(frame)))


def _draw(table: pd.DataFrame, savings: list[Saving], tariff: Tariff, request: Request, canvas: Figure) -> None:
    height = style.TOP - style.BOTTOM
    left = canvas.add_axes((style.LEFT, style.BOTTOM, 0.58 if savings else style.RIGHT - style.LEFT, height))
    _draw_bars(left, table, tariff, request)
    if savings:
        right = canvas.add_axes((0.72, style.BOTTOM, style.RIGHT - 0.72, height - 0.045))
        _draw_savings(right, savings, tariff)


def _draw_bars(axes: Axes, table: pd.DataFrame, tariff: Tariff, request: Request) -> None:
    daily = len(table) <= DAILY_UP_TO
    index = pd.DatetimeIndex(table.index)
    groups = index.to_period("D" if daily else "M")
    names = [name for name in (*tariff.period_names, STANDING) if table[name].any()]
    sums = table[names].groupby(groups).sum()
    place, base = np.arange(len(sums)), np.zeros(len(sums))
    handles = []
    colours = dict(zip(tariff.period_names, _COLOURS * 3, strict=False)) | {STANDING: "#B6BEC6"}
    for name in names:
        axes.bar(place, sums[name], 0.8, bottom=base, color=colours[name])
        base = base + sums[name].to_numpy()
        handles.append(Patch(color=colours[name], label=name))
    bars = pd.PeriodIndex(sums.index)
    starts = bars.to_timestamp()
    _mark_changes(axes, tariff, index, groups, bars)
    step = max(1, int(np.ceil(len(sums) / 9)))
    pattern = "%-d %b" if daily else "%b %Y"
    axes.set_xticks(place[::step], [f"{start:{pattern}}" for start in starts[::step]], fontsize=9.5)
    axes.set_ylim(0, float(base.max()) * 1.1 or 1.0)
    axes.set_xlim(-0.7, max(len(sums), 3) - 0.3)
    axes.set_ylabel(f"Cost in a {'day' if daily else 'month'} ({tariff.currency})")
    axes.set_xlabel(f"{'Day' if daily else 'Month'}, {request.zone.key}")
    style.legend_above(axes, handles)


def _mark_changes(
    axes: Axes, tariff: Tariff, days: pd.DatetimeIndex, groups: pd.PeriodIndex, bars: pd.PeriodIndex
) -> None:
    """Draw a line where another price begins to hold, at its place within the bar."""
    for change in tariff.changes(days[0].date(), days[-1].date()):
        at = int(days.searchsorted(pd.Timestamp(change)))
        bar = int(np.flatnonzero(np.asarray(bars == groups[at]))[0])
        inside = np.flatnonzero(np.asarray(groups == groups[at]))
        x = bar - 0.5 + (at - inside[0]) / len(inside)
        axes.axvline(x, color=style.INK, linewidth=1, linestyle=":")
        axes.text(
            x, 0.985, " new prices", transform=axes.get_xaxis_transform(), fontsize=8.5, color=style.QUIET, va="top"
        )


def _draw_savings(axes: Axes, savings: list[Saving], tariff: Tariff) -> None:
    place = np.arange(len(savings))
    kept = np.array([saving.cost - saving.saved for saving in savings])
    saved = np.array([saving.saved for saving in savings])
    axes.barh(place, kept, 0.4, color="#B6BEC6")
    axes.barh(place, saved, 0.4, left=kept, color=style.GREEN)
    for y, saving in zip(place, savings, strict=True):
        axes.text(0, y - 0.4, style.shortened(saving.title, 36), va="bottom", fontsize=10)
        text = f"saves {saving.saved:,.2f} of {saving.cost:,.2f} {tariff.currency}"
        axes.text(0, y - 0.24, text, va="bottom", fontsize=9.5, color=style.QUIET)
    axes.set_yticks([])
    axes.set_ylim(len(savings) - 0.65, -0.7)
    axes.set_xlim(0, max(saving.cost for saving in savings) * 1.03 or 1.0)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(visible=False)
    axes.set_xlabel(f"Cost ({tariff.currency})")
    axes.set_title("If moved to the cheapest hours", pad=24)
    style.legend_above(
        axes, [Patch(color="#B6BEC6", label="would cost"), Patch(color=style.GREEN, label="saved at most")]
    )
