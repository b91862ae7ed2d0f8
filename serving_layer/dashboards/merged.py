"""Merged: one line across the boundary, for any range and grain, from the merged views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.common import GraphDrawStyle

from meterlake.merged import merged_view
from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.panels import BLUE, GREY, RED, YELLOW
from serving_layer.dashboards.queries import Needs, TrinoQuery

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Board
    from meterlake.declaration import Dataset

_WEEKS = 8
"""Weeks before, over which a weekday is averaged."""


def merged(dataset: Dataset, board: Board) -> Dashboard:
    """Return the dashboard of both layers as one."""
    parts = _Merged(dataset, board)
    found = panels.dashboard(
        f"meterlake-{dataset.name}-merged",
        f"{dataset.title}: live and history",
        "One line from the first year to the last seconds. Batch answers before the boundary, the stream after it.",
        "now-24h",
        "30s",
    )
    panels.with_ranges(
        found,
        ("Last hour", "now-1h"),
        ("Last 24 hours", "now-24h"),
        ("Last 7 days", "now-7d"),
        ("Last 30 days", "now-30d"),
        ("Last year", "now-1y"),
        ("Last 4 years", "now-4y"),
    )
    found.with_variable(panels.choice("meter", "Meter", TrinoQuery(sql.meters(dataset), {dataset.key: "text"})))
    found.with_variable(panels.options_of("grain", "Grain", ("auto", "minute", "hour", "day")))
    marks: Needs = {"time": "time", "text": "text"}
    found.annotation(panels.annotation("Boundary", BLUE, TrinoQuery(sql.boundary(dataset), marks, sparse=True)))
    unexplained = TrinoQuery(sql.unexplained(dataset), marks, sparse=True)
    found.annotation(panels.annotation("Layers disagree", RED, unexplained))
    gaps = TrinoQuery(sql.gaps(dataset), {**marks, "timeEnd": "time"}, sparse=True)
    found.annotation(panels.annotation("Gaps", GREY, gaps))
    runs = TrinoQuery(sql.published(dataset), marks, sparse=True)
    found.annotation(panels.annotation("Batch runs", YELLOW, runs, shown=False))
    listed = [
        panels.sized(parts.power(), 24, 10),
        panels.sized(parts.today(), 6),
        panels.sized(parts.against(), 18),
        panels.sized(parts.voltage(), 12),
        panels.sized(parts.shares(), 12),
    ]
    return panels.with_panels(found, listed)


class _Merged:
    """The panels of one data set."""

    def __init__(self, dataset: Dataset, board: Board) -> None:
        self.dataset, self.board, self.key = dataset, board, dataset.key
        self.power_measure = dataset.measure(board.power)

    def power(self) -> timeseries.Panel:
        text = sql.with_gaps(self._rows(f"{self.board.power}_avg AS power"), ["power"], self.key)
        query = TrinoQuery(text, {"time": "time", self.key: "text", "power": "number"})
        doc = (
            "Mean power of each minute, hour or local day; auto takes what fits the range. Left of the line named"
            " Boundary batch answers, right of it the stream: the same to the last digit."
        )
        unit = panels.unit(self.power_measure.unit)
        panel = panels.lines("Power", doc, unit, [query], zero=True)
        return panels.by_meter(panel, self.key)

    def voltage(self) -> timeseries.Panel:
        name, limits = self.board.voltage, self.board.limits
        columns = f"CAST({name}_min AS DOUBLE) AS lowest, {name}_avg AS mean, CAST({name}_max AS DOUBLE) AS highest"
        rows = (
            "SELECT time, step_s, min(lowest) AS lowest, avg(mean) AS mean, max(highest) AS highest\n"
            f"FROM (\n{self._rows(columns)}\n)\nGROUP BY 1, 2"
        )
        shown = ("lowest", "mean", "highest")
        query = TrinoQuery(sql.with_gaps(rows, shown), {"time": "time", **dict.fromkeys(shown, "number")})
        doc = f"Lowest, mean and highest over the chosen meters; limits: {limits.name}."
        panel = panels.with_limits(panels.lines("Voltage", doc, "volt", [query]), limits)
        panels.column(panel, "highest", **{"custom.fillBelowTo": "lowest", "custom.lineWidth": 0})
        panels.column(panel, "lowest", **{"custom.lineWidth": 0})
        return panels.coloured(panel, shown, (GREY, BLUE, GREY))

    def shares(self) -> timeseries.Panel:
        titles = {f"{part}_sum": self.dataset.measure(part).title for part in self.board.parts}
        titles[self.board.rest] = "Other devices"
        columns = ", ".join(f"CAST({value} AS DOUBLE) AS {value}" for value in titles)
        sums = ", ".join(f'sum({value}) AS "{title}"' for value, title in titles.items())
        text = f"SELECT time, {sums}\nFROM (\n{self._rows(columns)}\n)\nGROUP BY 1\nORDER BY 1"
        query = TrinoQuery(text, {"time": "time", **dict.fromkeys(titles.values(), "number")})
        doc = (
            "Energy of the sub-meters and of what they leave of the main meter, which is negative where they count"
            " more than it does: stacked below zero, not clipped."
        )
        panel = panels.bars("Energy by sub-meter", doc, "watth", [query])
        return panels.coloured(panel, list(titles.values()), (*panels.PARTS[: len(self.board.parts)], GREY))

    def today(self) -> stat.Panel:
        """The range is today's alone: the hours before are not asked for."""
        zone = self.dataset.time_zone
        midnight = f"with_timezone(CAST(CAST(current_timestamp AT TIME ZONE '{zone}' AS DATE) AS TIMESTAMP), '{zone}')"
        begin = f"CAST({midnight} AT TIME ZONE 'UTC' AS TIMESTAMP(6))"
        text = (
            f"SELECT sum({self.board.energy}) / 1E3 AS kwh\nFROM {merged_view(self.dataset, 'hour')}\n"
            f"WHERE {self.key} IN {sql.METERS}\n  AND {sql.since(self.dataset, 'hour', begin)}"
        )
        query = TrinoQuery(text, {"kwh": "number"}, sparse=True)
        doc = f"Energy of all chosen meters since midnight ({zone}), whatever the range of the dashboard."
        return panels.figure("Energy today so far", doc, "kwatth", [query]).decimals(2)

    def against(self) -> timeseries.Panel:
        zone = self.dataset.time_zone
        local = f"(with_timezone(hour, 'UTC') AT TIME ZONE '{zone}')"
        here = f"(current_timestamp AT TIME ZONE '{zone}')"
        today = f"CAST({here} AS DATE)"
        sums = f"sum({self.board.energy}) / 1E3"
        begin = f"CAST(current_timestamp - INTERVAL '{_WEEKS * 7 + 1}' DAY AS TIMESTAMP(6))"
        text = (
            "SELECT with_timezone(CAST(local_day_now AS TIMESTAMP(3)) + n * INTERVAL '1' HOUR, "  # noqa: S608
            f"'{zone}') AS time,\n"
            "  max(kwh) FILTER (WHERE day = local_day_now) AS today,\n"
            '  avg(kwh) FILTER (WHERE day < local_day_now) AS "same weekday"\n'
            f"FROM (\n  SELECT {today} AS local_day_now, CAST({local} AS DATE) AS day, hour({local}) AS n,\n"
            f"    {sums} AS kwh\n"
            f"  FROM {merged_view(self.dataset, 'hour')}\n"
            f"  WHERE {self.key} IN {sql.METERS}\n"
            f"    AND {sql.since(self.dataset, 'hour', begin)}\n"
            f"    AND day_of_week({local}) = day_of_week({here})\n"
            "  GROUP BY 1, 2, 3\n)\nGROUP BY 1\nORDER BY 1"
        )
        query = TrinoQuery(text, {"time": "time", "today": "number", "same weekday": "number"}, sparse=True)
        doc = f"Energy by local hour: today, and the mean of the same weekday over the {_WEEKS} weeks before."
        panel = panels.lines("Today against the same weekday", doc, "kwatth", [query], zero=True)
        panel.draw_style(GraphDrawStyle.BARS).time_from("now/d").insert_nulls(3_600_000.0)
        panels.column(panel, "same weekday", **{"custom.drawStyle": "line", "custom.lineInterpolation": "stepAfter"})
        return panels.coloured(panel, ("today", "same weekday"), (BLUE, YELLOW))

    def _rows(self, columns: str) -> str:
        return sql.of_grain(self.dataset, merged_view, sql.chosen_or_fitting(), columns)
