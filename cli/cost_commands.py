"""Commands of tariffs: cost, bill."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, console, log_to_file, report_progress, show
from meterlake import registry
from meterlake.clock import Clock, system_clock
from meterlake.errors import UsageError
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from meterlake.dataset import Entry
    from meterlake.tariffs.bill import Bill

_DAY = ["%Y-%m-%d"]


class BillOutput(StrEnum):
    """Format of a bill."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


def cost(
    dataset: DatasetArgument,
    tariffs: Annotated[
        Path | None, typer.Option("--tariffs", help="Another file of tariffs than the data set's own.")
    ] = None,
    reprice: Annotated[
        bool, typer.Option("--reprice", help="Compute past days again whose prices the file says otherwise now.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compute what each meter's energy costs, day by day, by the tariffs of its products: what has changed only.

    Costs are in `delta.presentation.<data set>_cost`, exact and without VAT: a line a meter, day, product and part of
    its tariff. A new price is a new tariff with a later first day; where the file says something else about days that
    have costs, nothing is computed without `--reprice`.

    Examples:

    - `meterlake cost half_hourly`
    - `meterlake cost half_hourly --tariffs prices-2021.toml`
    """
    entry, settings = registry.entry(dataset), load_settings()
    entry.presentation()
    log_to_file(settings, "cost", dataset)
    row = cost_once(settings, entry, system_clock, tariffs, reprice=reprice)
    show([row], output)


def cost_once(
    settings: Settings, entry: Entry, clock: Clock, tariffs: Path | None = None, *, reprice: bool = False
) -> dict[str, Any]:
    """Bring the costs up to date; return what changed."""
    from batch_layer.pipeline.cost import run_costs

    held = entry.tariffs(tariffs)
    vee = entry.vee() if entry.data_set.vee else None
    given = (entry.declaration, entry.presentation(), vee)
    done = run_costs(settings, given, held, clock, report_progress, reprice=reprice)
    changed = {} if done.merged is None else asdict(done.merged)
    counts = {name: changed.get(name, 0) for name in ("inserted", "updated", "deleted")}
    return {"table": f"delta.presentation.{entry.name}_cost", "meter_months": done.meter_months, **counts}


def bill(
    dataset: DatasetArgument,
    meter: Annotated[str, typer.Argument(help="Meter, as its readings name it.")],
    since: Annotated[datetime, typer.Option("--from", formats=_DAY, help="The first local day.")],
    until: Annotated[datetime, typer.Option("--to", formats=_DAY, help="The last local day.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the bill into this file.")] = None,
    output: Annotated[BillOutput, typer.Option("--output", "-o", help="text, json, or html: a page for A4.")] = (
        BillOutput.TEXT
    ),
) -> None:
    """Make a meter's bill for some days: one line a product, tariff, part and price, then VAT, then what is to be paid.

    Each line is rounded to hundredths once, halves up; VAT of a rate is rounded once, of the sum of its lines. The page
    prints as it is, and any browser makes a PDF of it: `chromium --headless --print-to-pdf bill.html`.

    Examples:

    - `meterlake bill half_hourly 0432df65f7 --from 2021-01-01 --to 2021-01-31`
    - `meterlake bill half_hourly 0432df65f7 --from 2021-01-01 --to 2021-01-31 --output html --out bill.html`
    """
    from serving_layer.bills.page import page
    from serving_layer.bills.read import read_bill

    entry, settings = registry.entry(dataset), load_settings()
    if since > until:
        raise UsageError(f"--from {since:%Y-%m-%d} is after --to {until:%Y-%m-%d}.")
    made = read_bill(settings, entry.declaration, meter, (since.date(), until.date()))
    if output is BillOutput.HTML:
        _written(page(made, f"{entry.declaration.title}: bill"), out)
    elif out is not None:
        raise UsageError("--out writes a page.", hint="Give --output html, too, or send the text or JSON to a file.")
    elif output is BillOutput.JSON:
        show([_record(made)], Output.JSON)
    else:
        _show_text(made)


def _written(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    report_progress(f"Wrote {out}.")


def _record(made: Bill) -> dict[str, Any]:
    totals = {name: getattr(made, name) for name in ("kwh", "estimated_kwh", "net", "tax", "total")}
    return {**asdict(made), **totals}


def _show_text(made: Bill) -> None:
    lines = [
        {
            "product": line.product,
            "tariff": line.tariff,
            "from": line.since,
            "to": line.until,
            "for": line.part,
            "quantity": line.quantity,
            "unit": line.unit,
            "estimated": line.estimated or None,
            "price": line.price,
            "amount": line.net,
        }
        for line in made.lines
    ]
    title = f"Meter {made.meter}, {made.since} to {made.until}, {made.currency}"
    show(lines, Output.TEXT, title=title, optional=("tariff", "from", "unit"))
    for line in made.taxes:
        console.print(f"VAT {line.rate * 100:.2f} % of {line.net}: {line.tax}", markup=False)
    console.print(f"To be paid: {made.total} {made.currency} ({made.net} without VAT)", markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(rich_help_panel="Batch views")(cost)
    app.command(rich_help_panel="Answers")(bill)
