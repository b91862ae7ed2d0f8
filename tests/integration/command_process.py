"""The real command line, with a data set of the tests among those it knows, in a process that can be killed.

Arguments: name of the data set; where to die, or ``-``; then the command's own. Settings come from the environment.
A place to die is ``before:MODULE:NAME`` (SIGKILL before a call) or ``during:MODULE:NAME`` (a moment after it began).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from dataclasses import replace
from functools import reduce
from typing import Any

import batch_samples

import cli
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake import registry
from meterlake.dataset import DataSet

MOMENT_S = 0.7


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(when: str, module: str, name: str) -> None:
    """Let the process be killed at a function or method."""
    *owners, last = name.split(".")
    owner: Any = reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, last)

    def dying(*given: Any, **named: Any) -> Any:
        if when == "before":
            _die()
        threading.Timer(MOMENT_S, _die).start()
        return original(*given, **named)

    setattr(owner, last, dying)


def main() -> None:
    name, place, *words = sys.argv[1:]
    if place != "-":
        _die_at(*place.split(":"))
    sys.argv = ["meterlake", *words]
    with registry.added(_data_set(name, words[0])):
        cli.main()


def _data_set(name: str, command: str) -> DataSet:
    """Return the data set of this name: that of the batch tests, which no file holds, or another household."""
    if name == batch_samples.NAME:
        return DataSet(declaration=batch_samples.DATASET)
    form = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=name))
    if command != "simulate":
        return DataSet(declaration=form.dataset, formats=(form,))
    from datasets.household.replay import HOUSEHOLD_REPLAY

    return DataSet(declaration=form.dataset, formats=(form,), replay=replace(HOUSEHOLD_REPLAY, form=form))


if __name__ == "__main__":
    main()
