"""A level over time as lowest, mean and highest over the chosen meters, with its limits where it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import timeseries

from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.panels import BLUE, GREY
from serving_layer.dashboards.queries import TrinoQuery

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Band
    from meterlake.declaration import Dataset

_TITLES: Final = {"lowest": "Lowest", "mean": "Mean", "highest": "Highest"}


def band_columns(level: str) -> str:
    """Return SQL of the columns that a band is made of, of a view's row."""
    return (
        f"CAST({level}_min AS DOUBLE) AS lowest, CAST({level}_sum AS DOUBLE) AS summed, covered_s,"
        f" CAST({level}_max AS DOUBLE) AS highest"
    )


def band_of_rows(dataset: Dataset, level: str, rows: str) -> TrinoQuery:
    """Return the query of a band over rows that have its columns, ``time`` and ``step_s``."""
    dataset.measure(level)
    text = (
        "SELECT time, step_s, min(lowest) AS lowest, sum(summed) / sum(covered_s) AS mean, max(highest) AS highest\n"
        f"FROM (\n{rows}\n)\nGROUP BY 1, 2"
    )
    return TrinoQuery(sql.with_gaps(text, list(_TITLES)), {"time": "time", **dict.fromkeys(_TITLES, "number")})


def drawn_band(dataset: Dataset, band: Band, query: TrinoQuery) -> timeseries.Panel:
    """Return the panel of a band."""
    measure = dataset.measure(band.level)
    limits = f"; limits: {band.limits.name}" if band.limits else ""
    doc = f"Lowest, mean and highest over the chosen meters{limits}."
    panel = panels.lines(measure.title or measure.name, doc, panels.unit(measure.unit), [query])
    if band.limits:
        panels.with_limits(panel, band.limits)
    panels.column(panel, "highest", **{"custom.fillBelowTo": "lowest", "custom.lineWidth": 0})
    panels.column(panel, "lowest", **{"custom.lineWidth": 0})
    panels.coloured(panel, tuple(_TITLES), (GREY, BLUE, GREY))
    return panels.titled(panel, _TITLES)
