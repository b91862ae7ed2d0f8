"""Runs programs of somebody else as children, so that they carry our tag: ``python -m stack.wrapped TAG PROGRAM …``.

After ``--then`` stand programs that are started when those before have done their work, after ``--and`` one that runs
beside the one before. The last ones last: where one of them ends, the others are ended, too.
A request to end is passed on; where this process is killed, the kernel ends the children, too (Linux).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

THEN, AND = "--then", "--and"
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _Children:
    """What runs, by process id. asked: whether all of it was asked to end."""

    def __init__(self) -> None:
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.asked = False

    def start(self, command: list[str]) -> None:
        child = subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: S603, PLW1509 - one thread, own words
        self.running[child.pid] = child
        if self.asked:
            child.terminate()

    def end(self, *_: object) -> None:
        """Ask all to end; also a handler of signals."""
        self.asked = True
        for child in list(self.running.values()):
            child.terminate()

    def ended(self) -> int:
        """Wait until one has ended; return its exit code."""
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        if (child := self.running.pop(pid, None)) is not None:
            child.returncode = code
        return code


def _parts(words: list[str], mark: str) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word == mark:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def main() -> int:
    """Run the programs to their end; return the exit code of one that failed, or of the first of the last to end."""
    children, code = _Children(), 0
    signal.signal(signal.SIGTERM, children.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stages = list(_parts(sys.argv[2:], THEN))
    for stage in stages:
        for command in _parts(stage, AND):
            children.start(command)
        codes = []
        while children.running:
            codes.append(children.ended())
            if codes[-1] or stage is stages[-1]:
                children.end()
        code = codes[0] if stage is stages[-1] else next(filter(None, codes), 0)
        if code or children.asked:
            break
    return code


if __name__ == "__main__":
    sys.exit(main())
