"""A soak: sensors, both queries and a repeated batch for half an hour, as a user starts them; then all is compared.

Runs on the stack that the settings name (`meterlake up` first), with a data set of its own, removed at the end.

    python benchmarks/soak.py --meters 2000 --minutes 30 --batch-every 5m

Prints a line a sample on the error stream and one JSON object. Exit code 1 where, after the warm-up,

- the memory of a process tree is not flat: that of the second half is above that of the first by more than 10 % and by
  more than 64 MB (the median of each half; the highest of each half for the batch, whose runs come and go);
- the lag is not bounded: a query was behind by more than --most-behind seconds of the load, or the boundary was older
  than the lateness and two intervals of the batch;
- a merged minute is not what DuckDB makes of all that is in Kafka, or `meterlake verify` finds a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

import psutil
import soak_oracle
from commands import PROGRAM, ROOT, end_all, environment
from layers_samples import forget
from soak_watch import MESSAGES, PREFIX, Sample, Watched, age, figures, freshness, tree_mb, value

from datasets.household.declaration import HOUSEHOLD
from engines import spark_runtime, topics
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.durations import parse_duration
from meterlake.errors import TransientError
from meterlake.settings import Settings, load_settings
from serving_layer.sql.views import current_cutover
from speed_layer.checkpoint import Checkpoint
from stack import process as servers
from stack.instance import Instance
from stack.process import last_lines
from stack.runtime.spark import runtime

FAULTS = "duplicate=0.02,conflict=0.01,revision=0.01,out_of_order=0.02,corrupt=0.02"
QUERIES = ("views", "archive")
EVERY_S = 10
LONGEST_S = 900


@dataclass
class Soak:
    """Commands under way, each with its log."""

    settings: Settings
    dataset: MeterSeries
    port: int
    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def begin(self, name: str, *words: str) -> None:
        """Start ``meterlake WORDS``; its result goes to one file, what it tells meanwhile to another."""
        program = [sys.executable, "-u", str(PROGRAM), self.dataset.name, "-", *words]
        with self.out(name).open("wb") as out, self.log(name).open("wb") as errors:
            self.running[name] = subprocess.Popen(  # noqa: S603 - our own words
                program, stdout=out, stderr=errors, cwd=ROOT, env=environment(self.settings)
            )

    def out(self, name: str) -> Path:
        """Return the file of a command's result."""
        return self.logs / f"{name}.out"

    def log(self, name: str) -> Path:
        """Return the file of what a command tells meanwhile."""
        return self.logs / f"{name}.log"

    def ended(self, name: str, limit_s: float) -> int:
        """Wait until a command has ended; return its exit code."""
        code = self.running[name].wait(limit_s)
        del self.running[name]
        return code

    def stop(self, name: str) -> None:
        """Let a command end in order, whatever it is at."""
        self.running[name].send_signal(signal.SIGTERM)
        self.ended(name, LONGEST_S)

    def check(self, *but: str) -> None:
        """Fail where a command has ended by itself."""
        for name, process in self.running.items():
            if name not in but and process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{last_lines(self.log(name))}")

    def sample(self) -> Sample:
        """Look at everything once."""
        trees = {name: measured[0] for name, measured in servers.running(Instance(self.settings)).items()}
        trees |= {name: psutil.Process(process.pid) for name, process in self.running.items()}
        memory = {name: size for name, tree in trees.items() if (size := tree_mb(tree)) is not None}
        report = figures(self.port)
        sent = sum(self.ends().values())
        behind = {query: max(0, sent - int(value(report, MESSAGES, query=query))) for query in QUERIES}
        return Sample(
            seconds=round(time.monotonic() - self.began, 1),
            memory=memory,
            sent=sent,
            behind=behind,
            state_rows=value(report, f"{PREFIX}state_rows"),
            state_mb=round(value(report, f"{PREFIX}state_bytes") / 1e6, 1),
            boundary_age=age(current_cutover(self.settings, self.dataset), system_clock()),
        )

    def ends(self) -> dict[int, int]:
        """Return what is in Kafka now: partition -> offset of the next message."""
        topic = topics.required(self.settings, self.dataset.readings_topic)
        return {partition: span.end for partition, span in topics.spans(self.settings, topic).items()}

    def caught_up(self) -> float:
        """Wait until both queries have committed all that is in Kafka; return the seconds that it took."""
        ends, begin = self.ends(), time.monotonic()
        for query in QUERIES:
            checkpoint = Checkpoint(self.settings, self.dataset, query)
            while not checkpoint.has_reached(self.dataset.readings_topic, ends):
                self.check()
                if time.monotonic() - begin > LONGEST_S:
                    raise RuntimeError(f"The query {query} has not reached {ends} after {LONGEST_S} s.")
                time.sleep(1)
        return round(time.monotonic() - begin, 1)

    def end(self) -> None:
        """Stop what runs; what does not stop is killed."""
        end_all(self.running.values())


@contextmanager
def soak(settings: Settings, port: int) -> Iterator[Soak]:
    """Start the queries and the batch; at the end remove all that was made. Logs stay where something failed."""
    spark_runtime.provide(runtime)
    dataset = replace(HOUSEHOLD, name=f"soak{uuid.uuid4().hex[:8]}")
    logs = Path(tempfile.mkdtemp(prefix="meterlake-soak-"))
    print(f"data set {dataset.name}, logs in {logs}", file=sys.stderr, flush=True)
    topics.ensure(settings, dataset)
    run = Soak(settings, dataset, port, logs)
    try:
        yield run
    finally:
        run.end()
        forget(settings, dataset)


def watched(run: Soak, options: argparse.Namespace) -> Watched:
    """Let the sensors send, and look every ten seconds."""
    seen = Watched(options.minutes * 60 * options.warm_up)
    load = ["--meters", str(options.meters), "--for", f"{options.minutes}m", "--seed", "1", "--faults", FAULTS]
    run.begin("sensors", "simulate", run.dataset.name, *load, "--fill-gaps", "--output", "json")
    run.began = time.monotonic()
    while run.running["sensors"].poll() is None:
        run.check("sensors")
        try:
            seen.samples.append(run.sample())
            print(json.dumps(asdict(seen.samples[-1])), file=sys.stderr, flush=True)
        except TransientError as error:  # a busy server that did not answer in time; the number of samples tells
            print(error, file=sys.stderr, flush=True)
        time.sleep(EVERY_S)
    code = run.ended("sensors", 0)
    if code:
        raise RuntimeError(f"sensors ended with {code}:\n{last_lines(run.log('sensors'))}")
    return seen


def warmed(run: Soak, meters: int) -> None:
    """Start both queries, and let them see a few readings, so that the load does not wait for Spark."""
    run.begin("stream", "stream", run.dataset.name, "--with-archive", "--metrics-port", str(run.port))
    few = ["--meters", str(meters), "--for", "5s", "--seed", "0", "--fill-gaps", "--output", "json"]
    run.begin("first", "simulate", run.dataset.name, *few)
    code = run.ended("first", LONGEST_S)
    if code:
        raise RuntimeError(f"the first sensors ended with {code}:\n{last_lines(run.log('first'))}")
    run.caught_up()


def compared(run: Soak, measured: dict[str, Any]) -> dict[str, Any]:
    """Stop the repeated batch, run a last one, and compare what readers see with everything that is in Kafka."""
    measured["caught_up_s"] = run.caught_up()
    report = figures(run.port)
    measured["freshness_s"] = {f"p{round(100 * share)}_within": freshness(report, share) for share in (0.5, 0.95, 0.99)}
    run.stop("batch")
    run.begin("last", "batch", run.dataset.name, "--output", "json")
    measured["last_batch_code"] = run.ended("last", LONGEST_S)
    batches = [*results(run.out("batch")), *results(run.out("last"))]
    measured["batch_seconds"] = [row.get("seconds") for row in batches]
    measured["unexplained"] = sum(int(row.get("unexplained") or 0) for row in batches)
    begin = time.monotonic()
    measured["merged"] = asdict(soak_oracle.compare(run.settings, run.dataset, system_clock()))
    measured["merged"]["seconds"] = round(time.monotonic() - begin, 1)
    run.begin("verify", "verify", run.dataset.name, "--output", "json")
    measured["verify_code"] = run.ended("verify", LONGEST_S)
    return measured


def result(run: Soak, seen: Watched, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the samples say, before anything is compared."""
    (first,), (sent,) = results(run.out("first")), results(run.out("sensors"))
    kept = seen.judged()
    return {
        "meters": options.meters,
        "minutes": options.minutes,
        "batch_every": options.batch_every,
        "acknowledged": sent["acknowledged"] + first["acknowledged"],
        "sent_per_second": sent["sent_per_second"],
        "samples": len(kept),
        "memory_mb": seen.memory(),
        "grown": seen.grown(),
        "most_behind": seen.most_behind(),
        "state_rows": [
            round(max(s.state_rows for s in half)) for half in (kept[: len(kept) // 2], kept[len(kept) // 2 :])
        ],
        "state_mb": max(each.state_mb for each in kept),
        "oldest_boundary_s": seen.oldest_boundary(),
    }


def results(path: Path) -> list[dict[str, Any]]:
    """Return the rows that a command has printed as JSON, one list after the other."""
    text, rows = path.read_text().strip(), []
    while text:
        some, end = json.JSONDecoder().raw_decode(text)
        rows += some
        text = text[end:].strip()
    return rows


def faults(measured: dict[str, Any], run: Soak, options: argparse.Namespace) -> list[str]:
    """Return what is not as it must be."""
    allowed_behind = options.most_behind * options.meters
    allowed_age = (run.dataset.lateness + 2 * parse_duration(options.batch_every)).total_seconds() + 60
    merged = measured["merged"]
    wrong = [f"memory of {name} grows" for name in measured["grown"]]
    wrong += [
        f"{query} is behind by {most}" for query, most in measured["most_behind"].items() if max(most) > allowed_behind
    ]
    if measured["oldest_boundary_s"] is None or measured["oldest_boundary_s"] > allowed_age:
        wrong.append(f"the boundary is {measured['oldest_boundary_s']} s old, allowed are {allowed_age}")
    if merged["wrong"] or not merged["minutes"]:
        wrong.append(f"{merged['wrong']} of {merged['minutes']} merged minutes differ from the oracle")
    if merged["messages"] < measured["acknowledged"]:
        wrong.append("Kafka has less than it has acknowledged")
    if measured["verify_code"]:
        wrong.append(f"verify: {last_lines(run.log('verify'))}")
    if measured["last_batch_code"]:
        wrong.append(f"the last batch: {last_lines(run.log('last'))}")
    if measured["unexplained"]:
        wrong.append(f"{measured['unexplained']} minutes differ between the layers without an explanation")
    return wrong


def main() -> int:
    """Return 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000, help="each sends a reading a second")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--batch-every", default="5m")
    parser.add_argument("--warm-up", type=float, default=0.2, help="share of the time that is not judged")
    parser.add_argument("--most-behind", type=float, default=90, help="seconds of the load that a query may be behind")
    parser.add_argument("--metrics-port", type=int, default=9564)
    options = parser.parse_args()
    settings, load = load_settings(), os.getloadavg()[0]
    with soak(settings, options.metrics_port) as run:
        warmed(run, options.meters)
        run.begin("batch", "batch", run.dataset.name, "--every", options.batch_every, "--output", "json")
        measured = compared(run, result(run, watched(run, options), options))
        measured["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
        measured["wrong"] = faults(measured, run, options)
    print(json.dumps(measured))
    return 1 if measured["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
