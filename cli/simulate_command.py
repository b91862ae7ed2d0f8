"""``meterlake simulate``: sensors that live the recorded history now."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Annotated

import typer

from cli import lakehouse_sources
from cli.arguments import DatasetArgument, ExtractsOption, TimeZoneOption, file_clock, given_duration
from cli.output import Output, OutputOption, log_to_file, progress_console, show
from cli.simulate_status import Status, shown
from cli.stopping import stopped_by_signals
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import ExtractKind
from meterlake.log import get_logger
from meterlake.meter_names import check_meter_id
from meterlake.settings import ROOT, Settings, load_settings

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from producers.sinks import Sink
    from producers.totals import Totals


class To(StrEnum):
    """Where messages go."""

    KAFKA = "kafka"
    FILE = "file"
    STDOUT = "stdout"


def simulate(
    dataset: DatasetArgument,
    meters: Annotated[int, typer.Option(min=1, max=20_000, help="How many meters send.")] = 1,
    duration: Annotated[
        str, typer.Option("--for", help="How much of the readings' own time: 90s, 10m, 2h, 7d. Without: until Ctrl-C.")
    ] = "",
    start: Annotated[
        str, typer.Option(help="Time of the first reading, as 2026-11-21T12:00:00Z. Without: so that the run ends now.")
    ] = "",
    speed: Annotated[
        str, typer.Option(help="How fast time passes: 1 is real, 60 makes an hour a minute; max waits for nothing.")
    ] = "1",
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, metavar="NUMBER", help="Of all random values.")] = 1,
    faults: Annotated[
        str, typer.Option(help="What goes wrong with which share: late=0.01,duplicate=0.01. list: explain them.")
    ] = "",
    to: Annotated[To, typer.Option(help="kafka: the data set's topic. file: --out. stdout: lines.")] = To.KAFKA,
    out: Annotated[Path | None, typer.Option(help="The file of --to file; it is replaced.")] = None,
    oracle: Annotated[
        Path | None, typer.Option(help="Write each fault that is put in to this file, a line of JSON each.")
    ] = None,
    meter_id: Annotated[str, typer.Option("--meter-id", help="Of the first meter; others are named after it.")] = "",
    history: Annotated[Path | None, typer.Option(help="The history to live, as `load` takes it.")] = None,
    utc_offset: Annotated[str, typer.Option("--utc-offset", help="Of the history's clock, such as +01:00.")] = "",
    time_zone: TimeZoneOption = "",
    shift_days: Annotated[
        int | None, typer.Option(help="Days by which the history is moved, as `load --rebase now` says them.")
    ] = None,
    fill_gaps: Annotated[
        bool, typer.Option("--fill-gaps", help="Live an earlier week where the history has a gap; else be silent.")
    ] = False,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Prometheus metrics; 0: none.")] = 0,
    users: Annotated[int, typer.Option(min=2, max=5_000_000, help="Of a lakehouse: how many people live.")] = 10_000,
    days: Annotated[int, typer.Option(help="Of a lakehouse that reads databases: how many days these go on.")] = 0,
    extracts: ExtractsOption = ExtractKind.CSV,
    rate: Annotated[float, typer.Option(min=0.01, help="Of a lakehouse: events a second of their own time.")] = 100.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Send readings of any number of meters, which live a recorded history now: a household's one a second.

    Of a lakehouse: what people do, --rate events a second of --users; `--oracle` then holds what must become of all
    that is sent, and `--out` is a folder. Without --start, Kafka gets each event when it happens.

    The first meter goes on where `meterlake load --rebase now` ends; each other lives its own stretch of the history at
    its own scale. The same --start, --seed and options make the same bytes. Ctrl-C sends what is under way and says
    what was done. A broker that is away is waited for; what it never acknowledged is counted, and the exit code is 1.

    Faults, each with a share from 0 to 1: late, delayed, out_of_order, duplicate, conflict (another value), revision (a
    later one), withdraw (taken back), corrupt (of eleven kinds), missing, future (a year ahead), clock_skew (this share
    of meters, a day ahead).

    Examples:

    - `meterlake simulate household`
    - `meterlake simulate household --meters 2000 --for 10m`
    - `meterlake simulate household --meters 10 --for 2h --speed 60 --faults late=0.01,corrupt=0.05`
    - `meterlake simulate half_hourly --meters 100 --for 2d --speed max`
    - `meterlake simulate telecom --rate 200 --for 3m --faults late=0.01,duplicate=0.01`
    - `meterlake simulate telecom --rate 5000 --for 1h --to file --out events --oracle account.json`
    - `meterlake simulate utility --days 30 --faults missing=0.01`
    - `meterlake simulate utility --days 1 --to file --out extracts`
    - `meterlake simulate household --for 1h --speed max --start 2026-11-21T12:00:00Z --to file --out hour.tsv`
    """
    from producers import faults as known
    from producers import simulate as run
    from producers.injection import Oracle
    from producers.metrics import served
    from producers.pace import Pace, schedule

    if (lakehouse := registry.lakehouse(dataset)) is not None:
        if lakehouse.declaration.databases:
            if to is To.FILE or out:
                _check_files(to, out)
            asked = lakehouse_sources.Days(days, faults=faults, oracle=oracle, out=out, kind=extracts)
            lakehouse_sources.play(lakehouse, asked, output)
            return
        if to is To.STDOUT:
            raise UsageError("A lakehouse has several topics: --to stdout has one.", hint="Write --to file --out DIR.")
        if faults != "list":
            _check_files(to, out)
        lakehouse_sources.simulate(
            lakehouse,
            users=users,
            rate=rate,
            duration=duration,
            start=_moment(start) if start else None,
            seed=seed,
            faults=faults,
            out=out,
            oracle=oracle,
            output=output,
        )
        return
    if faults == "list":
        show([{"fault": name, "reading": meaning} for name, meaning in known.MEANINGS.items()], output)
        return
    settings, replay, stop = load_settings(), registry.replay(dataset), Event()
    shares, now = known.parse(faults), system_clock()
    log_to_file(settings, "simulate", dataset)
    length = given_duration("--for", duration) if duration else None
    begin = _moment(start) if start else None
    plan = schedule(now, replay.interval_s, _speed(speed), length, begin)
    _check_files(to, out)
    request = run.Request(
        replay=replay,
        history=history or ROOT / replay.history,
        offset=file_clock(replay.form, utc_offset, time_zone),
        meter_id=check_meter_id(meter_id or replay.form.meter_id),
        meters=meters,
        seed=seed,
        rebase=begin or now,
        shift=None if shift_days is None else timedelta(days=shift_days),
        fill_gaps=fill_gaps,
        others=registry.entry(dataset).text_formats,
        shares=shares,
    )
    report = run.script(request, settings.cache_dir)
    if report.history.skipped:
        progress_console.print(_skipped(request.history, report.history.skipped), markup=False, soft_wrap=True)
    if begin:  # its time is not the clock's: what reading the history took is not to be caught up with
        plan = replace(plan, begin=system_clock())
    totals, pace = run.begun(report, plan), Pace(plan, system_clock, stop)
    with ExitStack() as stack:
        sink = _sink(stack, settings, replay.dataset, to, out, totals, stop)
        truth = Oracle(stack.enter_context(_opened(oracle)), str(oracle)) if oracle else None
        stack.enter_context(served(metrics_port, totals, pace))
        stack.enter_context(stopped_by_signals(stop))
        stack.callback(_show, totals, output, to)
        stack.enter_context(shown(Status(totals, pace, sink)))
        run.simulate(report, plan, shares, pace, sink, totals, truth)


def _sink(
    stack: ExitStack, settings: Settings, dataset: MeterSeries, to: To, out: Path | None, totals: Totals, stop: Event
) -> Sink:
    from producers.sinks import LineSink

    if to is To.STDOUT:
        return LineSink(sys.stdout.buffer, "standard output", totals)
    if to is To.FILE and out:
        return LineSink(stack.enter_context(_opened(out)), str(out), totals)
    from producers.kafka_sink import KafkaSink

    return KafkaSink(settings, dataset, totals, stop)


def _skipped(path: Path, reasons: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    return f"{path}: {sum(reasons.values()):,} lines are no readings and were skipped ({listed})."


def _check_files(to: To, out: Path | None) -> None:
    if (to is To.FILE) != (out is not None):
        raise UsageError("--to file and --out belong together.", hint="Write --to file --out readings.tsv.")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint="Choose another path.") from error
    try:
        yield file
    finally:
        with suppress(OSError):  # what cannot be written has been said by the flush before
            file.close()


def _show(totals: Totals, output: Output, to: To) -> None:
    """Print the totals, on the error stream where the messages are on the other."""
    facts, err = totals.facts(), to is To.STDOUT
    get_logger().debug("simulated", **facts)
    if output is Output.JSON:
        show([facts], output, err=err)
        return
    rows = [{"what": name.replace("_", " "), "value": _plain(value)} for name, value in facts.items() if value]
    show(rows, output, err=err)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) else value


def _speed(text: str) -> float:
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0 or (math.isinf(speed) and text != "max"):
        raise UsageError(f"The speed {text!r} is not one.", hint="Write a number above 0, such as 60, or max.")
    return speed


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"The time {text!r} is not one.", hint="Write it as 2026-11-21T12:00:00Z (UTC).") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(simulate)
