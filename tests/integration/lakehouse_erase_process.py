"""An erasure from a lakehouse in a process of its own, which kills itself (SIGKILL) before a step that it reports.

Arguments: name of the lakehouse, the person, the step. Settings come from the environment.
"""

from __future__ import annotations

import os
import signal
import sys

from lakehouse_samples import money

from engines import spark_runtime
from lakehouse.erase.erase import Work, erase
from meterlake.clock import system_clock
from meterlake.lakehouse.persons import person
from meterlake.settings import load_settings
from stack.runtime.spark import runtime


def main() -> None:
    name, identity, place = sys.argv[1:]
    spark_runtime.provide(runtime)
    lakehouse = money(name)

    def report(step: str) -> None:
        if step == place:
            os.kill(os.getpid(), signal.SIGKILL)

    erase(Work(load_settings(), lakehouse, system_clock, report), person(lakehouse, identity), "A. Martin", "a letter")


if __name__ == "__main__":
    main()
