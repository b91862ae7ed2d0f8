"""Commands of reference tables and of what is made with them: generate, reference, present."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import lakehouse_sources
from cli.arguments import DatasetArgument, ExtractsOption
from cli.output import Output, OutputOption, log_to_file, report_progress, show
from meterlake import registry
from meterlake.clock import Clock, system_clock
from meterlake.errors import UsageError
from meterlake.generator import Made
from meterlake.lakehouse.sources import ExtractKind
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from batch_layer.presentation.run import Asked
    from engines.merge_table import Merged
    from meterlake.dataset import Entry

_DAY = ["%Y-%m-%d"]


def reference(
    dataset: DatasetArgument,
    source: Annotated[
        str, typer.Argument(help="A SQLite file, or a SQLAlchemy URL such as postgresql://user@host/base.")
    ],
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="A table without rows is taken as it is: it ends all rows it had.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring the reference tables up to date with a database: agreements, products, meterpoints and the like.

    All versions of a row are kept, with the time for which each was recorded: a row that changed gets a new version,
    one that disappeared is closed. The same again changes nothing. Nothing is loaded unless all tables can be read.

    Examples:

    - `meterlake reference half_hourly case_study.db`
    """
    entry, settings = registry.entry(dataset), load_settings()
    entry.presentation()
    log_to_file(settings, "reference", dataset)
    show(reference_once(settings, entry, source, allow_empty=allow_empty), output)


def reference_once(settings: Settings, entry: Entry, source: str, *, allow_empty: bool = False) -> list[dict[str, Any]]:
    """Bring the reference tables up to date; return a row a table: how many versions were opened and closed."""
    from batch_layer.pipeline.present import Source, load_references

    registers = entry.vee().registers if entry.data_set.vee else None
    given = Source(source, allow_empty, (registers.reference,) if registers else ())
    done = load_references(settings, entry.declaration, entry.presentation(), given, system_clock, report_progress)
    return [{"table": name, "opened": one.inserted, "closed": one.updated} for name, one in done.items()]


def present(
    dataset: DatasetArgument,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=_DAY, help="The day of tables as of a day; default: the newest that has data."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Compute the local days from this one on again, too.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Compute the local days up to and with this one again, too.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Compute all days again.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Join readings with what was valid at their time, and bring the tables made of them up to date.

    By default the days are computed that published views or reference tables have changed since the last run. Rows
    that are as they were are not written again. `meterlake batch` does this, too, after it has published.

    Examples:

    - `meterlake present half_hourly`
    - `meterlake present half_hourly --as-of 2021-01-01`
    - `meterlake present half_hourly --since 2021-01-01 --until 2021-01-31`
    """
    from batch_layer.presentation.run import Asked

    if (since is None) != (until is None):
        raise UsageError("--since and --until are the two ends of one range.", hint="Give both, or neither.")
    if since and until and since > until:
        raise UsageError(f"--since {since:%Y-%m-%d} is after --until {until:%Y-%m-%d}.")
    asked = Asked(_date(as_of), _date(since), _date(until), full)
    entry, settings = registry.entry(dataset), load_settings()
    entry.presentation()
    log_to_file(settings, "present", dataset)
    show(present_once(settings, entry, asked, system_clock), output)


def present_once(settings: Settings, entry: Entry, asked: Asked, clock: Clock) -> list[dict[str, Any]]:
    """Bring a presentation up to date; return a row a table: what changed in it."""
    from batch_layer.pipeline.present import run_presentation

    done = run_presentation(settings, entry.declaration, entry.presentation(), asked, clock, report_progress)
    return [_row(name, one) for name, one in done.changes.items()]


def generate(
    dataset: DatasetArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder to write into. Of a lakehouse: extracts of its databases, too."),
    ] = None,
    meters: Annotated[int, typer.Option("--meters", min=1, help="How many meters, or customers.")] = 100,
    start: Annotated[datetime, typer.Option(formats=_DAY, help="The first local day.")] = datetime(2021, 1, 1),  # noqa: DTZ001
    days: Annotated[int, typer.Option("--days", min=1, help="How many local days.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same files.")] = 1,
    extracts: ExtractsOption = ExtractKind.CSV,
    clean: Annotated[bool, typer.Option("--clean", help="Without the traps that real data has.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make up files of a data set, and its reference tables: to try it, to test, to measure.

    They have the traps of real data: handovers on a day, overlapping agreements, none at all, unknown meters, rows that
    are there twice, files that are damaged. What they hold is counted.

    Of a lakehouse that reads databases: these (METERLAKE_SOURCES, or SQLite files), of 200 customers at least; what was
    in them is replaced. With --out also extracts of them: a file a table, as `meterlake land` takes it.

    Examples:

    - `meterlake generate half_hourly --out sample --meters 100 --days 3`
    - `meterlake generate utility --meters 2000 --start 2026-01-01 --days 90`
    - `meterlake generate utility --out extracts --extracts xml`
    """
    if (lakehouse := registry.lakehouse(dataset)) is not None:
        asked = lakehouse_sources.Days(days, start.date(), max(meters, 200), seed, out=out, kind=extracts)
        lakehouse_sources.play(lakehouse, asked, output)
        return
    if out is None:
        raise UsageError("--out is missing.", hint="Name the folder to write into.")
    entry = registry.entry(dataset)
    counted = entry.generator().write(Made(out, meters, start.date(), days, seed, clean))
    show([{"what": name.replace("_", " "), "count": count} for name, count in counted.items()], output)


def _row(name: str, done: Merged) -> dict[str, Any]:
    return {"table": name, "inserted": done.inserted, "updated": done.updated, "deleted": done.deleted}


def _date(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (generate, reference):
        app.command(rich_help_panel="Readings in")(command)
    app.command(rich_help_panel="Batch views")(present)
