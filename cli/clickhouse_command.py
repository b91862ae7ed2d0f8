"""``meterlake clickhouse``: what readers of a lakehouse see, in ClickHouse."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import Output, OutputOption, show
from meterlake import registry
from meterlake.settings import load_settings


def clickhouse(
    dataset: Annotated[str, typer.Argument(help="A lakehouse.")],
    full: Annotated[bool, typer.Option("--full", help="Load all of it again, into an empty database.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Load ClickHouse with what readers of a lakehouse see: days that have changed, each replaced as a whole.

    Facts, dimensions, and the marts of the declaration. Rows and exact sums are compared with what Trino reads; a
    difference is an error. `METERLAKE_CLICKHOUSE_URL` names a server; without it ClickHouse's engine runs in this
    process (chDB: `uv pip install 'meterlake[clickhouse]'`).

    Examples:

    - `meterlake clickhouse telecom`
    - `meterlake query --engine clickhouse "SELECT * FROM telecom.traffic_by_cell_hour ORDER BY calls DESC LIMIT 5"`
    """
    from engines.clickhouse import session
    from lakehouse import lease
    from lakehouse.clickhouse.load import load

    settings, declared = load_settings(), registry.required_lakehouse(dataset).declaration
    with lease.held(settings, declared.name, "clickhouse"), session(settings) as engine:
        show(load(settings, engine, declared, full=full), output)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(clickhouse)
