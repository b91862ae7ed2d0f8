"""Commands of the speed layer: archive, stream."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import lakehouse_commands, merged_views
from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, log_to_file, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.settings import load_settings

OnceOption = Annotated[bool, typer.Option("--once", help="Process what is in Kafka now, then end.")]
PortOption = Annotated[
    int | None, typer.Option("--metrics-port", min=0, max=65535, help="Prometheus metrics on loopback; 0 means none.")
]


def archive(
    dataset: DatasetArgument,
    once: OnceOption = False,
    metrics_port: PortOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Append what arrives in Kafka to the master data set, every message once; what is no reading to quarantine.

    Runs until Ctrl-C or SIGTERM, which let the append under way end. Killed in any other way it loses and doubles
    nothing: start it again. Servers that go away are waited for.

    Examples:

    - `meterlake archive household`
    - `meterlake archive household --once`
    """
    _run(dataset, archive=True, views=False, once=once, metrics_port=metrics_port, output=output)


def stream(
    dataset: DatasetArgument,
    once: OnceOption = False,
    with_archive: Annotated[
        bool, typer.Option("--with-archive", help="Run the archive in the same process: it spares 1.4 GB.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Of a lakehouse: print the SQL of its minutes, live and from gold, and end.")
    ] = False,
    metrics_port: PortOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring what arrives in Kafka into Cassandra, minute by minute: readable seconds after it was measured.

    Creates the Cassandra tables, and the topics. Runs until Ctrl-C or SIGTERM, which let the update under way end.
    Killed in any other way it loses and doubles nothing: start it again. Servers that go away are waited for.

    Of a lakehouse: events that no run has read yet, counted by minute and place, with exact amounts.

    Examples:

    - `meterlake stream household --with-archive`
    - `meterlake stream household --once`
    - `meterlake stream household --metrics-port 9464`
    - `meterlake stream telecom`
    """
    if (entry := registry.lakehouse(dataset)) is not None:
        if with_archive or metrics_port:
            raise UsageError("--with-archive and --metrics-port are for meters.", hint=f"Land {dataset} beside it.")
        lakehouse_commands.stream(entry, once=once, sql=sql, output=output)
        return
    if sql:
        raise UsageError("--sql is for lakehouses.", hint="The views of meters are in serving_layer/sql/.")
    _run(dataset, archive=with_archive, views=True, once=once, metrics_port=metrics_port, output=output)


def _run(dataset: str, *, archive: bool, views: bool, once: bool, metrics_port: int | None, output: Output) -> None:
    from speed_layer import tables
    from speed_layer.run import Queries, run

    result, settings = registry.declaration(dataset), load_settings()
    port = settings.metrics_port if metrics_port is None else metrics_port
    queries = Queries(archive, views, once, port)
    log_to_file(settings, "stream" if views else "archive", dataset)
    if views:
        tables.apply(settings, result)
        merged_views.prepare_if_possible(settings, result, system_clock)
    read = run(settings, result, queries, system_clock)
    show([{"dataset": dataset, "query": query, "messages": count} for query, count in read.items()], output)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (archive, stream):
        app.command(rich_help_panel="Readings in")(command)
