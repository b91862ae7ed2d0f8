"""The steps of a demo, as they are told while they are done, and at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.output import progress_console
from meterlake.errors import TransientError


class DemoFailed(TransientError):
    """A part of a demo did not do what it is there to show."""


class Tale:
    """What was done so far, and how long it took."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """Announce a step, time it, and record what the body says was proved (key ``proved``)."""
        progress_console.rule(title)
        begin = time.monotonic()
        outcome: dict[str, Any] = {}
        yield outcome
        self.steps.append({"step": title, "seconds": round(time.monotonic() - begin, 1), **outcome})
