"""``meterlake dashboards``: Grafana's dashboards and alert rules, from the declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.arguments import beginning
from cli.output import Output, OutputOption, progress_console, show, shown_path
from meterlake.clock import system_clock
from meterlake.errors import PermanentError, UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from serving_layer.dashboards.check import Finding
    from serving_layer.dashboards.push import Pushed


def dashboards(
    dataset: Annotated[
        str | None, typer.Argument(help="Those of this data set; nothing means all.", autocompletion=beginning)
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; compare the files, and ask Trino and Cassandra every query."),
    ] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="URL", help="Bring the dashboards into a Grafana that runs there.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write Grafana's dashboards and alert rules to `grafana/`, where they are checked in and provisioned from.

    Those of a data set of your own are written into its folder, below `generated/grafana`.

    `--check` fails when a file differs from the code, when a server refuses a query, or when a panel would lack a
    column. A query without an answer is shown as `empty`: right in a system without data. Dashboards of lakehouses are
    not asked.

    `--push http://grafana:3000` needs `METERLAKE_GRAFANA_TOKEN`, the token of a service account (role Editor). It
    changes only what differs.
    """
    if check and push:
        raise UsageError("--check and --push do not go together.", hint="Give one of them.")
    if check:
        _check(dataset, output)
    elif push:
        _push(dataset, push, output)
    else:
        _write(dataset, output)


def _write(dataset: str | None, output: Output) -> None:
    from serving_layer.dashboards import catalogue

    address = load_settings().runbooks_url
    parts = [catalogue.part(dataset)] if dataset else catalogue.parts()
    changed = [shown_path(path) for part in parts for path in catalogue.write(part, address)]
    if output is Output.JSON:
        show([{"changed": path} for path in changed], output)
    else:
        progress_console.print("\n".join(changed) or "All dashboards are up to date.", markup=False)


def _check(dataset: str | None, output: Output) -> None:
    from serving_layer.dashboards import catalogue
    from serving_layer.dashboards.check import check

    address = load_settings().runbooks_url
    parts = [catalogue.part(dataset)] if dataset else catalogue.parts()
    differing = [shown_path(path) for part in parts for path in catalogue.drift(part, address)]
    if differing:
        raise PermanentError(
            f"Generated files differ from the code: {', '.join(differing)}.", hint="Run `meterlake dashboards`."
        )
    result = check(load_settings(), parts[0] if dataset else catalogue.whole(), system_clock)
    show([_row(finding) for finding in result], output)
    counts = {state: sum(finding.state == state for finding in result) for state in ("ok", "empty", "wrong")}
    progress_console.print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["wrong"]:
        raise typer.Exit(1)


def _row(finding: Finding) -> dict[str, object]:
    row = {"state": finding.state, "query": finding.where, "engine": finding.engine, "rows": finding.rows}
    return {**row, "ms": finding.ms, "problem": finding.problem}


def _push(dataset: str | None, url: str, output: Output) -> None:
    from serving_layer.dashboards import catalogue
    from serving_layer.dashboards import push as grafana

    def report(pushed: Pushed) -> None:
        progress_console.print(f"{pushed.outcome:9} {pushed.url}", markup=False)

    boards = catalogue.part(dataset).boards() if dataset else catalogue.pushed()
    result = grafana.push(url, load_settings().grafana_token, boards, report)
    if output is Output.JSON:
        show([{"uid": pushed.uid, "outcome": pushed.outcome, "url": pushed.url} for pushed in result], output)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Generated files")(dashboards)
