"""A run of a lakehouse in a process of its own, which kills itself where it is told.

Arguments: name of the lakehouse; the step before which to die (SIGKILL), ``tag`` for when
readers see it but nothing says so, or ``-``. Settings come from the environment.
"""

from __future__ import annotations

import os
import signal
import sys

from lakehouse_samples import renamed

from engines import nessie, spark, spark_runtime
from engines.nessie import Ref
from lakehouse import lease
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.settings import Settings, load_settings
from stack.runtime.spark import runtime


def main() -> None:
    name, place = sys.argv[1:]
    spark_runtime.provide(runtime)
    settings, lakehouse = load_settings(), renamed(name)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def report(step: str) -> None:
        if step == place:
            die()

    make = nessie.create

    def create(settings: Settings, name: str, source: Ref, kind: str = "BRANCH") -> Ref:
        if (place, kind) == ("tag", "TAG"):
            die()
        return make(settings, name, source, kind)

    nessie.create = create

    with lease.held(settings, name, "test") as held, spark.session(settings, "lakehouse") as session:
        Run(settings, session, lakehouse, held, system_clock, report).execute()


if __name__ == "__main__":
    main()
