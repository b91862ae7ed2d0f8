"""``meterlake load``: history from files into the master data set."""

from __future__ import annotations

import getpass
import re
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import load_progress
from cli.arguments import DatasetArgument, TimeZoneOption, given_clock
from cli.formats import formats_of
from cli.load_result import facts, preview_facts
from cli.output import Output, OutputOption, log_to_file, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.log import get_logger
from meterlake.settings import load_settings
from meterlake.textformat import check_meter_id

if TYPE_CHECKING:
    from batch_layer.ingest.request import Request
    from meterlake.fileformats.base import FileFormat
    from meterlake.settings import Settings
    from meterlake.textformat import TextFormat


class Rebase(StrEnum):
    """Where a history is moved to."""

    NOW = "now"


def load(
    dataset: DatasetArgument,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            help="Files, folders and patterns ('2024/*.csv'): local, hdfs://… or s3a://…; text, or packed (xz, gzip,"
            " bzip2, zip, tar).",
        ),
    ],
    meter_id: Annotated[
        str,
        typer.Option("--meter-id", help="Whose readings they are; by default the meter of the data set's own file."),
    ] = "",
    meter_id_from_name: Annotated[
        str,
        typer.Option(
            "--meter-id-from-name", help="Regular expression of the meter in the name of each file: 'house_([0-9]+)'."
        ),
    ] = "",
    form_name: Annotated[
        str, typer.Option("--format", help="Name (or number) of the data set's format, where a header fits several.")
    ] = "",
    utc_offset: Annotated[
        str, typer.Option("--utc-offset", help="The file's clock against UTC, such as +01:00, the same all year.")
    ] = "",
    time_zone: TimeZoneOption = "",
    rebase: Annotated[
        Rebase | None,
        typer.Option("--rebase", help="now: move it by whole weeks to end now; what lies ahead is not loaded."),
    ] = None,
    corrects: Annotated[
        bool,
        typer.Option("--corrects", help="Its readings replace those of the same meter and time that are there."),
    ] = False,
    by: Annotated[
        str, typer.Option("--by", help="Who corrects; kept with the load. By default the user of this machine.")
    ] = "",
    skip_bad_files: Annotated[
        bool,
        typer.Option("--skip-bad-files", help="Set files aside that cannot be loaded, list them, and end with 1."),
    ] = False,
    ask_password: Annotated[
        bool,
        typer.Option("--password", help="Ask for the password of encrypted zip archives (METERLAKE_ARCHIVE_PASSWORD)."),
    ] = False,
    only_show: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be read of each file, and load nothing. No server is needed."),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Load files of readings into the master data set, in one commit.

    The raw files are kept in HDFS. Lines that are no readings go to quarantine with their reason, and are no failure; a
    file of another format stops the load, or is set aside with `--skip-bad-files`. The same file for the same meter is
    loaded once: a repeated load takes only files that are new or have changed. A load that dies has added nothing: run
    it again. Views see the readings after the next `meterlake batch`.

    Of several readings of a meter and time the first that came counts, and the load says how many of the file differ.
    With `--corrects` those of the file count instead, by a higher revision; the others stay in the master data set.

    Examples:

    - `meterlake load household data/household_power_consumption.txt.xz`
    - `meterlake load household house2.csv --meter-id house2 --rebase now`
    - `meterlake load household logger.csv --time-zone Europe/Paris`
    - `meterlake load household exports/ 'more/*.zip' --meter-id-from-name 'house_([0-9]+)'`
    - `meterlake load household exports/ --dry-run`
    - `meterlake load household october-corrected.txt --corrects --by "A. Martin, invoice 2025-118"`
    """
    settings = load_settings()
    forms = formats_of(registry.entry(dataset), form_name)
    clock = given_clock(utc_offset, time_zone)
    _check_meters(forms, meter_id, meter_id_from_name)
    if by and not corrects:
        raise UsageError("--by says who corrects.", hint="Write it with --corrects.")

    from batch_layer.ingest.load import load as run  # Spark takes half a second to import
    from batch_layer.ingest.request import Request

    request = Request(
        forms=forms,
        paths=tuple(paths),
        meter_id=meter_id,
        offset=clock,
        rebase=rebase is not None,
        corrects=(by or getpass.getuser()) if corrects else "",
        meter_from_name=meter_id_from_name,
        skip_bad_files=skip_bad_files,
        password=_password(settings, ask_password),
    )
    if only_show:
        _dry_run(settings, request, output)
        return
    log_to_file(settings, "load", dataset)
    with load_progress.shown(request.title) as on_progress:
        result = run(settings, request, system_clock, on_progress)
    log = get_logger()
    for file in result.files:
        log.debug("file", **asdict(file))
    log.debug("loaded", **{name: value for name, value in asdict(result).items() if name != "files"})
    if output is Output.JSON:
        show([asdict(result)], output)
    else:
        show([{"what": name, "value": value} for name, value in facts(result).items()], output)
    if result.with_status("set aside"):
        raise typer.Exit(1)


def _dry_run(settings: Settings, request: Request, output: Output) -> None:
    """Show what would be read. Raises Exit where a file would not be loaded."""
    from batch_layer.ingest.dry_run import dry_run

    found = []
    for preview in dry_run(settings, request, system_clock()):
        found.append(preview)
        if output is Output.TEXT:
            show([preview_facts(preview)], output)
    if output is Output.JSON:
        show([asdict(preview) for preview in found], output)
    if any(preview.problem for preview in found):
        raise typer.Exit(1)


def _password(settings: Settings, asked: bool) -> str:
    if asked:
        return getpass.getpass("Password of the archives: ")
    return settings.archive_password.get_secret_value()


def _check_meters(forms: tuple[TextFormat | FileFormat, ...], meter_id: str, pattern: str) -> None:
    """Raise UsageError where the options about meters contradict each other or the formats."""
    if meter_id and pattern:
        raise UsageError("--meter-id and --meter-id-from-name both say the meter.", hint="Give one of the two.")
    if meter_id:
        check_meter_id(meter_id)
    option = "--meter-id" if meter_id else "--meter-id-from-name"
    if (meter_id or pattern) and all(form.has_meters for form in forms):
        raise UsageError(
            f"Files of {forms[0].dataset.name!r} have a column with the meter: {option} {meter_id or pattern!r} cannot"
            " apply.",
            hint=f"Leave {option} out.",
        )
    try:
        groups = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--meter-id-from-name {pattern!r} is no regular expression: {error}.") from error
    if pattern and groups.groups != 1 and "meter" not in groups.groupindex:
        raise UsageError(
            f"--meter-id-from-name {pattern!r} has {groups.groups} groups, and none is called meter.",
            hint="Put the meter between brackets: 'house_([0-9]+)', or '(?P<meter>…)'.",
        )


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(load)
