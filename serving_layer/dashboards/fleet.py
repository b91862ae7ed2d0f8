"""Tables made of the readings: the reports about all meters as a dashboard, one panel a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.report_specs import Fleet, reports_of
from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.queries import Needs, TrinoQuery
from serving_layer.reports import fleet_sql

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import barchart, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from meterlake.declaration import MeterSeries

_SIZE: Final = (12, 10)


def fleets(dataset: MeterSeries) -> list[Fleet]:
    """Return the reports about all meters that a data set has."""
    return [report for report in reports_of(dataset).values() if isinstance(report, Fleet)]


def tables(dataset: MeterSeries) -> Dashboard:
    """Return the dashboard of the tables."""
    result = panels.dashboard(
        f"meterlake-{dataset.name}-tables",
        f"{dataset.title}: tables",
        "What tables made of the readings say of all meters. `meterlake batch` brings them up to date.",
        "now-30d",
        "15m",
    )
    panels.with_ranges(
        result, ("Last 7 days", "now-7d"), ("Last 30 days", "now-30d"), ("Last year", "now-1y"), ("Ever", "now-10y")
    )
    return panels.with_panels(result, [_panel(dataset, report) for report in fleets(dataset)])


def _panel(dataset: MeterSeries, report: Fleet) -> timeseries.Panel | barchart.Panel:
    if report.clock:
        needs: Needs = {"clock": "text", "part": "text", "value": "number"}
        query = TrinoQuery(fleet_sql.statement(dataset, report, "$__dateFilter(time)", "time"), needs, sparse=True)
        panel = panels.categories(report.title, report.doc, panels.unit(report.unit), query, "clock\\part")
        matrix = {"rowField": "clock", "columnField": "part", "valueField": "value"}
        return panels.sized(panels.transformed(panel, ("groupingToMatrix", matrix)), *_SIZE)
    condition = "$__dateFilter(time)" if report.daily else "$__timeFilter(time)"
    time = sql.when(dataset, "day", "time") if report.daily else "with_timezone(time, 'UTC')"
    needs = {"time": "time", "part": "text", "value": "number"}
    query = TrinoQuery(fleet_sql.statement(dataset, report, condition, time), needs, sparse=True)
    bars = panels.by_meter(panels.bars(report.title, report.doc, panels.unit(report.unit), [query]), "part")
    panels.column(bars, fleet_sql.OTHERS, color={"mode": "fixed", "fixedColor": panels.GREY})
    return panels.sized(panels.hatched(bars, report.hatched) if report.hatched else bars, *_SIZE)
