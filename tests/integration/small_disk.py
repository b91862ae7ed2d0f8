"""A server's data on a small disk of its own, which fills up and is freed again. Only root may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import launcher, process
from stack.instance import Instance
from stack.services import select

MIB = 1 << 20
SIZE = 8192 * MIB
"""Of the disk while it is not full. HDFS wants room for a whole block, 128 MiB, for each file that is being written."""


class Disk:
    """A file system in memory. What it takes of the memory is what lies on it, not its size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.folder))

    def unmount(self) -> None:
        _run("umount", str(self.folder))

    def used(self) -> int:
        place = os.statvfs(self.folder)
        return (place.f_blocks - place.f_bfree) * place.f_frsize

    def fill(self, left: int = 0) -> None:
        """Leave this many bytes of room, as if something else had taken the rest."""
        until = time.monotonic() + 10
        while True:
            try:
                return self._resize(self.used() + left)
            except subprocess.CalledProcessError:  # the server has written in between
                if time.monotonic() > until:
                    raise

    def free(self) -> None:
        """Give all the room back."""
        self._resize(SIZE)

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


@contextmanager
def small_disk(stack: Instance, service: str) -> Iterator[Disk]:
    """Move a server's data onto a small disk, and back in the end; the server is stopped and started for both."""
    folder = stack.data(service)
    kept = folder.with_name(f"{service}.kept")
    disk = Disk(folder)
    _stop(stack, service)
    folder.rename(kept)
    folder.mkdir()
    disk.mount()
    try:
        _copy(kept, folder)
        launcher.up(select([service]), stack, lambda *_: None)
        yield disk
    finally:
        disk.free()
        _stop(stack, service)
        shutil.rmtree(kept)
        _copy(folder, kept)
        disk.unmount()
        folder.rmdir()
        kept.rename(folder)
        launcher.up(select([]), stack, lambda *_: None)


def _stop(stack: Instance, service: str) -> None:
    process.stop(process.running(stack).get(service, []), launcher.GRACE_S)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with what is not written in its files (Kafka's indexes have their size in advance)."""
    target.mkdir(exist_ok=True)
    _run("cp", "-a", "--sparse=always", f"{source}/.", str(target))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
