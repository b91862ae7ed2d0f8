"""``meterlake lineage``: from rows of a table back to the runs that made them."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, show
from meterlake import registry
from meterlake.settings import load_settings


def lineage(
    dataset: DatasetArgument,
    table: Annotated[
        str, typer.Argument(help="Table, without the data set: staging, presentation.cost, vee.estimates …")
    ],
    where: Annotated[str, typer.Option("--where", help="Which rows, as SQL of Trino; default: all.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Trace rows of a table back to the runs that made them: what each read, and by which version of the code.

    Newest first; a row that was changed later is in both runs. While jobs work, METERLAKE_LINEAGE sends what each reads
    and writes, as OpenLineage events.

    Examples:

    - `meterlake lineage half_hourly presentation.consumption_per_product_per_day --where "day = DATE '2021-03-28'"`
    - `meterlake lineage half_hourly vee.estimates --where "meter_id = '0432df65f7'" --output json`
    """
    from serving_layer.row_lineage import trace

    result = trace(load_settings(), registry.entry(dataset).declaration, table, where)
    if output is Output.JSON:
        rows = [
            {"version": one.version, "at": one.at, "rows": one.rows, "run": one.run, "code": one.code} for one in result
        ]
        show([{**row, "inputs": list(one.inputs)} for row, one in zip(rows, result, strict=True)], output)
        return
    show(
        [
            {
                "commit": one.version,
                "at": f"{one.at:%Y-%m-%d %H:%M:%S}",
                "rows": one.rows,
                "run": one.run,
                "code": one.code,
                "inputs": "; ".join(one.inputs),
            }
            for one in result
        ],
        output,
    )


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(lineage)
