"""What `load` and `correct` are asked alike: which files, whose readings, by which clock."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.arguments import given_clock
from cli.formats import formats_of
from cli.load_result import preview_facts, preview_total
from cli.output import Output, console, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.meter_names import check_meter_id, pattern_problem

if TYPE_CHECKING:
    from batch_layer.ingest.request import Request
    from meterlake.fileformats.base import FileFormat
    from meterlake.settings import Settings
    from meterlake.text.format import TextFormat

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH…",
        help="Files, folders and patterns ('2024/*.csv'): local, hdfs://… or s3a://…; text, or packed (xz, gzip,"
        " bzip2, zip, tar).",
    ),
]
MeterIdOption = Annotated[
    str, typer.Option("--meter-id", help="Whose readings they are; by default the meter of the data set's own file.")
]
MeterIdFromNameOption = Annotated[
    str,
    typer.Option(
        "--meter-id-from-name", help="Regular expression of the meter in the name of each file: 'house_([0-9]+)'."
    ),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="Name (or number) of the data set's format, where a header fits several.")
]
UtcOffsetOption = Annotated[
    str, typer.Option("--utc-offset", help="The file's clock against UTC, such as +01:00, the same all year.")
]
SkipBadFilesOption = Annotated[
    bool,
    typer.Option("--skip-bad-files", help="Set files aside that cannot be loaded, list them, and end with 1."),
]
PasswordOption = Annotated[
    bool,
    typer.Option("--password", help="Ask for the password of encrypted zip archives (METERLAKE_ARCHIVE_PASSWORD)."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would be read of each file, and load nothing. No server is needed."),
]
ByOption = Annotated[str, typer.Option("--by", help="Who does it; by default the user of this machine.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why: a sentence that others will read. Required.")]


def request_of(
    settings: Settings,
    dataset: str,
    paths: list[str],
    *,
    meter_id: str,
    meter_id_from_name: str,
    form_name: str,
    utc_offset: str,
    time_zone: str,
    skip_bad_files: bool,
    ask_password: bool,
    rebase: bool = False,
) -> Request:
    """Return what the options ask for. Raises UsageError."""
    forms = formats_of(registry.entry(dataset), form_name)
    clock = given_clock(utc_offset, time_zone)
    meter_id = _checked_meter(forms, meter_id, meter_id_from_name)

    from batch_layer.ingest.request import Request

    return Request(
        forms=forms,
        paths=tuple(paths),
        meter_id=meter_id,
        offset=clock,
        rebase=rebase,
        meter_from_name=meter_id_from_name,
        skip_bad_files=skip_bad_files,
        password=_password(settings, ask_password),
    )


def given_reason(by: str, why: str) -> tuple[str, str]:
    """Return who makes a change, and why. Raises UsageError where the latter is missing."""
    if not why.strip():
        raise UsageError("--why is missing.", hint="Write why, for those who will ask: --why 'invoice 2025-118'.")
    return by.strip() or getpass.getuser(), why.strip()


def show_dry_run(settings: Settings, request: Request, output: Output) -> None:
    """Show what would be read. Raises Exit where a file would not be loaded."""
    from batch_layer.ingest.dry_run import dry_run

    result = []
    for preview in dry_run(settings, request, system_clock()):
        result.append(preview)
        if output is Output.TEXT:
            show([preview_facts(preview)], output)
            console.print()
    if output is Output.JSON:
        show([asdict(preview) for preview in result], output)
    elif len(result) > 1:
        show([preview_total(result)], output)
    if any(preview.problem for preview in result):
        raise typer.Exit(1)


def _password(settings: Settings, asked: bool) -> str:
    if asked:
        return getpass.getpass("Password of the archives: ")
    return settings.archive_password.get_secret_value()


def _checked_meter(forms: tuple[TextFormat | FileFormat, ...], meter_id: str, pattern: str) -> str:
    """Return the meter as it is kept. Raises UsageError where options contradict each other or the formats."""
    if meter_id and pattern:
        raise UsageError("--meter-id and --meter-id-from-name both say the meter.", hint="Give one of the two.")
    if meter_id:
        meter_id = check_meter_id(meter_id)
    option = "--meter-id" if meter_id else "--meter-id-from-name"
    if (meter_id or pattern) and all(form.has_meters for form in forms):
        raise UsageError(
            f"Files of {forms[0].dataset.name!r} have a column with the meter: {option} {meter_id or pattern!r} cannot"
            " apply.",
            hint=f"Leave {option} out.",
        )
    problem = pattern_problem(pattern) if pattern else None
    if problem:
        raise UsageError(
            f"--meter-id-from-name {pattern!r} {problem}.",
            hint="Put the meter between brackets: 'house_([0-9]+)', or '(?P<meter>…)'.",
        )
    return meter_id
