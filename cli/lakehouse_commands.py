"""What the commands do for a lakehouse, and the commands that only lakehouses have: land, kpi, dictionary."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import lakehouse_erase
from cli.arguments import DatasetArgument, given_duration
from cli.output import Output, OutputOption, progress_console, report_progress, show
from cli.stopping import stopped_by_signals
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UnknownName, UsageError
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from lakehouse.history import Record
    from meterlake.dataset import LakehouseEntry
    from meterlake.lakehouse.declaration import Lakehouse


class Via(StrEnum):
    """What brings topics to where they are landed from."""

    NIFI = "nifi"


def land(
    dataset: DatasetArgument,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILES | RECORDS]...",
            help="Files <topic>.jsonl, or folders of them; without: the topics in Kafka. Where records come from"
            " databases: names of records; without: all; or extracts <table>.csv, .parquet, .xml, or their folders.",
        ),
    ] = None,
    every: Annotated[str, typer.Option(help="Go on, an object of each partition so often: 30s, 5m.")] = "",
    full: Annotated[
        bool, typer.Option("--full", help="Of databases: compare all rows, not only what the watermark says is new.")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Go on behind messages that Kafka dropped before they were landed."),
    ] = False,
    via: Annotated[
        Via | None,
        typer.Option(help="Have NiFi bring the topics: its flow is made and started, and goes on after this command."),
    ] = None,
    halt: Annotated[
        bool, typer.Option("--stop", help="With --via nifi: land what NiFi has read, and stop it.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Land what sources of a lakehouse have: objects in S3 that are never rewritten, each with a manifest.

    A topic's partition goes on where its manifests end, a file is known by its content, a table by its watermark:
    whatever is repeated, killed or done by two at once, each record is landed once. `meterlake batch` reads what has
    been landed.

    Examples:

    - `meterlake land telecom`
    - `meterlake land telecom --every 1m`
    - `meterlake land telecom events/`
    - `meterlake land telecom --via nifi`
    - `meterlake land telecom --via nifi --stop`
    - `meterlake land utility`
    - `meterlake land utility outages --full`
    - `meterlake land utility extracts/ outages.2026-11-27.csv`
    """
    from lakehouse.landing import from_files

    declared, settings, stop = registry.required_lakehouse(dataset).declaration, load_settings(), Event()
    if via and (declared.databases or files):
        raise UsageError("--via nifi is for topics.", hint="Leave it out, or the files.")
    if halt and (via is None or every):
        raise UsageError("--stop stops NiFi's flow.", hint=f"Write `meterlake land {dataset} --via nifi --stop`.")
    if declared.databases:
        if accept_loss:
            raise UsageError("--accept-loss is for topics: this lakehouse reads databases.")
        tables = [record.name for record in declared.records if record.extract]
        with stopped_by_signals(stop):
            if files and any(file.suffix or file.is_dir() for file in files if str(file) not in tables):
                landed = _land_extracts(settings, declared, files, every, full)
            else:
                landed = _land_tables(settings, declared, [str(name) for name in files or []], every, full, stop)
        show([{"topic": topic, "records": count} for topic, count in sorted(landed.items())], output)
        return
    if full:
        raise UsageError("--full is for databases.", hint="Topics and files are landed whole.")
    if files and (every or accept_loss):
        raise UsageError("--every and --accept-loss are for topics.", hint="Leave them out, or the files.")
    with stopped_by_signals(stop):
        if files:
            now = system_clock().astimezone(UTC).replace(tzinfo=None)
            landed = from_files.land(settings, dataset, declared.topics, files, now)
        else:
            landed = _land_topics(settings, declared, every, accept_loss, via, halt, stop)
    show([{"topic": topic, "records": count} for topic, count in sorted(landed.items())], output)


def _land_topics(
    settings: Settings, declared: Lakehouse, every: str, accept_loss: bool, via: Via | None, halt: bool, stop: Event
) -> Counter[str]:
    """Land topics, by ourselves or by NiFi."""
    from lakehouse.landing import from_kafka, via_nifi

    report = (lambda topic, count: report_progress(f"{count:,} records of {topic}")) if every else None
    pause = given_duration("--every", every) if every else None
    request = from_kafka.Request(declared.name, declared.topics, pause, accept_loss, report)
    if via is None:
        return from_kafka.land(settings, request, stop)
    if not halt:
        landed = via_nifi.land(settings, request, stop, report_progress)
        report_progress(f"NiFi goes on. To stop it: `meterlake land {declared.name} --via nifi --stop`.")
        return landed
    landed = via_nifi.stop_flow(settings, request, stop)
    report_progress(f"NiFi at {settings.nifi} does not run {declared.name}.")
    return landed


def _land_extracts(settings: Settings, declared: Lakehouse, files: list[Path], every: str, full: bool) -> Counter[str]:
    """Land extracts of tables."""
    from lakehouse.landing import from_extracts

    if every or full:
        raise UsageError("--every and --full are for databases.", hint="Extracts are landed whole, and once.")
    now = system_clock().astimezone(UTC).replace(tzinfo=None)
    return from_extracts.land(settings, declared.name, declared.records, files, now)


def _land_tables(
    settings: Settings, declared: Lakehouse, names: list[str], every: str, full: bool, stop: Event
) -> Counter[str]:
    """Land tables of databases; with ``every`` again and again."""
    from lakehouse.landing import from_database

    tables = {record.name: record for record in declared.records if record.extract}
    for name in names:
        if name not in tables:
            raise UnknownName(f"record of {declared.name}", name, tables)
    records = tuple(tables[name] for name in names) or tuple(tables.values())
    urls = settings.source_urls(declared.name, declared.databases)
    request = from_database.Request(declared.name, records, urls, system_clock, full)
    pause = given_duration("--every", every) if every else None
    landed = from_database.land(settings, request, stop)
    while pause is not None and not stop.wait(pause.total_seconds()):
        landed.update(from_database.land(settings, request, stop))
    return landed


def kpi(
    dataset: DatasetArgument,
    name: Annotated[str, typer.Argument(help="The figure: see `meterlake dictionary`.")],
    by: Annotated[
        str, typer.Option(help="Columns, separated by commas; total: one number; without: its own grain.")
    ] = "",
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="From this local day on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Up to this local day, not included.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show a figure of a lakehouse, as its declaration defines it.

    Examples:

    - `meterlake kpi telecom call_drop_rate`
    - `meterlake kpi telecom call_drop_rate --by call_type --from 2026-11-01`
    - `meterlake kpi utility saidi --by region,month`
    """
    from lakehouse.kpi import figure

    declared = registry.required_lakehouse(dataset).declaration
    columns = None if not by else tuple(part.strip() for part in by.split(",") if part.strip() not in ("", "total"))
    span = (since.date() if since else None, until.date() if until else None)
    rows = figure(load_settings(), declared, name, columns, span)
    shown = next(one for one in declared.kpis if one.name == name)
    show(rows, output, title=shown.title if shown.unit == "1" else f"{shown.title} ({shown.unit})")


def dictionary(dataset: DatasetArgument) -> None:
    """Print the data dictionary of a lakehouse as Markdown: tables, columns, units, rules, figures.

    Examples:

    - `meterlake dictionary telecom > docs/telecom-dictionary.md`
    """
    from meterlake.lakehouse.dictionary import page

    typer.echo(page(registry.required_lakehouse(dataset).declaration), nl=False)


def batch(entry: LakehouseEntry, *, full: bool, output: Output) -> None:
    """Compute what was landed, and let readers see it."""
    from engines import spark
    from lakehouse import lease
    from lakehouse.run import Run

    settings, declared = load_settings(), entry.declaration
    with lease.held(settings, declared.name, "batch") as held, spark.session(settings, "lakehouse") as session:
        run = Run(settings, session, declared, held, system_clock, report_progress)
        record = run.execute(full=full)
    if record is None:
        progress_console.print("Nothing has been landed since the last run.")
        return
    _show_run(record, output)
    if output is Output.TEXT:
        rows = [{"record": name, **counts} for name, counts in record.counts.items()]
        show(rows, output, title="\nRecords", optional=(*_all_zero(rows), "superseded", "duplicate"))


def stream(entry: LakehouseEntry, *, once: bool, sql: bool, output: Output) -> None:
    """Bring events that no run has read into minutes; or print the SQL of these and gold's as one."""
    from meterlake.lakehouse.live import merged_sql

    declared = entry.declaration
    if declared.live is None:
        raise UsageError(
            f"{declared.name} shows nothing live.", hint="Declare live= (meterlake.lakehouse.live) in its declaration."
        )
    if sql:
        typer.echo(merged_sql(declared, declared.live))
        return
    from engines import cassandra, spark
    from lakehouse.live.sink import Sink
    from lakehouse.live.stream import Stream

    settings, stop = load_settings(), Event()
    with (
        stopped_by_signals(stop),
        cassandra.session(settings) as tables,
        spark.session(settings, "lakehouse-live") as session,
    ):
        live = Stream(settings, session, declared, Sink(settings, declared, tables), system_clock, report_progress)
        if once:
            show([{"lakehouse": declared.name, "rows": live.update()}], output)
        else:
            live.run(stop)


def runs(entry: LakehouseEntry, limit: int | None, output: Output) -> None:
    """Show the runs that readers have seen."""
    from lakehouse import history

    settings = load_settings()
    result = history.runs(settings, entry.name)
    rows = [_described(record, status) for record, status in result[-limit if limit else 0 :]]
    erased = lakehouse_erase.rows(settings, entry.name, output)
    if output is Output.JSON:
        show([*rows, *erased], output)
        return
    show(rows, output, optional=("objects", "mode", *_all_zero(rows), "seconds", "superseded", "duplicate", "at"))
    if erased:
        show(erased, output, title="\nErasures", optional=("id", "person", "of", "event"))


def roll_back(entry: LakehouseEntry, run: str, output: Output) -> None:
    """Let readers see what another run has left."""
    from lakehouse import history, lease

    settings = load_settings()
    with lease.held(settings, entry.name, f"rollback to {run}"):
        record = history.roll_back(settings, entry.name, run)
    _show_run(record, output)


def verify(entry: LakehouseEntry, output: Output) -> None:
    """Compare what readers see with the landed records. Raises Exit where anything differs."""
    from lakehouse.verify import verify as compared

    rows = compared(load_settings(), entry.declaration, entry.verification())
    show(rows, output)
    if not all(row["equal"] for row in rows):
        raise typer.Exit(1)


def _show_run(record: Record, output: Output) -> None:
    """Show a run that readers see: for people line by line."""
    row = _described(record, "current")
    show([row] if output is Output.JSON else [{"what": name, "value": value} for name, value in row.items()], output)


def _all_zero(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns in which all is 0, the last first: they may be left out."""
    names = list(rows[0]) if rows else []
    return [name for name in reversed(names) if all(row[name] == 0 for row in rows)]


def _described(record: Record, status: str) -> dict[str, Any]:
    return {
        "run": record.run,
        "status": status,
        "mode": record.mode,
        "at": record.at[:19],
        "seconds": record.seconds,
        "objects": record.objects,
        **record.total,
    }


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(rich_help_panel="Readings in")(land)
    for command in (kpi, dictionary):
        app.command(rich_help_panel="Answers")(command)
