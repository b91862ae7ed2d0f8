"""Merged: one line across the boundary, for any range and grain.

Meters that are asked for by name come from the merged views, which ask Cassandra by key. A fleet would have them scan
it: there batch answers up to the boundary, and the latest readings (one row a meter) give the present moment; what lies
between stays empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import barchart, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from meterlake import dashboard_specs
from meterlake.grains import GRAIN_SECONDS
from meterlake.physical_units import HOUR_S
from serving_layer.dashboards import choosing, panels, sql
from serving_layer.dashboards.bands import band_columns, band_of_rows, drawn_band
from serving_layer.dashboards.panels import BLUE, GREY, YELLOW
from serving_layer.dashboards.queries import TrinoQuery
from serving_layer.dashboards.timing import silent_sql

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Band, Board, ShownValue
    from meterlake.declaration import MeterSeries

_WEEKS = 4
"""Weeks before, over which a weekday is averaged."""
_FLEET = (
    "Of more than {most} meters, batch answers up to the line named Boundary, and the latest readings give the present"
    " moment; what lies between is in *live*."
)


def merged(dataset: MeterSeries, board: Board) -> Dashboard:
    """Return the dashboard of both layers as one."""
    result = panels.dashboard(
        f"meterlake-{dataset.name}-merged",
        f"{dataset.title}: live and history",
        "One line from the first year to the last seconds. Batch answers before the boundary, the stream after it.",
        "now-24h",
        "30s",
    )
    panels.with_ranges(
        result,
        ("Last hour", "now-1h"),
        ("Last 24 hours", "now-24h"),
        ("Last 7 days", "now-7d"),
        ("Last 30 days", "now-30d"),
        ("Last year", "now-1y"),
        ("Last 4 years", "now-4y"),
    )
    choosing.with_meters(result, dataset)
    result.with_variable(panels.computed("layer", TrinoQuery(sql.layer(), {"layer": "text"})))
    result.with_variable(panels.options_of("grain", "Grain", ("auto", *sql.grains(dataset))))
    choosing.with_marks(result, dataset)
    return panels.with_panels(result, _Merged(dataset, board).parts())


class _Merged:
    """The panels of one data set."""

    def __init__(self, dataset: MeterSeries, board: Board) -> None:
        self.dataset, self.board, self.key = dataset, board, dataset.key
        self.rate = dashboard_specs.rate(dataset, board)
        self.total = dashboard_specs.total(dataset, board)
        self.rate_sql = self.rate.expression.sql("trino")
        self.unit = panels.unit(self.rate.unit)

    def parts(self) -> list[Builder[Panel] | Row]:
        """Return the panels that apply to what is declared, in order."""
        result: list[Builder[Panel] | Row] = [
            panels.sized(choosing.what_is_shown(_FLEET.format(most=sql.MOST_METERS)), 24, 2),
            panels.sized(self.each(), 24, 10),
        ]
        if self.total:
            result += [panels.sized(self.today(self.total), 6), panels.sized(self.together(), 18)]
            if GRAIN_SECONDS[sql.hourly(self.dataset)] <= HOUR_S:
                result.append(panels.sized(self.against(self.total), 24))
        else:
            result.append(panels.sized(self.together(), 24))
        bands = [self.band(band) for band in self.board.bands]
        return result + panels.halves([*bands, *([self.shares()] if self.board.parts else [])])

    def each(self) -> timeseries.Panel:
        rows = self._rows(f"{self.rate_sql} AS value", self._present("{value} AS value"))
        text = sql.with_gaps(sql.lines_or_spread(self.dataset, rows), ["value"], self.key)
        query = TrinoQuery(text, {"time": "time", self.key: "text", "value": "number"})
        doc = (
            "Mean of each row's time; auto takes the grain that fits the range. Left of the line named Boundary batch"
            f" answers, right of it the stream: the same to the last digit. Of more than {sql.MOST_LINES} meters the"
            " spread."
        )
        return panels.by_meter(panels.lines(self.rate.title, doc, self.unit, [query], zero=True), self.key)

    def together(self) -> timeseries.Panel:
        rows = self._rows(f"{self.rate_sql} AS value", self._present("{value} AS value"))
        text = sql.with_gaps(f"SELECT time, step_s, sum(value) AS value\nFROM (\n{rows}\n)\nGROUP BY 1, 2", ["value"])
        query = TrinoQuery(text, {"time": "time", "value": "number"})
        doc = "Sum of the means of all chosen meters."
        panel = panels.lines(f"{self.rate.title}, all chosen meters", doc, self.unit, [query], zero=True)
        panels.coloured(panel, ("value",), (BLUE,))
        return panels.titled(panel, {"value": "All chosen meters"})

    def band(self, band: Band) -> timeseries.Panel:
        rows = self._rows(band_columns(band.level))
        return drawn_band(self.dataset, band, band_of_rows(self.dataset, band.level, rows))

    def shares(self) -> timeseries.Panel:
        names = (*self.board.parts, *((self.board.rest,) if self.board.rest else ()))
        parts = [dashboard_specs.shown_value(self.dataset, name) for name in names]
        columns = ", ".join(f"{part.expression.sql('trino')} AS {part.name}" for part in parts)
        sums = ", ".join(f'sum({part.name}) AS "{part.title}"' for part in parts)
        text = f"SELECT time, {sums}\nFROM (\n{self._rows(columns)}\n)\nGROUP BY 1\nORDER BY 1"
        query = TrinoQuery(text, {"time": "time", **{part.title: "number" for part in parts}})
        doc = (
            "Energy of the sub-meters and of what they leave of the main meter, which is negative where they count"
            " more than it does: stacked below zero, not clipped."
        )
        panel = panels.bars("Energy by sub-meter", doc, panels.unit(parts[0].unit), [query])
        return panels.coloured(panel, [part.title for part in parts], (*panels.PARTS[: len(self.board.parts)], GREY))

    def today(self, total: ShownValue) -> stat.Panel:
        """The range is today's alone: the hours before are not asked for."""
        zone = self.dataset.time_zone
        midnight = f"with_timezone(CAST(CAST(current_timestamp AT TIME ZONE '{zone}' AS DATE) AS TIMESTAMP), '{zone}')"
        begin = f"CAST({midnight} AT TIME ZONE 'UTC' AS TIMESTAMP(6))"
        rows = self._hours(f"{total.expression.sql('trino')} AS value", begin)
        query = TrinoQuery(f"SELECT sum(value) AS value\nFROM (\n{rows}\n)", {"value": "number"}, sparse=True)
        doc = (
            f"Of all chosen meters since midnight ({zone}), whatever the range of the dashboard; of more than"
            f" {sql.MOST_METERS} up to the boundary."
        )
        panel = panels.figure(f"{total.title} today so far", doc, panels.unit(total.unit), [query]).decimals(2)
        return panels.titled(panels.critical(panel), {"value": total.title})

    def against(self, total: ShownValue) -> barchart.Panel:
        """Hours of the day are categories: each has its place, also while the day has just begun."""
        zone, grain = self.dataset.time_zone, sql.local_hours(self.dataset)
        local = f"(with_timezone({grain}, 'UTC') AT TIME ZONE '{zone}')"
        here = f"(current_timestamp AT TIME ZONE '{zone}')"
        begin = f"CAST(current_timestamp - INTERVAL '{_WEEKS * 7 + 1}' DAY AS TIMESTAMP(6))"
        rows = self._hours(
            f"CAST({local} AS DATE) AS day, hour({local}) AS n, {total.expression.sql('trino')} AS value",
            begin,
            f"day_of_week({local}) = day_of_week({here})",
        )
        text = (
            "SELECT lpad(CAST(clock.n AS VARCHAR), 2, '0') AS hour, today, usual\n"  # noqa: S608
            "FROM UNNEST(sequence(0, 23)) AS clock (n)\nLEFT JOIN (\n"
            f"SELECT n, max(value) FILTER (WHERE day = CAST({here} AS DATE)) AS today,\n"
            f"  avg(value) FILTER (WHERE day < CAST({here} AS DATE)) AS usual\n"
            f"FROM (SELECT day, n, sum(value) AS value FROM (\n{rows}\n) GROUP BY 1, 2)\nGROUP BY 1\n"
            ") AS sums ON sums.n = clock.n\nORDER BY 1"
        )
        query = TrinoQuery(text, {"hour": "text", "today": "number", "usual": "number"})
        doc = f"By local hour ({zone}): today, and the mean of the same weekday over the {_WEEKS} weeks before."
        title = "Today against the same weekday"
        panel = panels.categories(title, doc, panels.unit(total.unit), query, "hour")
        panels.coloured(panel, ("today", "usual"), (BLUE, YELLOW))
        return panels.titled(panel, {"today": "Today", "usual": "Same weekday"})

    def _rows(self, columns: str, present: str = "") -> str:
        """Return SQL of rows within the range. present: SQL of the present moment of a fleet."""
        rows = sql.of_grain(self.dataset, sql.of_layer, sql.chosen_or_fitting(self.dataset), columns)
        return f"{rows}\nUNION ALL\n{present}" if present else rows

    def _present(self, columns: str) -> str:
        """Return SQL of the latest readings of a fleet, at the present minute. columns: with ``{value}``."""
        main, interval = self.dataset.measure(self.board.main), self.dataset.interval
        value = main.name if main.kind == "level" else f"{main.name} * {HOUR_S}E0 / {interval}"
        age = f"date_diff('second', {self.dataset.event_time}, current_timestamp)"
        return (
            "SELECT date_trunc('minute', current_timestamp) AS time, 60 AS step_s,"
            f" {self.key}, {columns.format(value=value)}\n"
            f"FROM cassandra.speed.{self.dataset.name}_latest\n"
            f"WHERE {sql.MANY} AND {sql.matching(self.dataset)}\n"
            "  AND with_timezone($__timeTo() , 'UTC') > current_timestamp - INTERVAL '1' HOUR\n"
            f" AND {age} <= {silent_sql(interval)}"
        )

    def _hours(self, columns: str, begin: str, condition: str = "true") -> str:
        """Return SQL of hours from ``begin`` on: of both layers or, of a fleet, as published."""
        grain = sql.local_hours(self.dataset)
        since = sql.since(self.dataset, grain, begin)
        return (
            f"SELECT {columns}\nFROM {sql.of_layer(self.dataset, grain)}\n"
            f"WHERE {sql.chosen(self.dataset)}\n  AND {since}\n  AND {condition}"
        )
