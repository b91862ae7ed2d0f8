"""The live half of the demo: sensors, both streaming queries, a batch run in the middle, and what was proved."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from cli.tale import DemoFailed
from stack.process import last_lines
from stack.watch import Stalled, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

METERS: Final = 20
SEED: Final = 1
FAULTS: Final = "late=0.002,out_of_order=0.02,duplicate=0.01,conflict=0.002,revision=0.002,corrupt=0.01"
CATCH_UP: Final = ("--for", "11m", "--speed", "11")
"""Eleven minutes in one: none is late, the boundary comes to lie in what was sent, and batch has minutes to compare."""
LIVE: Final = ("--for", "70s")
_FRESHNESS: Final = "meterlake_stream_freshness_seconds_bucket"


class Streams:
    """Both streaming queries in a process of their own."""

    def __init__(self, settings: Settings, dataset: str, log: Path) -> None:
        self._port = _free_port()
        self._stall = settings.stall_timeout
        self.log = log
        command = ["stream", dataset, "--with-archive", "--metrics-port", str(self._port)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "cli", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until both queries have done an update, as long as they make progress. Raises DemoFailed."""
        self._wait("to be ready", lambda: len(self.samples("meterlake_stream_last_batch_timestamp_seconds")) == 2)

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        watch = Watch("The process of the streaming queries", self._process.pid, self.log, self._stall)
        try:
            watch.until(lambda: self._process.poll() is not None or done(), pause_s=0.5)
        except Stalled as stalled:
            raise self._failed(f"Waited for the streaming queries {what}. {stalled.what}") from stalled
        if self._process.poll() is not None:
            raise self._failed(f"The streaming queries ended with {self._process.returncode}.")

    def _failed(self, what: str) -> DemoFailed:
        return DemoFailed(f"{what}\n{last_lines(self.log)}", hint=f"The whole log: {self.log}")

    def samples(self, name: str) -> dict[str, float]:
        """Return the samples of a metric, by their labels as text."""
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except (URLError, OSError):
            return {}
        samples = (line.rpartition(" ") for line in lines if line.startswith(f"{name}{{"))
        return {labels: float(value) for labels, _, value in samples}

    def wait_until_caught_up(self, settings: Settings, dataset: MeterSeries) -> None:
        """Wait until both queries have committed all that is in Kafka now. Raises DemoFailed."""
        from engines import topics
        from speed_layer.checkpoint import Checkpoint

        topic = topics.required(settings, dataset.readings_topic)
        ends = {partition: span.end for partition, span in topics.spans(settings, topic).items()}
        checkpoints = [Checkpoint(settings, dataset, query) for query in ("views", "archive")]
        self._wait(
            f"to reach {ends}", lambda: all(checkpoint.has_reached(topic.name, ends) for checkpoint in checkpoints)
        )

    def stop(self) -> None:
        """End them in order; a second request would not make it quicker."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            watch = Watch("The process of the streaming queries", self._process.pid, self.log, self._stall)
            try:
                watch.until(lambda: self._process.poll() is not None)
            except Stalled:
                self._process.kill()
                self._process.wait()


@contextmanager
def streams(settings: Settings, dataset: str, log: Path) -> Iterator[Streams]:
    """Run both queries as long as the body runs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    running = Streams(settings, dataset, log)
    try:
        yield running
    finally:
        running.stop()


class Sensors:
    """A simulation in a process of its own."""

    def __init__(self, dataset: str, shift_days: int, when: tuple[str, ...]) -> None:
        options = ["--meters", str(METERS), "--seed", str(SEED), "--faults", FAULTS, "--fill-gaps"]
        command = ["simulate", dataset, *options, *when, "--shift-days", str(shift_days), "--output", "json"]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )

    def totals(self) -> dict[str, Any]:
        """Wait for its end and return its totals. Raises DemoFailed."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise DemoFailed(f"The simulator ended with {self._process.returncode}.", hint="Its message stands above.")
        totals: dict[str, Any] = json.loads(output)[0]
        return totals


def quantile(before: dict[str, float], after: dict[str, float], share: float) -> float:
    """Return a quantile of what was observed in between, from a histogram's buckets, linear within one."""
    counts = sorted((_bound(labels), after[labels] - before.get(labels, 0.0)) for labels in after)
    wanted, low, below = share * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if math.isinf(bound) or count == below:
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def freshness(running: Streams) -> dict[str, float]:
    """Return the buckets of the freshness histogram as they are now."""
    return running.samples(_FRESHNESS)


def balance(settings: Settings, dataset: MeterSeries) -> tuple[str, bool]:
    """Compare what Kafka has received with what the archive holds of it; return the sum in words, and if it closes."""
    from engines import topics, trino

    spans = topics.spans(settings, topics.required(settings, dataset.readings_topic))
    received = sum(span.end for span in spans.values())
    table = f"iceberg.master.{dataset.name}"
    counts = []
    for name in (table, f"{table}_quarantine"):
        distinct = "SELECT DISTINCT origin_partition, origin_offset"
        statement = f"SELECT count(*) FROM ({distinct} FROM {name} WHERE origin = ?)"  # noqa: S608 - our own names
        counts.append(trino.rows(settings, statement, [dataset.readings_topic])[0][0])
    decoded, undecodable = counts
    words = f"received {received:,} = readings {decoded:,} + in quarantine {undecodable:,}"
    return words, received == decoded + undecodable


def reconciled(details: dict[str, Any]) -> str:
    """Return in words how the layers compared for the minutes that the boundary moved over."""
    comparison = details.get("reconciliation") or {}
    counts = {
        name: count for name, count in comparison.items() if isinstance(count, int) and (count or name == "equal")
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "no minute to compare"


def _bound(labels: str) -> float:
    text = labels.partition('le="')[2].partition('"')[0]
    return math.inf if text == "+Inf" else float(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
