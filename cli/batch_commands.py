"""Commands of the batch layer and of what it publishes: batch, runs, rollback, query."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from cli import batch_metrics, cost_commands, lakehouse_commands, presentation_commands, vee_command
from cli.arguments import DatasetArgument, given_duration
from cli.changes import change_row, change_words
from cli.output import Output, OutputOption, as_json, finite, log_to_file, report_progress, show
from meterlake import registry, time_travel
from meterlake.boundary import check_ttl
from meterlake.clock import Clock, system_clock
from meterlake.errors import RunUnderWay, TransientError, UsageError
from meterlake.log import get_logger
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from batch_layer.views.plan import Request
    from meterlake.dataset import Entry
    from meterlake.declaration import MeterSeries
    from serving_layer.publish.history import History, Record

FIRST_PAUSE_S: Final = 15
"""So long after a failure that may pass ``--every`` tries again; after the next twice as long, up to its interval."""


class Engine(StrEnum):
    """Engine of a query."""

    TRINO = "trino"
    HIVE = "hive"
    CASSANDRA = "cassandra"
    CLICKHOUSE = "clickhouse"


class QueryOutput(StrEnum):
    """Format of a query's answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


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
        _show_run(compute(settings, entry, request), output)
        return
    pause = _interval(every)
    check_ttl(declaration.name, settings.speed_ttl, pause, declaration.lateness)
    batch_metrics.serve(metrics_port)
    while True:
        begin = time.monotonic()
        _show_run(again(pause)(compute, settings, entry, request), output)
        time.sleep(max(0.0, pause.total_seconds() - (time.monotonic() - begin)))


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
    rows = [_described(record, history.status(record), output) for record in last]
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
    _show_run(_described(history.current, "current", output), output)


def query(
    sql: Annotated[str, typer.Argument(help="One SQL statement (CQL for cassandra).")],
    engine: Annotated[Engine, typer.Option("--engine", "-e", help="Which engine answers.")] = Engine.TRINO,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"],
            help="Read Delta and Iceberg tables as they were at this time, UTC.",
        ),
    ] = None,
    output: Annotated[QueryOutput, typer.Option("--output", "-o", help="Format of the answer.")] = QueryOutput.TEXT,
) -> None:
    """Run one statement on Trino, Hive, Cassandra or ClickHouse. Times are UTC; JSON and CSV write ISO 8601.

    Examples:

    - `meterlake query "SELECT day, energy_wh FROM hive.merged.household_day ORDER BY day DESC LIMIT 7"`
    - `meterlake query --engine hive "SELECT count(*) AS minutes FROM batch.household_minute" --output json`
    - `meterlake query "SELECT * FROM delta.reference.half_hourly_product" --as-of 2026-11-25`
    """
    from serving_layer.sql.query import run

    if as_of and engine is not Engine.TRINO:
        raise UsageError(f"{engine.value} cannot answer as of an earlier time.", hint="Leave --engine out: Trino can.")
    statement = time_travel.as_of(sql, as_of.replace(tzinfo=UTC)) if as_of else sql
    answer = run(load_settings(), engine.value, statement)
    if output is QueryOutput.CSV:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_csv(value) for value in row] for row in answer.rows)
        typer.echo(text.getvalue(), nl=False)
        return
    records = answer.records()
    if output is QueryOutput.TEXT:
        records = [{name: _shown(value) for name, value in record.items()} for record in records]
    show(records, Output(output.value))


def batch_once(settings: Settings, dataset: MeterSeries, request: Request, clock: Clock) -> dict[str, Any]:
    """Run once, under the lease; return what is to be shown."""
    from batch_layer.pipeline.batch import run_batch

    begin = time.monotonic()
    outcome = run_batch(settings, dataset, request, clock, report_progress)
    result, record = outcome.result, outcome.record
    if result == "nothing has changed" or record is None:
        return {"dataset": dataset.name, "run": record.run_id if record else None, "result": result, "days": 0}
    shown = ("run", "mode", "days", "read", "used", "rejected", "files", "boundary", "unexplained")
    row = {name: value for name, value in _described(record, "current", Output.TEXT).items() if name in shown}
    batch_metrics.write(settings, record, time.monotonic() - begin)
    if row["unexplained"]:
        report_progress(
            f"{row['unexplained']} minutes differ between batch and speed without an explanation: see"
            f" `meterlake runs {dataset.name} --output json` (reconciliation) and `meterlake explain`."
        )
    row |= {"seconds": round(time.monotonic() - begin, 1), "result": result}
    get_logger().debug("batch run", **row)
    return {"dataset": dataset.name, **row}


def _views(settings: Settings, entry: Entry, request: Request) -> dict[str, Any]:
    """Run once: the views, and nothing that is made of them."""
    return batch_once(settings, entry.declaration, request, system_clock)


def _batch_and_present(settings: Settings, entry: Entry, request: Request) -> dict[str, Any]:
    """Run once; then validate and estimate, and bring what is made with reference tables up to date, as declared."""
    row = _views(settings, entry, request)
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

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        report_progress(f"{error} Trying again in {pause:g} s.")

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S, max=most.total_seconds()),
        before_sleep=say,
    )


def _settled(settings: Settings, dataset: MeterSeries, clock: Clock) -> History:
    """Return the history, an interrupted publish finished; while a run is under way, it is left to that."""
    from batch_layer import lease
    from serving_layer.publish import records
    from serving_layer.publish.publish import Publisher

    history = records.load(settings, dataset.name)
    if history.begun is None:
        return history
    try:
        with lease.held(settings, dataset.name, "finishing an interrupted publish", clock) as held:
            return Publisher(settings, dataset, held, clock).roll_forward()
    except RunUnderWay:
        return history


def _described(record: Record, status: str, output: Output) -> dict[str, Any]:
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


def _interval(text: str) -> timedelta:
    pause = given_duration("--every", text)
    if not pause:
        raise UsageError(f"--every {text!r} is no pause.", hint="Write 30s, 15m or 1h.")
    return pause


def _csv(value: object) -> object:
    value = finite(value)
    return "" if value is None else value if isinstance(value, int | float | str) else as_json(value)


def _shown(value: object) -> object:
    return f"{value}" if isinstance(value, datetime | date) else value


def _show_run(row: dict[str, Any], output: Output) -> None:
    """Show one run: for people line by line, for a row of it is wider than a terminal."""
    if output is Output.TEXT:
        show([{"what": name, "value": value} for name, value in row.items() if value is not None], output)
    else:
        show([row], output)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (batch, runs, rollback):
        app.command(rich_help_panel="Batch views")(command)
    app.command(rich_help_panel="Answers")(query)
