"""Reports of the plugs."""

from __future__ import annotations

from typing import Final

from meterlake.report_specs import GAPS, SUMMARY, Course, LoadDuration, Report

REPORTS: Final[tuple[Report, ...]] = (
    Course(name="power", title="Power", doc="Mean power, with its range.", value="power", from_zero=True),
    LoadDuration(name="load-duration", title="Load duration", doc="For what share of the time.", level="power"),
    GAPS,
    SUMMARY,
)
