"""How each kind of report is made: what it reads, at which grain, and the function that computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from meterlake.declaration import MeterSeries
from meterlake.grains import Grain
from meterlake.report_specs import (
    Cost,
    Course,
    Coverage,
    Heatmap,
    LoadDuration,
    Monthly,
    PeakHours,
    Profile,
    Report,
    Stack,
    Standby,
)
from serving_layer.reports.cost import cost, grain_for
from serving_layer.reports.course import course
from serving_layer.reports.energy import monthly, peak_hours
from serving_layer.reports.errors import NoReadings, WrongOption
from serving_layer.reports.frames import STATE, gridded
from serving_layer.reports.gaps import coverage_report
from serving_layer.reports.local_hours import by_local_hours, hour_grain
from serving_layer.reports.profile import heatmap, load_duration, profile
from serving_layer.reports.request import Request
from serving_layer.reports.result import Inputs, Result
from serving_layer.reports.sources import Source
from serving_layer.reports.stack import stack
from serving_layer.reports.standby import standby
from serving_layer.reports.units import columns_of, quantity, sum_column

Builder = Callable[[Any, Request, Inputs], Result]


@dataclass(frozen=True)
class Kind:
    """grain: which view it reads; free: whether --grain may say otherwise; gaps: whether it reads the gaps.

    local_hours: whether it is about hours of the local day, of which finer rows may have to be made.
    """

    build: Builder
    columns: Callable[[Any, MeterSeries], Sequence[str]]
    grain: Callable[[Any, Request], Grain]
    free: bool = False
    gaps: bool = False
    local_hours: bool = False


def _level(report: Profile | Heatmap | LoadDuration, _dataset: MeterSeries) -> Sequence[str]:
    return (f"{report.level}_avg",)


def _fixed(grain: Grain) -> Callable[[Report, Request], Grain]:
    return lambda _report, _request: grain


def _local_hours(_report: Report, request: Request) -> Grain:
    return hour_grain(request)


def _by_range(_report: Report, request: Request) -> Grain:
    return request.grain_by_range()


def _at_least_hours(_report: Report, request: Request) -> Grain:
    """Days would hide the peaks."""
    grain = request.grain_by_range()
    return grain if request.grain or grain != "day" else "hour"


KINDS: Final[dict[type[Report], Kind]] = {
    Course: Kind(course, lambda report, dataset: columns_of(quantity(dataset, report.value)), _by_range, free=True),
    Stack: Kind(
        stack,
        lambda report, dataset: [sum_column(dataset, name) for name in (report.total, *report.parts, report.rest)],
        _by_range,
        free=True,
    ),
    Profile: Kind(profile, _level, _local_hours, local_hours=True),
    Heatmap: Kind(heatmap, _level, _local_hours, local_hours=True),
    LoadDuration: Kind(load_duration, _level, _at_least_hours, free=True),
    Coverage: Kind(coverage_report, lambda _report, _dataset: (), _fixed("day"), gaps=True),
    Monthly: Kind(monthly, lambda report, _dataset: (report.total,), _fixed("day")),
    Standby: Kind(
        standby, lambda report, _dataset: (f"{report.level}_avg", report.energy), _local_hours, local_hours=True
    ),
    PeakHours: Kind(peak_hours, lambda report, _dataset: (report.energy,), _local_hours, local_hours=True),
    Cost: Kind(
        cost,
        lambda report, dataset: [sum_column(dataset, name) for name in (report.energy, *report.movable)],
        grain_for,
    ),
}


def check_options(report: Report, request: Request) -> None:
    """Raise WrongOption for an option that the report cannot follow."""
    kind = KINDS[type(report)]
    if request.grain and not kind.free:
        grain = "hour" if kind.local_hours else kind.grain(report, request)
        raise WrongOption("--grain", report.name, f"it is always by the {grain}", hint="Leave --grain out.")
    if request.threshold is not None and not math.isfinite(request.threshold):
        raise WrongOption("--min-power", report.name, "it is not a number", hint="Write kilowatts: --min-power 3.5.")
    if request.threshold is not None and not (isinstance(report, Course) and report.threshold):
        raise WrongOption("--min-power", report.name, "it has no threshold", hint="Use it with active-power.")


def make(report: Report, source: Source, request: Request) -> Result:
    """Read what one report needs, and compute it."""
    check_options(report, request)
    return make_all([report], source, request)[0]


def make_all(reports: Sequence[Report], source: Source, request: Request) -> list[Result]:
    """Compute reports of one request; each view is read once, with the columns that any of them needs."""
    grains = {report: KINDS[type(report)].grain(report, request) for report in reports}
    frames = {}
    for grain in dict.fromkeys(grains.values()):
        readers = [report for report in reports if grains[report] == grain]
        needed = [KINDS[type(report)].columns(report, request.dataset) for report in readers]
        columns = dict.fromkeys([*STATE, *(name for names in needed for name in names)])
        only_gaps = all(KINDS[type(report)].gaps for report in readers)
        frames[grain] = _read(source, grain, list(columns), request, allow_empty=only_gaps)
    gaps = pd.DataFrame(columns=["gap_start", "gap_end"], dtype="datetime64[ns]")
    if any(KINDS[type(report)].gaps for report in reports):
        gaps = source.gaps(request.dataset, request.window)
    hours: dict[Grain, pd.DataFrame] = {}
    results = []
    for report in reports:
        kind, grain = KINDS[type(report)], grains[report]
        frame = frames[grain]
        if kind.local_hours and grain != "hour":
            hours.setdefault(grain, by_local_hours(frame))
            frame, grain = hours[grain], "hour"
        results.append(kind.build(report, request, Inputs(frame, grain, gaps)))
    return results


def _read(source: Source, grain: Grain, columns: list[str], request: Request, *, allow_empty: bool) -> pd.DataFrame:
    rows = source.view(request.dataset, grain, columns, request.window)
    if rows.empty and not allow_empty:
        zone = request.zone
        raise NoReadings(request.meter, request.since.astimezone(zone), request.until.astimezone(zone), request.extent)
    return gridded(rows, grain, request)
