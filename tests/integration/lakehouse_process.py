"""A run of a lakehouse in a process of its own, which kills itself (SIGKILL) where it is told.

Arguments: name of the lakehouse; the step before which to die. A step is one that the run reports, or a change of what
others see: ``merged``, ``tagged``, ``branch deleted``. ``java``: its JVM is killed in the middle, and it runs again.
Settings come from the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import psutil
from lakehouse_samples import recharges

from engines import nessie, spark, spark_runtime
from engines.spark import JavaEnded
from lakehouse import lease
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.settings import load_settings
from stack.runtime.spark import runtime


class Killer:
    """Kills this process, or its JVM, when it reaches a place."""

    def __init__(self, place: str) -> None:
        self.place = place

    def reach(self, step: str) -> None:
        if step == self.place:
            os.kill(os.getpid(), signal.SIGKILL)
        if (step, self.place) == ("gold", "java"):
            for child in psutil.Process().children():
                child.kill()

    def before(self, step: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*words: Any) -> Any:
            if step != "tagged" or words[-1] == "TAG":
                self.reach(step)
            return action(*words)

        return acting


def main() -> None:
    name, place = sys.argv[1:]
    spark_runtime.provide(runtime)
    settings, lakehouse, killer = load_settings(), recharges(name), Killer(place)
    for step, action in {"merged": "merge", "tagged": "create", "branch deleted": "delete"}.items():
        setattr(nessie, action, killer.before(step, getattr(nessie, action)))

    def run() -> None:
        with lease.held(settings, name, "test") as held, spark.session(settings, "lakehouse") as session:
            Run(settings, session, lakehouse, held, system_clock, killer.reach).execute()

    try:
        run()
    except JavaEnded as error:
        killer.place = ""
        print(error.what)  # noqa: T201 - for the test
        run()


if __name__ == "__main__":
    main()
