"""``meterlake vee``: validation and estimation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, console, log_to_file, report_progress, show
from meterlake import registry
from meterlake.clock import Clock, system_clock
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from meterlake.dataset import Entry


def vee(
    dataset: DatasetArgument,
    full: Annotated[bool, typer.Option("--full", help="Validate and estimate everything again.")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write how complete, timely and right the last month's days are: an HTML page."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Validate readings, and estimate what is missing or not to be trusted: what has changed since the last run.

    Rules and methods are those of the declaration. Findings are in `delta.vee.<data set>_findings`, estimates in
    `delta.vee.<data set>_estimates`, each with its method and of what it was made. `hive.vee.<data set>_validated` has
    the best value of each interval with its quality, measured and estimated apart. The same again changes nothing.

    Examples:

    - `meterlake vee half_hourly`
    - `meterlake vee half_hourly --full`
    - `meterlake vee half_hourly --report quality.html`
    """
    entry, settings = registry.entry(dataset), load_settings()
    entry.vee()
    log_to_file(settings, "vee", dataset)
    changed = validate_once(settings, entry, system_clock, full=full)
    if report is not None:
        from serving_layer.day_quality import day_quality, page

        presentation = entry.presentation() if entry.data_set.presentation else None
        result = day_quality(settings, entry.declaration, presentation)
        report.write_text(page(entry.declaration, result), encoding="utf-8")
        report_progress(f"Wrote {report}.")
    if not changed and output is Output.TEXT:
        console.print("No reading has changed since the last run.")
        return
    show(changed, output)


def validate_once(settings: Settings, entry: Entry, clock: Clock, *, full: bool = False) -> list[dict[str, Any]]:
    """Validate and estimate; return a row a table: what changed in it."""
    from batch_layer.pipeline.vee import rows_of, run_vee

    done = run_vee(settings, entry.declaration, entry.vee(), clock, report_progress, full=full)
    return rows_of(done)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Batch views")(vee)
