"""``meterlake correct``: readings that replace those that are there, with who, when and why."""

from __future__ import annotations

import typer

from cli import load_progress
from cli.arguments import DatasetArgument, TimeZoneOption
from cli.load_command import show_result
from cli.load_options import (
    ByOption,
    DryRunOption,
    FormatOption,
    MeterIdFromNameOption,
    MeterIdOption,
    PasswordOption,
    PathsArgument,
    SkipBadFilesOption,
    UtcOffsetOption,
    WhyOption,
    given_reason,
    request_of,
    show_dry_run,
)
from cli.output import Output, OutputOption, log_to_file
from meterlake.clock import system_clock
from meterlake.settings import load_settings


def correct(
    dataset: DatasetArgument,
    paths: PathsArgument,
    why: WhyOption = "",
    by: ByOption = "",
    meter_id: MeterIdOption = "",
    meter_id_from_name: MeterIdFromNameOption = "",
    form_name: FormatOption = "",
    utc_offset: UtcOffsetOption = "",
    time_zone: TimeZoneOption = "",
    skip_bad_files: SkipBadFilesOption = False,
    ask_password: PasswordOption = False,
    only_show: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Load files whose readings replace those of the same meter, time and length, in one commit.

    They get a higher revision than any reading of their meters has, and than any that devices and bridges give: they
    count, whatever is there and whatever arrives later. What they replace stays in the master data set. A line without
    values withdraws the reading of its time. Times that the files do not have stay as they are.

    Who, when and why are kept: `meterlake explain` shows them beside the reading, `meterlake runs` lists all. The same
    correction is loaded once. Views see it after the next `meterlake batch`.

    Examples:

    - `meterlake correct household october.txt --by "A. Martin" --why "invoice 2025-118"`
    - `meterlake correct household october.txt --meter-id house2 --why "meter was misread" --dry-run`
    """
    by, why = given_reason(by, why)
    settings = load_settings()
    request = request_of(
        settings,
        dataset,
        paths,
        meter_id=meter_id,
        meter_id_from_name=meter_id_from_name,
        form_name=form_name,
        utc_offset=utc_offset,
        time_zone=time_zone,
        skip_bad_files=skip_bad_files,
        ask_password=ask_password,
    )
    if only_show:
        show_dry_run(settings, request, output)
        return
    from batch_layer.pipeline.correct import Reason  # Spark takes half a second to import
    from batch_layer.pipeline.correct import correct as run

    log_to_file(settings, "correct", dataset)
    with load_progress.shown(request.title) as on_progress:
        result = run(settings, request, Reason(by, why), system_clock, on_progress)
    show_result(result, output, {} if result.already_loaded else {"by": by, "why": why})


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(correct)
