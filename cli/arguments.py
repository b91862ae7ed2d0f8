"""Arguments that commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meterlake.durations import parse_duration
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import ExtractKind

if TYPE_CHECKING:
    from datetime import timedelta

    from meterlake.fileformats import Format
    from meterlake.wallclock import FileClock


def beginning(incomplete: str) -> list[str]:
    """Return the names of data sets that begin so: the shell completes by them."""
    from meterlake import registry

    return [name for name in registry.names() if name.startswith(incomplete)]


DatasetArgument = Annotated[
    str, typer.Argument(help="Data set: see `meterlake dataset list`.", autocompletion=beginning)
]

TimeZoneOption = Annotated[
    str,
    typer.Option(
        "--time-zone",
        help="The zone whose clock on the wall the file shows, summer time and all, such as Europe/Paris.",
    ),
]

ExtractsOption = Annotated[
    ExtractKind, typer.Option("--extracts", help="Of a lakehouse that reads databases: what files --out gets.")
]


def given_duration(option: str, text: str) -> timedelta:
    """Return a length of time that an option gives. Raises UsageError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}.", hint="Write 90s, 10m, 2h or 7d.") from None


def file_clock(form: Format, utc_offset: str | None, time_zone: str | None) -> FileClock:
    """Return the clock of a file: as the options say, or its format. Raises UsageError."""
    given = given_clock(utc_offset, time_zone)
    if given is not None and form.has_own_offset:
        raise UsageError(
            f"Files of {form.dataset.name} say the offset of each time: {utc_offset or time_zone} would not be used.",
            hint="Leave --utc-offset and --time-zone out.",
        )
    return form.clock if given is None else given


def given_clock(utc_offset: str | None, time_zone: str | None) -> FileClock | None:
    """Return the clock that the options say, if they do. Raises UsageError."""
    if utc_offset and time_zone:
        raise UsageError(
            f"--utc-offset {utc_offset} is a clock without summer time, --time-zone {time_zone} one that may have it.",
            hint="Give one of the two.",
        )
    from meterlake import wallclock
    from meterlake.text.format import parse_offset

    if time_zone:
        return wallclock.zone(time_zone)
    return parse_offset(utc_offset) if utc_offset else None
