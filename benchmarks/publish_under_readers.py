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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("METERLAKE_TEST_DATASET", "merged_benchmark")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

import merged_samples as samples
from reader_loop import reading

from engines import spark, spark_runtime
from meterlake.errors import TransientError
from meterlake.grains import Grain
from meterlake.settings import Settings, load_settings
from serving_layer.publish import history as past
from serving_layer.publish import publish, records
from stack.runtime.spark import runtime


@dataclass
class Steps:
    """How long each step of the turns takes: from its beginning to that of the next."""

    seconds: Counter[str] = field(default_factory=Counter)
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

    def told(self) -> dict[str, list[float]]:
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
    with spark.session(settings, "publish-under-readers"):
        present = publish.publish(settings, samples.DATASET, runs[0], samples.shapes(), samples.clock)
        begin = time.monotonic()
        with reading(check, asked.readers) as answers:
            for number in range(1, asked.turns + 1):
                run = chance.choice([run for run in runs if run.run_id != present.run_id])
                present = (
                    _complete(settings, present, run) if number % 50 == 0 else _turn(settings, present, run, steps)
                )
                if number % 20 == 0:
                    seconds = round(time.monotonic() - begin)
                    print(number, seconds, dict(answers.counts), answers.wrong[:3], flush=True)
        seconds = round(time.monotonic() - begin, 1)
    told: dict[str, object] = {
        "turns": asked.turns,
        "seconds": seconds,
        "answers": dict(answers.counts),
        "wrong": answers.wrong[:20],
    }
    told["steps"] = steps.told()
    print(json.dumps(told))
    return 1 if answers.wrong else 0


def _turn(settings: Settings, present: past.Record, run: publish.Publication, steps: Steps) -> past.Record:
    begun = replace(present, run_id=run.run_id, boundary=run.boundary, before=present.after, after=run.tables)
    _until_done(lambda: publish.turn(settings, samples.DATASET, present, begun, samples.clock, steps))
    steps("")
    return begun


def _until_done(work: Callable[[], object]) -> None:
    """Do it again where a server did not answer: each step may be repeated, as after a crash."""
    while True:
        try:
            work()
        except TransientError as error:
            print("again:", error.what[:120], flush=True)
        else:
            return


def _complete(settings: Settings, present: past.Record, run: publish.Publication) -> past.Record:
    """Publish or roll back with the records, starting from what they say."""
    history = records.load(settings, samples.NAME)
    recorded = past.reachable(history)[0]
    _until_done(lambda: publish.turn(settings, samples.DATASET, present, recorded, samples.clock))
    if run.run_id in {found.run_id for found in past.reachable(history)[1:]}:
        return publish.roll_back(settings, samples.DATASET, run.run_id, samples.clock)
    return publish.publish(settings, samples.DATASET, run, samples.shapes(), samples.clock)


if __name__ == "__main__":
    sys.exit(main())
