"""Live: what the meters do now, from Cassandra alone; it works while all else is down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink

from serving_layer.dashboards import cql, panels
from serving_layer.dashboards.panels import GREEN, GREY, RED, YELLOW
from serving_layer.dashboards.queries import CassandraQuery, Needs

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Board
    from meterlake.declaration import Dataset


_SECONDS_SHOWN: Final = "2m"
"""A reading a second: 40 meters are 4,800 points, which a browser draws every five seconds."""


def live(dataset: Dataset, board: Board) -> Dashboard:
    """Return the dashboard of the last minutes."""
    parts = _Live(dataset, board)
    found = panels.dashboard(
        f"meterlake-{dataset.name}-live",
        f"{dataset.title}: live",
        "What the meters do now: seconds after it was measured. For more than a day, see Merged.",
        "now-15m",
        "5s",
    )
    panels.with_ranges(
        found,
        ("Last 5 minutes", "now-5m"),
        ("Last 15 minutes", "now-15m"),
        ("Last hour", "now-1h"),
        ("Last 6 hours", "now-6h"),
        ("Last 24 hours", "now-24h"),
    )
    for variable in (
        panels.choice("meter", "Meter", CassandraQuery(cql.meters(dataset), {"text": "text", "value": "text"})),
        *(
            panels.choice(name, name, CassandraQuery(cql.day(back), {"text": "text", "value": "text"}), hidden=True)
            for back, name in enumerate(("today", "yesterday"))
        ),
    ):
        found.with_variable(variable)
    listed = [
        panels.sized(parts.now(), 16, 6),
        panels.sized(parts.freshness(), 8, 6),
        panels.sized(parts.seconds(), 12),
        panels.sized(parts.level(board.power, "Mean power of each minute.", zero=True), 12),
        panels.sized(parts.minute(), 24, 7),
        panels.sized(parts.voltage(), 12),
        panels.sized(parts.level(board.current, "Mean current of each minute."), 12),
        panels.sized(parts.shares(), 12, 9),
        panels.sized(parts.power_factor(), 12, 9),
        panels.sized(parts.readings(), 24, 9),
    ]
    return panels.with_panels(found, listed)


class _Live:
    """The panels of one data set."""

    def __init__(self, dataset: Dataset, board: Board) -> None:
        self.dataset, self.board, self.key = dataset, board, dataset.key
        self.values = cql.values(dataset)
        self.power = dataset.measure(board.power)

    def now(self) -> stat.Panel:
        query = CassandraQuery(
            cql.latest(self.dataset, {"value": self.board.power}), self._series(), alias=self._name()
        )
        panel = panels.figure("Power now", "The latest reading of each meter.", panels.unit(self.power.unit), [query])
        return panels.from_cassandra(panel, self.key)

    def freshness(self) -> bargauge.Panel:
        query = self._latest(cql.age(self.dataset))
        panel = panels.gauges("Age of the latest reading", "Seconds since it was measured.", "s", [query])
        panel = panel.thresholds(panels.steps((None, GREEN), (10, YELLOW), (60, RED))).min(0).max(120)
        return panels.from_cassandra(panel, self.key)

    def seconds(self) -> timeseries.Panel:
        query = CassandraQuery(cql.recent(self.dataset, self.board.power), self._series(), alias=self._name())
        panel = panels.lines(
            "Power, reading by reading",
            f"Every reading of the last {_SECONDS_SHOWN} (readings live for an hour in Cassandra).",
            panels.unit(self.power.unit),
            [query],
            zero=True,
        )
        # A meter reports each second; after three without a reading there is a gap.
        return panels.from_cassandra(panel.time_from(_SECONDS_SHOWN).insert_nulls(3000.0), self.key)

    def minute(self) -> table.Panel:
        names = {self.key: "Meter", "time": "Minute", "covered_s": "Covered", "energy": "Energy"}
        power = self.board.power
        columns = {
            "covered_s": "covered_s",
            "mean": self.values[f"{power}_avg"],
            "lowest": self.values[f"{power}_min"],
            "highest": self.values[f"{power}_max"],
            "energy": self.values[self.board.energy],
            "flagged": "flagged",
        }
        needs: Needs = {self.key: "text", **dict.fromkeys(columns, "number"), "time": "time"}
        query = CassandraQuery(cql.minutes(self.dataset, columns, limit=1), needs)
        doc = "The minute under way: mean, lowest and highest power so far, and the energy (the sum)."
        panel = panels.rows("This minute", doc, [query])
        first = {name: {"aggregations": ["firstNotNull"], "operation": "aggregate"} for name in ["time", *columns]}
        fields = {self.key: {"aggregations": [], "operation": "groupby"}, **first}
        order = {name: place for place, name in enumerate((self.key, "time", *columns))}
        # Just after midnight a meter has a row in two days' partitions: the later one counts.
        panels.transformed(
            panel,
            ("merge", {}),
            ("sortBy", {"fields": {}, "sort": [{"field": "time", "desc": True}]}),
            ("groupBy", {"fields": fields}),
            ("renameByRegex", {"regex": r"(.*) \(firstNotNull\)", "renamePattern": "$1"}),
            ("organize", {"renameByName": names, "excludeByName": {}, "indexByName": order}),
        )
        for name in ("mean", "lowest", "highest"):
            panels.column(panel, name, unit=panels.unit(self.power.unit), decimals=3)
        panels.column(panel, "Energy", unit="watth", decimals=1)
        panels.column(panel, "Covered", unit="s")
        return panel

    def voltage(self) -> timeseries.Panel:
        limits = self.board.limits
        name = self.board.voltage
        panel = self.level(name, f"Lowest, mean and highest of each minute; limits: {limits.name}.", spread=True)
        return panels.with_limits(panel, limits)

    def level(self, name: str, doc: str, *, spread: bool = False, zero: bool = False) -> timeseries.Panel:
        measure = self.dataset.measure(name)
        which = {"avg": self._name(), "min": f"{self._name()} lowest", "max": f"{self._name()} highest"}
        queries = [
            self._minutes(self.values[f"{name}_{part}"], alias)
            for part, alias in which.items()
            if spread or part == "avg"
        ]
        return self._minutely(panels.lines(measure.title, doc, panels.unit(measure.unit), queries, zero=zero))

    def shares(self) -> timeseries.Panel:
        titles = {part: self.dataset.measure(part).title for part in self.board.parts}
        columns = {f"{part}_sum": title for part, title in titles.items()} | {self.board.rest: "Other devices"}
        queries = [self._minutes(self.values[name], title) for name, title in columns.items()]
        flagged = self._minutes("flagged", "Flagged readings")
        panel = panels.lines(
            "Energy by sub-meter",
            "Wh of each minute, stacked. Other devices are what the sub-meters leave of the main meter: below zero"
            " where they count more than it does. Such readings are flagged, and shown as they are.",
            "watth",
            [*queries, flagged],
        ).fill_opacity(60)
        panels.coloured(panel, list(titles.values()))
        panels.column(panel, "Other devices", color={"mode": "fixed", "fixedColor": GREY})
        alone = {"mode": "none", "group": "flagged"}
        panels.column(
            panel,
            "Flagged readings",
            **{
                "unit": "short",
                "color": {"mode": "fixed", "fixedColor": RED},
                "custom.stacking": alone,
                "custom.axisPlacement": "right",
                "custom.drawStyle": "points",
            },
        )
        return self._minutely(panels.stacked(panel))

    def power_factor(self) -> timeseries.Panel:
        query = self._minutes(self.values[self.board.power_factor], self._name())
        doc = "Share of active in apparent power; nothing where no power flows."
        panel = panels.lines("Power factor", doc, "none", [query])
        return self._minutely(panel.decimals(3).axis_soft_min(0.5).max(1))

    def readings(self) -> table.Panel:
        measures = {measure.name: measure.title for measure in self.dataset.measures}
        columns = {name: name for name in (self.dataset.interval, *measures)}
        needs: Needs = {self.key: "text", **dict.fromkeys(columns, "number"), "time": "time"}
        query = CassandraQuery(cql.latest(self.dataset, columns), needs)
        panel = panels.rows(
            "Latest readings", "As they came, one of each meter. A click on a meter: its history.", [query]
        )
        names = {self.key: "Meter", "time": "Time", self.dataset.interval: "Interval", **measures}
        panels.one_table(panel, self.key, names)
        for measure in self.dataset.measures:
            panels.column(panel, measure.title, unit=panels.unit(measure.unit))
        panels.column(panel, "Interval", unit="s")
        history = DashboardLink("History of this meter").url(
            f"/d/meterlake-{self.dataset.name}-history?var-meter=${{__value.raw}}"
        )
        return panels.column(panel, "Meter", links=[history.build()])

    def _minutely(self, panel: timeseries.Panel) -> timeseries.Panel:
        """Bring minutes in order; where one is missing there is a gap."""
        return panels.from_cassandra(panel.insert_nulls(90_000.0), self.key)

    def _minutes(self, value: str, alias: str) -> CassandraQuery:
        return CassandraQuery(cql.minutes(self.dataset, {"value": value}), self._series(), alias=alias)

    def _latest(self, value: str) -> CassandraQuery:
        return CassandraQuery(cql.latest(self.dataset, {"value": value}), self._series(), alias=self._name())

    def _name(self) -> str:
        return f"{{{{ {self.key} }}}}"

    def _series(self) -> Needs:
        return {self.key: "text", "value": "number", "time": "time"}
