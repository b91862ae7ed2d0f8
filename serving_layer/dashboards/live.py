"""Live: what the meters do now, from Cassandra alone; it works while all else is down.

Above, all meters: how many send, what they take together, how it is spread, who takes most and least. That reads the
latest readings, one row a meter. Below, single meters, each asked by its key: those that were chosen, and no more of
them than a panel can show; its heading says how many of how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import bargauge, histogram, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from meterlake import dashboard_specs
from serving_layer.dashboards import cql, panels
from serving_layer.dashboards.panels import GREEN, GREY, RED, YELLOW
from serving_layer.dashboards.queries import CassandraQuery, Needs
from serving_layer.dashboards.timing import Timing

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Band, Board
    from meterlake.declaration import MeterSeries

RANKED: Final = 10
"""Meters in a list of the highest or lowest."""
_TEXTS: Final[Needs] = {"text": "text", "value": "text"}


def live(dataset: MeterSeries, board: Board) -> Dashboard:
    """Return the dashboard of the last minutes."""
    timing = Timing.of(dataset)
    result = panels.dashboard(
        f"meterlake-{dataset.name}-live",
        f"{dataset.title}: live",
        "What the meters do now: seconds after it was measured. For more than a day, see Merged.",
        f"now-{timing.live_range}",
        timing.live_refresh,
    )
    panels.with_ranges(result, *((title, f"now-{since}") for title, since in timing.live_ranges))
    names = CassandraQuery(cql.meters(dataset), _TEXTS)
    result.with_variable(panels.search("search", "Search meters"))
    result.with_variable(panels.choice("meter", "Meter", names, pattern="/.*${search}.*/"))
    result.with_variable(panels.hidden(panels.choice("shown", "shown", CassandraQuery(cql.shown(dataset), _TEXTS))))
    for name, text in {
        "shown_count": cql.count(dataset, cql.SHOWN),
        "meter_count": cql.count(dataset),
        "today": cql.day(0),
        "yesterday": cql.day(1),
    }.items():
        result.with_variable(panels.computed(name, CassandraQuery(text, _TEXTS)))
    return panels.with_panels(result, _Live(dataset, board, timing).parts())


class _Live:
    """The panels of one data set."""

    def __init__(self, dataset: MeterSeries, board: Board, timing: Timing) -> None:
        self.dataset, self.board, self.timing, self.key = dataset, board, timing, dataset.key
        self.values = cql.values(dataset)
        self.rate = dashboard_specs.rate(dataset, board)
        self.total = dashboard_specs.total(dataset, board)
        self.rate_sql = cql.expression(dataset, self.rate.expression)
        self.unit = panels.unit(self.rate.unit)

    def parts(self) -> list[Builder[Panel] | Row]:
        """Return the panels that apply to what is declared, in order."""
        every: list[Builder[Panel] | Row] = [
            panels.row("All meters: ${meter_count}"),
            panels.sized(self.meters(), 5, 7),
            panels.sized(self.sum(), 5, 7),
            panels.sized(self.spread(), 6, 7),
            panels.sized(self.distribution(), 8, 7),
            panels.sized(self.ranking("Highest now", lowest=False), 12, 8),
            panels.sized(self.ranking("Lowest now", lowest=True), 12, 8),
        ]
        single: list[Builder[Panel] | Row] = [panels.row("Single meters: ${shown_count} of ${meter_count} shown")]
        courses = [self.seconds()] if self.timing.has_seconds else []
        courses += [self.main()]
        courses += [self.band(band) for band in self.board.bands]
        courses += [self.ratio(name) for name in self.board.ratios]
        if self.board.parts:
            courses.append(self.shares())
        single += panels.halves(courses)
        single.append(panels.sized(self.freshness(), 24))
        return [*every, *single, panels.sized(self.cell(), 24, 8), panels.sized(self.readings(), 24, 9)]

    def meters(self) -> stat.Panel:
        queries = [
            CassandraQuery(
                cql.fleet(self.dataset, {"value": "count(*)"}, self._newest()), self._one(), alias="sending"
            ),
            CassandraQuery(cql.known(self.dataset), self._one(), alias="known"),
        ]
        life = self.dataset.retention.speed.days
        doc = f"Meters that have sent within the range, and all that have within the last {life} days."
        return panels.critical(panels.figure("Meters", doc, "none", queries))

    def sum(self) -> stat.Panel:
        query = self._fleet(f"sum({self._now()})", "all meters", self._newest())
        doc = "Sum of the latest readings of all meters that have sent within the range."
        return panels.critical(panels.figure(f"{self.rate.title} now", doc, self.unit, [query]))

    def spread(self) -> stat.Panel:
        doc = "Of the latest readings: 10 % of the meters are below the first figure, half, and 90 %."
        query = self._fleet(self._now(), "")
        panel = panels.figure("Of a meter: 10 %, median, 90 %", doc, self.unit, [query], ("p10", "p50", "p90"))
        return panel.display_name("${__calc}")

    def distribution(self) -> histogram.Panel:
        doc = "How many meters take how much, by their latest readings."
        return panels.histogram_of("Meters by what they take now", doc, self.unit, self._fleet(self._now(), "meters"))

    def ranking(self, title: str, *, lowest: bool) -> bargauge.Panel:
        text = cql.fleet(self.dataset, {self.key: self.key, "value": self._now()})
        query = CassandraQuery(text, {self.key: "text", **self._one()})
        which = "least" if lowest else "most"
        doc = f"The {RANKED} meters that take {which}, by their latest readings within the range."
        panel = panels.ranking(title, doc, self.unit, query, count=RANKED, lowest=lowest)
        # One text names a row: the plugin's own series has the same in all of them.
        return panels.transformed(panel, ("filterFieldsByName", {"exclude": {"names": ["id"]}}))

    def freshness(self) -> bargauge.Panel:
        query = self._latest(cql.age(self.dataset))
        panel = panels.gauges("Age of the latest reading", "Seconds since its interval began.", "s", [query])
        late, silent = self.timing.late_s, self.timing.silent_s
        panel = panel.thresholds(panels.steps((None, GREEN), (late, YELLOW), (silent, RED))).min(0).max(2 * silent)
        return panels.from_cassandra(panel, self.key)

    def seconds(self) -> timeseries.Panel:
        text = cql.recent(self.dataset, cql.reading_rate(self.dataset, self.board))
        panel = panels.lines(
            f"{self.rate.title}, reading by reading",
            f"Every reading of the last {self.timing.seconds_shown} (readings live for an hour in Cassandra).",
            self.unit,
            [CassandraQuery(text, self._series(), alias=self._name())],
            zero=True,
        )
        # After three intervals without a reading there is a gap.
        panel = panel.time_from(self.timing.seconds_shown).insert_nulls(3000.0 * min(self.dataset.intervals))
        return panels.from_cassandra(panel, self.key)

    def main(self) -> timeseries.Panel:
        query = self._states(self.rate_sql, self._name())
        doc = f"Mean of each {self.timing.cell_words}."
        return self._gapped(panels.lines(self.rate.title, doc, self.unit, [query], zero=True))

    def band(self, band: Band) -> timeseries.Panel:
        measure = self.dataset.measure(band.level)
        which = {"avg": self._name(), "min": f"{self._name()} lowest", "max": f"{self._name()} highest"}
        queries = [
            self._states(self.values[f"{band.level}_{part}"], alias)
            for part, alias in which.items()
            if band.limits or part == "avg"
        ]
        words = "Lowest, mean and highest" if band.limits else "Mean"
        doc = f"{words} of each {self.timing.cell_words}" + (f"; limits: {band.limits.name}." if band.limits else ".")
        panel = panels.lines(measure.title or measure.name, doc, panels.unit(measure.unit), queries)
        return self._gapped(panels.with_limits(panel, band.limits) if band.limits else panel)

    def ratio(self, name: str) -> timeseries.Panel:
        shown = dashboard_specs.shown_value(self.dataset, name)
        query = self._states(self.values[name], self._name())
        doc = f"{shown.title} of each {self.timing.cell_words}; nothing where it is not defined."
        return self._gapped(panels.lines(shown.title, doc, panels.unit(shown.unit), [query]).decimals(3))

    def shares(self) -> timeseries.Panel:
        parts = [dashboard_specs.shown_value(self.dataset, name) for name in self.board.parts]
        titles = {self.values[f"{part.name}_sum"]: part.title for part in parts}
        rest = [dashboard_specs.shown_value(self.dataset, self.board.rest)] if self.board.rest else []
        titles |= {self.values[value.name]: value.title for value in rest}
        queries = [self._states(value, f"{self._name()}: {title}") for value, title in titles.items()]
        flagged = "Flagged readings"
        panel = panels.lines(
            "Energy by sub-meter",
            f"Of each {self.timing.cell_words}, stacked. The rest is what the sub-meters leave of the main meter: below"
            " zero where they count more than it does. Such readings are flagged, and shown as they are.",
            panels.unit(parts[0].unit),
            [*queries, self._states("flagged", f"{self._name()}: {flagged}")],
        ).fill_opacity(60)
        panels.coloured_by_end(panel, [part.title for part in parts])
        panels.coloured_by_end(panel, [value.title for value in rest], (GREY,))
        panels.matching(
            panel,
            f"/{flagged}$/",
            **{
                "unit": "short",
                "color": {"mode": "fixed", "fixedColor": RED},
                "custom.stacking": {"mode": "none", "group": "flagged"},
                "custom.axisPlacement": "right",
                "custom.drawStyle": "points",
            },
        )
        return self._gapped(panels.stacked(panel))

    def cell(self) -> table.Panel:
        main, unit = self.board.main, panels.unit(self.dataset.measure(self.board.main).unit)
        columns = {"covered_s": "covered_s", "mean": self.rate_sql}
        titles = {self.key: "Meter", "time": "Begin", "covered_s": "Covered", "mean": f"Mean {self.rate.title.lower()}"}
        if self.dataset.measure(main).kind == "level":
            columns |= {"lowest": self.values[f"{main}_min"], "highest": self.values[f"{main}_max"]}
            titles |= {"lowest": "Lowest", "highest": "Highest"}
        if self.total:
            columns["total"] = cql.expression(self.dataset, self.total.expression)
            titles["total"] = self.total.title
        columns["flagged"], titles["flagged"] = "flagged", "Flagged"
        needs: Needs = {self.key: "text", **dict.fromkeys(columns, "number"), "time": "time"}
        query = CassandraQuery(cql.minutes(self.dataset, columns, limit=1), needs)
        doc = f"The {self.timing.cell_words} under way, so far."
        panel = panels.rows(f"This {self.timing.cell_words}", doc, [query])
        first = {name: {"aggregations": ["firstNotNull"], "operation": "aggregate"} for name in ["time", *columns]}
        fields = {self.key: {"aggregations": [], "operation": "groupby"}, **first}
        order = {name: place for place, name in enumerate(titles)}
        # Just after midnight a meter has a row in two days' partitions: the later one counts.
        panels.transformed(
            panel,
            ("merge", {}),
            ("sortBy", {"fields": {}, "sort": [{"field": "time", "desc": True}]}),
            ("groupBy", {"fields": fields}),
            ("renameByRegex", {"regex": r"(.*) \(firstNotNull\)", "renamePattern": "$1"}),
            ("organize", {"renameByName": titles, "excludeByName": {}, "indexByName": order}),
        )
        panels.column(panel, titles["mean"], unit=self.unit, decimals=3)
        for name in ("Lowest", "Highest"):
            if name in titles.values():
                panels.column(panel, name, unit=unit, decimals=3)
        if self.total:
            panels.column(panel, self.total.title, unit=panels.unit(self.total.unit), decimals=1)
        return panels.column(panel, "Covered", unit="s")

    def readings(self) -> table.Panel:
        measures = {measure.name: measure.title or measure.name for measure in self.dataset.measures}
        columns = {name: name for name in (self.dataset.interval, *measures)}
        needs: Needs = {self.key: "text", **dict.fromkeys(columns, "number"), "time": "time"}
        query = CassandraQuery(cql.latest(self.dataset, columns), needs)
        panel = panels.rows(
            "Latest readings", "As they came, one of each meter. A click on a meter: its history.", [query]
        )
        names = {self.key: "Meter", "time": "Time", self.dataset.interval: "Interval", **measures}
        panels.one_table(panel, self.key, names)
        for measure in self.dataset.measures:
            panels.column(panel, measures[measure.name], unit=panels.unit(measure.unit))
        panels.column(panel, "Interval", unit="s")
        history = DashboardLink("History of this meter").url(
            f"/d/meterlake-{self.dataset.name}-history?var-meter=${{__value.raw}}"
        )
        return panels.column(panel, "Meter", links=[history.build()])

    def _gapped(self, panel: timeseries.Panel) -> timeseries.Panel:
        """Bring states in order; where one is missing there is a gap."""
        return panels.from_cassandra(panel.insert_nulls(1500.0 * cql.cell_s(self.dataset)), self.key)

    def _states(self, value: str, alias: str) -> CassandraQuery:
        return CassandraQuery(cql.minutes(self.dataset, {"value": value}), self._series(), alias=alias)

    def _latest(self, value: str) -> CassandraQuery:
        return CassandraQuery(cql.latest(self.dataset, {"value": value}), self._series(), alias=self._name())

    def _fleet(self, value: str, alias: str, time: str = "") -> CassandraQuery:
        return CassandraQuery(cql.fleet(self.dataset, {"value": value}, time), self._one(), alias=alias)

    def _now(self) -> str:
        return cql.reading_rate(self.dataset, self.board)

    def _newest(self) -> str:
        return f"max({self.dataset.event_time})"

    def _name(self) -> str:
        return f"{{{{ {self.key} }}}}"

    def _series(self) -> Needs:
        return {self.key: "text", "value": "number", "time": "time"}

    def _one(self) -> Needs:
        return {"value": "number", "time": "time"}
