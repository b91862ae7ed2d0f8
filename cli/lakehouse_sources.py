"""Playing the sources of a lakehouse: what people do, sent as events, and days that its databases live through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cli.arguments import given_duration
from cli.output import Output, progress_console, show
from cli.stopping import stopped_by_signals
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import ExtractKind
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.dataset import LakehouseEntry
    from producers.lakehouse.sinks import Sink


def simulate(
    entry: LakehouseEntry,
    *,
    users: int,
    rate: float,
    duration: str,
    start: datetime | None,
    seed: int,
    faults: str,
    out: Path | None,
    oracle: Path | None,
    output: Output,
) -> None:
    """Send what people do: to Kafka as it happens, or as fast as it goes where it has a start or goes to files."""
    from meterlake.lakehouse.simulation import Request
    from producers.lakehouse import faults as known
    from producers.lakehouse.simulate import simulate as send
    from producers.lakehouse.sinks import FileSink, KafkaSink

    settings, simulation, stop = load_settings(), entry.simulation(), Event()
    if faults == "list":
        show(known.meanings(simulation.faults), output)
        return
    if not duration:
        raise UsageError("--for is missing.", hint="Write how long people live, such as --for 3m.")
    length, shares = given_duration("--for", duration), known.parse(faults, simulation)
    live = out is None and start is None
    begin = start or (system_clock() if live else system_clock() - length)
    step = timedelta(seconds=1) if live else None
    request = Request(users, rate, begin.replace(microsecond=0), length, seed, step)
    sink: Sink = FileSink(out) if out else KafkaSink(settings, entry.declaration.topics)
    with stopped_by_signals(stop), sink:
        account = send(simulation, request, shares, sink, stop, system_clock if live else None)
    if oracle:
        oracle.write_bytes(account.as_json())
    names = sorted({name for counts in account.topics.values() for name in counts})
    rows = [
        {"topic": topic, "sent": sum(counts.values()), **{name: counts[name] for name in names}}
        for topic, counts in sorted(account.topics.items())
    ]
    show(rows, output)


@dataclass(frozen=True)
class Days:
    """Days that the databases of sources live through. start: they are made then; else they go on. faults: as words.

    out: a folder for extracts of what these days change, in files of ``kind``.
    """

    days: int
    start: date | None = None
    customers: int = 0
    seed: int = 1
    faults: str = ""
    oracle: Path | None = None
    out: Path | None = None
    kind: ExtractKind = ExtractKind.CSV


def play(entry: LakehouseEntry, asked: Days, output: Output) -> None:
    """Make the databases of the sources, or bring them forward by days."""
    import orjson

    from meterlake.lakehouse.sources import Play
    from producers.lakehouse import extracts
    from producers.lakehouse.faults import shares_of

    world, records = entry.sources(), entry.declaration.records
    if asked.faults == "list":
        show([{"fault": name, "row": meaning} for name, meaning in world.faults.items()], output)
        return
    if asked.days < 1:
        raise UsageError("--days is missing.", hint="Write how many days the sources go on: --days 30.")
    urls = load_settings().source_urls(entry.name, entry.declaration.databases)
    for path in (Path(url.removeprefix("sqlite:///")) for url in urls.values() if url.startswith("sqlite:///")):
        if asked.start:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise UsageError(
                f"There are no sources yet to play forward: no {path}.",
                hint=f"Make them: `meterlake generate {entry.name}`.",
            )
    shares = shares_of(asked.faults, world.faults)
    before = extracts.state(urls, records) if asked.out and not asked.start else None
    played = world.play(Play(urls, asked.days, asked.start, asked.customers, asked.seed, shares))
    written = extracts.write(urls, records, before, asked.out, played.until, asked.kind) if asked.out else {}
    if asked.oracle:
        account = {"until": played.until.isoformat(), "tables": played.tables}
        asked.oracle.write_bytes(orjson.dumps(account, option=orjson.OPT_INDENT_2))
    progress_console.print(f"The sources stand at the beginning of {played.until}.")
    extract = {name: {"extract": count} for name, count in written.items()}
    show([{"table": name, **counts, **extract.get(name, {})} for name, counts in played.tables.items()], output)
