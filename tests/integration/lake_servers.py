"""The servers of lakehouses, beside the stack: for one process at a time, because readers see one branch.

What a test lets readers go back to would take others' tables back, too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stack import launcher, process
from stack.errors import Busy
from stack.instance import Instance
from stack.services import ON_REQUEST, select


@contextmanager
def running(stack: Instance, *names: str) -> Iterator[None]:
    """Have them up for a while; names: only these."""
    with (stack.settings.home / "lake.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while True:
            try:
                launcher.up(select(list(names) or ["lakehouse"]), stack, lambda *_: None)
                break
            except Busy:  # another process of the tests is starting the stack
                time.sleep(0.2)
        yield
        if not os.environ.get("METERLAKE_TEST_KEEP_STACK"):
            result = process.running(stack)
            for name in ON_REQUEST:
                process.stop(result.get(name, []), 20)
                stack.started_mark(name).unlink(missing_ok=True)
