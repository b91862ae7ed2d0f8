"""The same batch run and the same stream on one executor and on two: Spark's own standalone cluster, the same results?

A master and two workers of one core each run as processes of this machine, started by pyspark's own spark-class. A run
finds them by settings: METERLAKE_SPARK_MASTER, and METERLAKE_SPARK_PROPERTIES for how many executors it takes. Nothing
of ours is on the way. The readings' topic has 8 partitions.

    meterlake up kafka cassandra metastore
    python benchmarks/scale_out.py --meters 2000 --seconds 300 --rounds 3

batch: live readings of a fleet arrive in an Iceberg table, and a run brings the views up to date, as in batch_peers.py:
a small run first, which is not counted. stream: a backlog as in backlog.py. Each turn is a process of its own; turns
of one and two executors alternate. nodes: the same stream into one Cassandra node of its own and into two, its
checkpoint on one DataNode and, with two copies, on two. Prints one JSON object: seconds, and CPU seconds of the driver
and Spark's cluster together, with medians and ratios. Exit code 1 where two turns' views, or their rows in Cassandra,
are not the same row by row.

On a machine of two cores the driver and the servers take their share of them: seconds cannot halve. What must not grow
is CPU time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

import backlog
import duckdb
import psutil
import second_nodes
from batch_growth import START, in_folder
from batch_peers import DATASET, Fleet
from standalone import PROPERTIES, WORKERS, cluster

from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, hdfs, spark_runtime, topics
from engines import spark as engine
from meterlake.clock import system_clock
from meterlake.settings import load_settings
from speed_layer import session as streaming
from speed_layer.checkpoint import FOLDER
from speed_layer.run import Queries, run
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

# Names come from the declaration.
# ruff: noqa: S608
PARTITIONS: Final = 8
COMPARED: Final = ("minute", "latest")
"""Speed tables that say the same however messages are divided into updates; recent readings are a sample."""


def cpu_seconds() -> float:
    """Return the CPU time so far of this process, Spark's driver, the master, the workers and their executors."""
    pids = [os.getpid(), *map(int, os.environ["CLUSTER"].split(","))]
    return math.fsum(backlog.cpu_seconds(psutil.Process(pid)) for pid in pids)


def batch_turn(settings: Settings, folder: Path, meters: int, seconds: int) -> dict[str, Any]:
    """Bring views up to date with what has arrived, on the executors that the settings say."""
    length = timedelta(seconds=seconds // 60 * 60)
    with engine.session(settings, "scale-out", in_folder(folder)) as spark:
        fleet = Fleet(spark, settings, DATASET, folder, meters, length)
        until = START + timedelta(minutes=1)
        fleet.arrive(START, until, 1)
        fleet.batch(until + timedelta(minutes=5))
        fleet.arrive(until, until + length, 1)
        begin, cpu = time.monotonic(), cpu_seconds()
        readings = fleet.batch(until + length + timedelta(minutes=5)).readings
        figures = {"seconds": time.monotonic() - begin, "cpu_s": cpu_seconds() - cpu, "readings": readings}
        executors = _executors(spark)
    assert fleet.current is not None  # noqa: S101 - runs have been
    views = {
        table: [str(file) for place in slices.values() for file in sorted(Path(urlparse(place).path).glob("*.parquet"))]
        for table, slices in fleet.current.tables.items()
    }
    return {**figures, "executors": executors, "views": views}


def stream_turn(settings: Settings, dataset: MeterSeries, sent: int) -> dict[str, Any]:
    """Let the backlog go through the speed layer."""
    watch = backlog.Watch(settings, sent)
    with engine.session(settings, "stream", streaming.options(settings)) as spark:
        spark.streams.addListener(watch)
        begin, cpu = time.monotonic(), cpu_seconds()
        run(settings, dataset, Queries(archive=False, views=True, once=True), system_clock)
        figures = {"seconds": time.monotonic() - begin, "cpu_s": cpu_seconds() - cpu, "readings": sent}
        executors = _executors(spark)
        spark.streams.removeListener(watch)
    return {**figures, "executors": executors, "updates": watch.updates}


def _executors(spark: Any) -> int:  # noqa: ANN401 - Java has no types here
    """Return how many executors the driver has: those whose memory it knows, without itself."""
    return int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1  # noqa: SLF001


def turn(environment: Mapping[str, str], executors: int, folder: Path, words: list[str]) -> dict[str, Any]:
    """Run a turn in a process of its own; return what it says."""
    properties = folder / f"executors{executors}.conf"
    properties.write_text(PROPERTIES.format(executors=executors), encoding="utf-8")
    settings = {**os.environ, **environment, "METERLAKE_SPARK_PROPERTIES": str(properties)}
    command = [sys.executable, str(Path(__file__)), *words]
    done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - ours
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if result["executors"] != executors:
        raise SystemExit(f"{result['executors']} executors took part, not {executors}.")
    print(f"{words[0]} on {executors}: {result['seconds']:.1f} s, {result['cpu_s']:.1f} CPU s", file=sys.stderr)
    return result


def turns(rounds: int, once: Callable[[int], tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """Take turns on one and on two. once: returns figures, and what is to be the same."""
    found: dict[int, list[dict[str, Any]]] = {1: [], WORKERS: []}
    first, wrong = None, 0
    for _ in range(rounds):
        for executors, figures in found.items():
            result, rows = once(executors)
            figures.append({name: round(result[name], 1) for name in ("seconds", "cpu_s")})
            wrong += 0 if first is None else differing(first, rows)
            first = rows if first is None else first
    middle = {
        executors: {name: median(each[name] for each in figures) for name in ("seconds", "cpu_s")}
        for executors, figures in found.items()
    }
    ratios = {name: round(middle[WORKERS][name] / middle[1][name], 2) for name in ("seconds", "cpu_s")}
    return {"readings": result["readings"], "turns": found, "median": middle, "two_to_one": ratios,
            "differing_rows": wrong}  # fmt: skip


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Return how many rows either has alone. Both: rows by table, or files of rows by table."""
    if one.keys() != other.keys():
        return len(one.keys() ^ other.keys())
    return sum(_alone(one[name], other[name]) for name in one)


def _alone(one: Any, other: Any) -> int:  # noqa: ANN401 - two kinds
    if isinstance(one, set):
        return len(one ^ other)
    if not one or not other:
        return len(one) + len(other)
    count = "SELECT count(*) FROM (SELECT * FROM {} EXCEPT ALL SELECT * FROM {})"
    files = [f"read_parquet({each}, hive_partitioning = false)" for each in (one, other)]
    with duckdb.connect() as connection:
        both = (count.format(*order) for order in (files, files[::-1]))
        return sum(int(connection.execute(query).fetchall()[0][0]) for query in both)


def batch(environment: Mapping[str, str], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare batch runs."""

    def once(executors: int) -> tuple[dict[str, Any], Any]:
        place = Path(tempfile.mkdtemp(dir=folder))
        words = ["batch_turn", f"--folder={place}", f"--meters={options.meters}", f"--seconds={options.seconds}"]
        result = turn(environment, executors, folder, words)
        return result, result["views"]

    return turns(options.rounds, once)


def stream(environment: Mapping[str, str], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare streams over the same messages."""
    settings = load_settings().model_copy(update={"kafka_partitions": PARTITIONS})
    dataset = _dataset(f"scaleout{uuid.uuid4().hex[:8]}", options.seconds)
    topics.ensure(settings, dataset)
    try:
        sent = backlog.send(settings, dataset, options.meters, options.seconds)
        words = ["stream_turn", f"--name={dataset.name}", f"--sent={sent}", f"--seconds={options.seconds}"]

        def once(executors: int) -> tuple[dict[str, Any], Any]:
            result = turn(environment, executors, folder, words)
            rows = _rows_of(settings, dataset, sent)
            _forget(settings, dataset)
            return result, rows

        return turns(options.rounds, once)
    finally:
        backlog.remove(settings, dataset)


def nodes(environment: Mapping[str, str], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare a stream into one Cassandra node, its checkpoint on one DataNode, with one into two of each."""
    stack = load_settings().model_copy(update={"kafka_partitions": PARTITIONS})
    dataset, places = _dataset(f"scaleout{uuid.uuid4().hex[:8]}", options.seconds), dict[str, dict[str, int]]()
    topics.ensure(stack, dataset)
    with ExitStack() as started:
        started.enter_context(second_nodes.cassandra_node(stack, folder, 0))
        try:
            sent = backlog.send(stack, dataset, options.meters, options.seconds)
            words = ["stream_turn", f"--name={dataset.name}", f"--sent={sent}", f"--seconds={options.seconds}"]

            def once(count: int) -> tuple[dict[str, Any], Any]:
                if count > 1:
                    started.enter_context(second_nodes.cassandra_node(stack, folder, 1))
                    started.enter_context(second_nodes.datanode(stack, folder))
                hosts = second_nodes.contact_points(stack, count)
                servers = {"METERLAKE_CASSANDRA_HOSTS": hosts, "METERLAKE_HDFS_REPLICATION": str(count)}
                result = turn({**environment, **servers}, WORKERS, folder, words)
                settings = stack.model_copy(update={"cassandra_hosts": hosts})
                rows = _rows_of(settings, dataset, sent)
                places[f"{count} nodes"] = {
                    **second_nodes.owners(settings, f"speed.{dataset.name}_minute", f"{dataset.key}, day"),
                    **second_nodes.blocks(stack),
                }
                _forget(settings, dataset)
                return result, rows

            return {**turns(1, once), "partitions_and_blocks": places}
        finally:
            backlog.remove(stack, dataset)


def _rows_of(settings: Settings, dataset: MeterSeries, sent: int) -> dict[str, set[tuple[Any, ...]]]:
    """Return what the speed tables hold. Raises SystemExit where readings are not there once."""
    if wrong := backlog.wrong(settings, dataset, sent):
        raise SystemExit(f"{wrong:,} readings are missing in Cassandra, or there twice.")
    return {name: _rows(settings, f"speed.{dataset.name}_{name}") for name in COMPARED}


def _dataset(name: str, seconds: int) -> MeterSeries:
    """Return the household, where nothing is late: it is sent now, and not as it was measured."""
    return replace(HOUSEHOLD, name=name, lateness=timedelta(seconds=seconds, hours=2))


def _rows(settings: Settings, table: str) -> set[tuple[Any, ...]]:
    with cassandra.session(settings) as session:
        return {tuple(row) for row in session.execute(f"SELECT * FROM {table}", timeout=600)}


def _forget(settings: Settings, dataset: MeterSeries) -> None:
    """Let the next turn begin anew: the messages stay."""
    hdfs.client(settings).delete(f"{FOLDER}/{dataset.name}", recursive=True)
    with cassandra.session(settings) as session:
        for table in ("minute", "latest", "recent"):
            session.execute(f"DROP TABLE speed.{dataset.name}_{table}", timeout=60)


PARTS: Final = {"batch": batch, "stream": stream, "nodes": nodes}


def main() -> int:
    """Return 1 where results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "part", nargs="?", choices=("batch", "stream", "batch_turn", "stream_turn"), help="without: both"
    )
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=300, help="of event time, whole minutes")
    parser.add_argument("--rounds", type=int, default=3)
    for name, kind in (("folder", Path), ("name", str), ("sent", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)  # of a turn
    options = parser.parse_args()
    settings = load_settings()
    spark_runtime.provide(runtime)
    if options.part == "batch_turn":
        print(json.dumps(batch_turn(settings, options.folder, options.meters, options.seconds)))
        return 0
    if options.part == "stream_turn":
        print(json.dumps(stream_turn(settings, _dataset(options.name, options.seconds), options.sent)))
        return 0
    settings.home.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=settings.home) as name, cluster(settings, Path(name)) as environment:
        found = {
            part: compare(environment, Path(name), options)
            for part, compare in PARTS.items()
            if options.part in {None, part}
        }
    loads = {"load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1)}
    print(json.dumps({**found, **loads}))
    return int(any(part["differing_rows"] for part in found.values()))


if __name__ == "__main__":
    sys.exit(main())
