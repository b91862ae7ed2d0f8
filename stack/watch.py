"""Waiting for a process as long as it makes progress: a limit is for what stands still, not for what is slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil

from meterlake.durations import duration_text
from meterlake.errors import PermanentError

LONGEST: Final = timedelta(minutes=15)
"""What makes progress is waited for up to here."""
BUSY_SHARE: Final = 0.05
"""An idle JVM takes 1 to 3 % of a core. One that starts takes more, also where many share the cores."""
_STEP_BYTES: Final = 1 << 20
_LEAST_LOOKS: Final = 4
"""So many looks without progress before a process counts as standing still: it may be the watcher that was stopped."""


class Stalled(PermanentError):
    """A process that was waited for lives, and shows no progress."""


@dataclass(frozen=True)
class Signs:
    """What a process and its children show of their work. answer: what was asked of it and came back."""

    log_bytes: int = 0
    cpu_s: float = 0.0
    memory: int = 0
    answer: str = ""


class Progress:
    """Judges from signs whether something makes progress: pure, the time comes from outside.

    stall: so long without progress is too long. longest: so long is too long in any case.
    """

    def __init__(self, now: float, stall: timedelta, longest: timedelta = LONGEST) -> None:
        self._stall, self._longest = stall, longest
        self._begin = self._at = self._busy_since = now
        self._still_s = 0.0
        self._last = Signs()
        self._cpu_mark: float | None = None

    def restart(self, now: float) -> None:
        """Count from now on: until here something else was waited for."""
        self._begin = self._at = self._busy_since = now
        self._still_s, self._cpu_mark = 0.0, None

    def see(self, signs: Signs, now: float) -> str:
        """Take what is seen ``now``; return why waiting is over, or nothing while there is progress."""
        step = min(now - self._at, self._stall.total_seconds() / _LEAST_LOOKS)
        self._still_s = 0.0 if self._is_progress(signs, now) else self._still_s + step
        self._at = now
        if self._still_s >= self._stall.total_seconds():
            return f"has shown no progress for {duration_text(self._stall)}"
        if now - self._begin >= self._longest.total_seconds():
            return f"has taken longer than {duration_text(self._longest)}"
        return ""

    def _is_progress(self, signs: Signs, now: float) -> bool:
        """Compare with the last progress; only growth counts, so that nothing can go round in circles."""
        last = self._last
        if self._cpu_mark is None or signs.cpu_s < self._cpu_mark:
            self._cpu_mark, self._busy_since = signs.cpu_s, now
        busy = signs.cpu_s - self._cpu_mark > BUSY_SHARE * max(now - self._busy_since, 1.0)
        moved = signs.log_bytes != last.log_bytes or signs.answer != last.answer
        grown = signs.memory >= last.memory + _STEP_BYTES
        if busy:
            self._cpu_mark, self._busy_since = signs.cpu_s, now
        if moved or grown:
            memory = max(signs.memory, last.memory) if grown else last.memory
            self._last = Signs(signs.log_bytes, 0.0, memory, signs.answer)
        return busy or moved or grown


class Watch:
    """Watches a process that is waited for. what: its name in errors. log: where it writes."""

    def __init__(self, what: str, pid: int, log: Path, stall: timedelta, longest: timedelta = LONGEST) -> None:
        self._what, self._pid, self._log = what, pid, log
        self._progress = Progress(time.monotonic(), stall, longest)

    def restart(self) -> None:
        """Count from now on: until here something else was waited for."""
        self._progress.restart(time.monotonic())

    def check(self, answer: str = "") -> None:
        """Raise Stalled, with the last ``answer``, when the process stands still or has taken too long."""
        why = self._progress.see(signs_of(self._pid, self._log, answer), time.monotonic())
        if why:
            raise Stalled(f"{self._what} {why}{f' ({answer})' if answer else ''}.")

    def until(self, done: Callable[[], bool], pause_s: float = 0.2) -> None:
        """Wait until ``done``. Raises Stalled."""
        while not done():
            self.check()
            time.sleep(pause_s)


def signs_of(pid: int, log: Path, answer: str = "") -> Signs:
    """Return what a process and its children show now; of one that has ended, its log."""
    cpu_s, memory = 0.0, 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        family = []
    for member in family:
        try:
            with member.oneshot():
                times = member.cpu_times()
                cpu_s += times.user + times.system
                memory += member.memory_info().rss
        except psutil.Error:
            continue
    return Signs(log.stat().st_size if log.exists() else 0, cpu_s, memory, answer)
