"""History: what batch has published, from Trino."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, heatmap, piechart, timeseries, trend
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import piechart as pie

from meterlake.merged import published_view
from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.panels import BLUE, GREY, RED, YELLOW
from serving_layer.dashboards.queries import Needs, TrinoQuery

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Board
    from meterlake.declaration import Dataset

_POINTS = 200
"""Points of the load duration curve: half a per cent of the time each."""


def history(dataset: Dataset, board: Board) -> Dashboard:
    """Return the dashboard of what batch has published."""
    parts = _History(dataset, board)
    found = panels.dashboard(
        f"meterlake-{dataset.name}-history",
        f"{dataset.title}: history",
        "What batch has computed and published, audited and exact. The minutes since the boundary are in Merged.",
        "now-30d",
        "5m",
    )
    panels.with_ranges(
        found,
        ("Last 7 days", "now-7d"),
        ("Last 30 days", "now-30d"),
        ("Last 90 days", "now-90d"),
        ("Last year", "now-1y"),
        ("Last 4 years", "now-4y"),
    )
    found.with_variable(panels.choice("meter", "Meter", TrinoQuery(sql.meters(dataset), {dataset.key: "text"})))
    found.with_variable(panels.options_of("grain", "Energy per", ("day", "hour", "month")))
    marks: Needs = {"time": "time", "text": "text"}
    found.annotation(panels.annotation("Boundary", BLUE, TrinoQuery(sql.boundary(dataset), marks, sparse=True)))
    gaps = TrinoQuery(sql.gaps(dataset), {**marks, "timeEnd": "time"}, sparse=True)
    found.annotation(panels.annotation("Gaps", GREY, gaps))
    unexplained = TrinoQuery(sql.unexplained(dataset), marks, sparse=True)
    found.annotation(panels.annotation("Layers disagree", RED, unexplained))
    runs = TrinoQuery(sql.published(dataset), marks, sparse=True)
    found.annotation(panels.annotation("Batch runs", YELLOW, runs, shown=False))
    listed = [
        panels.sized(parts.energy(), 16, 9),
        panels.sized(parts.shares(), 8, 9),
        panels.sized(parts.voltage(), 12),
        panels.sized(parts.power_factor(), 12),
        panels.sized(parts.comparison(), 24, 9),
        parts.heatmap().span(16).height(10),
        parts.load_duration().span(8).height(10),
    ]
    return panels.with_panels(found, listed)


class _History:
    """The panels of one data set."""

    def __init__(self, dataset: Dataset, board: Board) -> None:
        self.dataset, self.board, self.key = dataset, board, dataset.key
        self.power = dataset.measure(board.power)

    def energy(self) -> timeseries.Panel:
        dataset, day = self.dataset, "CAST(date_trunc('$grain', day) AS DATE)"
        text = (
            f"SELECT time, {self.key}, sum(kwh) AS kwh\nFROM (\n"
            f"SELECT {sql.when(dataset, 'hour')} AS time, {self.key}, {self.board.energy} / 1E3 AS kwh\n"
            f"FROM {published_view(dataset, 'hour')}\n"
            f"WHERE '$grain' = 'hour' AND {self.key} IN {sql.METERS} AND {sql.bound(dataset, 'hour')}\nUNION ALL\n"
            f"SELECT {sql.when(dataset, 'day', day)} AS time, {self.key}, {self.board.energy} / 1E3 AS kwh\n"
            f"FROM {published_view(dataset, 'day')}\n"
            f"WHERE '$grain' <> 'hour' AND {self.key} IN {sql.METERS} AND {sql.bound(dataset, 'day')}\n)\n"
            "GROUP BY 1, 2\nORDER BY 1"
        )
        doc = f"Measured energy by hour, local day or local month ({dataset.time_zone}); nothing is added for gaps."
        query = TrinoQuery(text, {"time": "time", self.key: "text", "kwh": "number"})
        panel = panels.bars("Energy per $grain", doc, "kwatth", [query])
        detail = DashboardLink("Live and history of this meter").url(
            f"/d/meterlake-{dataset.name}-merged?var-meter=${{__field.labels.{self.key}}}&${{__url_time_range}}"
        )
        return panels.by_meter(panel.data_links([detail]), self.key)

    def shares(self) -> piechart.Panel:
        titles = {f"sum({part}_sum)": self.dataset.measure(part).title for part in self.board.parts}
        titles[f"sum({self.board.rest})"] = "Other devices"
        columns = ", ".join(f'CAST({value} AS DOUBLE) AS "{title}"' for value, title in titles.items())
        query = TrinoQuery(sql.hours(self.dataset, columns), dict.fromkeys(titles.values(), "number"))
        panel = (
            piechart.Panel()
            .title("Where the energy went")
            .description("Share of each sub-meter, and of all other devices, in the range.")
            .datasource(query.source)
            .with_target(query)
            .unit("watth")
            .no_value("no data")
            .pie_type(pie.PieChartType.DONUT)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .display_labels([pie.PieChartLabels.PERCENT])
        )
        return panels.coloured(panel, list(titles.values()), (*panels.PARTS[: len(self.board.parts)], GREY))

    def voltage(self) -> timeseries.Panel:
        name = self.board.voltage
        columns = (
            f"{sql.when(self.dataset, 'hour')} AS time, CAST(min({name}_min) AS DOUBLE) AS lowest,"
            f" sum(CAST({name}_sum AS DOUBLE)) / sum(covered_s) AS mean, CAST(max({name}_max) AS DOUBLE) AS highest"
        )
        text = sql.hours(self.dataset, columns, tail="\nGROUP BY 1\nORDER BY 1")
        query = TrinoQuery(text, {"time": "time", "lowest": "number", "mean": "number", "highest": "number"})
        limits = self.board.limits
        doc = f"Lowest, mean and highest of each hour, over the chosen meters; limits: {limits.name}."
        panel = panels.lines("Voltage", doc, "volt", [query]).insert_nulls(3_600_000.0)
        panels.column(panel, "highest", **{"custom.fillBelowTo": "lowest", "custom.lineWidth": 0})
        panels.column(panel, "lowest", **{"custom.lineWidth": 0})
        return panels.coloured(panels.with_limits(panel, limits), ("lowest", "mean", "highest"), (GREY, BLUE, GREY))

    def power_factor(self) -> timeseries.Panel:
        columns = f"{sql.when(self.dataset, 'hour')} AS time, {self.key}, {self.board.power_factor} AS factor"
        text = sql.hours(self.dataset, columns, tail="\nORDER BY 1")
        query = TrinoQuery(text, {"time": "time", self.key: "text", "factor": "number"})
        doc = "Share of active in apparent power by hour; nothing where no power flowed."
        panel = panels.lines("Power factor", doc, "none", [query]).decimals(3).axis_soft_min(0.5).max(1)
        return panels.by_meter(panel.insert_nulls(3_600_000.0), self.key)

    def comparison(self) -> timeseries.Panel:
        """A year is 52 weeks here: Mondays meet Mondays."""
        shifts = {"this time": 0, "a week before": 7, "a year before": 364}
        branches = [
            f"SELECT hour + INTERVAL '{days}' DAY AS hour, '{name}' AS which, {self.board.energy} AS wh\n"  # noqa: S608
            f"  FROM {published_view(self.dataset, 'hour')} WHERE {self.key} IN {sql.METERS}\n"
            f"  AND {sql.bound(self.dataset, 'hour', days)}"
            for name, days in shifts.items()
        ]
        sums = ", ".join(f"sum(wh) FILTER (WHERE which = '{name}') / 1E3 AS \"{name}\"" for name in shifts)
        union = "\n  UNION ALL\n  ".join(branches)
        text = f"SELECT {sql.when(self.dataset, 'hour')} AS time, {sums}\nFROM (\n  {union}\n)\nGROUP BY 1\nORDER BY 1"
        query = TrinoQuery(text, {"time": "time", **dict.fromkeys(shifts, "number")})
        doc = "Energy of all chosen meters by hour, against the same hours a week and 52 weeks before."
        panel = panels.lines("This time, a week and a year before", doc, "kwatth", [query], zero=True)
        return panels.coloured(panel.insert_nulls(3_600_000.0), tuple(shifts), (BLUE, YELLOW, GREY))

    def heatmap(self) -> heatmap.Panel:
        local = f"(with_timezone(hour, 'UTC') AT TIME ZONE '{self.dataset.time_zone}')"
        power = f"sum(CAST({self.board.power}_sum AS DOUBLE))"
        cells = ",\n  ".join(
            f"{power} FILTER (WHERE hour({local}) = {hour}) / sum(covered_s) FILTER (WHERE hour({local}) = {hour})"
            f' AS "{hour:02}"'
            for hour in range(24)
        )
        columns = f"with_timezone(CAST(date_trunc('day', {local}) AS TIMESTAMP(3)), 'UTC') AS time,\n  {cells}"
        text = sql.hours(self.dataset, columns, tail="\nGROUP BY 1\nORDER BY 1")
        query = TrinoQuery(text, {"time": "time", **{f"{hour:02}": "number" for hour in range(24)}})
        return (
            heatmap.Panel()
            .title("Power by day and hour")
            .description(
                f"Mean power of a meter by local day and hour ({self.dataset.time_zone}); empty where none was."
            )
            .datasource(query.source)
            .with_target(query)
            .calculate(False)
            .cell_values(heatmap_unit(panels.unit(self.power.unit)))
            .rows_frame(heat_rows())
            .color(heat_colour())
            .cell_gap(1)
        )

    def load_duration(self) -> trend.Panel:
        columns = f"hour, sum(CAST({self.board.power}_sum AS DOUBLE)) / max(covered_s) AS kw"
        inner = sql.hours(self.dataset, columns, tail="\nGROUP BY 1")
        text = (
            f"SELECT CAST(tile AS DOUBLE) / {_POINTS} AS share, min(kw) AS power\n"  # noqa: S608
            f"FROM (SELECT kw, ntile({_POINTS}) OVER (ORDER BY kw DESC) AS tile FROM (\n{inner}\n))\n"
            "GROUP BY 1\nORDER BY 1"
        )
        query = TrinoQuery(text, {"share": "number", "power": "number"})
        panel = (
            trend.Panel()
            .title("Load duration")
            .description("For what share of the hours the load of all chosen meters was at least how high.")
            .datasource(query.source)
            .with_target(query)
            .x_field("share")
            .unit(panels.unit(self.power.unit))
            .no_value("no data")
            .line_width(2)
            .fill_opacity(20)
            .axis_soft_min(0)
            .show_points(options.VisibilityMode.NEVER)
        )
        return panels.column(panel, "share", unit="percentunit", displayName="share of the time")


def heatmap_unit(unit: str) -> heatmap.CellValues:
    """Return the cells' unit."""
    return heatmap.CellValues().unit(unit).decimals(2)


def heat_rows() -> heatmap.RowsHeatmapOptions:
    """Return options of a frame with a row of cells a field."""
    return heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO).value("power")


def heat_colour() -> heatmap.HeatmapColorOptions:
    """Return the colours, from dark to light."""
    return (
        heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges").fill("dark-orange").steps(64)
    )
