"""``meterlake demo``: the system shown on real servers and real data, from nothing to pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from meterlake import datasets
from meterlake.cli import batch_commands, load_command, report_command
from meterlake.cli.batch_commands import Engine
from meterlake.cli.output import Output, OutputOption, progress_console, show
from meterlake.clock import system_clock
from meterlake.settings import ROOT, Settings, load_settings
from stack import launcher
from stack.instance import Instance
from stack.services import SERVICES

DATASET = "household"
HISTORY = ROOT / "data" / "household_power_consumption.txt.xz"
QUERIES = {
    Engine.TRINO: "SELECT day, round(energy_wh / 1000, 2) AS energy_kwh, round(power_factor, 4) AS power_factor "
    "FROM hive.published.household_day ORDER BY energy_wh DESC LIMIT 5",
    Engine.HIVE: "SELECT month, sum(readings) AS minutes, sum(flagged) AS flagged FROM batch.household_hour "
    "WHERE month LIKE '2010-%' GROUP BY month ORDER BY month LIMIT 5",
}
PICTURES = (
    ("active-power", "2007-02-01", "2007-02-08"),
    ("sub-metering", "2007-02-01", "2007-02-08"),
    ("voltage", "2007-02-01", "2007-02-08"),
    ("heatmap", "2008-01-01", "2009-01-01"),
    ("gaps", "2006-12-16", "2010-11-27"),
)


class Tale:
    """What was done so far, and how long it took."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """Announce a step, time it, and record what the body says was proved (key ``proved``)."""
        progress_console.rule(title)
        begin = time.monotonic()
        told: dict[str, Any] = {}
        yield told
        self.steps.append({"step": title, "seconds": round(time.monotonic() - begin, 1), **told})


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = ROOT / "out" / "demo",
    stop: Annotated[bool, typer.Option("--stop", help="Stop the servers at the end; by default they stay up.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start the servers, load four years of real readings, compute and publish the views, query them, draw them."""
    from engines import spark

    settings, tale = load_settings(), Tale()
    instance = Instance(settings)
    begin = time.monotonic()
    with tale.step("Start the servers") as told:
        told["proved"] = _start(instance)
    with tale.step("A write and a read through each") as told:
        rows = _ask_each(instance)
        show(rows, Output.TEXT) if output is Output.TEXT else None
        told["proved"] = f"{len(rows)} servers answered"
    with spark.session(settings, "demo"):
        with tale.step("Load the history into the master data set") as told:
            told["proved"] = _load(settings)
        with tale.step("Compute, audit and publish the views") as told:
            told["proved"] = _batch(settings)
    for engine, sql in QUERIES.items():
        with tale.step(f"Ask {engine.capitalize()}") as told:
            told["proved"] = _query(settings, engine, sql, output)
    with tale.step("Draw") as told:
        told["proved"] = _draw(out)
    progress_console.rule("What was done")
    show(tale.steps, output)
    progress_console.print(f"\nDone in {time.monotonic() - begin:.0f} s. Pictures: {out}", markup=False)
    if stop:
        launcher.down(instance, lambda *_: None)
    elif output is Output.TEXT:
        progress_console.print("The servers stay up: `meterlake status` shows them, `meterlake down` stops them.")


def _start(instance: Instance) -> str:
    from meterlake.cli.progress import StackProgress

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


def _load(settings: Settings) -> str:
    from batch_layer.ingest.load import Request, load

    form = datasets.text_format(DATASET)
    request = Request(form, str(HISTORY), form.meter_id, form.utc_offset, False)
    with load_command.upload_progress(HISTORY.name) as on_bytes:
        result = load(settings, request, system_clock, on_bytes)
    if result.already_loaded:
        return f"{result.lines:,} lines, loaded before: nothing to do"
    return f"{result.lines:,} lines: {result.readings:,} readings, {result.gaps:,} gap rows, {result.days:,} days"


def _batch(settings: Settings) -> str:
    from batch_layer.views.plan import Request

    done = batch_commands.batch_once(settings, datasets.get(DATASET), Request(False, None, None), system_clock)
    if done["result"] != "published":
        return str(done["result"])
    return f"read {done['read']:,} = used {done['used']:,} + others; {done['files']} files, run {done['run']}"


def _query(settings: Settings, engine: Engine, sql: str, output: Output) -> str:
    from serving_layer.sql.query import run

    progress_console.print(sql, markup=False)
    answer = run(settings, engine.value, sql)
    if output is Output.TEXT:
        show(answer.records(), output)
    return f"{len(answer.rows)} rows"


def _draw(out: Path) -> str:
    out.mkdir(parents=True, exist_ok=True)
    for name, since, until in PICTURES:
        file = out / f"{name}.png"
        report_command.draw(DATASET, name, since, until, file)
        progress_console.print(str(file), markup=False)
    return f"{len(PICTURES)} pictures in {out}"


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(demo)
