"""Publish and roll back again and again under readers, and count what they got: `--turns 1000` is the proof.

Runs on the stack that the settings name (`meterlake up` first) with a small data set of its own, whose truth is known;
what is not to be read holds poison. A turn is all that readers can see of a publish or roll-back: tables switched, the
layers compared, views replaced. Each fiftieth is a complete one, with its records. Where the time goes is told by step.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("METERLAKE_TEST_DATASET", "merged_benchmark")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

import merged_samples as samples
import publishing
from pyspark.sql import SparkSession
from reader_loop import reading

from engines import spark, spark_runtime
from meterlake.errors import TransientError
from meterlake.grains import Grain
from meterlake.settings import load_settings
from serving_layer.publish import records
from serving_layer.publish.folders import difference
from serving_layer.publish.history import History
from serving_layer.publish.publish import Publisher
from stack.runtime.spark import runtime


@dataclass
class Steps:
    """How long each step of the turns takes: from its beginning to that of the next."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[str] = field(default_factory=Counter)
    _name: str = ""
    _begin: float = 0.0

    def __call__(self, name: str) -> None:
        """Begin a step; "" ends the last one."""
        now = time.monotonic()
        if self._name:
            self.seconds[self._name] += now - self._begin
            self.counts[self._name] += 1
        self._name, self._begin = name, now

    def means(self) -> dict[str, list[float]]:
        """Return, by step, how often it was done and the mean seconds."""
        return {name: [count, round(self.seconds[name] / count, 2)] for name, count in sorted(self.counts.items())}


def main() -> int:
    """Return 1 if any answer was wrong, doubled, incomplete or failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=1000)
    options.add_argument("--readers", type=int, default=2)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    settings, chance = load_settings(), random.Random(asked.seed)  # noqa: S311
    wanted = {
        (grain, meter): samples.expected(grain, meter) for grain in samples.GRAINS for meter in (None, *samples.METERS)
    }

    def check(grain: Grain, number: int) -> str:
        meter = (None, *samples.METERS)[number % 3]
        return "" if samples.seen(settings, grain, meter) == wanted[grain, meter] else f"other rows, meter {meter}"

    spark_runtime.provide(runtime)
    samples.forget(settings)
    samples.make_speed_tables(settings)
    runs = samples.write_layers(settings, f"turn-{os.getpid()}")
    steps = Steps()
    with (
        spark.session(settings, "publish-under-readers") as session,
        _nothing_recorded(session),
        publishing.publisher(settings, samples.DATASET, samples.clock, steps) as publisher,
    ):
        history = publisher.publish(samples.publication(publisher.roll_forward(), runs[0]), samples.shapes())
        begin = time.monotonic()
        with reading(check, asked.readers) as answers:
            for number in range(1, asked.turns + 1):
                run = chance.choice([run for run in runs if run.run_id != publishing.present(history).run_id])
                history = _complete(publisher, history, run) if number % 50 == 0 else _turn(publisher, history, run)
                steps("")
                if number % 20 == 0:
                    print(number, round(time.monotonic() - begin), dict(answers.counts), answers.wrong[:3], flush=True)
        seconds = round(time.monotonic() - begin, 1)
    report: dict[str, object] = {
        "turns": asked.turns,
        "seconds": seconds,
        "answers": dict(answers.counts),
        "wrong": answers.wrong[:20],
    }
    report["steps"] = steps.means()
    print(json.dumps(report))
    return 1 if answers.wrong else 0


@contextmanager
def _nothing_recorded(session: SparkSession) -> Iterator[None]:
    """Forget what an earlier measurement has recorded."""
    if session.catalog.tableExists(records.FULL_NAME):
        session.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{samples.NAME}'")  # noqa: S608 - our own name
    yield


def _turn(publisher: Publisher, history: History, run: samples.Written) -> History:
    begun = _begun(history, run)
    _until_done(lambda: publisher.turn(begun))
    return _ended(begun)


def _begun(history: History, run: samples.Written) -> History:
    """Return a history in which a publish of a run is under way."""
    changes = difference(history.tables, run.tables)
    about = {"run_id": run.run_id, "boundary": run.boundary, "changes": changes}
    return history.after(replace(publishing.present(history), seq=history.seq + 1, event="publishing", **about))


def _ended(history: History) -> History:
    assert history.begun is not None  # noqa: S101 - narrows the type
    return history.after(replace(history.begun, seq=history.seq + 1, event="published"))


def _until_done(work: Callable[[], object]) -> None:
    """Do it again where a server did not answer: each step may be repeated, as after a crash."""
    while True:
        try:
            work()
        except TransientError as error:
            print("again:", error.what[:120], flush=True)
        else:
            return


def _complete(publisher: Publisher, history: History, run: samples.Written) -> History:
    """Publish or roll back with the records, starting from what they say."""
    recorded = records.load(publisher.settings, samples.NAME)
    there = samples.Written(publishing.present(recorded).run_id, publishing.present(recorded).boundary, recorded.tables)
    back = _begun(history, there)
    _until_done(lambda: publisher.turn(back))
    if run.run_id in {kept.run_id for kept in recorded.kept}:
        return publisher.roll_back(run.run_id)
    return publisher.publish(samples.publication(recorded, run), samples.shapes())


if __name__ == "__main__":
    sys.exit(main())
