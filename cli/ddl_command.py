"""``meterlake ddl``: the engines' tables and the wire schema, from the declaration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import merged_views
from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake import generated, registry
from meterlake.clock import system_clock
from meterlake.errors import PermanentError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings


def ddl(
    dataset: Annotated[str | None, typer.Argument(help="A data set; nothing means all.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file differs.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the tables in the running servers instead: Cassandra, Hive, Trino.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the generated files of a data set: Hive DDL, Cassandra CQL, Trino views, JSON Schema of its messages.

    They are checked in to be read: change the declaration, then run this. Those of a data set of your own are written
    into the folder `generated` beside its declaration.

    With `--apply` all tables and views are made where they are not, so that everything can be queried, and every
    dashboard opened, before anything has run; what is there keeps its rows.
    """
    wanted = (registry.entry(dataset),) if dataset else registry.entries()
    if apply:
        show(make_all(load_settings(), [entry.declaration for entry in wanted]), output)
        return
    step = generated.drift if check else generated.write
    changed = [shown_path(path) for entry in wanted for path in step(generated.files_of(entry))]
    if check and changed:
        raise PermanentError(
            f"Generated files differ from their declaration: {', '.join(changed)}.", hint="Run `meterlake ddl`."
        )
    if output is Output.JSON:
        show([{"changed": path} for path in changed], output)
    else:
        progress_console.print("\n".join(changed) or "All generated files are up to date.", markup=False)


def make_all(settings: Settings, wanted: Sequence[MeterSeries]) -> list[dict[str, object]]:
    """Make all tables and views of data sets in the running servers; return what was done for each."""
    from speed_layer import tables

    _create_iceberg_tables(settings, wanted)
    done: list[dict[str, object]] = []
    for declared in wanted:
        statements = tables.apply(settings, declared)
        merged_views.prepare(settings, declared, system_clock)
        done.append({"dataset": declared.name, "cassandra_statements": len(statements), "views": "ready"})
    return done


def _create_iceberg_tables(settings: Settings, wanted: Sequence[MeterSeries]) -> None:
    """Make the master data sets, their quarantines, and the record of runs."""
    from engines import master, spark
    from engines.spark_failures import translated
    from serving_layer.publish import records

    with spark.session(settings, "ddl") as session, translated(settings, "the Iceberg tables"):
        for declared in wanted:
            master.master(session, settings, declared)
            master.quarantine(session, settings, declared)
        records.create(session, settings)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(ddl)
