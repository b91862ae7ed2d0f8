"""Commands of published runs: runs, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import lakehouse_commands
from cli.arguments import DatasetArgument
from cli.changes import change_row, change_words
from cli.output import Output, OutputOption, show
from meterlake import registry
from meterlake.clock import Clock, system_clock
from meterlake.errors import RunUnderWay
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from serving_layer.publish.history import History, Record


def runs(
    dataset: DatasetArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the last runs.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All runs, however many.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the published runs, newest last: what each read, used and wrote, and where its boundary lies.

    Status: `current` is what readers see, `kept` may be rolled back to, `expired` has no files any more. All figures
    are in `--output json`. An interrupted publish is finished first.

    Corrections and erasures since the first run that is shown are listed, too: who made them, when and why.

    Examples:

    - `meterlake runs household`
    - `meterlake runs household -n 1 --output json`
    """
    from serving_layer.publish import changes, records

    if (lakehouse := registry.lakehouse(dataset)) is not None:
        lakehouse_commands.runs(lakehouse, None if every else limit, output)
        return
    declaration, settings = registry.declaration(dataset), load_settings()
    history = _settled(settings, declaration, system_clock)
    last = records.last(settings, declaration.name, history.seq, None if every else limit)
    rows = [described(record, history.status(record), output) for record in last]
    first = last[0].at if len(last) >= limit and not every else None
    changed = [change for change in changes.load(settings, declaration.name) if first is None or change.at >= first]
    if output is Output.JSON:
        show([*rows, *map(change_row, changed)], output)
        return
    show(rows, output, optional=("files", "rejected", "mode", "read", "days", "seconds", "at", "used", "event"))
    if changed:
        show(list(map(change_words, changed)), output, title="\nCorrections and erasures", optional=("id", "done"))


def rollback(
    dataset: DatasetArgument,
    run: Annotated[str, typer.Argument(help="The run to go back to, as `meterlake runs` names it.")],
    allow_gap: Annotated[
        bool, typer.Option("--allow-gap", help="Accept that minutes are lost whose speed rows have expired.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let readers see an earlier run again: one that `meterlake runs` shows as kept.

    Only what readers are shown changes, in seconds; no reading is lost. The next batch starts from that run's input and
    computes again what came later. It is refused where minutes would be in neither layer.

    Examples:

    - `meterlake rollback household 20261121T101500-3fa9`
    """
    from batch_layer import lease
    from engines import spark
    from serving_layer.publish.publish import Publisher

    if (lakehouse := registry.lakehouse(dataset)) is not None:
        lakehouse_commands.roll_back(lakehouse, run, output)
        return
    declaration, settings = registry.declaration(dataset), load_settings()
    doing = f"rollback to {run}"
    with lease.held(settings, declaration.name, doing, system_clock) as held, spark.session(settings, "rollback"):
        history = Publisher(settings, declaration, held, system_clock).roll_back(run, allow_gap=allow_gap)
    assert history.current is not None  # noqa: S101 - narrows the type
    show_run(described(history.current, "current", output), output)


def _settled(settings: Settings, dataset: MeterSeries, clock: Clock) -> History:
    """Return the history, an interrupted publish finished; while a run is under way, it is left to that."""
    from serving_layer.publish import records

    history = records.load(settings, dataset.name)
    if history.begun is None:
        return history
    from batch_layer import lease
    from serving_layer.publish.publish import Publisher

    try:
        with lease.held(settings, dataset.name, "finishing an interrupted publish", clock) as held:
            return Publisher(settings, dataset, held, clock).roll_forward()
    except RunUnderWay:
        return history


def described(record: Record, status: str, output: Output) -> dict[str, Any]:
    """Return a run as people read it; for programs all figures too."""
    details = record.details
    balance, tables = details.get("balance", {}), details.get("tables", {})
    days = tables.get("master", {}).get("days")
    row = {
        "run": record.run_id,
        "event": record.event,
        "at": f"{record.at:%Y-%m-%d %H:%M:%S}",
        "status": status,
        "mode": details.get("mode"),
        "days": "all" if days is None else len(days),
        "read": balance.get("read"),
        "used": balance.get("used"),
        "rejected": balance.get("rejected"),
        "files": sum(figures.get("files_written", 0) for figures in tables.values()),
        "seconds": details.get("seconds"),
        "boundary": f"{record.boundary:%Y-%m-%d %H:%M}",
        "unexplained": details.get("reconciliation", {}).get("unexplained"),
    }
    if output is Output.TEXT:
        return row
    return {**row, "at": record.at, "boundary": record.boundary, "snapshot": record.snapshot, "details": dict(details)}


def show_run(row: dict[str, Any], output: Output) -> None:
    """Show one run: for people line by line, for a row of it is wider than a terminal."""
    if output is Output.TEXT:
        show([{"what": name, "value": value} for name, value in row.items() if value is not None], output)
    else:
        show([row], output)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (runs, rollback):
        app.command(rich_help_panel="Batch views")(command)
