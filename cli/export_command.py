"""``meterlake export``: the rows of a view as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, log_to_file, progress_console, show
from cli.report_command import GrainName
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UnknownName, UsageError
from meterlake.log import get_logger
from meterlake.settings import load_settings
from meterlake.text.format import parse_offset

if TYPE_CHECKING:
    from datetime import timedelta

    from meterlake.settings import Settings
    from serving_layer.export.rows import Extent, Request

Counted: TypeAlias = Callable[[Iterable[list[Any]]], Iterator[list[Any]]]
"""Passes batches of rows on, and counts them."""


class Format(StrEnum):
    """Of the file."""

    CSV = "csv"
    PARQUET = "parquet"
    XLSX = "xlsx"
    NEM12 = "nem12"


class View(StrEnum):
    """Which layers answer."""

    MERGED = "merged"
    PUBLISHED = "published"


def export(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="The file; it is replaced when the new one is whole.")],
    grain: Annotated[
        GrainName | None, typer.Option("--grain", help="Length of the intervals; default: the finest of the data set.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="First day (2007-02-01) or local time; default: the first row.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="End, not included; default: the last row.")] = None,
    meter_ids: Annotated[
        list[str] | None, typer.Option("--meter-id", help="A meter; may be given several times. Default: all.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="A column beside meter and time; several times. Default: all.")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: as the file's name ends.", show_default=False)
    ] = None,
    source: Annotated[
        View, typer.Option("--source", help="merged: both layers; published: batch alone.")
    ] = View.MERGED,
    utc_offset: Annotated[
        str, typer.Option("--utc-offset", help="nem12: the fixed clock of its days; default: +10:00, that market's.")
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the rows of a view into a file: CSV, Parquet, a workbook, or NEM12.

    Rows are streamed month by month, in each by meter and time: memory does not grow with the range. Times are UTC,
    days and months local. Parquet and CSV keep every digit of the exact sums; a workbook has doubles.

    NEM12 holds the amounts of energy, E1 onwards as they are declared, of a view of 5, 15 or 30 minutes.

    Examples:

    - `meterlake export household --grain hour --from 2010-01-01 --to 2011-01-01 --out 2010.parquet`
    - `meterlake export household --grain day --column energy_wh --out days.csv`
    - `meterlake export half_hourly --format nem12 --out readings.nem12`
    """
    from serving_layer.export import rows
    from serving_layer.reports.request import parse_moment

    declared, settings = registry.declaration(dataset), load_settings()
    chosen = _format_of(out, form)
    if utc_offset and chosen is not Format.NEM12:
        raise UsageError("--utc-offset is the clock of NEM12's days.", hint="Times of other formats are UTC.")
    request = rows.Request(
        declared,
        declared.view(grain.value).grain if grain else declared.finest.grain,
        str(source),
        parse_moment(since, declared, "--from") if since else None,
        parse_moment(until, declared, "--to") if until else None,
        tuple(meter_ids or ()),
        tuple(columns or ()),
    )
    log_to_file(settings, "export", dataset)
    request.chosen  # noqa: B018 - an unknown column is named before anything is asked
    if chosen is Format.NEM12:
        count, result = _nem12(settings, request, out, parse_offset(utc_offset) if utc_offset else None)
    else:
        count, result = _table(settings, request, out, chosen)
    row = {"rows": count, "meters": result.meters, "first": result.first, "last": result.last, "file": str(out)}
    get_logger().info("exported", **{**row, "grain": request.grain})
    show([row] if output is Output.JSON else [{"what": name, "value": value} for name, value in row.items()], output)


def _table(settings: Settings, request: Request, out: Path, chosen: Format) -> tuple[int, Extent]:
    from serving_layer.export import rows, writers

    result = rows.extent(settings, request)
    with writers.replaced(out) as partial, _progress(result.rows) as counted:
        batches = counted(rows.batches(settings, request, result))
        return writers.WRITERS[chosen.value](partial, request.chosen, batches), result


def _nem12(settings: Settings, request: Request, out: Path, offset: timedelta | None) -> tuple[int, Extent]:
    from datetime import timezone

    from meterlake.fileformats.nem import MARKET_TIME
    from meterlake.grains import GRAIN_SECONDS
    from serving_layer.export import nem12, rows, writers

    parts = nem12.channels(request.dataset, request.grain)
    wanted = replace(request, columns=tuple(part.column for part in parts))
    result = rows.extent(settings, wanted)

    clock = MARKET_TIME if offset is None else offset
    layout = nem12.Layout(parts, GRAIN_SECONDS[request.grain] // 60, system_clock(), clock)
    with (
        writers.replaced(out) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
        _progress(result.rows) as counted,
    ):
        batches = counted(rows.batches(settings, wanted, result, timezone(clock)))
        return nem12.write(file, layout, chain.from_iterable(batches)), result


@contextmanager
def _progress(total: int) -> Iterator[Counted]:
    """Yield what passes batches on and shows how many of all rows have come; on a terminal only."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("rows"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=progress_console,
        transient=True,
        disable=not progress_console.is_terminal,
    )
    with bar:
        task = bar.add_task("rows", total=total)

        def counted(batches: Iterable[list[Any]]) -> Iterator[list[Any]]:
            for some in batches:
                yield some
                bar.advance(task, len(some))

        yield counted


def _format_of(out: Path, given: Format | None) -> Format:
    if given is not None:
        return given
    ending = out.suffix.removeprefix(".").lower()
    try:
        return Format(ending)
    except ValueError:
        raise UnknownName("format of a file's name", ending or out.name, [known.value for known in Format]) from None


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(export)
