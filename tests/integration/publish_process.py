"""Publish a run of ``merged_samples`` and die at a step, as by kill -9. Arguments: run, step, home, port offset."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import merged_samples as samples

from engines import spark, spark_runtime
from meterlake.settings import Settings
from serving_layer.publish import publish
from stack.runtime.spark import runtime


def main() -> None:
    run, fatal, home, offset = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    settings = Settings(home=home, port_offset=offset)
    wanted = publish.Publication(run["run_id"], datetime.fromisoformat(run["boundary"]), None, run["tables"])

    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    spark_runtime.provide(runtime)
    with spark.session(settings, "publish-process"):
        publish.publish(settings, samples.DATASET, wanted, samples.shapes(), samples.clock, step)


if __name__ == "__main__":
    main()
