"""The command that proves the published views: recomputed by another engine, and compared row by row."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import lakehouse_commands
from cli.arguments import DatasetArgument, TimeZoneOption, file_clock
from cli.formats import any_format_of
from cli.output import Output, OutputOption, as_json, progress_console, show
from meterlake import registry
from meterlake.errors import UsageError
from meterlake.meter_names import meter_of_file
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving_layer.publish.history import Record
    from serving_layer.verify.compare import Difference
    from serving_layer.verify.scope import Scope
    from serving_layer.verify.verify import Input, Report

MOST_METERS: Final = 200
"""So many meters are named to the servers; of more in a file, all rows of the data set are compared."""
LISTED: Final = 20


def verify(
    dataset: DatasetArgument,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recompute from this file instead: a raw history, or messages that `simulate --out` wrote"
            " (as it is or xz, gz, zip). Repeat it in order of arrival."
        ),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Compare from this local day on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Compare up to this local day, not included.")
    ] = None,
    meter_id: Annotated[str | None, typer.Option("--meter-id", help="Compare one meter only.")] = None,
    utc_offset: Annotated[
        str | None, typer.Option("--utc-offset", help="Of the clock of --against, as it was loaded: +01:00.")
    ] = None,
    time_zone: TimeZoneOption = "",
    correction: Annotated[
        list[Path] | None,
        typer.Option(
            help="A raw history that was brought by `meterlake correct`, after those of --against. Repeat in order."
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Recompute what readers see with a second engine, and compare: batch, speed and merged.

    DuckDB reads the master's own data files, as the published run has read them, or the files given with `--against`,
    and aggregates by SQL of its own. A range limits what is compared, not what is read.

    Batch: minutes, hours, local days and gaps must be equal to the last digit, averages and derived values within
    1e-12; each view is read from its files, through Trino and through Hive (minutes through servers: by the checksums
    of each day). Speed: every minute before the boundary whose rows have not expired must be batch's to the last digit;
    where late, revised or loaded readings are the reason that it is not, it is listed. Merged: batch's rows before the
    boundary, the speed layer's from it on.

    Of a lakehouse: the landed records, judged and modelled by the SQL beside its declaration, against silver and gold.

    Exit code 1 when anything else differs, or when there is nothing to compare.

    Examples:

    - `meterlake verify household`
    - `meterlake verify household --from 2007-02-01 --to 2007-03-01`
    - `meterlake verify household --against data/household_power_consumption.txt.xz`
    - `meterlake verify household --against day.tsv`
    - `meterlake verify homes --against january.parquet --against february.xlsx`
    - `meterlake verify telecom`
    """
    if (lakehouse := registry.lakehouse(dataset)) is not None:
        if against or since or until or meter_id or utc_offset or time_zone or correction:
            raise UsageError("A lakehouse is verified as a whole.", hint="Leave the options out.")
        lakehouse_commands.verify(lakehouse, output)
        return
    declared = registry.declaration(dataset)
    if (utc_offset or time_zone) and not against:
        raise UsageError("--utc-offset and --time-zone are those of a file.", hint="Give the file with --against.")

    from serving_layer.verify.errors import ViewsDiffer  # slow to import
    from serving_layer.verify.raw_files import check_paths
    from serving_layer.verify.scope import Scope
    from serving_layer.verify.verify import MasterInput, published
    from serving_layer.verify.verify import verify as run

    settings, paths, corrections = load_settings(), against or [], correction or []
    if corrections and not paths:
        raise UsageError("--correction corrects a file.", hint="Give that with --against.")
    meters = (meter_id,) if meter_id else ()
    scope = Scope(declared, meters, since.date() if since else None, until.date() if until else None)
    check_paths([*paths, *corrections])
    present = published(settings, declared)
    source: Input = MasterInput(settings, declared, present)
    if paths:
        source, scope = from_files(scope, paths, utc_offset, present.record, corrections, time_zone)
    report = run(settings, scope, present.record, source, _report)
    show_report(report, output)
    if report.wrong:
        views = list(dict.fromkeys(comparison.view for comparison in report.wrong))
        raise ViewsDiffer(dataset, report.run_id, report.wrong_rows, views)


def from_files(
    scope: Scope,
    paths: list[Path],
    utc_offset: str | None,
    record: Record,
    corrections: Sequence[Path] = (),
    time_zone: str = "",
) -> tuple[Input, Scope]:
    """Return the files as an input, and the scope limited to what they tell: their meters, and what has arrived."""
    from serving_layer.verify.messages import Messages, is_messages, meters_in
    from serving_layer.verify.raw_files import RawFile, RawFiles
    from serving_layer.verify.verify import Inputs

    messages = [path for path in paths if is_messages(path)]
    others = [path for path in paths if path not in messages]
    inputs: list[Input] = []
    meters: set[str] = set()
    if others or corrections:
        revisions = [0] * len(others) + list(range(1, len(corrections) + 1))
        files = []
        for path, revision in zip([*others, *corrections], revisions, strict=True):
            form = any_format_of(registry.entry(scope.dataset.name), path)
            said = scope.meters[0] if scope.meters and not form.has_meters else ""
            meter = said or meter_of_file(form, str(path), path.name)
            files.append(RawFile(path, form, meter, file_clock(form, utc_offset, time_zone), revision))
        raw = RawFiles(files, record.at)
        inputs.append(raw)
        meters |= raw.meters() if any(file.form.has_meters for file in files) else {file.meter for file in files}
    if messages:
        inputs.append(Messages(scope.dataset, messages, record.at))
        meters |= meters_in(messages)
        scope = replace(scope, end=record.boundary)  # what the file has beyond may be under way
    if not scope.meters and len(meters) <= MOST_METERS:
        scope = replace(scope, meters=tuple(sorted(meters)))
    return Inputs(inputs), scope


def show_report(report: Report, output: Output) -> None:
    """Print what was found: JSON holds all, text the first rows of each kind."""
    rows = [asdict(comparison) for comparison in report.comparisons]
    if output is Output.JSON:
        about = {"dataset": report.dataset, "run": report.run_id, "source": report.source, "seconds": report.seconds}
        show([{**about, **row} for row in rows], output)
        return
    columns = ("view", "rows", "equal", "missing", "extra", "different", "explained", "path")
    show([{name: row[name] for name in columns} for row in rows], output, optional=("equal", "explained", "path"))
    differences = [row for comparison in report.comparisons for row in comparison.examples]
    if differences:
        show([_line(row) for row in differences], output, title="The first rows that differ")
    listed = [row for comparison in report.comparisons for row in comparison.listed]
    if listed:
        show([asdict(row) for row in listed[:LISTED]], output, title="Rows of speed that differ for a reason")
        _report(f"{len(listed)} rows of speed differ for a reason; the first {min(LISTED, len(listed))} are shown.")
    parts = ", ".join(f"{name} {seconds}" for name, seconds in report.seconds.items())
    progress_console.print(
        f"Run {report.run_id}, compared {report.scope}; {report.source}. Seconds: {parts}.",
        markup=False,
        soft_wrap=True,
    )


def _line(result: Difference) -> dict[str, object]:
    return {
        "view": result.view,
        "key": result.key,
        "column": result.column,
        "expected": _text(result.expected),
        "found": _text(result.found),
        "path": result.path,
    }


def _text(value: object) -> str:
    return "nothing" if value is None else str(value) if isinstance(value, int | float | str) else str(as_json(value))


def _report(doing: str) -> None:
    progress_console.print(doing, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(verify)
