"""The streaming queries of a data set of the tests, in a process that can be killed.

Arguments: name of the data set, queries (archive, views or both), once or on, and where to die, if at all.
Settings come from the environment, as always.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import typer

from datasets.household.declaration import HOUSEHOLD
from engines import spark_runtime
from meterlake.clock import system_clock
from meterlake.errors import MeterlakeError
from meterlake.settings import load_settings
from speed_layer.archive.batch import Archive
from speed_layer.run import Queries, run
from speed_layer.views.task import ViewsTask
from stack.runtime.spark import runtime


def _die_after(kind: type, method: str) -> None:
    """Let the whole process group be killed right after the first call of a method."""
    original = getattr(kind, method)

    def dying(*given: Any, **named: Any) -> Any:
        original(*given, **named)
        os.killpg(0, signal.SIGKILL)

    setattr(kind, method, dying)


def main() -> int:
    spark_runtime.provide(runtime)
    name, queries, how, *dies = sys.argv[1:]
    if "archived" in dies:
        _die_after(Archive, "append")
    if "quarantined" in dies:
        _die_after(Archive, "_quarantine")
    if "written" in dies:
        _die_after(ViewsTask, "_write_minutes")
    dataset = replace(HOUSEHOLD, name=name)
    settings = load_settings()
    request = Queries("archive" in queries, "views" in queries, how == "once", settings.metrics_port)
    try:
        run(settings, dataset, request, system_clock)
    except MeterlakeError as error:
        typer.echo(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
