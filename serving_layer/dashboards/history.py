"""History: what batch has published, from Trino. Of a fleet: totals, spreads, the highest and the lowest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import common, heatmap, piechart, table, timeseries, trend
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import piechart as pie
from grafana_foundation_sdk.models.dashboard import Panel

from meterlake import dashboard_specs
from meterlake.grains import GRAIN_SECONDS, is_calendar
from meterlake.merged import published_view
from meterlake.physical_units import HOUR_S
from serving_layer.dashboards import choosing, panels, sql
from serving_layer.dashboards.bands import band_columns, band_of_rows, drawn_band
from serving_layer.dashboards.panels import BLUE, GREY, YELLOW
from serving_layer.dashboards.queries import Needs, TrinoQuery

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Band, Board, ShownValue
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

_POINTS = 200
"""Points of the load duration curve: half a per cent of the time each."""
RANKED: Final = 10
"""Meters in a list of the highest or lowest, and with a colour of their own in a stack."""
OTHERS: Final = "All others"
_WEEK_S: Final = 604_800


def history(dataset: MeterSeries, board: Board) -> Dashboard:
    """Return the dashboard of what batch has published."""
    result = panels.dashboard(
        f"meterlake-{dataset.name}-history",
        f"{dataset.title}: history",
        "What batch has computed and published, audited and exact. The minutes since the boundary are in Merged.",
        "now-30d",
        "5m",
    )
    panels.with_ranges(
        result,
        ("Last 7 days", "now-7d"),
        ("Last 30 days", "now-30d"),
        ("Last 90 days", "now-90d"),
        ("Last year", "now-1y"),
        ("Last 4 years", "now-4y"),
    )
    choosing.with_meters(result, dataset)
    grains = tuple(dict.fromkeys((sql.daily(dataset), sql.hourly(dataset), "month")))
    result.with_variable(panels.options_of("grain", "Energy per", grains))
    choosing.with_marks(result, dataset)
    return panels.with_panels(result, _History(dataset, board).parts())


class _History:
    """The panels of one data set."""

    def __init__(self, dataset: MeterSeries, board: Board) -> None:
        self.dataset, self.board, self.key = dataset, board, dataset.key
        self.rate = dashboard_specs.rate(dataset, board)
        self.total = dashboard_specs.total(dataset, board)
        self.hour, self.day = sql.hourly(dataset), sql.daily(dataset)

    def parts(self) -> list[Builder[Panel] | Row]:
        """Return the panels that apply to what is declared, in order."""
        result: list[Builder[Panel] | Row] = [panels.sized(choosing.what_is_shown(), 24, 2)]
        if self.total:
            wide = 16 if self.board.parts else 24
            result.append(panels.sized(self.energy(self.total), wide, 9))
            if self.board.parts:
                result.append(panels.sized(self.shares(), 8, 9))
        bands = [self.band(band) for band in self.board.bands]
        result += panels.halves([*bands, *(self.ratio(name) for name in self.board.ratios)])
        if self.total:
            result.append(panels.sized(self.comparison(self.total), 24, 9))
        if GRAIN_SECONDS[self.hour] <= HOUR_S:
            result.append(self.heatmap().span(16).height(10))
        result.append(self.load_duration().span(8).height(10))
        result.append(panels.row("Meters compared"))
        result.append(panels.sized(self.spread(), 24))
        result += [panels.sized(self.ranking(lowest=lowest), 12, 9) for lowest in (False, True)]
        return result

    def energy(self, total: ShownValue) -> timeseries.Panel:
        dataset, day = self.dataset, f"CAST(date_trunc('$grain', {self.day}) AS {self._type(self.day)})"
        value = total.expression.sql("trino")
        cells = (
            f"SELECT {sql.when(dataset, self.hour)} AS time, {self.key}, {value} AS value\n"
            f"FROM {published_view(dataset, self.hour)}\n"
            f"WHERE '$grain' = '{self.hour}' AND {sql.chosen(dataset)} AND {sql.bound(dataset, self.hour)}\nUNION ALL\n"
            f"SELECT {sql.when(dataset, self.day, day)} AS time, {self.key}, {value} AS value\n"
            f"FROM {published_view(dataset, self.day)}\n"
            f"WHERE '$grain' <> '{self.hour}' AND {sql.chosen(dataset)} AND {sql.bound(dataset, self.day)}"
        )
        text = (
            f"SELECT time, IF(highest <= {RANKED}, {self.key}, '{OTHERS}') AS {self.key}, sum(value) AS value\n"
            f"FROM (\n{cells}\n) AS cells\n"
            f"LEFT JOIN (\n{sql.ranked(dataset, f'sum({value})')}\n) AS places ON {self.key} = ranked\n"
            "GROUP BY 1, 2\nORDER BY 1"
        )
        doc = (
            f"As measured, by hour, local day or local month ({dataset.time_zone}); nothing is added for gaps. The"
            f" {RANKED} meters that take most have a colour of their own."
        )
        query = TrinoQuery(text, {"time": "time", self.key: "text", "value": "number"})
        panel = panels.bars(f"{total.title} per $grain", doc, panels.unit(total.unit), [query])
        panels.coloured_by_end(panel, (OTHERS,), (GREY,))
        detail = DashboardLink("Live and history of this meter").url(
            f"/d/meterlake-{dataset.name}-merged?var-meter=${{__field.labels.{self.key}}}&${{__url_time_range}}"
        )
        return panels.by_meter(panel.data_links([detail]), self.key)

    def shares(self) -> piechart.Panel:
        names = (*self.board.parts, *((self.board.rest,) if self.board.rest else ()))
        parts = [dashboard_specs.shown_value(self.dataset, name) for name in names]
        columns = ", ".join(f'sum({part.expression.sql("trino")}) AS "{part.title}"' for part in parts)
        text = (
            f"SELECT {columns}\nFROM {published_view(self.dataset, self.day)}\n"
            f"WHERE {sql.chosen(self.dataset)} AND {sql.bound(self.dataset, self.day)}"
        )
        query = TrinoQuery(text, {part.title: "number" for part in parts})
        legend = (
            piechart.PieChartLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.RIGHT)
            .show_legend(True)
            .values([pie.PieChartLegendValues.PERCENT, pie.PieChartLegendValues.VALUE])
        )
        panel = (
            piechart.Panel()
            .title("Where the energy went")
            .description("Share of each sub-meter, and of what they leave, in the range.")
            .datasource(query.source)
            .with_target(query)
            .unit(panels.unit(parts[0].unit))
            .no_value("no data")
            .pie_type(pie.PieChartType.DONUT)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .display_labels([pie.PieChartLabels.NAME, pie.PieChartLabels.PERCENT])
            .legend(legend)
        )
        return panels.coloured(panel, [part.title for part in parts], (*panels.PARTS[: len(self.board.parts)], GREY))

    def band(self, band: Band) -> timeseries.Panel:
        rows = self._rows(band_columns(band.level))
        return drawn_band(self.dataset, band, band_of_rows(self.dataset, band.level, rows))

    def ratio(self, name: str) -> timeseries.Panel:
        shown = dashboard_specs.shown_value(self.dataset, name)
        rows = self._rows(f"{shown.expression.sql('trino')} AS value")
        query = self._by_meter(sql.lines_or_spread(self.dataset, rows))
        doc = f"{shown.title} by hour or day, as the range asks for; nothing where it is not defined."
        panel = panels.lines(shown.title, doc, panels.unit(shown.unit), [query]).decimals(3)
        return panels.by_meter(panel, self.key)

    def comparison(self, total: ShownValue) -> timeseries.Panel:
        """A year is 52 weeks here: Mondays meet Mondays. The grain follows the range: hours, days, weeks."""
        shifts = {"This time": 0, "A week before": 7, "A year before": 364}
        value = total.expression.sql("trino")
        seconds = "date_diff('second', $__timeFrom() , $__timeTo() )"
        day = 86_400
        steps: list[tuple[Grain, str, int, str]] = [
            (self.hour, self.hour, GRAIN_SECONDS[self.hour], f"{seconds} <= {8 * day}")
        ]
        if self.day != self.hour:
            week = f"CAST(date_trunc('week', {self.day}) AS {self._type(self.day)})"
            within = f"{seconds} > {8 * day} AND {seconds} <= {200 * day}"
            steps += [(self.day, self.day, day, within), (self.day, week, _WEEK_S, f"{seconds} > {200 * day}")]
        branches = []
        for grain, moment, step, fits in steps:
            for name, days in shifts.items():
                shifted = moment.replace(grain, f"({grain} + INTERVAL '{days}' DAY)") if days else moment
                branches.append(
                    f"SELECT {sql.when(self.dataset, grain, shifted)} AS time, {step} AS step_s,"
                    f" '{name}' AS which, {value} AS value\n"
                    f"FROM {published_view(self.dataset, grain)}\n"
                    f"WHERE {fits} AND {sql.chosen(self.dataset)}\n  AND {sql.bound(self.dataset, grain, days)}"
                )
        union = "\nUNION ALL\n".join(branches)
        sums = ", ".join(f"sum(value) FILTER (WHERE which = '{name}') AS \"{name}\"" for name in shifts)
        rows = f"SELECT time, step_s, {sums}\nFROM (\n{union}\n)\nGROUP BY 1, 2"
        text = sql.with_gaps(rows, [f'"{name}"' for name in shifts])
        query = TrinoQuery(text, {"time": "time", **dict.fromkeys(shifts, "number")})
        doc = (
            "Of all chosen meters together, against a week and 52 weeks before: hours up to 8 days, days up to 200,"
            " then weeks."
        )
        title = "This time, a week and a year before"
        panel = panels.lines(title, doc, panels.unit(total.unit), [query], zero=True)
        return panels.coloured(panel, tuple(shifts), (BLUE, YELLOW, GREY))

    def heatmap(self) -> heatmap.Panel:
        grain = sql.local_hours(self.dataset)
        local = f"(with_timezone({grain}, 'UTC') AT TIME ZONE '{self.dataset.time_zone}')"
        mean = self.rate.expression.sql("trino", lambda name: f"sum({name})")
        hours = sql.hours(
            self.dataset,
            f"CAST({local} AS DATE) AS day, hour({local}) AS hour, {mean} AS rate",
            grain=grain,
            tail="\nGROUP BY 1, 2",
        )
        cells = ",\n  ".join(f'max(rate) FILTER (WHERE hour = {hour}) AS "{hour:02}"' for hour in range(24))
        text = (
            f"SELECT with_timezone(CAST(day AS TIMESTAMP(3)), 'UTC') AS time,\n  {cells}\n"
            f"FROM (\n{hours}\n)\nGROUP BY 1\nORDER BY 1"
        )
        query = TrinoQuery(text, {"time": "time", **{f"{hour:02}": "number" for hour in range(24)}})
        return (
            heatmap.Panel()
            .title(f"{self.rate.title} by day and hour")
            .description(f"Mean of a meter by local day and hour ({self.dataset.time_zone}); empty where none was.")
            .datasource(query.source)
            .with_target(query)
            .calculate(False)
            .cell_values(heatmap.CellValues().unit(panels.unit(self.rate.unit)).decimals(2))
            .rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO).value("power"))
            .color(
                heatmap.HeatmapColorOptions()
                .mode(heat.HeatmapColorMode.SCHEME)
                .scheme("Oranges")
                .fill("dark-orange")
                .steps(64)
            )
            .cell_gap(1)
        )

    def load_duration(self) -> trend.Panel:
        columns = f"{self.hour}, sum({self.rate.expression.sql('trino')}) AS rate"
        inner = sql.hours(self.dataset, columns, tail="\nGROUP BY 1")
        text = (
            f"SELECT CAST(tile AS DOUBLE) / {_POINTS} AS share, min(rate) AS rate\n"  # noqa: S608
            f"FROM (SELECT rate, ntile({_POINTS}) OVER (ORDER BY rate DESC) AS tile FROM (\n{inner}\n))\n"
            "GROUP BY 1\nORDER BY 1"
        )
        query = TrinoQuery(text, {"share": "number", "rate": "number"})
        panel = (
            trend.Panel()
            .title("Load duration")
            .description("For what share of the time all chosen meters together took at least how much.")
            .datasource(query.source)
            .with_target(query)
            .x_field("share")
            .unit(panels.unit(self.rate.unit))
            .no_value("no data")
            .line_width(2)
            .fill_opacity(20)
            .axis_soft_min(0)
            .show_points(options.VisibilityMode.NEVER)
        )
        panels.titled(panel, {"rate": self.rate.title})
        return panels.column(panel, "share", unit="percentunit", displayName="Share of the time")

    def spread(self) -> timeseries.Panel:
        shown = self.total or self.rate
        rows = self._rows(f"{shown.expression.sql('trino')} AS value", (self.day,))
        shares = dict(zip(sql.SPREAD, (0.1, 0.5, 0.9), strict=True))
        sums = ", ".join(f'approx_percentile(value, {share}) AS "{name}"' for name, share in shares.items())
        quoted = [f'"{name}"' for name in shares]
        text = sql.with_gaps(f"SELECT time, step_s, {sums}\nFROM (\n{rows}\n)\nGROUP BY 1, 2", quoted)
        query = TrinoQuery(text, {"time": "time", **dict.fromkeys(shares, "number")})
        doc = f"{shown.title} of a meter per {self._words(self.day)}: 10 % of the meters are below, half, 90 %."
        panel = panels.lines(f"Spread of {shown.title.lower()} over the meters", doc, panels.unit(shown.unit), [query])
        return panels.filled(panel, *sql.SPREAD)

    def ranking(self, *, lowest: bool) -> table.Panel:
        main = self.dataset.measure(self.board.main)
        mean = self.rate.expression.sql("trino", lambda name: f"sum({name})")
        columns = {"mean": mean, "covered": "CAST(sum(covered_s) AS DOUBLE)"}
        titles = {self.key: "Meter", "mean": f"Mean {self.rate.title.lower()}", "covered": "Covered"}
        units = {"mean": self.rate.unit, "covered": "s"}
        if main.kind == "level":
            columns["peak"] = f"CAST(max({main.name}_max) AS DOUBLE)"
            titles["peak"], units["peak"] = "Highest", main.unit
        if self.total:
            columns = {"total": f"sum({self.total.expression.sql('trino')})", **columns}
            titles["total"], units["total"] = self.total.title, self.total.unit
        first = next(iter(columns))
        selected = ", ".join(f"{value} AS {name}" for name, value in columns.items())
        text = (
            f"SELECT {self.key}, {selected}\nFROM {published_view(self.dataset, self.day)}\n"
            f"WHERE {sql.chosen(self.dataset)} AND {sql.bound(self.dataset, self.day)}\n"
            f"GROUP BY {self.key}\nORDER BY {first}{'' if lowest else ' DESC'}\nLIMIT {RANKED}"
        )
        needs: Needs = {self.key: "text", **dict.fromkeys(columns, "number")}
        word, doc = ("Lowest", "least") if lowest else ("Highest", "most")
        panel = panels.rows(f"{word} {RANKED}", f"The meters that took {doc} in the range.", [TrinoQuery(text, needs)])
        for name, symbol in units.items():
            panels.column(panel, name, unit=panels.unit(symbol))
        panels.titled(panel, titles)
        only = DashboardLink("This meter alone").url(
            f"/d/meterlake-{self.dataset.name}-history?var-meter=${{__value.raw}}&${{__url_time_range}}"
        )
        return panels.column(panel, self.key, links=[only.build()])

    def _rows(self, columns: str, grains: tuple[Grain, ...] = ()) -> str:
        """Return SQL of published rows; fewer of a fleet's than of a few meters'."""
        offered = list(dict.fromkeys(grains or (self.hour, self.day)))
        return sql.of_grain(self.dataset, published_view, sql.few_or_many(offered), columns)

    def _by_meter(self, rows: str) -> TrinoQuery:
        text = sql.with_gaps(rows, ["value"], self.key)
        return TrinoQuery(text, {"time": "time", self.key: "text", "value": "number"})

    def _type(self, grain: Grain) -> str:
        return "DATE" if is_calendar(grain) else "TIMESTAMP(6)"

    def _words(self, grain: Grain) -> str:
        return "local day" if grain == "day" else grain.replace("_", " ")
