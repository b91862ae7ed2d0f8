"""``meterlake report``: one meter's history as a picture, a page or a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, progress_console, show
from meterlake import registry
from meterlake.errors import UsageError
from meterlake.report_specs import Fleet, Report, Summary, report_of, reports_of
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from serving_layer.reports.result import KeyFigure


class SourceName(StrEnum):
    """Where the numbers are read."""

    MERGED = "merged"
    TRINO = "trino"
    HIVE = "hive"


class GrainName(StrEnum):
    """Length of the intervals."""

    MINUTE = "minute"
    FIVE_MINUTES = "five_minutes"
    TEN_MINUTES = "ten_minutes"
    QUARTER_HOUR = "quarter_hour"
    HALF_HOUR = "half_hour"
    HOUR = "hour"
    DAY = "day"


def report(
    dataset: DatasetArgument,
    name: Annotated[str | None, typer.Argument(help="Report; --list shows all.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="First day (2007-02-01) or local time (2007-02-01T18:30); default: first reading."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="End, not included; default: last reading.")] = None,
    meter_id: Annotated[str | None, typer.Option("--meter-id", help="Meter; may be left out if there is one.")] = None,
    source: Annotated[
        SourceName,
        typer.Option("--source", help="merged: both layers, batch and live; trino, hive: the batch views."),
    ] = SourceName.MERGED,
    grain: Annotated[
        GrainName | None, typer.Option("--grain", help="Length of the intervals; default: chosen by the range.")
    ] = None,
    min_power: Annotated[
        float | None,
        typer.Option("--min-power", help="active-power: show when it was at least this, in its unit."),
    ] = None,
    tariff: Annotated[
        Path | None, typer.Option("--tariff", help="Prices: a TOML file such as data/tariff.example.toml.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File: .png, .svg, .html or .csv. Without it, key figures only.")
    ] = None,
    list_reports: Annotated[bool, typer.Option("--list", help="List the reports of the data set.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw one meter's history: as a picture, a self-contained page, or the table behind it.

    Times are local times of the data set; the range ends before `--to`. Gaps are drawn as gaps. Reports of tables made
    of the readings, such as `products` of half_hourly, are about all meters.

    Examples:

    - `meterlake report household --list`
    - `meterlake report household voltage --from 2007-02-01 --to 2007-02-08 --out voltage.png`
    - `meterlake report household cost --tariff data/tariff.example.toml --out cost.html`
    - `meterlake report household summary --from 2008-01-01 --to 2009-01-01 --out 2008.html`
    - `meterlake report half_hourly products --from 2021-01-01 --out products.png`
    """
    declared = registry.declaration(dataset)
    if list_reports:
        rows = [{"report": each.name, "what_it_shows": each.doc} for each in reports_of(declared).values()]
        show(rows, output)
        return
    if name is None:
        raise UsageError("Which report?", hint=f"Known: {', '.join(reports_of(declared))}; see also --list.")
    chosen = report_of(declared, name)
    options = {
        "since": since,
        "until": until,
        "meter": meter_id,
        "grain": grain and grain.value,
        "threshold": min_power,
    }
    items = _make(chosen, str(source), dataset, options, tariff, out)
    show([_row(title, item, output, whole=isinstance(chosen, Summary)) for title, item in items], output)
    if out and output is Output.TEXT:
        progress_console.print(f"\nWritten: {out}", markup=False)


def _row(report_name: str, item: KeyFigure, output: Output, *, whole: bool) -> dict[str, Any]:
    """Return a key figure as a row; only the summary's rows need the name of their report."""
    head = {"report": report_name} if whole or output is Output.JSON else {}
    if output is Output.TEXT:
        return {**head, "figure": item.label, "value": item.text}
    return {**head, "figure": item.label, "number": None if math.isnan(item.number) else item.number, "text": item.text}


def _make(
    chosen: Report, source: str, dataset: str, options: dict[str, Any], tariff: Path | None, out: Path | None
) -> Sequence[tuple[str, KeyFigure]]:
    from serving_layer.reports import catalogue, render, summary  # slow to import
    from serving_layer.reports.request import ReportOptions, make_request
    from serving_layer.reports.sources import source_of
    from serving_layer.reports.tariff import load_tariff

    if out:
        render.check_path(out, render.PAGE_EXTENSIONS if isinstance(chosen, Summary) else render.EXTENSIONS)
    prices = load_tariff(tariff) if tariff else None
    if isinstance(chosen, Fleet):
        from serving_layer.reports.fleet import fleet

        made = fleet(load_settings(), registry.declaration(dataset), chosen, ReportOptions(**options, tariff=prices))
        if out:
            render.write(out, made)
        return [(chosen.name, item) for item in made.key_figures]
    reader = source_of(source, load_settings())
    request = make_request(reader, registry.declaration(dataset), ReportOptions(**options, tariff=prices))
    if isinstance(chosen, Summary):
        overview = summary.summary(chosen, request, reader)
        if out:
            summary.write_summary(out, overview)
        return [(result.report.name, item) for result in overview.results for item in result.key_figures]
    result = catalogue.make(chosen, reader, request)
    if out:
        render.write(out, result)
    return [(chosen.name, item) for item in result.key_figures]


def draw(dataset: str, name: str, since: str | None, until: str | None, out: Path, meter: str | None = None) -> None:
    """Draw a report from the merged views, or of all meters, into a file, for the demo."""
    options: dict[str, Any] = {"since": since, "until": until, "meter": meter, "grain": None, "threshold": None}
    _make(report_of(registry.declaration(dataset), name), str(SourceName.MERGED), dataset, options, None, out)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(report)
