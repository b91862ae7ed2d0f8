"""``meterlake ddl``: the engines' tables and the wire schema, from the declaration."""

from __future__ import annotations

from typing import Annotated

import typer

from meterlake import datasets, generated
from meterlake.cli.output import Output, OutputOption, progress_console, show
from meterlake.errors import PermanentError
from meterlake.settings import ROOT


def ddl(
    dataset: Annotated[str | None, typer.Argument(help="A data set; nothing means all.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file differs.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the generated files of a data set: Hive DDL, Cassandra CQL, Trino views, JSON Schema of its messages.

    They are checked in to be read. Change the declaration in meterlake/datasets/, then run this.
    """
    wanted = [datasets.get(dataset)] if dataset else [datasets.get(name) for name in datasets.names()]
    step = generated.drift if check else generated.write
    changed = [path for declared in wanted for path in step(declared, ROOT)]
    if check and changed:
        raise PermanentError(
            f"Generated files differ from their declaration: {', '.join(changed)}.", hint="Run `meterlake ddl`."
        )
    if output is Output.JSON:
        show([{"changed": path} for path in changed], output)
    else:
        progress_console.print("\n".join(changed) or "All generated files are up to date.", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(ddl)
