"""Asks the real servers every query of the dashboards, as the plugins would, and compares what comes with the needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from engines import cassandra, trino
from engines.errors import QueryFailed
from meterlake.durations import parse_duration
from meterlake.merged import MERGED, PUBLISHED
from serving_layer.dashboards import asked as asking
from serving_layer.dashboards import cql, macros, sql
from serving_layer.dashboards.queries import CassandraQuery, Kind, PrometheusQuery, Query, TrinoQuery
from serving_layer.dashboards.timing import Timing

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.dashboards.catalogue import Part

State = Literal["ok", "empty", "wrong"]

RANGES: Final = {"history": timedelta(days=30), "merged": timedelta(hours=24), "tables": timedelta(days=30)}
"""Range in which a dashboard is asked: the one with which it opens; of live ones the data set's."""
NOT_YET: Final = re.compile(r"(Table|Schema) '\S+' does not exist")
"""What Trino says of tables that the first batch with reference tables will make."""
_PLAIN: Final[dict[Kind, tuple[type, ...]]] = {"time": (datetime, date), "number": (int, float), "text": (str,)}


@dataclass(frozen=True)
class Finding:
    """What became of a query. rows: how many came. ms: how long it took. problem: what is wrong with it."""

    where: str
    engine: str
    state: State
    rows: int
    ms: int
    problem: str = ""


def check(
    settings: Settings, part: Part, clock: Clock, report: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Ask every query of dashboards and alerts once; ``report`` gets each finding at once. Raises EngineUnavailable.

    Not asked are queries of Prometheus, whose metrics are there only while streams and batch run, and dashboards of
    lakehouses, whose servers need not be up.
    """
    shown = replace(part, lakehouses=()).boards()
    matches = [Finding(line, "", "wrong", 0, 0, line) for board in shown for line in asking.problems(board)]
    with cassandra.session(settings) as session:
        servers = Servers(settings, session, [dataset for dataset, _ in part.shown], clock())
        for asked in asking.queries(shown, part.rules()):
            if not isinstance(asked.query, PrometheusQuery):
                finding = servers.ask(asked)
                report(finding)
                matches.append(finding)
    return matches


def columns_missing(query: Query, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return which column that a panel needs is missing or of another type than it takes; empty when none is.

    names, rows: the answer. A decimal is wrong, too: it would reach the panel as text.
    """
    for name, kind in query.needs.items():
        if name not in names:
            return f"column {name!r} is missing; there are {', '.join(names)}"
        place = list(names).index(name)
        for row in rows:
            value = row[place]
            if value is not None and (not isinstance(value, _PLAIN[kind]) or isinstance(value, bool)):
                return f"column {name!r} is {type(value).__name__} where its panel takes a {kind}"
    return ""


class Servers:
    """Open connections, the meters that they know, and the time of the check."""

    def __init__(
        self,
        settings: Settings,
        session: Any,  # noqa: ANN401 - the driver's own
        datasets: Sequence[MeterSeries],
        now: datetime,
    ) -> None:
        self._settings, self._session, self._now = settings, session, now
        self._live = {dataset.name: self._live_meters(dataset) for dataset in datasets}
        self._all = {dataset.name: self._all_meters(dataset) for dataset in datasets}
        self._timing = {dataset.name: Timing.of(dataset) for dataset in datasets}
        self._grains = {dataset.name: sql.daily(dataset) for dataset in datasets}

    def ask(self, asked: asking.Asked, most: int | None = None) -> Finding:
        """Ask one query. most: so many meters are chosen; all by default."""
        engine = "trino" if isinstance(asked.query, TrinoQuery) else "cassandra"
        if asking.unbounded(asked):
            return Finding(asked.where, engine, "wrong", 0, 0, "neither a time nor a partition bounds it")
        begin = time.monotonic()
        try:
            names, rows = self._answer(asked.query, self.chosen(asked, most))
        except QueryFailed as error:
            if asked.board.endswith("-tables") and NOT_YET.search(error.what):
                return Finding(asked.where, engine, "empty", 0, 0, "its tables are made by `meterlake batch`")
            return Finding(asked.where, engine, "wrong", 0, 0, error.what)
        ms = round((time.monotonic() - begin) * 1000)
        if problem := columns_missing(asked.query, names, rows):
            return Finding(asked.where, engine, "wrong", len(rows), ms, problem)
        state: State = "ok" if asked.query.sparse or any(_says(row) for row in rows) else "empty"
        return Finding(asked.where, engine, state, len(rows), ms)

    def _answer(self, query: Query, chosen: macros.Dashboard) -> tuple[Sequence[str], list[Sequence[Any]]]:
        if isinstance(query, CassandraQuery):
            return self._cql(macros.cassandra(query, chosen))
        names, rows = trino.select(self._settings, macros.trino(query, chosen))
        return names, list(rows)

    def _cql(self, text: str) -> tuple[Sequence[str], list[Sequence[Any]]]:
        with cassandra.translated(self._settings):
            result = self._session.execute(text)
            return result.column_names or (), [tuple(row) for row in result]

    def chosen(self, asked: asking.Asked, most: int | None = None) -> macros.Dashboard:
        """Return what a viewer has before him who has just opened the dashboard: all meters, first choices."""
        name, _, kind = asked.board.removeprefix("meterlake-").rpartition("-")
        since = self._now - RANGES.get(kind, timedelta(hours=3))
        if name and kind == "live":
            since = self._now - parse_duration(self._timing[name].live_range)
        if asked.range:
            since = self._now - parse_duration(asked.range)
        values: dict[str, str | Sequence[str]] = {
            "today": f"{self._now:%Y-%m-%d}",
            "yesterday": f"{self._now - timedelta(days=1):%Y-%m-%d}",
            "grain": "auto" if kind == "merged" or not name else self._grains[name],
        }
        if name:
            values["meter"] = (self._live[name] if kind == "live" else self._all[name])[:most]
            values["shown"] = self._live[name][:most][: cql.MOST_SHOWN]
            values["search"] = ""
            values["layer"] = PUBLISHED if len(values["meter"]) >= sql.MOST_METERS else MERGED
        return macros.Dashboard(since, self._now, values)

    def _live_meters(self, dataset: MeterSeries) -> list[str]:
        return [row[1] for row in self._cql(cql.meters(dataset))[1]]

    def _all_meters(self, dataset: MeterSeries) -> list[str]:
        query = TrinoQuery(sql.meters(dataset))
        chosen = macros.Dashboard(self._now - RANGES["history"], self._now, {"search": ""})
        return [row[0] for row in trino.rows(self._settings, macros.trino(query, chosen))]


def _says(row: Sequence[Any]) -> bool:
    return any(value is not None for value in row)
