"""``meterlake demo telecom``: people live for three minutes, and become facts that can be corrected and taken back."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import orjson

from cli.output import Output, progress_console, report_progress, show
from cli.tale import DemoFailed, Tale
from meterlake import registry
from meterlake.clock import system_clock
from stack import launcher
from stack.services import select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.history import Record
    from meterlake.dataset import LakehouseEntry
    from meterlake.settings import Settings
    from producers.lakehouse.faults import Account
    from stack.instance import Instance

# Names in statements are ours.
# ruff: noqa: S608
NAME: Final = "telecom"
USERS, RATE, LIVE = 2_000, 200, timedelta(minutes=3)
FAULTS: Final = "late=0.01,duplicate=0.01,corrupt=0.005"
LAND_EVERY: Final = timedelta(seconds=20)
GOLD: Final = f"lake.{NAME}_gold"
_VERDICTS: Final = ("accepted", "rejected", "duplicate", "superseded", "conflicting", "undecodable")


def run(settings: Settings, instance: Instance, tale: Tale, out: Path, output: Output) -> None:
    """Show it. Raises DemoFailed where something is not as it should be."""
    from engines import spark

    entry = registry.required_lakehouse(NAME)
    with tale.step("Start the servers") as outcome:
        outcome["proved"] = start_lakehouse(instance)
    with tale.step(f"{USERS:,} people live for {LIVE.seconds // 60} minutes; what they do is landed") as outcome:
        account, landed = _live(settings, entry)
        outcome["proved"] = f"{account.sent:,} messages sent, {account.faults.total():,} faults; {landed:,} landed"
        if landed != account.sent:
            hint = "Others were in the topics before: they are landed now, and the next demo counts its own."
            raise DemoFailed(f"{account.sent:,} messages were sent, and {landed:,} landed.", hint=hint)
    with spark.session(settings, "lakehouse") as session:
        with tale.step("Bronze, silver and gold on a branch; audited, merged") as outcome:
            first = _run(settings, session, entry)
            outcome["proved"] = _balance(first, account)
        with tale.step("A late correction and a contradiction arrive") as outcome:
            call, amount = _correct(settings, entry)
            outcome["proved"] = f"three records of call {call}"
        with tale.step("The second run reads just these") as outcome:
            second = _run(settings, session, entry)
            outcome["proved"] = _corrected(settings, second, call, amount)
    with tale.step("Ask Trino") as outcome:
        outcome["proved"] = _ask(settings, output)
    with tale.step("DuckDB computes all of it again by its own SQL") as outcome:
        outcome["proved"] = _verify(settings, entry)
    with tale.step("ClickHouse") as outcome:
        outcome["proved"] = _clickhouse(settings, entry, output)
    with tale.step("Readers go back to the first run, and forward again") as outcome:
        outcome["proved"] = _back_and_forward(settings, entry, (first.run, second.run), call)
    with tale.step("Draw") as outcome:
        outcome["proved"] = _draw(settings, out)


def start_lakehouse(instance: Instance) -> str:
    """Start the servers of lakehouses; return what each has proved."""
    from cli.progress import StackProgress

    services = select(["lakehouse"])
    with StackProgress() as progress:
        launcher.up(services, instance, progress.service, progress.download)
    return f"{', '.join(service.title for service in services)}: each wrote and read"


def _live(settings: Settings, entry: LakehouseEntry) -> tuple[Account, int]:
    """Let people live in real time while their messages are landed; return the account, and how many were landed."""
    from lakehouse.landing import from_kafka
    from meterlake.lakehouse.simulation import Request
    from producers.lakehouse.faults import parse
    from producers.lakehouse.simulate import simulate
    from producers.lakehouse.sinks import KafkaSink

    declared, simulation = entry.declaration, entry.simulation()
    begin = system_clock().replace(microsecond=0)
    request = Request(USERS, RATE, begin, LIVE, int(begin.timestamp()), timedelta(seconds=1))
    with KafkaSink(settings, declared.topics) as sink, ThreadPoolExecutor(1) as pool:
        over = Event()
        landing = from_kafka.Request(NAME, declared.topics, LAND_EVERY, False, _landed)
        running = pool.submit(from_kafka.land, settings, landing, over)
        try:
            account = simulate(simulation, request, parse(FAULTS, simulation), sink, Event(), system_clock)
        finally:
            over.set()
        landed = running.result().total()
    rest = from_kafka.land(settings, from_kafka.Request(NAME, declared.topics), Event()).total()
    return account, landed + rest


def _landed(topic: str, count: int) -> None:
    report_progress(f"{count:,} records of {topic}")


def _run(settings: Settings, session: SparkSession, entry: LakehouseEntry) -> Record:
    from lakehouse import lease
    from lakehouse.run import Run

    with lease.held(settings, NAME, "demo") as held:
        record = Run(settings, session, entry.declaration, held, system_clock, report_progress).execute()
    if record is None:
        raise DemoFailed("The run found nothing that was landed.", hint="Somebody else has run it: do it again.")
    return record


def _balance(record: Record, account: Account) -> str:
    """Return what became of all records; of events it must be what the account of the simulation says.

    People and cells are those of an earlier demo, too: theirs replace what was there.
    """
    lakehouse = registry.required_lakehouse(NAME).declaration
    for item in lakehouse.records:
        given, counts = account.topics[item.topic], record.counts[item.name]
        wanted = {verdict: given[verdict] for verdict in _VERDICTS}
        result = {verdict: counts[verdict] for verdict in _VERDICTS}
        if counts["read"] != given.total() or (item in lakehouse.events and result != wanted):
            hint = "Where others had landed records that no run had read: `meterlake batch telecom`, and again."
            raise DemoFailed(f"Of {item.name} came {result}, and was sent {wanted}.", hint=hint)
    total = record.total
    return f"read {total['read']:,} = " + " + ".join(f"{total[name]:,} {name}" for name in _VERDICTS if total[name])


def _correct(settings: Settings, entry: LakehouseEntry) -> tuple[str, str]:
    """Land a correction of a call, and one that contradicts it at the same revision, twice."""
    from engines import trino
    from lakehouse.landing import from_files

    event = entry.declaration.event("calls")
    names = [field.name for field in event.fields]
    latest = "WHERE status = 'completed' ORDER BY timestamp DESC, call_id LIMIT 1"
    (row,) = trino.rows(settings, f"SELECT {', '.join(names)} FROM {GOLD}.fact_calls {latest}")
    call: dict[str, Any] = dict(zip(names, row, strict=True))
    call["timestamp"] = f"{call['timestamp'].isoformat()}Z"
    right = {**call, "amount": 12.34, "revision": 2}
    contradiction = {**call, "amount": 43.21, "revision": 2}
    lines = [orjson.dumps(one, default=str) for one in (right, right, contradiction)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{event.topic}.jsonl"
        file.write_bytes(b"\n".join(lines) + b"\n")
        now = system_clock().replace(tzinfo=None)
        from_files.land(settings, NAME, entry.declaration.topics, [file], now)
    return str(call["call_id"]), "12.34"


def _corrected(settings: Settings, record: Record, call: str, amount: str) -> str:
    from engines import trino

    counts = record.counts["calls"]
    ((result,),) = trino.rows(settings, f"SELECT amount FROM {GOLD}.fact_calls WHERE call_id = ?", [call])
    if counts["read"] != 3 or counts["conflicting"] + counts["duplicate"] != 2 or counts["superseded"] != 1:
        raise DemoFailed(f"Of three records came {counts}.", hint="See `meterlake runs telecom`.")
    which = "the correction" if str(result) == amount else "what contradicts it"
    return (
        f"read {record.total['read']}: {which} counts, amount {result}; {counts['duplicate']} duplicate,"
        f" {counts['conflicting']} conflicting, the earlier one superseded; {record.seconds:g} s"
    )


def _ask(settings: Settings, output: Output) -> str:
    from engines import trino
    from lakehouse.kpi import figure

    sql = f"""SELECT s.city, count(*) AS calls, sum(f.amount) AS amount FROM {GOLD}.fact_calls f
  JOIN {GOLD}.dim_cell_site s ON s.cell_sk = f.from_cell_sk GROUP BY 1 ORDER BY calls DESC LIMIT 5"""
    progress_console.print(sql, markup=False)
    columns, rows = trino.select(settings, sql)
    lakehouse = registry.required_lakehouse(NAME).declaration
    dropped = figure(settings, lakehouse, "call_drop_rate", ("call_type",), (None, None))
    if output is Output.TEXT:
        show([dict(zip(columns, row, strict=True)) for row in rows], output)
        show(dropped, output)
    return f"calls by city, and the rate of dropped calls: {len(rows) + len(dropped)} rows"


def _verify(settings: Settings, entry: LakehouseEntry) -> str:
    from lakehouse.verify import verify

    rows = verify(settings, entry.declaration, entry.verification())
    if different := [row for row in rows if not row["equal"]]:
        raise DemoFailed(f"DuckDB comes to something else: {different}.", hint="`meterlake verify telecom` shows it.")
    return f"verdicts and facts are equal, row by row: {sum(row['rows'] for row in rows):,} rows"


def _clickhouse(settings: Settings, entry: LakehouseEntry, output: Output) -> str:
    from engines import clickhouse
    from lakehouse import lease
    from lakehouse.clickhouse.load import load

    if settings.clickhouse_url == clickhouse.IN_PROCESS and find_spec("chdb") is None:
        return "left out: `uv pip install 'meterlake[clickhouse]'` brings its engine"
    with lease.held(settings, NAME, "demo"), clickhouse.session(settings) as engine:
        rows = load(settings, engine, entry.declaration)
        columns, top = engine.select(f"SELECT * FROM {NAME}.traffic_by_cell_hour ORDER BY calls DESC LIMIT 5")
    if output is Output.TEXT:
        show([dict(zip(columns, row, strict=True)) for row in top], output)
    facts = [row for row in rows if row["table"].startswith("fact_")]
    return f"{sum(row['rows'] for row in facts):,} facts, {len(rows)} tables; rows and sums are gold's"


def _back_and_forward(settings: Settings, entry: LakehouseEntry, runs: tuple[str, str], call: str) -> str:
    from engines import trino
    from lakehouse import history, lease

    seen = []
    with lease.held(settings, entry.name, "demo"):
        for run in runs:
            history.roll_back(settings, entry.name, run)
            ((amount,),) = trino.rows(settings, f"SELECT amount FROM {GOLD}.fact_calls WHERE call_id = ?", [call])
            seen.append(str(amount))
    if len(set(seen)) != len(seen):
        raise DemoFailed(f"The call's amount was {seen} before and after.", hint="See `meterlake runs telecom`.")
    return f"the corrected call: {' → '.join(seen)}"


def _draw(settings: Settings, out: Path) -> str:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from engines import trino

    out.mkdir(parents=True, exist_ok=True)
    minutes = trino.rows(
        settings,
        f"""SELECT date_trunc('minute', timestamp) AS minute, status, count(*) FROM {GOLD}.fact_calls
WHERE timestamp >= (SELECT max(timestamp) - INTERVAL '5' MINUTE FROM {GOLD}.fact_calls) GROUP BY 1, 2 ORDER BY 1, 2""",
    )
    cities = trino.rows(
        settings,
        f"""SELECT s.city, count(*) FROM {GOLD}.fact_calls f JOIN {GOLD}.dim_cell_site s ON s.cell_sk = f.from_cell_sk
WHERE s.city IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 12""",
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    times = sorted({row[0] for row in minutes})
    bottom = dict.fromkeys(times, 0)
    for status in sorted({row[1] for row in minutes}):
        counts = {row[0]: row[2] for row in minutes if row[1] == status}
        heights = [counts.get(time, 0) for time in times]
        left.bar([f"{time:%H:%M}" for time in times], heights, bottom=list(bottom.values()), label=status)
        bottom = {time: bottom[time] + height for time, height in zip(times, heights, strict=True)}
    left.set(title="Calls a minute, by how they ended", xlabel="UTC", ylabel="calls")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=5, frameon=False)
    right.barh([row[0] for row in reversed(cities)], [row[1] for row in reversed(cities)], color="#4c78a8")
    right.set(title="Calls by city of the caller's cell", xlabel="calls")
    file = out / "telecom.png"
    figure.savefig(file, dpi=110)
    plt.close(figure)
    progress_console.print(str(file), markup=False)
    return f"a picture in {out}"
