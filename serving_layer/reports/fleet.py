"""Reports about all meters: what tables made of the readings say, over time or over the hours of the day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from engines import trino
from engines.errors import QueryFailed
from meterlake.timegrid import day_start
from serving_layer.reports import fleet_sql, style
from serving_layer.reports.errors import NoTable, WrongOption, WrongRange
from serving_layer.reports.request import ReportOptions, Request, parse_moment
from serving_layer.reports.result import KeyFigure, Result, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from meterlake.declaration import MeterSeries
    from meterlake.report_specs import Fleet
    from meterlake.settings import Settings

# Names come from declarations.
# ruff: noqa: S608
TITLE: Final = "tables made of the readings, through Trino"
_COLOURS: Final = (
    *style.SERIES,
    "#6A8CAF", "#B3A369", "#7FB89A", "#D6A5C2", "#A9D4EE", "#E8A583", "#4C5D70", "#C9B458",
)  # fmt: skip
_OTHERS: Final = "#B6BEC6"
_CLOCK_TICKS: Final = 4


def fleet(settings: Settings, dataset: MeterSeries, report: Fleet, options: ReportOptions) -> Result:
    """Read a report about all meters, and compute it. Raises WrongOption, WrongRange, NoTable."""
    for given, name in ((options.meter, "--meter-id"), (options.grain, "--grain"), (options.tariff, "--tariff")):
        if given:
            raise WrongOption(name, report.name, "it is about all meters", hint=f"Leave {name} out.")
    if options.threshold is not None:
        raise WrongOption("--min-power", report.name, "it has no threshold", hint="Leave --min-power out.")
    request = _request(settings, dataset, report, options)
    rows = _asked(settings, dataset, fleet_sql.statement(dataset, report, _condition(report, request), "time"))
    return result(report, request, rows)


def result(report: Fleet, request: Request, rows: list[list[Any]]) -> Result:
    """Return the report of rows of (time or clock, part, value)."""
    x = "clock" if report.clock else "time"
    table = pd.DataFrame(rows, columns=[x, "part", "value"]).pivot_table(
        index=x, columns="part", values="value", sort=True, observed=True
    )
    table = table[_in_order(report, table)]
    table.columns = pd.Index([str(name) for name in table.columns])
    words = "means of the days" if report.clock else "by the day" if report.daily else "by the interval"
    since, until = (moment.astimezone(request.zone) for moment in (request.since, request.until))
    return Result(
        report=report,
        request=request,
        frame_note=f"{style.date_range_text(since, until)}  ·  {words}",
        key_figures=_key_figures(report, table),
        table=table,
        draw=partial(_draw, report, request, table),
    )


def _request(settings: Settings, dataset: MeterSeries, report: Fleet, options: ReportOptions) -> Request:
    """Return the range: as given, within what the tables hold."""
    bounds = f"SELECT min(time), max(time) FROM ({fleet_sql.declared(dataset, report)})"
    ((first, last),) = _asked(settings, dataset, bounds)
    if first is None:
        raise NoTable(dataset.name, report.name, "they are empty")
    days = (first, last) if report.daily else tuple(_local_day(time, dataset.time_zone) for time in (first, last))
    begin, end = (_midnight(day, dataset.time_zone) for day in (days[0], days[1] + timedelta(days=1)))
    since = parse_moment(options.since, dataset, "--from") if options.since else begin
    until = parse_moment(options.until, dataset, "--to") if options.until else end
    if max(since, begin) >= min(until, end):
        zone = ZoneInfo(dataset.time_zone)
        raise WrongRange(max(since, begin).astimezone(zone), min(until, end).astimezone(zone))
    return Request(dataset, "", max(since, begin), min(until, end), (days[0], days[1]), TITLE)


def _condition(report: Fleet, request: Request) -> str:
    if report.daily:
        first, last = request.days
        return f"time BETWEEN DATE '{first}' AND DATE '{last}'"
    since, until = (f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'" for moment in (request.since, request.until))
    return f"time >= {since} AND time < {until}"


def _asked(settings: Settings, dataset: MeterSeries, sql: str) -> list[list[Any]]:
    try:
        return trino.rows(settings, sql)
    except QueryFailed as error:
        if "does not exist" in error.what:
            raise NoTable(dataset.name, "this report", "they are not there yet") from error
        raise


def _in_order(report: Fleet, table: pd.DataFrame) -> list[Any]:
    """Return the parts: the largest first, then all others, then what is estimated."""
    totals = table.sum().sort_values(ascending=False, kind="stable")
    return sorted(totals.index, key=lambda part: (part == report.hatched, part == fleet_sql.OTHERS))


def _key_figures(report: Fleet, table: pd.DataFrame) -> tuple[KeyFigure, ...]:
    digits = 0 if report.unit == "half hours" else 2
    if report.clock:
        return tuple(
            figure(f"{name}: highest at {table[name].idxmax()}", table[name].max(), report.unit, 3) for name in table
        )
    totals = [figure(str(name), table[name].sum(), report.unit, digits) for name in table]
    return (figure("Total", float(table.sum().sum()), report.unit, digits), *totals)


def _draw(report: Fleet, request: Request, table: pd.DataFrame, drawing: Figure) -> None:
    axes = style.single_axes(drawing)
    if report.clock:
        _draw_clock(axes, table)
    else:
        _draw_time(report, request, axes, table)
    axes.set_ylabel(report.unit)
    axes.margins(y=0.05)
    axes.set_ylim(bottom=0)
    columns = min(len(table.columns), 7)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.1, handlelength=1.2,
        columnspacing=1.2, fontsize=9 if len(table.columns) < 7 else 7.5,
    )  # fmt: skip


def _draw_clock(axes: Axes, table: pd.DataFrame) -> None:
    places = np.arange(len(table))
    for name, colour in zip(table, _COLOURS, strict=False):
        axes.plot(places, table[name], label=name, color=colour, linewidth=2)
    axes.set_xticks(places[::_CLOCK_TICKS], list(table.index[::_CLOCK_TICKS]))
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.set_xlabel("Local time")


def _draw_time(report: Fleet, request: Request, axes: Axes, table: pd.DataFrame) -> None:
    zone = request.zone
    if report.daily:
        index = pd.DatetimeIndex([_midnight(day, zone.key) for day in table.index]).tz_convert("UTC").tz_localize(None)
    else:
        index = pd.DatetimeIndex(table.index)
    days = 0.9 if report.daily else request.dataset.cell_s / 86_400
    bottom = np.zeros(len(table))
    for place, name in enumerate(table):
        heights = table[name].fillna(0).to_numpy()
        look: dict[str, Any] = {"color": _OTHERS if name == fleet_sql.OTHERS else _COLOURS[place % len(_COLOURS)]}
        if name == report.hatched:
            look = {"facecolor": "#F6D5BE", "edgecolor": style.VERMILLION, "hatch": "////", "linewidth": 0}
        axes.bar(index, heights, width=days, align="edge", bottom=bottom, label=name, **look)
        bottom = bottom + heights
    style.time_axis(axes, zone, *(moment.astimezone(zone) for moment in (request.since, request.until)))


def _midnight(day: date, zone: str) -> datetime:
    return datetime.fromtimestamp(day_start(day, zone), ZoneInfo("UTC"))


def _local_day(time: datetime, zone: str) -> date:
    return time.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).date()
