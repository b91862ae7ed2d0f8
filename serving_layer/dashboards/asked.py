"""Every query of the dashboards and alerts, by where it stands, and what can be said of it without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models.dashboard import Panel

from serving_layer.dashboards.queries import CassandraQuery, Query, TrinoQuery

if TYPE_CHECKING:
    from serving_layer.dashboards.alerts import Rule
    from serving_layer.dashboards.catalogue import Board

SOURCES: Final = {
    "meterlake-trino": "trino-datasource",
    "meterlake-cassandra": "hadesarchitect-cassandra-datasource",
    "meterlake-prometheus": "prometheus",
}
"""The data sources that are provisioned: uid -> type."""

_TIME_BOUND: Final = re.compile(r"\$__(timeFilter|timeFrom|dateFilter)\(|current_timestamp")
_KEY_BOUND: Final = re.compile(r"WHERE \w+ IN \(\$\{(meter|shown):sqlstring\}\)|WHERE key = 'local'")
_LATEST: Final = re.compile(r"\bFROM\s+(cassandra\.)?speed\.\w+_latest\b")
_TABLE: Final = re.compile(r"\bFROM\s+([a-z_]+\.[a-z_.]+)")


@dataclass(frozen=True)
class Asked:
    """A query, and its place, such as ``meterlake-health: Batch runs (A)``.

    range: the panel's own range until now, such as ``2m``; empty for the dashboard's.
    """

    where: str
    query: Query
    board: str = ""
    range: str = ""


def queries(boards: Sequence[Board], rules: Sequence[Rule]) -> Iterator[Asked]:
    """Return the queries of all panels, variables and annotations of dashboards, and of alert rules."""
    for board in boards:
        yield from _of_panels(board)
        for variable in board.dashboard.templating.list_val or []:
            if isinstance(variable.query, dict):
                yield Asked(f"{board.uid}: variable {variable.name}", _variable(variable.query), board.uid)
        for mark in board.dashboard.annotations.list_val or []:
            if isinstance(mark.target, Query):
                yield Asked(f"{board.uid}: marks {mark.name!r}", mark.target, board.uid)
    for rule in rules:
        yield Asked(f"alert: {rule.title}", rule.query)


def _of_panels(board: Board) -> Iterator[Asked]:
    panels = [panel for panel in board.dashboard.panels or [] if isinstance(panel, Panel)]
    for panel in panels:
        own = panel.time_from or ""
        for target in panel.targets or []:
            if isinstance(target, Query):
                yield Asked(f"{board.uid}: {panel.title} ({target.ref})", target, board.uid, own)


def problems(board: Board) -> list[str]:
    """Return what is wrong with a dashboard's data sources, a line each; empty when all are ours."""
    result = []
    for panel in board.dashboard.panels or []:
        if isinstance(panel, Panel) and panel.datasource is not None:
            uid, kind = panel.datasource.uid or "", panel.datasource.type_val or ""
            if SOURCES.get(uid) != kind:
                result.append(f"{board.uid}: {panel.title}: data source {uid!r} of type {kind!r} is not provisioned")
            if any(isinstance(target, Query) and target.source.uid != uid for target in panel.targets or []):
                result.append(f"{board.uid}: {panel.title}: its queries ask another data source than the panel's")
    return result


def unbounded(asked: Asked) -> bool:
    """Return whether nothing bounds what a server must read: neither a time nor the key of a partition.

    The latest readings are bounded by their table: one row a meter.
    """
    text = asked.query.text
    if _LATEST.search(text) and len(_LATEST.findall(text)) == len(_TABLE.findall(text)):
        return False
    if isinstance(asked.query, CassandraQuery):
        by_day = "_recent" in text or "system.local" in text or "AND day IN ('$yesterday', '$today')" in text
        return not _KEY_BOUND.search(text) or not by_day
    if isinstance(asked.query, TrinoQuery):
        return "FROM" in text and not _TIME_BOUND.search(text)
    return False


def _variable(query: dict[str, object]) -> Query:
    """Return a variable's query from what Grafana keeps of it."""
    text = str(query["query"])
    return TrinoQuery(text) if "rawSQL" in query else CassandraQuery(text, {"text": "text", "value": "text"})
