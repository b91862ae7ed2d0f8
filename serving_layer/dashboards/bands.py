"""A level over time as lowest, mean and highest over the chosen meters, with its limits where it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import timeseries

from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.queries import TrinoQuery

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Band
    from meterlake.declaration import MeterSeries

_NAMES: Final = ("Lowest", "Mean", "Highest")
"""Names of the series. Grafana fills below a series by its name, so no title is put over it."""


def band_columns(level: str) -> str:
    """Return SQL of the columns that a band is made of, of a view's row."""
    return (
        f"CAST({level}_min AS DOUBLE) AS lowest, CAST({level}_sum AS DOUBLE) AS summed, covered_s,"
        f" CAST({level}_max AS DOUBLE) AS highest"
    )


def band_of_rows(dataset: MeterSeries, level: str, rows: str) -> TrinoQuery:
    """Return the query of a band over rows that have its columns, ``time`` and ``step_s``."""
    dataset.measure(level)
    text = (
        'SELECT time, step_s, min(lowest) AS "Lowest", sum(summed) / sum(covered_s) AS "Mean",\n'
        f'  max(highest) AS "Highest"\nFROM (\n{rows}\n)\nGROUP BY 1, 2'
    )
    quoted = [f'"{name}"' for name in _NAMES]
    return TrinoQuery(sql.with_gaps(text, quoted), {"time": "time", **dict.fromkeys(_NAMES, "number")})


def drawn_band(dataset: MeterSeries, band: Band, query: TrinoQuery) -> timeseries.Panel:
    """Return the panel of a band."""
    measure = dataset.measure(band.level)
    limits = f"; limits: {band.limits.name}" if band.limits else ""
    doc = f"Lowest, mean and highest over the chosen meters{limits}."
    panel = panels.lines(measure.title or measure.name, doc, panels.unit(measure.unit), [query])
    if band.limits:
        panels.with_limits(panel, band.limits)
    return panels.filled(panel, *_NAMES)
