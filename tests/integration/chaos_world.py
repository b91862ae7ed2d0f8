"""A whole running system that faults are put into: sensors, both queries and a repeated batch, as a user starts them.

The truth is what the core makes of all that is in Kafka; the merged views must show it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import stream_samples as samples
from commands import PROGRAM, ROOT, end_all, environment
from layers_samples import forget, merged_minutes, truth

from datasets.household.declaration import HOUSEHOLD
from engines import hdfs, topics, trino
from meterlake.declaration import MeterSeries
from meterlake.errors import MeterlakeError
from meterlake.settings import Settings
from serving_layer.publish import records
from serving_layer.publish.history import Record
from speed_layer.checkpoint import Checkpoint
from stack import launcher
from stack.instance import Instance
from stack.process import last_lines
from stack.services import select
from stack.watch import LONGEST

METERS: Final = 40
FAULTS: Final = "duplicate=0.02,conflict=0.01,revision=0.01,withdraw=0.01,out_of_order=0.02,corrupt=0.02"
BATCH_EVERY: Final = "20s"
LONGEST_S: Final = LONGEST.total_seconds()
QUERIES: Final = {"stream": "views", "archive": "archive"}
COMMANDS: Final = (*QUERIES, "batch")
"""Command -> the query that it runs."""


@dataclass(frozen=True)
class Outcome:
    """A line of the table of recoveries. seconds: from the fault until all that had been sent was processed."""

    fault: str
    seconds: float
    minutes: int


TABLE: Final[list[Outcome]] = []
"""Printed at the end of the tests."""


@dataclass
class World:
    """Commands under way, each with its log; and how to wait for them."""

    settings: Settings
    stack: Instance
    dataset: MeterSeries
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    acknowledged: int = 0
    """Messages that the broker has confirmed to the sensors."""

    def begin(self, name: str) -> None:
        """Start a command: stream, archive or batch."""
        words = {
            "stream": ["stream", self.dataset.name],
            "archive": ["archive", self.dataset.name],
            "batch": ["batch", self.dataset.name, "--every", BATCH_EVERY],
        }
        self.running[name] = self._popen(words[name], self.log(name))

    def revive(self) -> None:
        """Start again what a test before has left ended, and let it catch up: each stands alone."""
        ended = [name for name in COMMANDS if name not in self.running or self.running[name].poll() is not None]
        if not ended:
            return
        launcher.up(select([]), self.stack, lambda *_: None)
        for name in ended:
            self.begin(name)
        self.wait_until_caught_up()

    def log(self, name: str) -> Path:
        return self.settings.home / "logs" / f"chaos-{name}.log"

    def kill(self, name: str) -> None:
        """End a command as ``kill -9`` does; its JVM ends with it."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(900)

    def end(self) -> None:
        """Stop what runs; what does not stop is killed."""
        end_all(self.running.values())

    def pid(self, service: str) -> int:
        pid = {state.service.name: state.pid for state in launcher.status(self.stack, check=False)}[service]
        assert pid is not None, f"{service} does not run"
        return pid

    @contextmanager
    def load(self, seconds: int, seed: int) -> Iterator[subprocess.Popen[bytes]]:
        """Let sensors send, from before the body to their end: the broker has confirmed all of it."""
        out = self.settings.home / "logs" / f"chaos-sensors-{seed}.json"
        process = self._popen(self.sensors(seconds, seed), out, errors=self.log("sensors"))
        before = sum(self.ends().values())
        try:
            self.wait("the sensors to send", lambda: sum(self.ends().values()) > before or process.poll() is not None)
            yield process
            code = process.wait(seconds + LONGEST_S)
            if code != -signal.SIGKILL:  # that is one of the faults
                assert code == 0, last_lines(self.log("sensors"))
                self.acknowledged += int(json.loads(out.read_text())[0]["acknowledged"])
        finally:
            process.kill()
            process.wait()

    def sensors(self, seconds: int, seed: int) -> list[str]:
        load = ["--meters", str(METERS), "--for", f"{seconds}s", "--seed", str(seed), "--faults", FAULTS]
        return ["simulate", self.dataset.name, *load, "--fill-gaps", "--output", "json"]

    def ends(self) -> dict[int, int]:
        """Return what is in Kafka now: partition -> offset of the next message."""
        topic = topics.required(self.settings, self.dataset.readings_topic)
        return {partition: span.end for partition, span in topics.spans(self.settings, topic).items()}

    def wait_until_processed(self, query: str, ends: dict[int, int]) -> None:
        """Wait until a query has committed everything before these offsets."""
        self.wait(f"the query {query} to reach {ends}", lambda: self._reached(query, ends))

    def wait_until_caught_up(self) -> None:
        ends = self.ends()
        for query in QUERIES.values():
            self.wait_until_processed(query, ends)

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        until = time.monotonic() + LONGEST_S
        while not done():
            self.all_run()
            assert time.monotonic() < until, f"waited {LONGEST_S} s for {what}"
            time.sleep(0.5)

    def all_run(self) -> None:
        """No command has given up."""
        for name, process in self.running.items():
            assert process.poll() is None, f"{name} ended with {process.poll()}:\n{last_lines(self.log(name))}"

    def check(self) -> int:
        """Compare the merged minutes with the truth, and count; return how many minutes there are.

        Kafka has what the sensors were confirmed; each message is once in the master data set or in quarantine; and the
        layers have agreed whenever the boundary moved.
        """
        arrived = samples.arrived(self.settings, self.dataset.readings_topic)
        assert len(arrived) >= self.acknowledged
        wanted = truth(self.dataset, samples.decoded(self.dataset, arrived)[0])
        shown = merged_minutes(self.settings, self.dataset)
        wrong = {key: (shown.get(key), wanted.get(key)) for key in shown | wanted if shown.get(key) != wanted.get(key)}
        assert not wrong, f"{len(wrong)} of {len(wanted)} minutes are wrong, such as {next(iter(wrong.items()))}"
        assert self._archived() == len(arrived)
        result = self.disagreements()
        assert not result, f"the layers have differed at {len(result)} runs: {result}"
        return len(wanted)

    def disagreements(self) -> list[tuple[str, object]]:
        """Return the runs at which the layers differed without an explanation, or could not be compared, and why."""
        compared = [(record.run_id, record.details.get("reconciliation")) for record in self._runs()]
        return [(run, seen) for run, seen in compared if seen and (seen.get("unexplained") or seen.get("failed"))]

    def published(self) -> int:
        """Return how many runs of batch were published."""
        return len(self._runs())

    def _runs(self) -> list[Record]:
        runs = records.last(self.settings, self.dataset.name, 0, count=None)
        return [record for record in runs if record.event == "published"]

    def _archived(self) -> int:
        """Return how many messages are in the master data set or in quarantine; each must be there once."""
        table = f"iceberg.master.{self.dataset.name}"
        counts = []
        for name in (table, f"{table}_quarantine"):
            statement = f"SELECT count(*), count(DISTINCT (origin_partition, origin_offset)) FROM {name}"  # noqa: S608
            rows, distinct = trino.rows(self.settings, statement)[0]
            assert rows == distinct
            counts.append(int(rows))
        return sum(counts)

    def _reached(self, query: str, ends: dict[int, int]) -> bool:
        try:
            return Checkpoint(self.settings, self.dataset, query).has_reached(self.dataset.readings_topic, ends)
        except (MeterlakeError, *hdfs.ERRORS):
            return False  # HDFS itself is away

    def _popen(self, words: list[str], out: Path, errors: Path | None = None) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-u", str(PROGRAM), self.dataset.name, "-", *words]
        with out.open("wb" if errors else "ab") as stdout, (errors or out).open("ab") as stderr:
            return subprocess.Popen(program, stdout=stdout, stderr=stderr, cwd=ROOT, env=environment(self.settings))


@contextmanager
def world(settings: Settings, stack: Instance, name: str) -> Iterator[World]:
    """Start everything, and stop it at the end."""
    result = World(settings, stack, replace(HOUSEHOLD, name=name))
    topics.ensure(settings, result.dataset)
    try:
        for command in QUERIES:
            result.begin(command)
        with result.load(5, seed=0):
            pass
        result.wait_until_caught_up()
        result.begin("batch")
        yield result
    finally:
        result.end()
        forget(settings, result.dataset)
