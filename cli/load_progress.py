"""Progress of a load: files and bytes that have been read, then that Spark is at work; on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.output import progress_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_layer.ingest.request import Progress


@contextmanager
def shown(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar, and return what takes the progress."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=progress_console,
        transient=True,
        disable=not progress_console.is_terminal,
    )
    with bar:
        task = bar.add_task(f"reading {title}", total=None)

        def on_progress(seen: Progress) -> None:
            counted = f" ({seen.files:,} of {seen.of_files:,} files)" if seen.of_files > 1 else ""
            done = seen.files == seen.of_files
            doing = "decoding and writing (Spark)" if done else f"reading {title}{counted}"
            bar.update(task, completed=seen.bytes, total=seen.of_bytes, description=doing)

        yield on_progress
