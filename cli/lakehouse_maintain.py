"""``meterlake maintain`` of a lakehouse: landed objects whose retention is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.output import Output, console, report_progress, show
from meterlake.clock import system_clock
from meterlake.durations import duration_text
from meterlake.log import get_logger
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.upkeep import Ended
    from meterlake.dataset import LakehouseEntry


def maintain(entry: LakehouseEntry, output: Output, *, only_show: bool) -> None:
    """Remove landed objects whose retention is over; or show which these are."""
    from lakehouse import upkeep

    declared, settings = entry.declaration, load_settings()
    if not declared.retentions:
        _say(f"{entry.name} declares no retention: landed objects are kept for ever.", output)
        return
    work = upkeep.Work(settings, declared, system_clock, report_progress)
    if problem := upkeep.prevented(settings, entry.name):
        _say(f"Nothing is removed of {entry.name}: {problem}.", output)
        return
    ended = upkeep.look(work) if only_show else upkeep.remove(work)
    rows = [row(item, only_show=only_show) for item in ended]
    for each in rows:
        get_logger().debug("upkeep", **each)
    show_rows(rows, output, only_show=only_show)


def row(item: Ended, *, only_show: bool) -> dict[str, Any]:
    """Return what became of a record's landed objects, for programs."""
    return {
        "record": item.record,
        "retention": duration_text(item.retention),
        "result": "would be removed" if only_show else "removed",
        "objects": item.objects,
        "records": item.records,
        "bytes": item.bytes,
        "without_manifest": item.left,
        "stay": {str(reason): count for reason, count in sorted(item.stay.items())},
    }


def show_rows(rows: Sequence[dict[str, Any]], output: Output, *, only_show: bool) -> None:
    """Show what became of landed objects: for people those records alone of which there were any."""
    if output is Output.JSON:
        show(rows, output)
        return
    plain = [
        {**each, "stay": "; ".join(f"{count} {reason}" for reason, count in each["stay"].items())} for each in rows
    ]
    some = [
        {name: value for name, value in each.items() if name != "result"}
        for each in plain
        if each["objects"] or each["without_manifest"] or each["stay"]
    ]
    if some:
        title = "Landed objects that would be removed" if only_show else "Landed objects that were removed"
        show(some, output, title=title, optional=("without_manifest", "retention", "bytes"))
    if len(some) < len(rows):
        console.print(f"Of the other {len(rows) - len(some)} records no object's time is over.")


def _say(text: str, output: Output) -> None:
    if output is Output.JSON:
        show([], output)
    report_progress(text)
