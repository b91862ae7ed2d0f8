"""What the peers of a backlog share: what they are given, the rows that they write, and the line that they print.

Each peer is a program of its own, in an environment of its own: nothing here is of the project.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def given() -> argparse.Namespace:
    """Return the options of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True, help="bootstrap servers")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--count", type=int, required=True, help="messages that are in the topic")
    parser.add_argument("--measures", nargs="+", required=True, help="names of the numbers in a message")
    parser.add_argument("--cassandra", required=True, help="host:port")
    parser.add_argument(
        "--table", required=True, help="where minutes go: meter_id, minute, readings, a column a measure"
    )
    parser.add_argument("--folder", type=Path, required=True, help="for state; it is removed afterwards")
    parser.add_argument("--jars", nargs="*", default=[])
    parser.add_argument("--memory", default="1536m", help="heap of a JVM")
    return parser.parse_args()


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and all its children, also of those that have ended."""
    own = process.cpu_times()
    return own.user + own.system + own.children_user + own.children_system + sum(map(cpu_seconds, process.children()))


@dataclass
class Course:
    """When how many messages had been read. updates: (seconds since the beginning, messages)."""

    begin: float = field(default_factory=time.monotonic)
    updates: list[tuple[float, int]] = field(default_factory=list)

    def reached(self, messages: int) -> None:
        """Note that so many messages have been read."""
        self.updates.append((time.monotonic() - self.begin, messages))

    def steady(self, count: int, seconds: float) -> int | None:
        """Return messages a second after the first half of them; None where that was not noted."""
        half = next(((at, messages) for at, messages in self.updates if messages >= count / 2), None)
        if half is None or half[1] >= count:
            return None
        return round((count - half[1]) / (seconds - half[0]))


@contextmanager
def measured(count: int) -> Iterator[Course]:
    """Print what the body has taken, children included, as one line of JSON."""
    before, course = cpu_seconds(psutil.Process()), Course()
    yield course
    seconds = time.monotonic() - course.begin
    cpu = cpu_seconds(psutil.Process()) - before
    result = {"readings": count, "seconds": round(seconds, 2), "cpu_s": round(cpu, 2)}
    print(json.dumps(result | {"steady_per_second": course.steady(count, seconds)}), flush=True)


class Minutes:
    """The table of minutes, written as Cassandra's driver is usually used."""

    def __init__(self, address: str, table: str, measures: list[str]) -> None:
        from cassandra.cluster import Cluster

        host, _, port = address.rpartition(":")
        self._cluster = Cluster([host], port=int(port), protocol_version=5)
        self._session = self._cluster.connect()
        names = ["meter_id", "minute", "readings", *measures]
        values = ", ".join("?" for _ in names)
        self._insert = self._session.prepare(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})")

    def write(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows; those of the same meter and minute take each other's place."""
        from cassandra.concurrent import execute_concurrent_with_args

        execute_concurrent_with_args(self._session, self._insert, list(rows), concurrency=128)

    def close(self) -> None:
        """End the connection."""
        self._cluster.shutdown()
