"""What a simulation shows while it runs: a live line on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from rich.live import Live
from rich.text import Text

from cli.output import progress_console

if TYPE_CHECKING:
    from producers.pace import Pace
    from producers.sinks import Sink
    from producers.totals import Totals

_PLAIN_EVERY_S: Final = 10.0
_NOTICEABLE_S: Final = 1.0


class Status:
    """The state of a run in one line."""

    def __init__(self, totals: Totals, pace: Pace, sink: Sink) -> None:
        self._totals, self._pace, self._sink = totals, pace, sink
        self._before = (time.monotonic(), 0)
        self._rate = 0.0

    def line(self) -> Text:
        """Return the line of this moment; call it some times a second at most."""
        totals = self._totals
        self._measure()
        when = datetime.fromtimestamp(max(totals.start, totals.until), UTC)
        report = [
            f"{when:%Y-%m-%d %H:%M:%S}",
            f"{self._rate:,.0f}/s",
            f"sent {totals.sent:,}",
            f"acknowledged {totals.acknowledged:,}",
        ]
        struck = [f"{name} {count:,}" for name, count in sorted(totals.faults.items()) if count]
        text = Text(" · ".join(report + ([f"faults: {', '.join(struck)}"] if struck else [])))
        if self._pace.behind_s > _NOTICEABLE_S:
            text.append(f" · {self._pace.behind_s:.0f} s behind", style="yellow")
        if self._sink.trouble:
            text.append(f" · waiting for {self._sink.where}: {self._sink.trouble}", style="bold red")
        return text

    def _measure(self) -> None:
        now, (then, sent) = time.monotonic(), self._before
        if now - then >= 1:
            self._rate = (self._totals.sent - sent) / (now - then)
            self._before = (now, self._totals.sent)


class HasLine(Protocol):
    """What says in one line how a run goes."""

    def line(self) -> Text:
        """Return the line of this moment."""
        ...


@contextmanager
def shown(status: HasLine) -> Iterator[None]:
    """Show the status on the error stream until the body ends."""
    if progress_console.is_terminal:
        with Live(get_renderable=status.line, console=progress_console, refresh_per_second=4, transient=True):
            yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_print_lines, args=(status, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _print_lines(status: HasLine, done: threading.Event) -> None:
    while not done.wait(_PLAIN_EVERY_S):
        progress_console.print(status.line().plain, markup=False, soft_wrap=True)
