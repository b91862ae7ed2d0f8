"""The cache is shared by all checkouts of a user: what fills it takes turns, and shows nothing that is half there."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meterlake.settings import Settings

Progress = Callable[[str, int, int], None]
"""Called with (name, bytes there, bytes wanted)."""


@contextmanager
def filling(settings: Settings, lock: str) -> Iterator[None]:
    """Keep all other processes from filling what a lock file of the cache stands for, after waiting for one that does.

    The kernel lets go of the lock when its holder ends, however it ends. Look again, inside, for what is still missing.
    """
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with (settings.cache_dir / lock).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give an empty folder, which becomes ``target`` when the body has filled it; what a killed one left is removed."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(target)
