"""Progress of the stack's start: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from cli.output import progress_console
from stack.launcher import State
from stack.services import ALL

_STYLE = {
    State.WAITING: "dim",
    State.PREPARING: "cyan",
    State.STARTING: "yellow",
    State.HEALTHY: "green",
    State.FAILED: "bold red",
    State.STOPPED: "dim",
}
_TENTHS = 10


class StackProgress:
    """Shows what each service is doing and what is being downloaded."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._rows: dict[str, tuple[State, str, float]] = {}
        self._lock = threading.Lock()
        self._downloads = Progress(
            TextColumn("downloading {task.description:<12}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(get_renderable=self._picture, console=progress_console, refresh_per_second=8, transient=False)
        self._terminal = progress_console.is_terminal

    def __enter__(self) -> StackProgress:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._live.stop()

    def service(self, name: str, state: State, detail: str) -> None:
        """Take one change of a service."""
        with self._lock:
            seconds = time.monotonic() - self._begin
            self._rows[name] = (state, detail, seconds)
            if not self._terminal and detail != "was up" and state is not State.WAITING:
                progress_console.print(f"{seconds:6.1f} s  {name:<12} {state} {detail}".rstrip(), markup=False)

    def download(self, name: str, done: int, total: int) -> None:
        """Take one step of a download."""
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._downloads.add_task(name, total=total)
                self._print_download(name, "to download:", total)
            before = self._downloads.tasks[self._tasks[name]].completed
            self._downloads.update(self._tasks[name], completed=done)
            if int(_TENTHS * done / total) > int(_TENTHS * before / total):
                self._print_download(name, f"{100 * done // total:3} % of", total)

    def _print_download(self, name: str, words: str, total: int) -> None:
        """Print a line where no terminal shows a bar."""
        if not self._terminal:
            seconds = time.monotonic() - self._begin
            progress_console.print(f"{seconds:6.1f} s  {name:<12} {words} {total / 1e6:.0f} MB", markup=False)

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        with self._lock:
            for name, service in ALL.items():
                if name in self._rows:
                    state, detail, seconds = self._rows[name]
                    if state in (State.PREPARING, State.STARTING):
                        seconds = time.monotonic() - self._begin
                    style = _STYLE.get(state, "")
                    table.add_row(
                        service.title,
                        Text(str(state), style=style),
                        Text(f"{seconds:.1f} s", style="dim"),
                        Text(detail, style="dim"),
                    )
        return Group(*([self._downloads] if self._tasks else []), table)
