"""``meterlake dags``: Airflow's DAGs, from the declarations."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.arguments import beginning
from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import registry
from meterlake.errors import PermanentError


def dags(
    dataset: Annotated[
        str | None, typer.Argument(help="Those of this data set; nothing means all.", autocompletion=beginning)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file differs.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write Airflow's DAGs of the data sets to `airflow/dags/`, where they are checked in.

    Those of a data set of your own are written into its folder, below `generated/airflow/dags`. `meterlake up airflow`
    starts Airflow with all of them. A DAG's tasks are commands, which do together what `meterlake batch` does.

    Examples:

    - `meterlake dags`
    - `meterlake dags half_hourly --check`
    """
    from meterlake import orchestration

    chosen = [registry.lakehouse(dataset) or registry.entry(dataset)] if dataset else orchestration.entries()
    differing = [path for entry in chosen for path in orchestration.drift(entry)]
    if check and differing:
        raise PermanentError(
            f"Generated files differ from the declarations: {', '.join(map(shown_path, differing))}.",
            hint="Run `meterlake dags`.",
        )
    for entry in chosen:
        orchestration.write(entry)
    if output is Output.TEXT:
        progress_console.print("\n".join(map(shown_path, differing)) or "All DAGs are up to date.", markup=False)
    show([dag.row() for entry in chosen for dag in orchestration.dags_of(entry)], output)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(dags)
