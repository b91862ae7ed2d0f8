"""The page with all reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pandas as pd

from meterlake.errors import PermanentError
from meterlake.report_specs import Cost, Fleet, Report, Summary, reports_of
from serving_layer.reports.catalogue import make_all
from serving_layer.reports.cost import tariff_of
from serving_layer.reports.errors import NoPrice, WrongOption
from serving_layer.reports.render import PAGE_EXTENSIONS, check_path, csv, page, save
from serving_layer.reports.request import Request
from serving_layer.reports.result import KeyFigure, Result
from serving_layer.reports.sources import Source
from serving_layer.reports.tariff import Tariff


@dataclass(frozen=True)
class SummaryResult:
    """All reports that could be made, and why others could not."""

    report: Summary
    results: list[Result]
    left_out: list[tuple[str, str]]

    def headline(self) -> list[tuple[str, KeyFigure]]:
        """Return (title of its report, key figure) of what stands at the top of the page."""
        return [
            (result.report.title, item)
            for name, label in self.report.headline
            for result in self.results
            if result.report.name == name
            for item in result.key_figures
            if item.label.startswith(label)
        ]

    def table(self) -> pd.DataFrame:
        """Return all key figures: report, label, number, text."""
        rows = [
            (result.report.name, item.label, item.number, item.text)
            for result in self.results
            for item in result.key_figures
        ]
        return pd.DataFrame(rows, columns=["report", "figure", "number", "text"])


def summary(report: Summary, request: Request, source: Source) -> SummaryResult:
    """Make all reports of a data set; one that lacks something, such as prices, is left out with the reason."""
    if request.grain or request.threshold is not None:
        option = "--grain" if request.grain else "--min-power"
        raise WrongOption(option, "summary", "it holds reports of all kinds", hint=f"Leave {option} out.")
    reports = [each for each in reports_of(request.dataset).values() if not isinstance(each, Summary | Fleet)]
    ready = [each for each in reports if _obstacle(each, request) is None]
    left_out = [(each.title, why) for each in reports if (why := _obstacle(each, request)) is not None]
    covered = replace(request, tariff=_covering(request))
    return SummaryResult(report, make_all(ready, source, covered), left_out)


def _obstacle(report: Report, request: Request) -> str | None:
    """Return why a report cannot be made, or None."""
    if not isinstance(report, Cost):
        return None
    try:
        tariff = tariff_of(report, request)
        _check_prices(tariff, request)
    except PermanentError as error:
        return str(error)
    return None


def _check_prices(tariff: Tariff, request: Request) -> None:
    first, last = request.days
    days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    unpriced = [day for day in days if tariff.at(day) is None]
    if unpriced:
        raise NoPrice(tariff.name, unpriced[0], unpriced[-1])


def _covering(request: Request) -> Tariff | None:
    """Return the tariff if it has a price at the end of the range."""
    return request.tariff if request.tariff and request.tariff.at(request.days[1]) else None


def write_summary(path: Path, overview: SummaryResult) -> None:
    """Write the page, or all key figures as CSV."""
    check_path(path, PAGE_EXTENSIONS)
    if path.suffix.lower() == ".csv":
        save(path, csv(overview.table()).encode())
    else:
        title = overview.results[0].request.dataset.title
        save(path, page(title, overview.results, overview.left_out, overview.headline()).encode())
