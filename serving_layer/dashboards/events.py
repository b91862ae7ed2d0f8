"""The dashboard of a lakehouse's events: live and from gold, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.lakehouse.live import merged_sql
from serving_layer.dashboards import panels
from serving_layer.dashboards.queries import TrinoQuery

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.builders import table, timeseries

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.live import Live

_RANGE: Final = "$__timeFilter(minute)"
"""Of the merged rows: gold reads only files of these minutes."""


def events(lakehouse: Lakehouse, live: Live) -> build.Dashboard:
    """Return the dashboard: events and amounts by minute, places, and where the boundary lies."""
    result = panels.dashboard(
        f"meterlake-{lakehouse.name}-events",
        f"{lakehouse.title}: events, live and from gold",
        "Accepted events by the minute in which they began. Gold answers before the boundary, the stream after it.",
        "now-1h",
        "10s",
    )
    rows = merged_sql(lakehouse, live, _RANGE)
    shown = [
        panels.sized(_lines("Events a minute", "Of all places.", rows, "event", "sum(events)"), 24, 9),
        panels.sized(_lines("Events a minute, by place", "Of all kinds.", rows, "place", "sum(events)"), 12, 9),
        panels.sized(_lines("Amounts a minute", "Each currency by itself.", rows, "currency", "sum(amount)"), 12, 9),
        panels.sized(_layers(rows), 24, 5),
    ]
    return panels.with_panels(result, shown)


def _lines(title: str, doc: str, rows: str, by: str, figure: str) -> timeseries.Panel:
    text = f"SELECT minute AS time, {by}, {figure} AS value\nFROM (\n{rows}\n)\nGROUP BY 1, 2\nORDER BY 1"
    query = TrinoQuery(text, {"time": "time", by: "text", "value": "number"})
    return panels.by_meter(panels.lines(title, doc, "", [query], zero=True), by)


def _layers(rows: str) -> table.Panel:
    text = (
        "SELECT layer, min(minute) AS first, max(minute) AS last, sum(events) AS events\n"
        f"FROM (\n{rows}\n)\nGROUP BY 1\nORDER BY 1"
    )
    query = TrinoQuery(text, {"layer": "text", "first": "time", "last": "time", "events": "number"})
    return panels.rows("Who answers", "Gold before the boundary, the stream after it: no minute is of both.", [query])
