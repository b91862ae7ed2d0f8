"""What the dashboards of Trino have in common: the choice of meters, what it holds, and the marks on the time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.panels import BLUE, GREY, RED, YELLOW
from serving_layer.dashboards.queries import Needs, TrinoQuery

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import text
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from meterlake.declaration import MeterSeries

_MARKS: Final[Needs] = {"time": "time", "text": "text"}


def with_meters(board: Dashboard, dataset: MeterSeries) -> Dashboard:
    """Let meters be searched and chosen; count those that match, and those in the list."""
    board.with_variable(panels.search("search", "Search meters"))
    board.with_variable(panels.choice("meter", "Meter", TrinoQuery(sql.meters(dataset), {dataset.key: "text"})))
    return board.with_variable(panels.computed("listed", TrinoQuery(sql.listed(dataset), {"meters": "text"})))


def with_marks(board: Dashboard, dataset: MeterSeries) -> Dashboard:
    """Mark the boundary, gaps, runs in which the layers disagree, and (not shown at first) all runs."""
    boundary = TrinoQuery(sql.boundary(dataset), _MARKS, sparse=True)
    gaps = TrinoQuery(sql.gaps(dataset), {**_MARKS, "timeEnd": "time"}, sparse=True)
    unexplained = TrinoQuery(sql.unexplained(dataset), _MARKS, sparse=True)
    runs = TrinoQuery(sql.published(dataset), _MARKS, sparse=True)
    board.annotation(panels.annotation("Boundary", BLUE, boundary))
    board.annotation(panels.annotation("Gaps", GREY, gaps))
    board.annotation(panels.annotation("Layers disagree", RED, unexplained))
    return board.annotation(panels.annotation("Batch runs", YELLOW, runs, shown=False))


def what_is_shown(more: str = "") -> text.Panel:
    """Return the line that says how many meters there are, and what stands for those that are not in the list."""
    return panels.note(
        f"**The list holds $listed meters.** Narrow it by *Search meters*. While all of it is chosen,"
        f" and it holds {sql.MOST_METERS}, totals and spreads are of all that match; lines of single meters are drawn"
        f" of up to {sql.MOST_LINES}, of more the spread.{' ' if more else ''}{more}"
    )
