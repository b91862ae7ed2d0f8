"""``meterlake dataset list | check | new | contract``: the data sets that are known, and a first one of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import contract_command
from cli.formats import format_of
from cli.output import Output, OutputOption, progress_console, show
from meterlake import registry
from meterlake.durations import duration_text
from meterlake.errors import PermanentError, UsageError

if TYPE_CHECKING:
    from meterlake.dataset import Entry, LakehouseEntry
    from meterlake.dataset_check import Finding

dataset_app = typer.Typer(
    no_args_is_help=True, help="Data sets: list them, check one, begin one from a sample of its files."
)


@dataset_app.command("list")
def list_all(output: OutputOption = Output.TEXT) -> None:
    """Show all data sets: ours, and those in folders and packages that `METERLAKE_DATASETS` or entry points name.

    Of meters (kind: meter series) and lakehouses.

    Exit code 1 when a place that was named cannot be used: it is said why, and the others are shown.
    """
    listing = registry.listing()
    rows = [_row(entry) for _, entry in sorted(listing.entries.items())]
    rows += [_lakehouse_row(entry) for _, entry in sorted(listing.lakehouses.items())]
    show(rows, output, optional=("place", "parts", "kind"))
    for problem in listing.problems:
        progress_console.print(f"\nCannot be used: {problem}", markup=False, soft_wrap=True)
    if listing.problems:
        raise typer.Exit(1)


@dataset_app.command("check")
def check_one(
    name: Annotated[str | None, typer.Argument(help="A data set; nothing means all.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read this file by the format of the data set.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check that the parts of a data set can be used together, and that its format reads a file.

    Each line says what was checked; what is wrong is said with what to do. `old`: generated files are to be written
    again. Exit code 1 when anything is wrong.

    Examples:

    - `meterlake dataset check`
    - `meterlake dataset check london --file sample.csv`
    """
    from meterlake.dataset_check import check

    if file and not name:
        raise UsageError("--file is that of one data set.", hint="Name it: meterlake dataset check NAME --file FILE.")
    entries = (registry.entry(name),) if name else registry.entries()
    rows = [(entry, finding) for entry in entries for finding in check(entry)]
    if file and name:
        rows += [(entry, _read(entry, file)) for entry in entries]
    show([{"dataset": entry.name, **finding._asdict()} for entry, finding in rows], output)
    if any(finding.state == "wrong" for _, finding in rows):
        raise typer.Exit(1)


@dataset_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What it is to be called: lower-case words joined by _.")],
    sample: Annotated[Path, typer.Option("--from", help="A file of its readings: text with a header, or packed.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where its folder is made.")] = Path("my_datasets"),
    output: OutputOption = Output.TEXT,
) -> None:
    """Begin a data set: write its folder, with a declaration guessed from a sample of its files.

    Guessed are separator, time pattern, interval, meters, missing markers, and of each measure unit, resolution and
    range. What only people know is listed in its comments: decide, and remove them.

    Example: `meterlake dataset new london --from sample.csv`, then `METERLAKE_DATASETS=my_datasets meterlake dataset
    check london --file sample.csv`.
    """
    from meterlake import discovery, scaffold
    from meterlake import sample as samples

    if registry.find(name):
        raise UsageError(f"There is a data set {name!r} already.", hint="Choose another name: tables are called by it.")
    seen = samples.look(sample)
    path = scaffold.write(folder, name, seen)
    listing = discovery.in_folder(path.parent)
    if listing.problems:
        raise listing.problems[0]
    entry = listing.entries[name]
    if output is Output.JSON:
        row = {**_row(entry), "decide": list(seen.decide), "cannot_be_read": list(seen.unread)}
        show([row], output)
        return
    show([{"what": what, "value": value} for what, value in _row(entry).items()], output)
    for note in seen.unread:
        progress_console.print(f"Cannot be read yet: {note}.", markup=False, soft_wrap=True)
    progress_console.print(
        f"\nWritten: {path}\nDecide what its comments ask, then:"
        f"\n  METERLAKE_DATASETS={folder} meterlake dataset check {name} --file {sample}",
        markup=False,
        soft_wrap=True,
    )


dataset_app.command("contract")(contract_command.contract)


def _row(entry: Entry) -> dict[str, object]:
    declared = entry.declaration
    return {
        "name": entry.name,
        "title": declared.title,
        "kind": declared.kind,
        "grains": ", ".join(view.grain for view in declared.views),
        "parts": ", ".join(entry.data_set.parts),
        "place": str(entry.folder or entry.source),
    }


def _lakehouse_row(entry: LakehouseEntry) -> dict[str, object]:
    declared = entry.declaration
    counts = {
        "events": declared.events,
        "references": declared.references,
        "facts": declared.facts,
        "figures": declared.kpis,
    }
    return {
        "name": entry.name,
        "title": declared.title,
        "kind": "lakehouse",
        "grains": "",
        "parts": ", ".join(
            f"{len(items)} {name[: -1 if len(items) == 1 else None]}" for name, items in counts.items() if items
        ),
        "place": str(entry.folder or entry.source),
    }


def _read(entry: Entry, file: Path) -> Finding:
    """Return what the format of a data set makes of a file."""
    from cli.sample_check import read
    from meterlake.dataset_check import Finding

    try:
        seen = read(format_of(entry, file), file)
    except PermanentError as error:
        return Finding("wrong", str(file), error.what, error.hint)
    reasons = ", ".join(f"{count} {reason}" for reason, count in seen.reasons.most_common())
    if seen.first is None or seen.last is None:
        hint = "Compare a line with the format: `meterlake dataset new` guesses one."
        return Finding("wrong", str(file), f"none of its {seen.lines} lines is a reading: {reasons}", hint)
    odd = f"; no readings, to go to quarantine: {reasons}" if reasons else ""
    length = duration_text(seen.last - seen.first)
    counted = {"reading": seen.readings, "gap row": seen.gaps, "meter": len(seen.meters)}
    counts = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counted.items())
    return Finding("ok", f"{file}: {counts}, from {seen.first} UTC on for {length}{odd}")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.add_typer(dataset_app, name="dataset", rich_help_panel="Generated files")
