"""A run of a lakehouse in a process of its own, which kills itself (SIGKILL) where it is told.

Arguments: name of the lakehouse; the step before which to die. A step is one that the run reports, or a change of what
others see: ``merged``, ``tagged``, ``branch deleted``. Settings come from the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from lakehouse_samples import recharges

from engines import nessie, spark, spark_runtime
from lakehouse import lease
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.settings import load_settings
from stack.runtime.spark import runtime


def main() -> None:
    name, place = sys.argv[1:]
    spark_runtime.provide(runtime)
    settings, lakehouse = load_settings(), recharges(name)

    def reach(step: str) -> None:
        if step == place:
            os.kill(os.getpid(), signal.SIGKILL)

    merge, create, delete = nessie.merge, nessie.create, nessie.delete

    def merging(*words: Any) -> Any:
        reach("merged")
        return merge(*words)

    def creating(*words: Any) -> Any:
        if words[-1] == "TAG":
            reach("tagged")
        return create(*words)

    def deleting(*words: Any) -> Any:
        reach("branch deleted")
        return delete(*words)

    nessie.merge, nessie.create, nessie.delete = merging, creating, deleting  # type: ignore[assignment]
    with lease.held(settings, name, "test") as held, spark.session(settings, "lakehouse") as session:
        Run(settings, session, lakehouse, held, system_clock, reach).execute()


if __name__ == "__main__":
    main()
