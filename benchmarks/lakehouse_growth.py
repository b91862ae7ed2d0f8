"""Does a lakehouse's run over one new day cost what the day brings, or what is already there?

    meterlake up lakehouse
    python benchmarks/lakehouse_growth.py --customers 200 --years 1 3 10

The utility's databases, with histories of several lengths that end on the same day, each landed and run as a whole.
Then they go on by a day at a time, in turns, so that no history has the warmer JVM. Compared are the middle days, on
real servers. Prints a line a day on the error stream, and one JSON object; exit code 1 where CPU time, bytes that S3
has moved or bytes of new objects grow, of landing a day and of its run, by more than is allowed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from threading import Event
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import psutil

from datasets.utility import DATASET
from datasets.utility.play import play
from engines import lake, spark_runtime
from engines import spark as engine
from lakehouse import lease
from lakehouse.landing import from_database
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.lakehouse.sources import Play
from meterlake.settings import load_settings
from stack import process
from stack.instance import Instance
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.records import Event as LakehouseEvent
    from meterlake.lakehouse.records import Reference
    from meterlake.settings import Settings

ALLOWED: Final = 1.2
FIGURES: Final = ("cpu", "moved", "written")
UNTIL: Final = date(2026, 11, 10)
SERVERS: Final = ("s3", "nessie")


@dataclass(frozen=True)
class Meter:
    """What has been used up to a moment. cpu: seconds, of this process with its JVM, and of S3 and Nessie.

    moved: bytes that S3 has written, to clients and into files.
    """

    seconds: float
    cpu: float
    moved: int


@dataclass(frozen=True)
class Cost:
    """What a day took: to land it, and to run it. written: bytes of the objects that are new."""

    history: str
    records: int
    seconds: float
    cpu: float
    moved: int
    written: int


class World:
    """The servers and the session, and what they use."""

    def __init__(self, settings: Settings, session: SparkSession) -> None:
        self.settings, self.session = settings, session
        servers = process.running(Instance(settings))
        self._s3 = servers["s3"][0]
        self._servers = [one for name in SERVERS for one in servers[name]]

    def meter(self) -> Meter:
        """Return what has been used until now."""
        mine = psutil.Process()
        every = [mine, *mine.children(recursive=True), *self._servers]
        cpu = sum(times.user + times.system for times in (one.cpu_times() for one in every))
        return Meter(time.monotonic(), cpu, self._s3.io_counters().write_chars)

    def objects(self) -> dict[str, int]:
        """Return the bytes of each object."""
        return {item.key: item.size for item in lake.listed(self.settings, "")}


class History:
    """A utility of its own, and the databases that it reads."""

    def __init__(self, world: World, folder: Path, years: int, customers: int) -> None:
        self.name, self._world = f"{years} years", world
        self._lakehouse = own_name(DATASET, f"growth_{years}_{uuid4().hex[:6]}")
        folder.mkdir()
        self._urls = {name: f"sqlite:///{folder / name}.db" for name in DATASET.databases}
        days = 365 * years
        play(Play(self._urls, days, UNTIL - timedelta(days=days), customers, 7))

    def day(self) -> Cost:
        """Let a day go by, land it, and run it."""
        play(Play(self._urls, 1))
        return self.run()

    def run(self) -> Cost:
        """Land and run what is new."""
        world, lakehouse = self._world, self._lakehouse
        there, before = world.objects(), world.meter()
        request = from_database.Request(lakehouse.name, lakehouse.records, self._urls, system_clock)
        from_database.land(world.settings, request, Event())
        with lease.held(world.settings, lakehouse.name, "benchmark") as held:
            run = Run(world.settings, world.session, lakehouse, held, system_clock, lambda _: None)
            record = run.execute()
        assert record is not None  # noqa: S101 - each day has news
        after = world.meter()
        written = sum(size for key, size in world.objects().items() if key not in there)
        seconds, cpu = round(after.seconds - before.seconds, 1), round(after.cpu - before.cpu, 1)
        cost = Cost(self.name, record.total["read"], seconds, cpu, after.moved - before.moved, written)
        print(cost, file=sys.stderr, flush=True)
        return cost


def own_name(lakehouse: Lakehouse, name: str) -> Lakehouse:
    """Return a lakehouse under another name, with topics of its own."""

    def topic(record: LakehouseEvent | Reference) -> str:
        return f"{name}.{record.topic.partition('.')[2]}"

    return replace(
        lakehouse,
        name=name,
        events=tuple(replace(event, topic=topic(event)) for event in lakehouse.events),
        references=tuple(replace(reference, topic=topic(reference)) for reference in lakehouse.references),
    )


def grown(costs: dict[str, list[Cost]]) -> dict[str, dict[str, float]]:
    """Return the middle day of each history, and how much more it takes than that of the first."""
    middle = {
        name: {figure: median(getattr(cost, figure) for cost in days) for figure in (*FIGURES, "seconds", "records")}
        for name, days in costs.items()
    }
    first = next(iter(middle.values()))
    return {
        name: {**result, **{f"times_{figure}": round(result[figure] / first[figure], 3) for figure in FIGURES}}
        for name, result in middle.items()
    }


def main() -> int:
    """Measure, and say whether a day's cost has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--years", type=int, nargs="+", default=[1, 3, 10], help="lengths of the histories")
    parser.add_argument("--days", type=int, default=3, help="days that are compared, after one that is not")
    options = parser.parse_args()
    settings = load_settings()
    spark_runtime.provide(runtime)
    with tempfile.TemporaryDirectory() as name, engine.session(settings, "lakehouse-growth") as session:
        world = World(settings, session)
        histories = [History(world, Path(name) / str(years), years, options.customers) for years in options.years]
        whole = [asdict(history.run()) for history in histories]
        costs: dict[str, list[Cost]] = {history.name: [] for history in histories}
        for turn in range(options.days + 1):
            for history in histories:
                cost = history.day()
                costs[history.name] += [cost] if turn else []
    result = grown(costs)
    worst = max(each[f"times_{figure}"] for each in result.values() for figure in FIGURES)
    days = {group: [asdict(cost) for cost in each] for group, each in costs.items()}
    print(json.dumps({**vars(options), "whole": whole, "days": days, "result": result, "worst": worst}, indent=2))
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
