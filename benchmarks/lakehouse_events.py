"""How many telecom events a second go through bronze, silver and gold, and does a row cost more where there are more?

    meterlake up lakehouse
    python benchmarks/lakehouse_events.py --events 5000000 10000000 20000000

Lakehouses of so many events, a million a day, with faults among them, each landed in S3 and then run as a whole. Beside
it DuckDB, with the SQL by which `meterlake verify` works and the same memory, makes verdicts and facts of the same
objects in a folder, and writes them as Parquet. It has no tables to publish, no audit, no dimensions, and no reasons
for what it rejects. Prints one JSON object; exit code 1 where facts differ, where what was sent is not what came of it,
or where a row of the largest takes over 1.2 times the CPU time of one of the smallest.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import duckdb
from lakehouse_growth import World, own_name

from datasets.telecom import DATASET
from datasets.telecom.simulation import SIMULATION
from engines import lake, lake_tables, spark_runtime
from engines import spark as engine
from lakehouse import lease
from lakehouse.landing import objects
from lakehouse.landing.from_kafka import MOST_RECORDS
from lakehouse.landing.objects import Landed, Source
from lakehouse.run import Run
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.simulation import Request
from meterlake.settings import load_settings
from producers.lakehouse.simulate import simulate
from producers.lakehouse.sinks import Sink
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings
    from producers.lakehouse.faults import Account, Message

ALLOWED: Final = 1.2
A_DAY: Final = 1_000_000
USERS: Final = 50_000
FAULTS: Final = {
    "late": 0.01,
    "duplicate": 0.01,
    "conflict": 0.002,
    "revision": 0.005,
    "missing": 0.01,
    "corrupt": 0.005,
}
SENT: Final = ("accepted", "rejected", "duplicate", "superseded", "conflicting", "undecodable")


class LandingSink(Sink):
    """Lands messages as `meterlake land` lands a partition of a topic each."""

    def __init__(self, settings: Settings, lakehouse: Lakehouse, arrived: datetime) -> None:
        self._settings, self._name, self._arrived = settings, lakehouse.name, arrived
        self._waiting: dict[str, list[Message]] = {}
        self._landed: dict[str, int] = {}

    def send(self, topic: str, messages: list[Message]) -> None:
        """Take messages; land them when there are as many as an object may have."""
        waiting = self._waiting.setdefault(topic, [])
        waiting += messages
        while len(waiting) >= MOST_RECORDS:
            self._land(topic, waiting[:MOST_RECORDS])
            del waiting[:MOST_RECORDS]

    def _land(self, topic: str, messages: list[Message]) -> None:
        first = self._landed.get(topic, 0)
        records = [
            Landed(offset, self._arrived, key.encode(), value)
            for offset, (key, value) in enumerate(messages, start=first)
        ]
        end = self._landed[topic] = first + len(records)
        source = Source(self._name, f"{self._name}.{topic.partition('.')[2]}", "0")
        objects.write(self._settings, source, records, range(first, end))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Land the rest."""
        for topic, messages in self._waiting.items():
            if messages:
                self._land(topic, messages)


@dataclass(frozen=True)
class Cost:
    """What something took. cpu: seconds."""

    seconds: float
    cpu: float


class Duck:
    """DuckDB's side, over copies of the landed objects."""

    def __init__(self, folder: Path, memory: str) -> None:
        self._folder, self._out = folder / "landed", folder / "made"
        self._out.mkdir()
        self.base = duckdb.connect(str(folder / "duck.db"))
        self.base.execute(f"SET memory_limit = '{memory}b'; SET threads = 2; SET preserve_insertion_order = false")
        self.base.execute(f"SET temp_directory = '{folder / 'spill'}'")

    def fetch(self, settings: Settings, lakehouse: Lakehouse) -> int:
        """Copy the objects; return their bytes."""
        size = 0
        names = {record.topic: record.name for record in lakehouse.records}
        for name in names.values():
            (self._folder / name).mkdir(parents=True)
        for key in objects.manifests(settings, lakehouse.name):
            manifest = objects.read(settings, key)
            data = lake.get(settings, manifest.object)
            assert data is not None  # noqa: S101 - it has just been landed
            (self._folder / names[manifest.topic] / f"{manifest.first}.parquet").write_bytes(data)
            size += len(data)
        return size

    def make(self, lakehouse: Lakehouse, sql: str) -> Cost:
        """Make verdicts, the records that count, and facts; write them."""
        begin, cpu = time.monotonic(), own_cpu()
        parts = (
            f"SELECT '{record.name}' AS record, '0' AS source_partition, source_offset, arrived_at, value"  # noqa: S608
            f" FROM read_parquet('{self._folder / record.name}/*.parquet')"
            for record in lakehouse.records
        )
        self.base.execute(f"CREATE VIEW landed AS {' UNION ALL '.join(parts)}")
        self.base.execute(sql)
        self.base.execute("CREATE TABLE verdict AS FROM verdicts")
        for event in lakehouse.events:
            self._write(event.name, f"FROM ranked('read_{event.name}') WHERE place = 1")
        for fact in lakehouse.facts:
            self._write(fact.name, f"FROM {fact.name}")
        return Cost(round(time.monotonic() - begin, 1), round(own_cpu() - cpu, 1))

    def _write(self, name: str, query: str) -> None:
        self.base.execute(f"COPY ({query}) TO '{self._out / name}.parquet' (FORMAT parquet)")

    def verdicts(self) -> dict[str, int]:
        """Return what became of all events."""
        row = self.base.execute(f"SELECT {', '.join(f'sum({part})' for part in SENT)} FROM verdict").fetchone()  # noqa: S608
        assert row is not None  # noqa: S101 - narrows the type
        return dict(zip(SENT, map(int, row), strict=True))

    def same(self, settings: Settings, lakehouse: Lakehouse) -> dict[str, bool]:
        """Return for each fact whether gold has the same rows: their number, and two sums of their digests."""
        result = {}
        for fact in lakehouse.facts:
            made = f"read_parquet('{self._out / fact.name}.parquet')"
            columns = [(f'"{row[0]}"', row[1]) for row in self.base.execute(f"DESCRIBE FROM {made}").fetchall()]
            digest = f"hash({', '.join(f'{name}::{kind}' for name, kind in columns)})"
            wanted = f"SELECT count(*), sum(digest), bit_xor(digest) FROM (SELECT {digest} AS digest FROM "  # noqa: S608
            scan = lake_tables.table(settings, f"{lakehouse.namespace('gold')}.{fact.name}").scan(
                selected_fields=tuple(name.strip('"') for name, _ in columns)
            )
            self.base.register("gold", scan.to_arrow_batch_reader())
            (ours,) = self.base.execute(f"{wanted} gold)").fetchall()
            self.base.unregister("gold")
            result[fact.name] = [ours] == self.base.execute(f"{wanted} {made})").fetchall()
        return result


def own_cpu() -> float:
    """Return the seconds of CPU time that this process has taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def sent(account: Account, lakehouse: Lakehouse) -> dict[str, int]:
    """Return what must become of all events."""
    topics = {f"telecom.{event.topic.partition('.')[2]}" for event in lakehouse.events}
    return {part: sum(account.topics[topic][part] for topic in topics) for part in SENT}


def measured(world: World, folder: Path, events: int, memory: str) -> dict[str, Any]:
    """Land so many events, run them, and let DuckDB do the same; afterwards nothing of them is there."""
    settings, lakehouse = world.settings, own_name(DATASET, f"events_{events}_{uuid4().hex[:4]}")
    before, now = set(world.objects()), system_clock().astimezone(UTC).replace(microsecond=0)
    duration = timedelta(days=events / A_DAY)
    request = Request(USERS, A_DAY / 86_400, now - duration, duration, 7)
    with LandingSink(settings, lakehouse, now.replace(tzinfo=None)) as sink:
        account = simulate(SIMULATION, request, FAULTS, sink, Event())
    at = world.meter()
    steps: list[tuple[str, float]] = []
    with lease.held(settings, lakehouse.name, "benchmark") as held:
        report = lambda step: steps.append((step, time.monotonic()))  # noqa: E731 - a line
        record = Run(settings, world.session, lakehouse, held, system_clock, report).execute()
    assert record is not None  # noqa: S101 - there are news
    after = world.meter()
    steps.append(("end", after.seconds))
    ours = Cost(round(after.seconds - at.seconds, 1), round(after.cpu - at.cpu, 1))
    duck = Duck(folder, memory)
    size = duck.fetch(settings, lakehouse)
    theirs = duck.make(lakehouse, registry.required_lakehouse("telecom").verification())
    same, verdicts = duck.same(settings, lakehouse), duck.verdicts()
    duck.base.close()
    for key in set(world.objects()) - before:
        lake.delete(settings, key)
    rows = account.sent
    result = {
        "events": events,
        "records": rows,
        "landed_mb": round(size / 1e6),
        "ours": vars(ours) | {"rows_s": round(rows / ours.seconds), "cpu_s_a_million": round(ours.cpu / rows * 1e6, 1)},
        "steps": {name: round(end - begin, 1) for (name, begin), (_, end) in pairwise(steps)},
        "duckdb": vars(theirs)
        | {"rows_s": round(rows / theirs.seconds), "cpu_s_a_million": round(theirs.cpu / rows * 1e6, 1)},
        "times_seconds": round(ours.seconds / theirs.seconds, 2),
        "times_cpu": round(ours.cpu / theirs.cpu, 2),
        "same": same,
        "balanced": verdicts == sent(account, lakehouse),
    }
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


def main() -> int:
    """Measure each size, and say whether a row costs more where there are more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[5_000_000, 10_000_000, 20_000_000])
    parser.add_argument("--memory", default="3g", help="heap of Spark, and memory of DuckDB")
    options = parser.parse_args()
    settings = load_settings().model_copy(update={"spark_driver_memory": options.memory, "spark_master": "local[2]"})
    spark_runtime.provide(runtime)
    results = []
    with engine.session(settings, "lakehouse-events") as session:
        world = World(settings, session)
        for events in options.events:
            with tempfile.TemporaryDirectory(dir=settings.home) as folder:
                results.append(measured(world, Path(folder), events, options.memory))
    first, last = (item["ours"]["cpu_s_a_million"] for item in (results[0], results[-1]))
    grown = round(last / first, 2)
    print(json.dumps({**vars(options), "results": results, "a_row_grown": grown}, indent=2))
    right = all(item["balanced"] and all(item["same"].values()) for item in results)
    return int(not right or grown > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
