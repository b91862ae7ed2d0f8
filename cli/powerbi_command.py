"""``meterlake powerbi``: a lakehouse's semantic model and report for Power BI, from its declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import generated, registry
from meterlake.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.powerbi.model import Model
    from meterlake.dataset import LakehouseEntry

FOLDER: Final = "powerbi"


def powerbi(
    dataset: Annotated[str, typer.Argument(help="A lakehouse.")],
    write: Annotated[
        bool, typer.Option("--write", help="Bring the files up to date; without: say which differ.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a Power BI project of a lakehouse: a semantic model (TMDL) and a report (PBIR) over ClickHouse.

    Gold tables with their relations, a table for each role that a member plays, figures and KPIs in DAX, hierarchies,
    formats, descriptions: all from the declaration. Figures that DAX cannot have are named. Power BI Desktop opens
    `powerbi/NAME/NAME.pbip`; its parameters say where ClickHouse is.

    Examples:

    - `meterlake powerbi telecom`
    - `meterlake powerbi telecom --write`
    """
    from lakehouse.powerbi.model import model

    entry = registry.required_lakehouse(dataset)
    result = model(entry.declaration)
    wanted = files(entry, result)
    gone = [path for path in _definitions(entry) if path not in wanted]
    if write:
        changed = generated.write(wanted)
        for path in gone:
            path.unlink()
    else:
        changed = generated.drift(wanted)
    for reason in result.left_out:
        progress_console.print(f"Not in the model: {reason}", markup=False, soft_wrap=True)
    if output is Output.JSON:
        show([{"changed": shown_path(path)} for path in (*changed, *gone)], output)
        return
    measures = sum(len(table.measures) for table in result.tables)
    parts = f"{len(result.tables)} tables, {len(result.relations)} relations, {measures} measures"
    paths = "\n".join(shown_path(path) for path in (*changed, *gone)) or "All files are up to date."
    progress_console.print(f"{parts}\n{paths}", markup=False, soft_wrap=True)


def files(entry: LakehouseEntry, model: Model) -> dict[Path, str]:
    """Return path -> text of the project of a lakehouse."""
    from lakehouse.powerbi.project import files as of_model

    return {_root(entry) / path: text for path, text in of_model(model).items()}


def _root(entry: LakehouseEntry) -> Path:
    """Return the folder of a project: in the checkout if the lakehouse is ours, else in its folder."""
    if entry.is_ours or entry.folder is None:
        return ROOT / FOLDER / entry.name
    return entry.folder / generated.FOLDER / FOLDER


def _definitions(entry: LakehouseEntry) -> list[Path]:
    """Return the files of a project's definitions that are there, which are all generated."""
    return sorted(path for path in _root(entry).glob("*.*/definition/**/*") if path.is_file())


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(powerbi)
