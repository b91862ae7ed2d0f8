"""``meterlake load``: history from a file into the master data set."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.arguments import DatasetArgument, TimeZoneOption, file_clock
from cli.formats import format_of
from cli.output import Output, OutputOption, log_to_file, progress_console, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.log import get_logger
from meterlake.settings import load_settings
from meterlake.textformat import check_meter_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_layer.ingest.request import Result
    from meterlake.textformat import TextFormat


class Rebase(StrEnum):
    """Where a history is moved to."""

    NOW = "now"


def load(
    dataset: DatasetArgument,
    path: Annotated[
        str, typer.Argument(help="One file: text, or packed (xz, gzip, bzip2, zip, tar); local, or hdfs://….")
    ],
    meter_id: Annotated[
        str,
        typer.Option("--meter-id", help="Whose readings they are; by default the meter of the data set's own file."),
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
    output: OutputOption = Output.TEXT,
) -> None:
    """Load a file of readings into the master data set, in one commit.

    The raw file is kept in HDFS. Lines that are no readings go to quarantine with their reason, and are no failure; a
    file of another format is refused as a whole. The same file for the same meter is loaded once: doing it again does
    nothing. A load that dies has added nothing: run it again. Views see the readings after the next `meterlake batch`.

    Of several readings of a meter and time the first that came counts, and the load says how many of the file differ.
    With `--corrects` those of the file count instead, by a higher revision; the others stay in the master data set.

    Examples:

    - `meterlake load household data/household_power_consumption.txt.xz`
    - `meterlake load household house2.csv --meter-id house2 --rebase now`
    - `meterlake load household logger.csv --time-zone Europe/Paris`
    - `meterlake load household october-corrected.txt --corrects --by "A. Martin, invoice 2025-118"`
    """
    settings = load_settings()
    form = format_of(settings, registry.entry(dataset), path)
    clock = file_clock(form, utc_offset, time_zone)
    meter = meter_of(form, meter_id)

    from batch_layer.ingest.load import load as run  # Spark takes half a second to import
    from batch_layer.ingest.request import Request

    if by and not corrects:
        raise UsageError("--by says who corrects.", hint="Write it with --corrects.")
    request = Request((form,), (path,), meter, clock, rebase is not None, (by or getpass.getuser()) if corrects else "")
    log_to_file(settings, "load", dataset)
    with upload_progress(path) as on_bytes:
        result = run(settings, request, system_clock, on_bytes)
    get_logger().debug("loaded", **asdict(result))
    if output is Output.JSON:
        show([asdict(result)], output)
    else:
        show([{"what": name, "value": value} for name, value in _facts(result).items()], output)


def meter_of(form: TextFormat, given: str | None) -> str:
    """Return the meter of all lines of a file; empty where a column says it. Raises UsageError."""
    if not form.has_meters:
        return check_meter_id(given or form.meter_id)
    if given:
        raise UsageError(
            f"Files of {form.dataset.name!r} have a column with the meter: --meter-id {given!r} cannot apply.",
            hint="Leave --meter-id out.",
        )
    return ""


@contextmanager
def upload_progress(path: str) -> Iterator[Callable[[int, int], None]]:
    """Show the upload as a bar, then that Spark is at work; on a terminal only."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=progress_console,
        transient=True,
        disable=not progress_console.is_terminal,
    )
    with bar:
        upload = bar.add_task(f"reading {path}", total=None)

        def on_bytes(done: int, total: int) -> None:
            bar.update(upload, completed=done, total=total)
            if done >= total:
                bar.update(upload, description="decoding and writing (Spark)")

        yield on_bytes


def _differing(result: Result) -> str:
    found = result.overlap
    if not found.differing:
        return ""
    which = "these count now" if result.revision else "those that were there count; --corrects makes these count"
    return f"{found.differing} ({found.first} to {found.last} UTC): {which}"


def _facts(result: Result) -> dict[str, object]:
    """Return a result for people."""
    if result.already_loaded:
        return {
            "result": f"nothing to do: this file is loaded already{_for(result)}",
            "lines": result.lines,
            "load": result.load_id,
            "seconds": result.seconds["total"],
        }
    reasons = ", ".join(f"{count} {reason}" for reason, count in result.quarantined.items())
    facts = {
        "result": f"loaded into the master data set of {result.dataset}{_for(result)}",
        "lines read": result.lines,
        "readings": result.readings,
        "gap rows": result.gaps,
        "quarantined": f"{sum(result.quarantined.values())}{f' ({reasons})' if reasons else ''}",
        "not loaded (in the future)": result.not_loaded,
        "days": result.days,
        "from": result.first,
        "to (UTC)": result.last,
        "moved by days": result.shift_days,
        "bytes": result.bytes,
        "seconds": ", ".join(f"{name} {seconds}" for name, seconds in result.seconds.items()),
        "load": result.load_id,
        "snapshot": result.snapshot,
        "as before": result.overlap.same,
        "different from before": _differing(result),
        "corrected by": result.corrected_by,
    }
    optional = (
        "not loaded (in the future)",
        "moved by days",
        "as before",
        "different from before",
        "corrected by",
    )
    return {name: value for name, value in facts.items() if value or name not in optional}


def _for(result: Result) -> str:
    return f", meter {result.meter_id}" if result.meter_id else ", each line for its meter"


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(load)
