"""Upkeep of a lakehouse in a process of its own, which kills itself (SIGKILL) before a step that it reports.

Arguments: name of the lakehouse, the step. Settings come from the environment.
"""

from __future__ import annotations

import os
import signal
import sys

from lakehouse_samples import soon_over

from lakehouse.upkeep import Work, remove
from meterlake.clock import system_clock
from meterlake.settings import load_settings


def main() -> None:
    name, place = sys.argv[1:]

    def report(step: str) -> None:
        if step == place:
            os.kill(os.getpid(), signal.SIGKILL)

    remove(Work(load_settings(), soon_over(name), system_clock, report))


if __name__ == "__main__":
    main()
