"""Publish a run of ``merged_samples`` and die, or fall asleep, at a step. Arguments: run, moment, home, port offset.

A moment is a step and a count: 0 is before the step, n after the lease has been checked n times from there on; and the
signal that the process sends itself there: SIGKILL, or SIGSTOP as when a laptop is closed.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import merged_samples as samples

from batch_layer import lease
from engines import spark, spark_runtime
from meterlake.settings import Settings
from serving_layer.publish.publish import Publisher
from stack.runtime.spark import runtime


@dataclass
class Moment:
    """Sends the signal when it has come; the rest is the lease's."""

    held: lease.Lease
    fatal: str
    checks: int
    signal: int
    left: int = -1

    token = property(lambda self: self.held.token)
    took_over = property(lambda self: self.held.took_over)

    def settled(self) -> None:
        self.held.settled()

    def check(self) -> None:
        self.held.check()
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.signal)

    def step(self, name: str) -> None:
        if name == self.fatal:
            self.left = self.checks
            if not self.checks:
                os.kill(os.getpid(), self.signal)


def main() -> None:
    run, moment, home, offset = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    settings = Settings(home=home, port_offset=offset)
    written = samples.Written(run["run_id"], datetime.fromisoformat(run["boundary"]), run["tables"])
    spark_runtime.provide(runtime)
    with (
        spark.session(settings, "publish-process"),
        lease.held(settings, samples.NAME, "a test", samples.clock) as held,
    ):
        when = Moment(held, *moment)
        publisher = Publisher(settings, samples.DATASET, when, samples.clock, when.step)
        publisher.publish(samples.publication(publisher.roll_forward(), written), samples.shapes())


if __name__ == "__main__":
    main()
