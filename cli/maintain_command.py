"""``meterlake maintain``: small files made large, what nobody needs any more removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import lakehouse_maintain
from cli.arguments import DatasetArgument, given_duration
from cli.output import Output, OutputOption, console, log_to_file, report_progress, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.log import get_logger
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from datetime import timedelta

    from batch_layer.maintain import Needed
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.history import History, Record


_KEEP: Final = "1d"


def maintain(
    dataset: DatasetArgument,
    keep: Annotated[
        str, typer.Option("--keep", help="Snapshots younger than this stay, so longer than any query runs: 1d, 12h.")
    ] = _KEEP,
    only_show: Annotated[
        bool, typer.Option("--dry-run", help="Of a lakehouse: show what would be removed, and change nothing.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make small files of the master data set large, and remove what nobody needs any more.

    Small slices of the views whose time has become old are merged into large ones. Removed are old snapshots, folders
    of runs that can no longer be rolled back to, and what killed writers left. Kept is all that the published run, the
    runs to roll back to and the streaming archive stand on: the next batch still finds exactly what has changed. The
    record of runs is compacted, too, and keeps every run. No row changes. Tables made with reference tables
    are clustered by their keys (Z-order); of their old versions those of the last day stay, however short `--keep` is.
    Run it once a day; batch waits meanwhile.

    Of a lakehouse, landed objects are removed whose declared retention is over, where bronze has all that was in them.
    Their manifests stay, and say so.

    Examples:

    - `meterlake maintain household --keep 12h`
    - `meterlake maintain utility --dry-run`
    """
    if (lakehouse := registry.lakehouse(dataset)) is not None:
        if keep != _KEEP:
            raise UsageError("--keep is for data sets of meters.", hint="A lakehouse declares its retention.")
        log_to_file(load_settings(), "maintain", dataset)
        lakehouse_maintain.maintain(lakehouse, output, only_show=only_show)
        return
    if only_show:
        raise UsageError("--dry-run is for lakehouses.", hint="Upkeep of meters changes no row.")
    kept = given_duration("--keep", keep)
    settings = load_settings()
    log_to_file(settings, "maintain", dataset)
    entry = registry.entry(dataset)
    rows = keep_up(settings, entry.declaration, kept, system_clock)
    parts = entry.data_set
    if parts.presentation or parts.vee or parts.tariffs:
        from batch_layer.pipeline.upkeep import maintain_tables

        presentation, vee = entry.presentation() if parts.presentation else None, entry.vee() if parts.vee else None
        made = (entry.declaration, presentation, vee)
        rows += maintain_tables(settings, made, kept, system_clock, costs=parts.tariffs is not None)
    for row in rows:
        get_logger().debug("upkeep", **row)
    if output is Output.JSON:
        show(rows, output)
        return
    changed = [row for row in rows if any(count for name, count in row.items() if name != "table")]
    show(changed, output, optional=("removed", "snapshots_expired"))
    if len(changed) < len(rows):
        console.print(f"Nothing to do for the other {len(rows) - len(changed)} tables and leftovers.")


def keep_up(settings: Settings, dataset: MeterSeries, keep: timedelta, clock: Clock) -> list[dict[str, Any]]:
    """Do all upkeep of a data set, under its lease; return what was done, a row a table.

    keep: snapshots younger than this stay.
    """
    from batch_layer import lease, maintain as upkeep  # noqa: I001 - Spark takes half a second to import
    from batch_layer.pipeline.merge import merge_slices
    from engines import spark
    from engines.spark_failures import translated
    from serving_layer.publish import records
    from serving_layer.publish.publish import Publisher

    doing = f"upkeep of {dataset.name}"
    with (
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "maintain") as session,
        translated(settings, doing),
    ):
        publisher = Publisher(settings, dataset, held, clock)
        merged = merge_slices(session, publisher, report_progress)
        needed, now = what_runs_need(publisher.roll_forward()), clock()
        rows = upkeep.maintain(session, settings, dataset, needed, keep, now)
        rows.append({"table": "slices merged", **upkeep.NOTHING, "removed": merged})
        done = records.upkeep(session, settings, now - keep, now - upkeep.ORPHANED)
        return [*rows, {"table": records.FULL_NAME, **done}] if done else rows


def what_runs_need(history: History) -> Needed:
    """Return what the runs stand on to which readers may be taken."""
    from batch_layer.maintain import Needed

    snapshots = {snapshot for run in history.runs for snapshot in _snapshots(run.record)}
    return Needed(frozenset(snapshots), frozenset(history.folders_in_use))


def _snapshots(record: Record) -> list[int]:
    """Return the input of a run: up to where it has all changes, and what it has read."""
    result: list[Any] = [record.snapshot, record.details.get("read_snapshot")]
    return [int(snapshot) for snapshot in result if snapshot is not None]


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Upkeep")(maintain)
