"""``meterlake demo``: the system shown on real servers and real data, from nothing to pictures."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli import demo_live as live
from cli import load_progress, report_command
from cli.output import Output, OutputOption, progress_console, report_progress, show
from cli.query_command import Engine
from cli.tale import DemoFailed, Tale
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.settings import ROOT, Settings, load_settings
from stack import launcher
from stack.instance import Instance
from stack.services import SERVICES

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

DATASET = "household"
HISTORY = ROOT / "data" / "household_power_consumption.txt.xz"
NOTE = "/meterlake/demo.json"
"""In HDFS, beside the data: by how many days a demo has moved the history, so that later ones leave it there."""
PICTURES = (
    ("active-power", date(2007, 2, 1), date(2007, 2, 8)),
    ("sub-metering", date(2007, 2, 1), date(2007, 2, 8)),
    ("voltage", date(2007, 2, 1), date(2007, 2, 8)),
    ("heatmap", date(2008, 1, 1), date(2009, 1, 1)),
    ("gaps", date(2007, 1, 1), date(2010, 11, 1)),
)
"""Dates of the history before it is moved."""


class Which(StrEnum):
    """What is shown."""

    HOUSEHOLD = "household"
    TELECOM = "telecom"
    HALF_HOURLY = "half-hourly"
    UTILITY = "utility"


def demo(
    which: Annotated[
        Which,
        typer.Argument(
            help="household: meters, both layers. telecom, utility: lakehouses. half-hourly: from files to a bill."
        ),
    ] = Which.HOUSEHOLD,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = ROOT / "out" / "demo",
    path: Annotated[
        Path | None,
        typer.Option("--path", help="half-hourly: a folder with your own `readings/*.json` and a SQLite file."),
    ] = None,
    scale: Annotated[float, typer.Option("--scale", min=0.1, help="Of utility: so many times 2,000 customers.")] = 1.0,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the servers at the end; by default they stay up.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show all of it on real servers: history loaded up to now, sensors live, one merged answer, pictures.

    household: four years of real readings, moved by whole weeks so that they end now, are loaded, computed and
    published. Then twenty meters send for two minutes while both streaming queries run and a batch in the middle moves
    the boundary.

    telecom: people live for three minutes, with faults; their events become audited facts, are corrected, computed
    again by DuckDB, loaded into ClickHouse, and taken back and forward.

    half-hourly: readings of 100 meters and a database of agreements, with the traps of real ones, become tables, with
    estimates of what is missing, costs and a bill. An agreement is corrected, a late reading replaces its estimate;
    each time DuckDB computes the tables again.

    utility: two years of a distribution company's three databases become figures; a model learns which feeders will
    have an outage; a month goes by; readers go back and forward.

    Examples:

    - `meterlake demo`
    - `meterlake demo utility --scale 10`
    - `meterlake demo telecom --stop`
    - `meterlake demo half-hourly --path smart_meter_poc/data`
    """
    if path is not None and which is not Which.HALF_HOURLY:
        raise UsageError(f"The demo {which.value} has its own data.", hint="Leave --path out.")
    settings, tale = load_settings(), Tale()
    instance, begin = Instance(settings), time.monotonic()
    if which is Which.TELECOM:
        from cli import demo_telecom

        demo_telecom.run(settings, instance, tale, out, output)
    elif which is Which.HALF_HOURLY:
        from cli import demo_half_hourly

        demo_half_hourly.run(settings, instance, tale, out, output, path)
    elif which is Which.UTILITY:
        from cli import demo_utility

        demo_utility.run(settings, instance, tale, out, output, scale)
    else:
        _household(settings, instance, tale, out, output)
    progress_console.rule("What was done")
    show(tale.steps, output)
    progress_console.print(f"\nDone in {time.monotonic() - begin:.0f} s. Pictures: {out}", markup=False)
    if stop:
        launcher.down(instance, lambda *_: None)
    elif output is Output.TEXT:
        progress_console.print("The servers stay up: `meterlake status` shows them, `meterlake down` stops them.")


def _household(settings: Settings, instance: Instance, tale: Tale, out: Path, output: Output) -> None:
    from engines import spark

    dataset = registry.declaration(DATASET)
    with tale.step("Start the servers") as outcome:
        outcome["proved"] = _start(instance)
    with tale.step("A write and a read through each") as outcome:
        rows = _ask_each(instance)
        show(rows, Output.TEXT) if output is Output.TEXT else None
        outcome["proved"] = f"{len(rows)} servers answered"
    with spark.session(settings, "demo"):
        with tale.step("Load the history into the master data set") as outcome:
            shift, outcome["proved"] = _load(settings)
        with tale.step("Compute, audit and publish the views") as outcome:
            outcome["proved"], _ = _batch(settings, dataset)
        _live(settings, dataset, shift, tale, instance.home / "logs" / "demo-streams.log")
    for title, engine, sql in _queries(settings, dataset, shift):
        with tale.step(title) as outcome:
            outcome["proved"] = _query(settings, engine, sql, output)
    with tale.step("Draw") as outcome:
        outcome["proved"] = _draw(dataset, out, shift)


def _live(settings: Settings, dataset: MeterSeries, shift: int, tale: Tale, log: Path) -> None:
    """Let sensors and streams run, and batch in the middle."""
    with ExitStack() as stack:
        with tale.step("Start the streaming queries") as outcome:
            running = stack.enter_context(live.streams(settings, DATASET, log))
            running.wait_until_ready()
            outcome["proved"] = "archive and views, in one process"
        with tale.step(f"{live.METERS} meters send their last 11 minutes") as outcome:
            outcome["proved"] = _totals(live.Sensors(DATASET, shift, live.CATCH_UP).totals())
            running.wait_until_caught_up(settings, dataset)
        before = live.freshness(running)
        with tale.step("They go on in real time; batch moves the boundary") as outcome:
            sensors = live.Sensors(DATASET, shift, live.LIVE)
            words, details = _batch(settings, dataset)
            outcome["proved"] = f"{words}; batch and speed of the minutes passed over: {live.reconciled(details)}"
        with tale.step("Until the sensors end") as outcome:
            outcome["proved"] = _totals(sensors.totals())
            running.wait_until_caught_up(settings, dataset)
            after = live.freshness(running)
        median, slow = (live.quantile(before, after, share) for share in (0.5, 0.99))
    with tale.step("Every message accounted for") as outcome:
        words, closes = live.balance(settings, dataset)
        outcome["proved"] = (
            f"{words}; from event to its row in Cassandra: half within {median:.1f} s, 99 % {slow:.1f} s"
        )
    if not closes:
        raise DemoFailed(f"The balance of messages does not close: {words}.", hint=f"See {log}.")


def _totals(totals: dict[str, Any]) -> str:
    faults = sum(totals["faults"].values())
    return f"{totals['acknowledged']:,} messages acknowledged, {faults:,} faults among them"


def _start(instance: Instance) -> str:
    from cli.progress import StackProgress

    with StackProgress() as progress:
        launcher.up(list(SERVICES.values()), instance, progress.service, progress.download)
    memory = sum(state.memory_mb or 0 for state in launcher.status(instance, check=False))
    return f"{len(SERVICES)} services healthy, {memory / 1024:.1f} GiB resident"


def _ask_each(instance: Instance) -> list[dict[str, Any]]:
    states = {state.service.name: state for state in launcher.status(instance, check=False)}
    rows = []
    for name, service in SERVICES.items():
        begin = time.monotonic()
        service.healthy(instance)
        rows.append(
            {
                "server": service.title,
                "version": service.version,
                "port": states[name].port,
                "memory_mb": states[name].memory_mb,
                "proved": service.proof,
                "ms": round((time.monotonic() - begin) * 1000),
            }
        )
    return rows


def _load(settings: Settings) -> tuple[int, str]:
    """Load the history once; return the days by which it was moved, and what was done."""
    from batch_layer.ingest.load import load
    from batch_layer.ingest.request import Request
    from engines import hdfs

    if hdfs.client(settings).status(NOTE, strict=False) is not None:
        shift = int(json.loads(hdfs.read_bytes(settings, NOTE))["moved_by_days"])
        return shift, f"loaded by an earlier demo, moved by {shift:,} days"
    form = registry.text_format(DATASET)
    request = Request((form,), (str(HISTORY),), form.meter_id, form.utc_offset, True)
    with load_progress.shown(HISTORY.name) as on_progress:
        result = load(settings, request, system_clock, on_progress)
    hdfs.write_bytes(settings, NOTE, json.dumps({"moved_by_days": result.shift_days}).encode())
    return result.shift_days, (
        f"{result.lines:,} lines: {result.readings:,} readings, {result.gaps:,} gap rows, {result.not_loaded:,} still"
        f" ahead; moved by {result.shift_days:,} days"
    )


def _batch(settings: Settings, dataset: MeterSeries) -> tuple[str, dict[str, Any]]:
    """Run once; return what was done, and the figures of the run."""
    from batch_layer.pipeline.batch import run_batch
    from batch_layer.views.plan import Request

    outcome = run_batch(settings, dataset, Request(), system_clock, report_progress)
    result, record = outcome.result, outcome.record
    details = dict(record.details) if record else {}
    counts = details.get("balance", {})
    if result != "published" or record is None:
        return result, details
    files = sum(figures.get("files_written", 0) for figures in details["tables"].values())
    others = counts["read"] - counts["used"]
    return (
        f"read {counts['read']:,} = used {counts['used']:,} + {others:,} others; {files} files;"
        f" boundary {record.boundary:%H:%M} UTC"
    ), details


def _queries(settings: Settings, dataset: MeterSeries, shift: int) -> list[tuple[str, Engine, str]]:
    """Return the questions: across the boundary, of the history, and through Hive."""
    # ruff: noqa: S608 - our own names and times
    from serving_layer.sql.views import current_cutover

    cutover = current_cutover(settings, dataset) or system_clock()
    around = " AND ".join(
        f"minute {sign} TIMESTAMP '{cutover + timedelta(minutes=minutes):%Y-%m-%d %H:%M:00}'"
        for sign, minutes in ((">=", -3), ("<", 3))
    )
    meter = registry.text_format(DATASET).meter_id
    year = (date(2010, 1, 1) + timedelta(days=shift)).year
    return [
        (
            f"Ask Trino across the boundary, {cutover:%H:%M} UTC",
            Engine.TRINO,
            "SELECT minute, source, readings, covered_s, round(global_active_power_avg, 3) AS kw, "
            "round(energy_wh, 2) AS wh "
            f"FROM hive.merged.{DATASET}_minute WHERE meter_id = '{meter}' AND {around} ORDER BY minute",
        ),
        (
            "Ask Trino for the days of most energy",
            Engine.TRINO,
            "SELECT day, round(energy_wh / 1000, 2) AS energy_kwh, round(power_factor, 4) AS power_factor, source "
            f"FROM hive.merged.{DATASET}_day WHERE meter_id = '{meter}' ORDER BY energy_wh DESC LIMIT 5",
        ),
        (
            "Ask Hive",
            Engine.HIVE,
            f"SELECT month, sum(readings) AS minutes, sum(flagged) AS flagged FROM batch.{DATASET}_hour "
            f"WHERE month LIKE '{year}-%' AND meter_id = '{meter}' GROUP BY month ORDER BY month LIMIT 5",
        ),
    ]


def _query(settings: Settings, engine: Engine, sql: str, output: Output) -> str:
    from serving_layer.sql.query import run

    progress_console.print(sql, markup=False)
    answer = run(settings, engine.value, sql)
    if output is Output.TEXT:
        show(answer.records(), output)
    return f"{len(answer.rows)} rows"


def _draw(dataset: MeterSeries, out: Path, shift: int) -> str:
    """Draw the history, and today across the boundary."""
    out.mkdir(parents=True, exist_ok=True)
    moved, meter = timedelta(days=shift), registry.text_format(DATASET).meter_id
    today = system_clock().astimezone(ZoneInfo(dataset.time_zone)).date()
    wanted = [(name, name, since + moved, until + moved) for name, since, until in PICTURES]
    wanted.append(("today", "active-power", today, today + timedelta(days=1)))
    for picture, report, since, until in wanted:
        file = out / f"{picture}.png"
        report_command.draw(DATASET, report, since.isoformat(), until.isoformat(), file, meter)
        progress_console.print(str(file), markup=False)
    return f"{len(wanted)} pictures"


def _hyphened(token: str) -> str:
    return token.replace("_", "-")


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    # Demos have the names of data sets, too: half_hourly is half-hourly.
    app.command(rich_help_panel="Start here", context_settings={"token_normalize_func": _hyphened})(demo)
