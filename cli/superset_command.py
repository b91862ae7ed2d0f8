"""``meterlake superset``: Superset's data sets, charts and dashboard of a lakehouse's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import registry
from meterlake.errors import UsageError
from meterlake.settings import load_settings


def superset(
    dataset: Annotated[str, typer.Argument(help="A lakehouse.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the bundle (ZIP) that Superset imports.")] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Import it into the Superset that `meterlake up superset` runs.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make Superset's data sets, charts and dashboard of a lakehouse's figures.

    A figure is a data set with the statement of `meterlake kpi`, and a chart; pages of the declaration are tabs.
    Importing it again changes what is there, and adds nothing.

    Examples:

    - `meterlake superset utility --out utility.zip`
    - `meterlake superset utility --push`
    """
    from lakehouse.superset import bundle, files
    from stack.instance import Instance
    from stack.services import superset as service

    if not (out or push):
        raise UsageError("Neither --out nor --push is given.", hint="Write --push, or --out FILE.zip.")
    declared, instance = registry.required_lakehouse(dataset).declaration, Instance(load_settings())
    texts = files(declared, service.trino(instance.settings, secret=False)["url"])
    archive = bundle(texts, declared.name)
    if out:
        out.write_bytes(archive)
    if push:
        service.bring(instance, declared.name, archive)
    counts = {part: sum(path.startswith(f"{part}/") for path in texts) for part in ("dashboards", "charts", "datasets")}
    show([{"lakehouse": declared.name, **counts}], output)
    if output is Output.TEXT:
        where = shown_path(out) if out else f"{service.SUPERSET.url(instance)}/superset/dashboard/{declared.name}/"
        progress_console.print(where, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(superset)
