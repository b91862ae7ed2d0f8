"""Habits: the average day, the load by day and hour, and for how long it was how high."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from meterlake.report_specs import Heatmap, LoadDuration, Profile, Seasons
from serving_layer.reports import style
from serving_layer.reports.frames import coverage, local_index, period
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, KeyFigure, Result, figure, percent, worded
from serving_layer.reports.units import MEAN_WORDS, Quantity, quantity

WEEKDAY: Final = "Monday to Friday"
WEEKEND: Final = "Saturday and Sunday"
_SEASON_COLOURS: Final = (style.BLUE, style.GREEN, style.ORANGE, style.VERMILLION)
_SEASON_LINES: Final[tuple[Any, ...]] = ("-", "--", "-", "-.")


def profile(report: Profile, request: Request, inputs: Inputs) -> Result:
    """Return the average day."""
    shown = quantity(request.dataset, report.level)
    table = profile_table(inputs.frame, f"{report.level}_avg", report.seasons)
    means = table.groupby("day_type")[["weighted", "covered_s"]].sum()
    share = {day: row["weighted"] / row["covered_s"] for day, row in means.iterrows()}
    result = table.assign(mean=table["weighted"] / table["covered_s"], hours=table["covered_s"] / 3600)
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  {MEAN_WORDS[inputs.grain]}",
        key_figures=(
            figure(f"Mean, {WEEKDAY}", share.get(WEEKDAY, np.nan), shown.unit, 3),
            figure(f"Mean, {WEEKEND}", share.get(WEEKEND, np.nan), shown.unit, 3),
            _busiest(table),
            percent("Coverage", coverage(inputs.frame)),
        ),
        table=result[["day_type", "season", "hour", "mean", "hours"]].rename(
            columns={"mean": f"mean{shown.suffix}", "hours": "measured_h"}
        ),
        draw=partial(_draw_profile, report, request, result, shown),
    )


def _busiest(table: pd.DataFrame) -> KeyFigure:
    by_hour = table.groupby("hour")[["weighted", "covered_s"]].sum()
    hour = float(np.asarray(by_hour.index)[int((by_hour["weighted"] / by_hour["covered_s"]).argmax())])
    return KeyFigure("Busiest hour begins", hour, f"{int(hour):02d}:00")


def profile_table(frame: pd.DataFrame, column: str, seasons: Seasons) -> pd.DataFrame:
    """Return, by kind of day, season and local hour: ``weighted`` (value · seconds) and ``covered_s``.

    A mean over time is their quotient: hours that were measured in part count in part.
    """
    index = local_index(frame)
    season = {month: name for name, months in seasons for month in months}
    keys = pd.DataFrame(
        {
            "day_type": np.where(np.asarray(index.dayofweek) >= 5, WEEKEND, WEEKDAY),
            "season": pd.Categorical([season[month] for month in index.month], [name for name, _ in seasons]),
            "hour": np.asarray(index.hour),
            "weighted": (frame[column] * frame["covered_s"]).to_numpy(),
            "covered_s": frame["covered_s"].to_numpy(),
        }
    )
    known = keys[keys["covered_s"] > 0]
    return known.groupby(["day_type", "season", "hour"], observed=True, as_index=False)[["weighted", "covered_s"]].sum()


def _draw_profile(report: Profile, request: Request, table: pd.DataFrame, shown: Quantity, canvas: Figure) -> None:
    width = (style.RIGHT - style.LEFT - 0.03) / 2
    top = (float(table["mean"].max()) * 1.06 if len(table) else 0.0) or 1.0
    for place, day_type in enumerate((WEEKDAY, WEEKEND)):
        axes = canvas.add_axes(
            (style.LEFT + place * (width + 0.03), style.BOTTOM, width, style.TOP - style.BOTTOM - 0.045)
        )
        _day(axes, table[table["day_type"] == day_type], report.seasons)
        axes.set_title(day_type)
        axes.set_ylim(0, top)
        zone = f"Hour of the day, local time, {request.zone.key}"
        axes.set_xlabel(zone)
        if place == 0:
            axes.set_ylabel(f"Mean {shown.label[0].lower()}{shown.label[1:]}")
        else:
            axes.tick_params(labelleft=False)
    seen = [name for name, _ in report.seasons if name in set(table["season"])]
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=2, label=name)
        for (name, _), colour, line in zip(report.seasons, _SEASON_COLOURS, _SEASON_LINES, strict=False)
        if name in seen
    ]
    canvas.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(style.LEFT - 0.008, style.TOP - 0.005),
        ncols=len(handles) or 1,
    )


def _day(axes: Axes, table: pd.DataFrame, seasons: Seasons) -> None:
    for (name, _), colour, line in zip(seasons, _SEASON_COLOURS, _SEASON_LINES, strict=False):
        rows = table[table["season"] == name].set_index("hour")["mean"].reindex(range(24))
        if rows.notna().any():
            values = np.append(rows.to_numpy(), rows.to_numpy()[-1])
            axes.plot(range(25), values, color=colour, linestyle=line, linewidth=2, drawstyle="steps-post")
    if table.empty:
        axes.text(12, 0.5, "no readings", ha="center", color=style.QUIET, transform=axes.get_xaxis_transform())
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3), [f"{hour:02d}" for hour in range(0, 25, 3)])


_NAMED_DAYS: Final = 10
"""Days that have room for their names."""


def heatmap(report: Heatmap, request: Request, inputs: Inputs) -> Result:
    """Return a level by local day and hour."""
    shown = quantity(request.dataset, report.level)
    table = heatmap_table(inputs.frame, f"{report.level}_avg")
    values = inputs.frame[f"{report.level}_avg"]
    highest = figure("Highest hour", values.max(), shown.unit, 3)
    if values.notna().any():
        when = local_index(inputs.frame)[int(np.nanargmax(values.to_numpy()))]
        highest = worded(highest, f"{highest.text} ({when.day} {when:%b %Y %H:%M})")
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  {MEAN_WORDS[inputs.grain]}",
        key_figures=(highest, percent("Coverage", coverage(inputs.frame))),
        table=table.rename_axis("day").rename(columns=lambda hour: f"h{hour:02d}{shown.suffix}"),
        draw=partial(_draw_heatmap, request, inputs.frame, table, shown),
    )


def heatmap_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return local days × hours 0 to 23. The hour that occurs twice is averaged; the one that is skipped is NaN."""
    known = frame[frame["covered_s"] > 0]
    keys = [np.asarray(local_index(known).date), np.asarray(local_index(known).hour)]
    weighted = (known[column] * known["covered_s"]).groupby(keys).sum(min_count=1).unstack()
    covered = known["covered_s"].groupby(keys).sum().unstack()
    days = pd.date_range(local_index(frame)[0].date(), local_index(frame)[-1].date(), freq="D")
    table = weighted / covered
    table.index = pd.DatetimeIndex(table.index)
    return table.reindex(index=days, columns=range(24))


def _draw_heatmap(request: Request, frame: pd.DataFrame, table: pd.DataFrame, shown: Quantity, canvas: Figure) -> None:
    axes = canvas.add_axes((style.LEFT, style.BOTTOM, 0.835, style.TOP - style.BOTTOM))
    days = table.index.to_numpy()
    edges = np.append(days, days[-1] + np.timedelta64(1, "D"))
    missing = _missing_cells(frame, table)
    axes.pcolormesh(
        edges, np.arange(25), np.where(missing, 1.0, np.nan).T, cmap=_flat(), vmin=0, vmax=1, rasterized=True
    )
    values = table.to_numpy()
    # a few extreme hours must not make all others look alike
    top = float(np.nanpercentile(values, 99.5)) if np.isfinite(values).any() else 1.0
    mesh = axes.pcolormesh(edges, np.arange(25), values.T, cmap=style.HEAT, vmin=0, vmax=top or 1.0, rasterized=True)
    bar = canvas.colorbar(
        mesh, cax=canvas.add_axes((0.92, style.BOTTOM, 0.015, style.TOP - style.BOTTOM)), extend="max"
    )
    bar.set_label(f"Mean {shown.label[0].lower()}{shown.label[1:]}")
    bar.outline.set_visible(False)
    if len(days) <= _NAMED_DAYS:
        names = [f"{day:%a} {day.day} {day:%b}" for day in pd.DatetimeIndex(days)]
        axes.set_xticks(days + np.timedelta64(12, "h"), names)
        axes.tick_params(axis="x", length=0)
    else:
        style.date_ticks(axes)
    axes.set_yticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlabel("Day")
    axes.set_ylabel(f"Hour of the day, {request.zone.key}")
    if missing.any():
        style.legend_above(axes, [Patch(color=style.MISSING, label="no readings")])


def _missing_cells(frame: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Return which cells should have been measured and were not (a skipped hour does not exist)."""
    index = local_index(frame)
    expected = np.zeros(table.shape, dtype=bool)
    rows = table.index.get_indexer(pd.DatetimeIndex(index.date))
    expected[rows, np.asarray(index.hour)] = True
    return np.asarray(expected & ~np.isfinite(table.to_numpy()))


def _flat() -> Any:  # noqa: ANN401
    from matplotlib.colors import ListedColormap

    return ListedColormap([style.MISSING])


SHARES: Final = np.linspace(0.0, 1.0, 1001)


def load_duration(report: LoadDuration, request: Request, inputs: Inputs) -> Result:
    """Return for what share of the measured time a level was at least how high."""
    shown = quantity(request.dataset, report.level)
    table = duration_table(inputs.frame, f"{report.level}_avg")
    marks = [(share, float(table["value"].iloc[round(share * 1000)])) for share in (0.01, 0.1, 0.5, 0.9)]
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(*period(inputs.frame))}  ·  {MEAN_WORDS[inputs.grain]}",
        key_figures=(
            *(figure(f"{share * 100:.0f} % of the time ≥", value, shown.unit, 2) for share, value in marks),
            percent("Coverage", coverage(inputs.frame)),
        ),
        table=table.rename(columns={"value": f"at_least{shown.suffix}"}),
        draw=partial(_draw_duration, table, marks, shown),
    )


def duration_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return ``share`` of the measured time (0 to 1 by 0.001) and the ``value`` that was reached for as long."""
    known = frame.loc[frame["covered_s"] > 0, [column, "covered_s"]].dropna().sort_values(column, ascending=False)
    if known.empty:
        return pd.DataFrame({"share": SHARES, "value": np.nan})
    reached = known["covered_s"].cumsum().to_numpy()
    # the value in force when that much of the time, longest loads first, has passed
    place = np.searchsorted(reached, SHARES * reached[-1], side="left").clip(max=len(known) - 1)
    return pd.DataFrame({"share": SHARES, "value": known[column].to_numpy()[place]})


def _draw_duration(table: pd.DataFrame, marks: list[tuple[float, float]], shown: Quantity, canvas: Figure) -> None:
    axes = style.single_axes(canvas)
    share = table["share"].to_numpy() * 100
    axes.fill_between(share, 0, table["value"], color=style.SKY, alpha=0.3, linewidth=0)
    axes.plot(share, table["value"], color=style.BLUE, linewidth=2)
    for place, value in marks:
        axes.plot([place * 100], [value], "o", color=style.VERMILLION, markersize=6)
        axes.annotate(
            f"{place * 100:.0f} % of the time\nat least {value:.2f} {shown.unit}",
            (place * 100, value),
            xytext=(10, 8) if place < 0.8 else (0, 12),
            ha="left" if place < 0.8 else "center",
            textcoords="offset points",
            fontsize=10,
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Share of the measured time (%)")
    axes.set_ylabel(shown.label)
