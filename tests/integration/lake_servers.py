"""The servers of lakehouses, beside the stack: several processes may use them, and the last one stops them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from stack import launcher, process
from stack.errors import Busy
from stack.instance import Instance
from stack.services import ON_REQUEST, select


@contextmanager
def running(stack: Instance) -> Iterator[None]:
    """Have them up for a while."""
    home = stack.settings.home
    with (home / "lake-turn.lock").open("w") as turn, (home / "lake-users.lock").open("w") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        while True:
            try:
                launcher.up(select(["lakehouse"]), stack, lambda *_: None)
                break
            except Busy:  # another process of the tests is starting the stack
                time.sleep(0.2)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield
        fcntl.flock(turn, fcntl.LOCK_EX)
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.environ.get("METERLAKE_TEST_KEEP_STACK"):
                found = process.running(stack)
                for name in ON_REQUEST:
                    process.stop(found.get(name, []), 20)
                    stack.started_mark(name).unlink(missing_ok=True)
