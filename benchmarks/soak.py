"""The whole system under load for half an hour: memory flat, lag bounded, and in the end every merged minute right.

Both streaming queries, a batch run every few minutes and the sensors run as a user starts them, each in its process.
Every ten seconds the memory of each of them and of each server is noted, and how far the queries are behind. In the end
all messages in Kafka are decoded and judged by the core, alone, and compared with every row of the merged view.

    meterlake up
    python benchmarks/soak.py --meters 2000 --minutes 30 --batch-every 5m

Prints a line every minute on the error stream, and one JSON object. Exit code 1 where a process has grown, a query fell
behind, the layers differed without an explanation, or a minute is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

import chaos_world
import psutil
import stream_samples
from confluent_kafka import Consumer, TopicPartition
from layers_samples import Rows, forget, merged_minutes, truth
from prometheus_client.parser import text_string_to_metric_families

from engines import topics, trino
from engines.kafka import client_config
from meterlake.datasets.household import HOUSEHOLD
from meterlake.declaration import Dataset
from meterlake.reading import Reading
from meterlake.settings import Settings, load_settings
from stack import process
from stack.instance import Instance

EVERY_S = 10
GROWTH, SPARE_MB = 1.1, 100
"""A process has grown where the most of its last third is more than this times, and so much above, that of the middle:
the first third is for heaps to reach their size."""
BEHIND_S = {"views": 30, "archive": 120}
"""A query has fallen behind where it was further away from the end of Kafka, in seconds of readings."""


@dataclass
class Soak(chaos_world.World):
    """The world of the chaos tests with another load."""

    meters: int = 0
    batch_every: str = ""
    port: int = 0

    def begin(self, name: str) -> None:
        """Start a command."""
        words = {
            "stream": ["stream", self.dataset.name, "--with-archive", "--metrics-port", str(self.port)],
            "batch": ["batch", self.dataset.name, "--every", self.batch_every],
            "last": ["batch", self.dataset.name],
        }
        self.running[name] = self._popen(words[name], self.log(name))

    def log(self, name: str) -> Path:
        """Return where a command writes."""
        return self.settings.home / "logs" / f"soak-{name}.log"

    def sensors(self, seconds: int, seed: int) -> list[str]:
        """Return the words of the simulator."""
        load = ["--meters", str(self.meters), "--for", f"{seconds}s", "--seed", str(seed)]
        words = ["simulate", self.dataset.name, *load, "--faults", chaos_world.FAULTS, "--fill-gaps"]
        return [*words, "--output", "json"]


@dataclass
class Notes:
    """What was seen every ten seconds."""

    memory: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    behind: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    state_rows: list[float] = field(default_factory=list)

    def take(self, soak: Soak, sensors: psutil.Process) -> None:
        """Look once."""
        for name, megabytes in resident(soak, sensors).items():
            self.memory[name].append(megabytes)
        metrics = measured(soak.port)
        for query in BEHIND_S:
            self.behind[query].append(metrics.get(f"meterlake_stream_offsets_behind {query}", 0.0))
        self.state_rows.append(metrics.get("meterlake_stream_state_rows ", 0.0))

    def figures(self, rate: int) -> dict[str, Any]:
        """Return it in short: megabytes as the most of each third; how far behind in seconds of readings."""
        return {
            "memory_mb": {name: most_of_thirds(values) for name, values in sorted(self.memory.items())},
            "behind_s": {
                query: {"median": quantile(values, 0.5) / rate, "most": max(values) / rate}
                for query, values in self.behind.items()
            },
            "state_rows": most_of_thirds(self.state_rows),
        }


def resident(soak: Soak, sensors: psutil.Process) -> dict[str, float]:
    """Return the megabytes of each server, and of each command with its JVM and workers."""
    found = {
        name: sum(each.memory_info().rss for each in processes) / 1e6
        for name, processes in process.running(soak.stack).items()
    }
    commands = {name: psutil.Process(popen.pid) for name, popen in soak.running.items()} | {"sensors": sensors}
    for name, command in commands.items():
        try:
            tree = [command, *command.children(recursive=True)]
            found[name] = sum(each.memory_info().rss for each in tree) / 1e6
        except psutil.NoSuchProcess:
            continue  # a worker has ended meanwhile
    return found


def measured(port: int) -> dict[str, float]:
    """Return the stream's metrics: name and query -> value; of freshness, the bound of each bucket -> count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        f"{sample.name} {sample.labels.get('query', sample.labels.get('le', ''))}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def freshness(metrics: dict[str, float], share: float) -> float:
    """Return the bound of the first bucket that holds so large a share of the readings, in seconds."""
    name = "meterlake_stream_freshness_seconds_bucket "
    buckets = sorted((float(key.removeprefix(name)), count) for key, count in metrics.items() if key.startswith(name))
    return next(bound for bound, count in buckets if count >= share * buckets[-1][1])


def most_of_thirds(values: list[float]) -> list[float]:
    """Return the largest value of each third."""
    third = max(1, len(values) // 3)
    return [round(max(part)) for part in (values[:third], values[third : 2 * third], values[2 * third :]) if part]


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def oracle(settings: Settings, dataset: Dataset) -> Rows:
    """Return the minutes that the core makes of all that is in Kafka, one partition after the other."""
    topic = topics.required(settings, dataset.readings_topic)
    rows: Rows = {}
    for partition, span in topics.spans(settings, topic).items():
        cells: dict[tuple[str, int], list[Reading]] = defaultdict(list)
        for reading in readings(settings, dataset, partition, (span.first, span.end)):
            cells[reading.meter_id, reading.ts - reading.ts % 60].append(reading)
        for cell in cells.values():  # each alone: precedence decides within a cell
            rows |= truth(dataset, cell)
    return rows


def readings(settings: Settings, dataset: Dataset, partition: int, span: tuple[int, int]) -> Iterator[Reading]:
    """Yield what can be decoded of a partition."""
    first, end = span
    consumer = Consumer(client_config(settings, **{"group.id": "meterlake-soak", "enable.auto.commit": False}))
    consumer.assign([TopicPartition(dataset.readings_topic, partition, first)])
    while first < end:
        for message in consumer.consume(10_000, timeout=10):
            if message.error() is not None:
                raise RuntimeError(message.error().str())
            at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            arrived = stream_samples.Arrived(partition, message.offset(), at, message.key(), message.value(), {})
            yield from stream_samples.decoded(dataset, [arrived])[0]
            first = message.offset() + 1
    consumer.close()


def runs(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """Return what the record of runs says: how many, their seconds, and the minutes that differ for no known reason."""
    rows = trino.rows(
        settings,
        "SELECT CAST(json_extract_scalar(details, '$.seconds') AS DOUBLE),"
        " CAST(coalesce(json_extract_scalar(details, '$.reconciliation.unexplained'), '0') AS BIGINT)"
        " FROM iceberg.serving.batch_runs WHERE event = 'published' AND dataset = ? ORDER BY seq",
        [dataset.name],
    )
    return {"published": len(rows), "seconds": [row[0] for row in rows], "unexplained": sum(row[1] for row in rows)}


@contextmanager
def world(settings: Settings, wish: argparse.Namespace) -> Iterator[Soak]:
    """Start the queries and the repeated batch; stop all and remove the data set at the end."""
    dataset = replace(HOUSEHOLD, name=f"soak{uuid.uuid4().hex[:8]}")
    soak = Soak(
        settings, Instance(settings), dataset, meters=wish.meters, batch_every=wish.batch_every, port=wish.metrics_port
    )
    topics.ensure(settings, dataset)
    try:
        soak.begin("stream")
        with soak.load(5, seed=0):
            pass
        soak.wait_until_caught_up()
        soak.begin("batch")
        yield soak
    finally:
        soak.end()
        forget(settings, dataset)


def watch(soak: Soak, seconds: int) -> Notes:
    """Let sensors send for so long, and look every ten seconds."""
    notes, begin = Notes(), time.monotonic()
    with soak.load(seconds, seed=1) as sensors:
        known = psutil.Process(sensors.pid)
        while sensors.poll() is None:
            time.sleep(EVERY_S)
            soak.all_run()
            if sensors.poll() is None:
                notes.take(soak, known)
            if len(notes.state_rows) % 6 == 1:
                told = {name: values[-1] for name, values in notes.behind.items()}
                print(round(time.monotonic() - begin), "s, behind", told, file=sys.stderr, flush=True)
    return notes


def compare(soak: Soak) -> dict[str, int]:
    """Let everything come to rest, run batch once more, and compare each merged minute with the core's."""
    soak.wait_until_caught_up()
    soak.stop("batch")
    soak.begin("last")
    code = soak.running.pop("last").wait(600)
    if code:
        raise RuntimeError(f"the last batch ended with {code}: see {soak.log('last')}")
    wanted, shown = oracle(soak.settings, soak.dataset), merged_minutes(soak.settings, soak.dataset)
    wrong = [key for key in shown | wanted if shown.get(key) != wanted.get(key)]
    if wrong:
        print("wrong:", wrong[0], shown.get(wrong[0]), wanted.get(wrong[0]), file=sys.stderr)
    return {"minutes": len(wanted), "wrong": len(wrong), "messages": sum(soak.ends().values())}


def faults(found: dict[str, Any]) -> list[str]:
    """Return what should not be."""
    told = [f"{found['compared']['wrong']} minutes are wrong"] if found["compared"]["wrong"] else []
    if found["runs"]["unexplained"]:
        told.append(f"the layers differ in {found['runs']['unexplained']} minutes without an explanation")
    for name, most in found["memory_mb"].items():
        if len(most) == 3 and most[2] > max(GROWTH * most[1], most[1] + SPARE_MB):
            told.append(f"{name} has grown from {most[1]} to {most[2]} MB")
    for query, seconds in BEHIND_S.items():
        if found["behind_s"][query]["most"] > seconds:
            told.append(f"{query} was more than {seconds} s behind")
    return told


def main() -> int:
    """Return 1 if something should not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--batch-every", default="5m")
    parser.add_argument("--metrics-port", type=int, default=9474)
    wish = parser.parse_args()
    settings = load_settings()
    with world(settings, wish) as soak:
        notes = watch(soak, 60 * wish.minutes)
        metrics = measured(soak.port)
        compared = compare(soak)
        found = {
            "readings_per_second": wish.meters,
            "minutes": wish.minutes,
            **notes.figures(wish.meters),
            "freshness_s": {"p50": freshness(metrics, 0.5), "p99": freshness(metrics, 0.99)},
            "runs": runs(settings, soak.dataset),
            "compared": compared,
            "load_after": round(os.getloadavg()[0], 1),
        }
    found["faults"] = faults(found)
    print(json.dumps(found))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
