"""``meterlake erase``: a meter's readings, or a person's records, removed from wherever they are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import lakehouse_erase
from cli.arguments import DatasetArgument
from cli.load_options import ByOption, WhyOption, given_reason
from cli.output import Output, OutputOption, log_to_file, report_progress, show
from cli.remains import show_remains
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.erasure import Erasure
from meterlake.errors import UsageError
from meterlake.log import get_logger
from meterlake.meter_names import check_meter_id
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.erasure import Receipt


def erase(
    dataset: DatasetArgument,
    meter: Annotated[
        str, typer.Argument(help="Meter, as its readings name it. Of a lakehouse a person: customer, phone number.")
    ],
    why: WhyOption = "",
    by: ByOption = "",
    before: Annotated[
        datetime | None,
        typer.Option(
            "--before", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only readings before this moment, in UTC."
        ),
    ] = None,
    of: Annotated[
        str, typer.Option("--of", help="Of a lakehouse: whose key it is, where several references are people.")
    ] = "",
    only_show: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed where, and change nothing.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove a meter's readings or a person's records from wherever they are kept.

    Of a meter: raw files, quarantine, the master data set, all views, and the live tables. Of a person in a lakehouse:
    landed objects, bronze, silver and gold, earlier runs and their files, ClickHouse.

    Views without them are published at once, and no earlier run can be rolled back to. Old snapshots are removed with
    their files. What cannot be removed at once (messages in Kafka between those of others) stands in the receipt, with
    the time by which it is gone. The receipt is kept: `meterlake runs` lists it.

    Stop first what sends or loads readings of the meter: those that arrive later are new readings. An erasure that was
    interrupted is completed by the same command. Once more, it finds nothing and changes nothing.

    Examples:

    - `meterlake erase household house2 --why "moved out, letter of 3 March" --dry-run`
    - `meterlake erase household house2 --by "A. Martin" --why "moved out, letter of 3 March"`
    - `meterlake erase household house2 --before 2024-01-01 --why "kept for two years"`
    - `meterlake erase utility C00000123 --why "letter of 3 March"`
    """
    if (lakehouse := registry.lakehouse(dataset)) is not None:
        if before:
            raise UsageError("--before is for readings.", hint="A person leaves a lakehouse with all records.")
        reason = None if only_show else given_reason(by, why)
        log_to_file(load_settings(), "erase", dataset)
        lakehouse_erase.erase(lakehouse, meter, of, reason, output)
        return
    if of:
        raise UsageError("--of is for people in lakehouses.", hint="Leave it out.")
    from batch_layer.pipeline.correct import Reason  # Spark takes half a second to import
    from batch_layer.pipeline.erase import Work, look
    from batch_layer.pipeline.erase import erase as run
    from speed_layer.erase import LiveRows

    entry, settings = registry.entry(dataset), load_settings()
    moment = before.replace(tzinfo=UTC) if before else None
    erasure = Erasure(entry.name, check_meter_id(meter), moment)
    live = LiveRows(settings, entry.declaration, erasure, system_clock)
    work = Work(settings, entry.declaration, entry.data_set.formats, live, system_clock, report_progress)
    log_to_file(settings, "erase", dataset)
    receipt = look(work, erasure) if only_show else run(work, erasure, Reason(*given_reason(by, why)))
    content = _packed(receipt)
    get_logger().debug("erasure", **content)
    if output is Output.JSON:
        show([content], output)
    else:
        _report(receipt)


def _packed(receipt: Receipt) -> dict[str, Any]:
    return {
        "dataset": receipt.erasure.dataset,
        "meter": receipt.erasure.meter,
        "before": receipt.erasure.before,
        "result": receipt.result,
        "removed": dict(receipt.removed),
        "remains": [each.packed() for each in receipt.remains],
        "id": receipt.id or None,
        "at": receipt.at,
        "by": receipt.by or None,
        "why": receipt.why or None,
        "run": receipt.run or None,
    }


def _report(receipt: Receipt) -> None:
    erasure = receipt.erasure
    facts: dict[str, object] = {
        "result": receipt.result,
        "meter": erasure.meter,
        "before (UTC)": f"{erasure.before:%Y-%m-%d %H:%M:%S}" if erasure.before else "",
        **{name: count for name, count in receipt.removed.items() if count},
        "run": receipt.run,
        "erasure": receipt.id,
        "at (UTC)": f"{receipt.at:%Y-%m-%d %H:%M:%S}" if receipt.at else "",
        "by": receipt.by,
        "why": receipt.why,
    }
    show([{"what": name, "value": value} for name, value in facts.items() if value != ""], Output.TEXT)
    show_remains(receipt.remains, erased=receipt.result == "erased")


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Upkeep")(erase)
