"""Where a CPU second of the stream and of a batch run goes: flame graphs, and a table by group for docs/profiles.md.

    python benchmarks/profiles.py stream --out docs/images --page docs/profiles.md
    python benchmarks/profiles.py batch --out docs/images --page docs/profiles.md

``stream``: a backlog, as in backlog.py (meterlake up kafka cassandra metastore). ``batch``: live readings of a fleet,
a run after each few minutes of them, as in batch_peers.py (no server). Stacks are taken twice: of the time in which the
process gets warm (the first half of the messages; the first run, which makes the views), and of what comes after it,
which the picture shows. Sampling takes time of its own: figures of speed are those of the other measurements.

Writes profile-NAME.svg; with --page, the table between the page's marks ``<!-- NAME -->`` and ``<!-- end of NAME -->``.
Prints one JSON object: CPU seconds by group. Exit code 1 where a reading is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import backlog
from batch_growth import START, in_folder
from batch_peers import DATASET, Fleet
from cpu_groups import by_group, group
from flame_graph import svg
from sampling import Sampling

from datasets.household.declaration import HOUSEHOLD
from engines import spark as engine
from engines import spark_runtime, topics
from meterlake.clock import system_clock
from meterlake.settings import load_settings
from speed_layer import session as streaming
from speed_layer.run import Queries, run
from stack.runtime import maven
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flame_graph import Stack
    from pyspark.sql import SparkSession

    from meterlake.settings import Settings

WARMING: Final = {"stream": "first half", "batch": "first run"}
WARM: Final = {"stream": "second half", "batch": "later runs"}


@dataclass
class Profile:
    """What was sampled: CPU seconds by stack while the process got warm, and afterwards; readings of each; faults."""

    warming: Mapping[Stack, float] = field(default_factory=dict)
    warm: Mapping[Stack, float] = field(default_factory=dict)
    readings: list[int] = field(default_factory=list)
    wrong: int = 0


@contextmanager
def sampling(settings: Settings, spark: SparkSession) -> Iterator[Sampling]:
    """Let profilers look at this process and its Spark."""
    (jar,) = maven.resolve("profiler", settings)
    context: Any = spark.sparkContext
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        yield Sampling(context._jvm, jar, Path(folder), lambda: backlog.shares(settings))  # noqa: SLF001 - PySpark's way to Java


@dataclass
class Halves(backlog.Watch):
    """Ends the first profile, and begins the second, when half of the messages are read."""

    sampled: Sampling | None = None
    profile: Profile = field(default_factory=Profile)
    all_read: threading.Event = field(default_factory=threading.Event)

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, N802 - Spark's
        """Take an update."""
        before = self.half
        super().onQueryProgress(event)
        if before is None and self.half is not None and self.sampled is not None:
            self.profile.warming = self.sampled.end()
            self.sampled.begin()
        if sum(count for count, _ in self.updates) >= self.sent:
            self.all_read.set()


def stream(settings: Settings, meters: int, seconds: int) -> Profile:
    """Let a backlog go through the speed layer, in six updates at least."""
    most = min(settings.stream_max_offsets, meters * seconds // 6)
    settings = settings.model_copy(update={"stream_max_offsets": most})
    name, lateness = f"profile{uuid.uuid4().hex[:8]}", timedelta(seconds=seconds, minutes=10)
    dataset = replace(HOUSEHOLD, name=name, lateness=lateness)
    topics.ensure(settings, dataset)
    try:
        sent = backlog.send(settings, dataset, meters, seconds)
        with engine.session(settings, "stream", streaming.options(settings)) as spark, sampling(settings, spark) as it:
            watch = Halves(settings, sent, sampled=it)
            spark.streams.addListener(watch)
            it.begin()
            run(settings, dataset, Queries(archive=False, views=True, once=True), system_clock)
            if not watch.all_read.wait(60):  # the listener is told a moment later
                raise SystemExit("Spark has not told of all updates.")
            watch.profile.warm = it.end()
            spark.streams.removeListener(watch)
        assert watch.half is not None  # noqa: S101 - all were read
        first = sum(count for count, _ in watch.updates[: watch.half[0]])
        watch.profile.readings = [first, sent - first]
        watch.profile.wrong = backlog.wrong(settings, dataset, sent)
        return watch.profile
    finally:
        backlog.remove(settings, dataset)


def batch(settings: Settings, meters: int, seconds: int, runs: int) -> Profile:
    """Let readings arrive, with a run after each part."""
    profile, length = Profile(), timedelta(seconds=seconds // 60 * 60)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home) as name:
        folder = Path(name)
        with engine.session(settings, "profile", in_folder(folder)) as spark, sampling(settings, spark) as it:
            fleet = Fleet(spark, settings, DATASET, folder, meters, length)
            read, warm = [], dict[Any, float]()
            for number in range(runs + 1):
                until = START + (number + 1) * length
                fleet.arrive(until - length, until, 1)
                it.begin()
                read.append(fleet.batch(until + timedelta(minutes=5)).readings)
                stacks = it.end()
                if not number:
                    profile.warming = stacks
                    continue
                for stack, spent in stacks.items():
                    warm[stack] = warm.get(stack, 0.0) + spent
    profile.warm, profile.readings = warm, [read[0], sum(read[1:])]
    profile.wrong = sum(count < meters * int(length.total_seconds()) for count in read)
    return profile


def table(name: str, profile: Profile, remarks: str) -> str:
    """Return the table of a page."""
    warming, warm = by_group(profile.warming), by_group(profile.warm)
    totals = sum(warming.values()), sum(warm.values())
    first, second = profile.readings
    lines = [
        remarks,
        "",
        f"| work | {WARM[name]} | CPU s a million | {WARMING[name]} |",
        "|--|--|--|--|",
        *(
            f"| {each} | {warm.get(each, 0) / totals[1]:.1%} | {warm.get(each, 0) / second * 1e6:.2f}"
            f" | {warming.get(each, 0) / totals[0]:.1%} |"
            for each in {**warm, **warming}
        ),
        f"| **all** | {totals[1]:.1f} CPU s, {second:,} readings | **{totals[1] / second * 1e6:.1f}**"
        f" | {totals[0]:.1f} CPU s, {first:,} readings |",
    ]
    return "\n".join(lines)


def written(page: Path, name: str, text: str) -> None:
    """Put a text between the marks of a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no marks {begin.strip()} and {end}.")
    page.write_text(f"{before}{found}\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Return 1 where a reading is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=WARM)
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture")
    parser.add_argument("--page", type=Path, help="page with the table")
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=300, help="of event time; batch: a run")
    parser.add_argument("--runs", type=int, default=4, help="of batch, after the first")
    options = parser.parse_args()
    settings, load = load_settings(), os.getloadavg()[0]
    spark_runtime.provide(runtime)
    profile = (
        stream(settings, options.meters, options.seconds)
        if options.name == "stream"
        else batch(settings, options.meters, options.seconds, options.runs)
    )
    loads = f"{load:.1f} before, {os.getloadavg()[0]:.1f} after"
    about = f"{system_clock():%Y-%m-%d}, {os.cpu_count()} cores, {options.meters:,} meters at 1 Hz, load {loads}."
    total = sum(profile.warm.values())
    title = f"{options.name}, {WARM[options.name]}: {total:.0f} CPU seconds for {profile.readings[1]:,} readings"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"profile-{options.name}.svg").write_text(svg(profile.warm, group, title), encoding="utf-8")
    if options.page:
        written(options.page, options.name, table(options.name, profile, about))
    spent = {name: round(seconds, 1) for name, seconds in by_group(profile.warm).items()}
    before = {name: round(seconds, 1) for name, seconds in by_group(profile.warming).items()}
    print(json.dumps({"warm": spent, "warming": before, "readings": profile.readings, "load": loads,
                      "wrong": profile.wrong}))  # fmt: skip
    return int(profile.wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
