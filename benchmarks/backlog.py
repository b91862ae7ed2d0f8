"""How fast a backlog goes through the speed layer, beside a bare process that does the least of it.

Messages of so many meters, one reading a second each, wait in Kafka. The stream takes them to Cassandra as after an
outage: decode, rules, lateness, deduplication, exact state of each minute, rows. Then, on the same messages, a bare
consumer in one Python process parses JSON, drops repeated readings by a set and adds up minutes in a dict: no rules, no
exactness, no durability, nothing written. Peers that are asked for take the same messages, too (``stream_peers.py``):
plain Spark, Quix Streams, Flink SQL, Polars.

    meterlake up kafka cassandra metastore
    python benchmarks/backlog.py --meters 2000 --seconds 600
    python benchmarks/backlog.py --meters 2000 --seconds 120 --query archive    # into the master data set instead
    python benchmarks/backlog.py --meters 2000 --seconds 300 --peers            # installs them once: some 900 MB
    python benchmarks/backlog.py --meters 2000 --seconds 300 --peers spark quix

Prints a line an update on the error stream and one JSON object: readings a second as a whole and in the steady half
(the updates after the first half of the messages), CPU seconds a million readings (driver, JVM, Python workers,
Cassandra, Kafka) as a whole and in the steady half, those of Kafka while it was sent them, Spark's phases, and the
peers' figures, without what they need until they begin to read. Exit code 1 if a minute in Cassandra, or the number of
rows in the master data set, is wrong, or a peer fails; wrong minutes of peers are counted, and change nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import psutil
import stream_peers
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from peers.common import cpu_seconds
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryListener

from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, hdfs, spark_runtime, topics
from engines import spark as engine
from engines.kafka import client_config
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.settings import Settings, load_settings
from speed_layer import session as streaming
from speed_layer.checkpoint import FOLDER
from speed_layer.run import Queries, run
from stack import process as servers
from stack.instance import Instance
from stack.runtime.spark import runtime


@dataclass
class Watch(StreamingQueryListener):
    """Keeps what Spark says of each update, and the CPU time until half of the messages are read."""

    settings: Settings
    sent: int
    updates: list[tuple[int, float]] = field(default_factory=list)
    half: tuple[int, dict[str, float]] | None = None
    phases: dict[str, int] = field(default_factory=dict)
    state_mb: float = 0.0

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, N802 - Spark's
        """Take an update."""
        report = event.progress
        if not report.numInputRows:
            return
        self.updates.append((report.numInputRows, report.batchDuration / 1000))
        if self.half is None and sum(count for count, _ in self.updates) >= self.sent / 2:
            self.half = len(self.updates), shares(self.settings)
        for phase, milliseconds in report.durationMs.items():
            self.phases[phase] = self.phases.get(phase, 0) + milliseconds
        self.state_mb = max([self.state_mb, *(one.memoryUsedBytes / 1e6 for one in report.stateOperators)])
        print(f"{report.numInputRows:,} readings in {report.batchDuration / 1000:.2f} s", file=sys.stderr, flush=True)

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""


def power(ts: int, meter: int) -> float:
    """Return what a meter measures."""
    return (ts * 31 + meter * 17) % 9000 / 1000


def send(settings: Settings, dataset: MeterSeries, meters: int, seconds: int) -> tuple[int, range]:
    """Send one reading a meter and second of the last ``seconds``; return how many, and the seconds."""
    config = {"acks": "all", "compression.type": "lz4", "linger.ms": 50, "queue.buffering.max.messages": 500_000}
    producer, count = Producer(client_config(settings, **config)), 0
    end = int(system_clock().timestamp()) // 60 * 60
    times = range(end - seconds, end)
    for ts in times:
        for meter in range(meters):
            values = (power(ts, meter), 0.1, 230.0, power(ts, meter) / 0.23, 0.0, 0.1, 0.2)
            message = wire.encode(dataset, Reading(f"m{meter}", ts, 1, values))
            producer.produce(dataset.readings_topic, message, f"m{meter}")
            count += 1
        while len(producer) > 200_000:
            producer.poll(0.1)
    if left := producer.flush(120):
        raise SystemExit(f"Kafka did not take {left:,} messages.")
    return count, times


def minute_sent(times: range, meter: str, minute: int) -> tuple[int, float]:
    """Return how many readings of a meter's minute were sent, and the sum of their power."""
    sent = [power(ts, int(meter.removeprefix("m"))) for ts in range(minute, minute + 60) if ts in times]
    return len(sent), math.fsum(sent)


def bare(settings: Settings, dataset: MeterSeries, count: int) -> dict[str, float]:
    """Consume, parse, drop what comes again and add up by minute, in this process."""
    consumer = Consumer(client_config(settings, **{"group.id": "bare", "enable.auto.commit": False}))
    parts = consumer.list_topics(dataset.readings_topic).topics[dataset.readings_topic].partitions
    consumer.assign([TopicPartition(dataset.readings_topic, part, OFFSET_BEGINNING) for part in parts])
    names = [measure.name for measure in dataset.measures]
    seen: set[tuple[str, int]] = set()
    minutes: dict[tuple[str, int], list[float]] = {}
    begin, cpu, read = time.monotonic(), time.process_time(), 0
    while read < count:
        for message in consumer.consume(10_000, 1.0):
            body = orjson.loads(message.value() or b"")
            read += 1
            key = (body["meter_id"], body["ts"])
            if key in seen:
                continue
            seen.add(key)
            minute = minutes.setdefault((body["meter_id"], body["ts"] // 60), [0.0] * (len(names) + 1))
            minute[0] += 1
            for at, name in enumerate(names, 1):
                minute[at] += body[name]
    seconds = time.monotonic() - begin
    consumer.close()
    return {
        "per_second": round(read / seconds),
        "cpu_s_per_million": round((time.process_time() - cpu) / read * 1e6, 1),
    }


def peer(name: str, backlog: stream_peers.Backlog) -> dict[str, Any]:
    """Return the figures of a peer, with the CPU time of the Cassandra that it writes to."""
    before = server(backlog.settings, "cassandra")
    result = stream_peers.run(backlog, name)
    taken = server(backlog.settings, "cassandra") - before
    print(f"{name}: {result}", file=sys.stderr, flush=True)
    return result | {"cassandra_cpu_s_per_million": round(taken / backlog.count * 1e6, 1)}


def shares(settings: Settings) -> dict[str, float]:
    """Return the CPU time so far of this process, Spark's JVM, its Python workers, and the servers that are ours."""
    process = psutil.Process()
    (java,) = [child for child in process.children() if "java" in child.name()]
    workers = math.fsum(map(cpu_seconds, java.children()))
    return {
        "driver": cpu_seconds(process) - cpu_seconds(java),
        "jvm": cpu_seconds(java) - workers,
        "workers": workers,
        "cassandra": server(settings, "cassandra"),
        "kafka": server(settings, "kafka"),
    }


def server(settings: Settings, name: str) -> float:
    """Return the CPU time so far of a server, where it is ours."""
    return math.fsum(map(cpu_seconds, servers.running(Instance(settings)).get(name, [])))


def steady(watch: Watch, after: dict[str, float]) -> dict[str, float]:
    """Return readings a second and CPU seconds a million readings of the updates after the first half of them.

    after: the CPU time when all were done.
    """
    if watch.half is None or not (rest := watch.updates[watch.half[0] :]):
        return {}
    count = sum(one for one, _ in rest)
    cpu = {part: round((after[part] - before) / count * 1e6, 1) for part, before in watch.half[1].items()}
    return {"per_second": round(count / math.fsum(seconds for _, seconds in rest)), **cpu}


def missing(spark: SparkSession, dataset: MeterSeries, sent: int) -> int:
    """Return how many rows the master data set has too few or too many; the table is removed."""
    table = f"{engine.CATALOG}.master.{dataset.name}"
    count = spark.table(table).count()
    for name in (table, f"{table}_quarantine"):
        spark.sql(f"DROP TABLE IF EXISTS {name} PURGE")
    return abs(count - sent)


def wrong(settings: Settings, dataset: MeterSeries, sent: int) -> int:
    """Return how many readings the minutes in Cassandra do not have, or have too often."""
    with cassandra.session(settings) as session:
        table = f"speed.{dataset.name}_minute"
        rows = session.execute(f"SELECT readings FROM {table}", timeout=600)  # noqa: S608
        counts: list[int] = [row.readings for row in rows]
    return abs(sum(counts) - sent) + sum(1 for count in counts if count > 60)


def remove(settings: Settings, dataset: MeterSeries) -> None:
    """Remove what this run has made."""
    admin = AdminClient(client_config(settings))
    for outcome in admin.delete_topics([dataset.readings_topic, dataset.rejected_topic]).values():
        outcome.exception(30)
    hdfs.client(settings).delete(f"{FOLDER}/{dataset.name}", recursive=True)
    with cassandra.session(settings) as session:
        for table in ("minute", "latest", "recent"):
            session.execute(f"DROP TABLE IF EXISTS speed.{dataset.name}_{table}", timeout=60)


def main() -> int:
    """Return 1 if a minute is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=600, help="of event time before now")
    parser.add_argument("--query", choices=("views", "archive"), default="views")
    parser.add_argument("--peers", nargs="*", choices=stream_peers.PEERS, help="without a name: all of them")
    options = parser.parse_args()
    names = stream_peers.PEERS if options.peers == [] else options.peers or ()
    settings, span = load_settings(), timedelta(seconds=options.seconds)
    # So that nothing is late: it is sent now, and not as it was measured.
    dataset = replace(HOUSEHOLD, name=f"backlog{uuid.uuid4().hex[:8]}", lateness=span + timedelta(minutes=10))
    spark_runtime.provide(runtime)
    topics.ensure(settings, dataset)
    try:
        load = os.getloadavg()[0]
        taken = server(settings, "kafka")
        sent, times = send(settings, dataset, options.meters, options.seconds)
        taken, views = server(settings, "kafka") - taken, options.query == "views"
        watch = Watch(settings, sent)
        with engine.session(settings, "stream", streaming.options(settings)) as spark:
            spark.streams.addListener(watch)
            begin, cpu = time.monotonic(), shares(settings)
            run(settings, dataset, Queries(archive=not views, views=views, once=True), system_clock)
            seconds, after = time.monotonic() - begin, shares(settings)
            time.sleep(2)  # the listener is told a moment later
            spark.streams.removeListener(watch)
            faults = 0 if views else missing(spark, dataset, sent)
        gc.collect()
        faults = wrong(settings, dataset, sent) if views else faults
        bare_one = bare(settings, dataset, sent)
        backlog = stream_peers.Backlog(settings, dataset, sent, partial(minute_sent, times))
        peers = {name: peer(name, backlog) for name in names}
    finally:
        remove(settings, dataset)
    second_half = steady(watch, after)
    figures = {
        "sent": sent,
        "per_second": round(sent / seconds),
        "steady_per_second": second_half.pop("per_second", None),
        "cpu_s_per_million": {part: round((after[part] - one) / sent * 1e6, 1) for part, one in cpu.items()},
        "steady_cpu_s_per_million": second_half,
        "updates": [[count, round(seconds_, 2)] for count, seconds_ in watch.updates],
        "kafka_cpu_s_per_million_sent": round(taken / sent * 1e6, 1),
        "state_mb": round(watch.state_mb, 1),
        "seconds_by_phase": {name: round(ms / 1000, 1) for name, ms in sorted(watch.phases.items())},
        "bare": bare_one,
        "peers": peers,
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "wrong": faults,
    }
    print(json.dumps(figures))
    return 1 if faults or any("failed" in one for one in peers.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
