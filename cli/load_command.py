"""``meterlake load``: history from files into the master data set."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import load_progress
from cli.arguments import DatasetArgument, TimeZoneOption
from cli.load_options import (
    DryRunOption,
    FormatOption,
    MeterIdFromNameOption,
    MeterIdOption,
    PasswordOption,
    PathsArgument,
    SkipBadFilesOption,
    UtcOffsetOption,
    request_of,
    show_dry_run,
)
from cli.load_result import facts
from cli.output import Output, OutputOption, log_to_file, show
from meterlake.clock import system_clock
from meterlake.log import get_logger
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from batch_layer.ingest.request import Result


class Rebase(StrEnum):
    """Where a history is moved to."""

    NOW = "now"


def load(
    dataset: DatasetArgument,
    paths: PathsArgument,
    meter_id: MeterIdOption = "",
    meter_id_from_name: MeterIdFromNameOption = "",
    form_name: FormatOption = "",
    utc_offset: UtcOffsetOption = "",
    time_zone: TimeZoneOption = "",
    rebase: Annotated[
        Rebase | None,
        typer.Option("--rebase", help="now: move it by whole weeks to end now; what lies ahead is not loaded."),
    ] = None,
    skip_bad_files: SkipBadFilesOption = False,
    ask_password: PasswordOption = False,
    only_show: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Load files of readings into the master data set, in one commit.

    The raw files are kept in HDFS. Lines that are no readings go to quarantine with their reason, and are no failure; a
    file of another format stops the load, or is set aside with `--skip-bad-files`. The same file for the same meter is
    loaded once: a repeated load takes only files that are new or have changed. A load that dies has added nothing: run
    it again. Views see the readings after the next `meterlake batch`.

    Of several readings of a meter and time the first that came counts, and the load says how many of the file differ.
    `meterlake correct` makes those of the file count instead.

    Examples:

    - `meterlake load household data/household_power_consumption.txt.xz`
    - `meterlake load household house2.csv --meter-id house2 --rebase now`
    - `meterlake load household logger.csv --time-zone Europe/Paris`
    - `meterlake load household exports/ 'more/*.zip' --meter-id-from-name 'house_([0-9]+)'`
    - `meterlake load household exports/ --dry-run`
    """
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
        rebase=rebase is not None,
    )
    if only_show:
        show_dry_run(settings, request, output)
        return
    from batch_layer.ingest.load import load as run  # Spark takes half a second to import

    log_to_file(settings, "load", dataset)
    with load_progress.shown(request.title) as on_progress:
        result = run(settings, request, system_clock, on_progress)
    show_result(result, output)


def show_result(result: Result, output: Output, more: dict[str, object] | None = None) -> None:
    """Log and show what a load did. more: facts besides. Raises Exit where files were set aside."""
    log = get_logger()
    for file in result.files:
        log.debug("file", **asdict(file))
    log.debug("loaded", **{name: value for name, value in asdict(result).items() if name != "files"})
    if output is Output.JSON:
        show([{**asdict(result), **(more or {})}], output)
    else:
        show([{"what": name, "value": value} for name, value in {**facts(result), **(more or {})}.items()], output)
    if result.with_status("set aside"):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(load)
