"""Runs a program of somebody else as a child, so that it carries our tag: ``python -m stack.wrapped TAG PROGRAM …``.

A request to end is passed on; where this process is killed, the kernel ends the child, too (Linux).
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Run the program to its end and return its exit code."""
    child = subprocess.Popen(sys.argv[2:], preexec_fn=_die_with_parent)  # noqa: S603, PLW1509 - one thread, own words
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
