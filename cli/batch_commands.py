"""``meterlake batch``: the views, and what is made of them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import cost_commands, lakehouse_commands, presentation_commands, vee_command
from cli.arguments import DatasetArgument, given_duration
from cli.output import Output, OutputOption, log_to_file, report_progress
from cli.run_commands import described, show_run
from meterlake import registry
from meterlake.boundary import check_ttl
from meterlake.clock import Clock, system_clock
from meterlake.errors import TransientError, UsageError
from meterlake.log import get_logger
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

    from batch_layer.views.plan import Request
    from meterlake.dataset import Entry
    from meterlake.declaration import MeterSeries

FIRST_PAUSE_S: Final = 15
"""So long after a failure that may pass ``--every`` tries again; after the next twice as long, up to its interval."""


def batch(
    dataset: DatasetArgument,
    full: Annotated[bool, typer.Option("--full", help="Recompute all days, not only those that changed.")] = False,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Recompute the UTC days from this one on, changed or not."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Recompute the UTC days up to and with this one.")
    ] = None,
    every: Annotated[str | None, typer.Option(help="Run again and again, so often: 15m, 1h. Ctrl-C ends it.")] = None,
    views_only: Annotated[
        bool, typer.Option("--views-only", help="Leave out what follows: vee, present and cost are commands, too.")
    ] = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            "--metrics-port",
            min=0,
            max=65535,
            help="With --every: Prometheus metrics on this port of loopback; 0: none.",
        ),
    ] = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compute the views from the master data set, audit them, and publish them.

    By default only the days that have changed since the published run are read; the other days of their partitions
    are copied. Readers see the run before until all is written and audited; a failed audit publishes nothing and says
    why. Then, where a data set declares it, readings are validated and what is missing is estimated (`meterlake vee`);
    what is made with reference tables is brought up to date (`meterlake present`), and so are costs (`meterlake cost`).

    Only one run of a data set is under way at a time: another ends with exit code 1 and says who is at work. A run that
    was killed gives way after two minutes; the next command then finishes what it had begun to publish. With `--every`
    a server that is away, or another run, is waited for, with pauses that grow from 15 s up to the interval.

    Examples:

    - `meterlake batch household`
    - `meterlake batch household --full`
    - `meterlake batch household --since 2010-11-01 --until 2010-11-07`
    - `meterlake batch household --every 15m`
    - `meterlake batch telecom`
    """
    from batch_layer.views.plan import Request

    if (lakehouse := registry.lakehouse(dataset)) is not None:
        if since or until or every or views_only:
            raise UsageError("A lakehouse has no --since, --until, --every or --views-only.", hint="It has --full.")
        lakehouse_commands.batch(lakehouse, full=full, output=output)
        return
    entry, settings = registry.entry(dataset), load_settings()
    declaration = entry.declaration
    request = Request(full, since.date() if since else None, until.date() if until else None)
    log_to_file(settings, "batch", dataset)
    compute = _views if views_only else _batch_and_present
    if every is None:
        show_run(compute(settings, entry, request, once=True), output)
        return
    from cli import batch_metrics

    pause = _interval(every)
    check_ttl(declaration.name, settings.speed_ttl, pause, declaration.lateness)
    batch_metrics.serve(metrics_port)
    while True:
        begin = time.monotonic()
        show_run(again(pause)(compute, settings, entry, request), output)
        time.sleep(max(0.0, pause.total_seconds() - (time.monotonic() - begin)))


def batch_once(
    settings: Settings, dataset: MeterSeries, request: Request, clock: Clock, *, once: bool = False
) -> dict[str, Any]:
    """Run once, under the lease; return what is to be shown. once: whether this process ends after it."""
    from batch_layer.pipeline.batch import run_batch

    begin = time.monotonic()
    outcome = run_batch(settings, dataset, request, clock, report_progress, once=once)
    result, record = outcome.result, outcome.record
    if result == "nothing has changed" or record is None:
        return {"dataset": dataset.name, "run": record.run_id if record else None, "result": result, "days": 0}
    from cli import batch_metrics

    shown = ("run", "mode", "days", "read", "used", "rejected", "files", "boundary", "unexplained")
    row = {name: value for name, value in described(record, "current", Output.TEXT).items() if name in shown}
    batch_metrics.write(settings, record, time.monotonic() - begin)
    if row["unexplained"]:
        report_progress(
            f"{row['unexplained']} minutes differ between batch and speed without an explanation: see"
            f" `meterlake runs {dataset.name} --output json` (reconciliation) and `meterlake explain`."
        )
    row |= {"seconds": round(time.monotonic() - begin, 1), "result": result}
    get_logger().debug("batch run", **row)
    return {"dataset": dataset.name, **row}


def _views(settings: Settings, entry: Entry, request: Request, *, once: bool = False) -> dict[str, Any]:
    """Run once: the views, and nothing that is made of them."""
    return batch_once(settings, entry.declaration, request, system_clock, once=once)


def _batch_and_present(settings: Settings, entry: Entry, request: Request, *, once: bool = False) -> dict[str, Any]:
    """Run once; then validate and estimate, and bring what is made with reference tables up to date, as declared."""
    row = _views(settings, entry, request, once=once)
    if entry.data_set.vee and entry.vee().after_batch:
        changed = vee_command.validate_once(settings, entry, system_clock)
        row = {**row, "validated": sum(one[name] for one in changed for name in ("inserted", "updated", "deleted"))}
    if not entry.data_set.presentation:
        return row
    from batch_layer.presentation.run import Asked, NoReferences

    asked = Asked(since=request.since, until=request.until) if request.since and request.until else Asked()
    try:
        changed = presentation_commands.present_once(settings, entry, asked, system_clock)
    except NoReferences as error:
        report_progress(f"{error} Until then there is no presentation.")
        return row
    row = {**row, "presented": sum(one[name] for one in changed for name in ("inserted", "updated", "deleted"))}
    if entry.data_set.tariffs:
        costs = cost_commands.cost_once(settings, entry, system_clock)
        row["costed"] = sum(costs[name] for name in ("inserted", "updated", "deleted"))
    return row


def again(most: timedelta) -> Retrying:
    """Return what tries a run again after failures that may pass, with pauses that grow up to ``most``."""
    from tenacity import Retrying, retry_if_exception_type, wait_exponential

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        report_progress(f"{error} Trying again in {pause:g} s.")

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S, max=most.total_seconds()),
        before_sleep=say,
    )


def _interval(text: str) -> timedelta:
    pause = given_duration("--every", text)
    if not pause:
        raise UsageError(f"--every {text!r} is no pause.", hint="Write 30s, 15m or 1h.")
    return pause


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Batch views")(batch)
