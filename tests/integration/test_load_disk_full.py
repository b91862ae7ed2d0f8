"""A disk that fills up in the middle: said as such, nothing visible, and the same command works once there is room.

HDFS and the metastore live on a small file system in memory of their own, which takes root's rights to mount.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from batch_samples import DATASET, DAYS, NAME, readings
from batch_samples import load as load_rows

from batch_layer.ingest import load as module
from batch_layer.ingest.load import Request, Result, load
from batch_layer.views.plan import Request as BatchRequest
from engines import hdfs, master
from engines import spark as engine
from engines.errors import StorageFull
from meterlake.cli import batch_commands, batch_run
from meterlake.clock import system_clock
from meterlake.datasets.household_text import HOUSEHOLD_TEXT
from meterlake.settings import Settings
from meterlake.textformat import TextFormat
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINES = 1440 * 28
SIZE_MB = 700
SERVICES = ["datanode", "metastore"]
FULL_FOR_HDFS = 104_857_600 + (1 << 20)
"""Bytes that are free when HDFS has none left: the DataNode leaves 100 MiB to others (hdfs-site.xml)."""


@pytest.fixture(scope="module")
def small(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """HDFS and the metastore, beside the stack of the other tests, on a disk of their own."""
    home = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(home)], check=True)
    found = Settings(home=home, port_offset=settings.port_offset + 200, start_timeout_s=300)
    instance = Instance(found)
    try:
        launcher.up(select(SERVICES), instance, lambda *_: None)
        yield found
    finally:
        launcher.down(instance, lambda *_: None)
        subprocess.run(["umount", str(home)], check=True)


@pytest.fixture
def form() -> TextFormat:
    name = f"d{uuid.uuid4().hex[:12]}"
    return replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=name))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "month.txt"
    values = "4.216;0.418;234.840;18.400;0.000;1.000;17.000"
    with path.open("w") as out:
        out.write(HOUSEHOLD_TEXT.header + "\n")
        for n in range(LINES):
            out.write(f"{1 + n // 1440}/2/2007;{n // 60 % 24:02}:{n % 60:02}:00;{values}\n")
    return str(path)


class Ballast:
    """What takes the room."""

    def __init__(self, settings: Settings, left: int) -> None:
        self._settings, self._path, self._left = settings, settings.home / "ballast", left

    def drop(self, *_: object) -> None:
        """Fill the disk but for ``left`` bytes; once."""
        if not self._path.exists():
            place = os.statvfs(self._path.parent)
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, place.f_bavail * place.f_frsize - self._left)

    def lift(self) -> None:
        """Free the room, and wait until the servers have noticed."""
        self._path.unlink(missing_ok=True)
        launcher.up(select(SERVICES), Instance(self._settings), lambda *_: None)


@contextmanager
def filled(ballast: Ballast) -> Iterator[None]:
    """Take the room away again in the end, whatever happens."""
    try:
        yield
    finally:
        ballast.lift()


def run(settings: Settings, form: TextFormat, file: str, on_bytes: Callable[[int, int], None]) -> Result:
    return load(settings, Request(form, file, "m1", form.utc_offset), lambda: NOW, on_bytes)


@pytest.mark.parametrize("left", [FULL_FOR_HDFS, 0])
@pytest.mark.parametrize("moment", ["upload", "_stage", "publish"])
def test_a_load_says_that_the_disk_is_full_and_can_be_run_again(
    small: Settings, form: TextFormat, file: str, monkeypatch: pytest.MonkeyPatch, moment: str, left: int
) -> None:
    ballast = Ballast(small, left)
    owner, name = {
        "upload": (module, "upload"),
        "_stage": (module._Load, "_stage"),  # noqa: SLF001 - the moment at which it fills up
        "publish": (module._Load, "_check"),  # noqa: SLF001
    }[moment]
    original = getattr(owner, name)

    def filling(*given: object) -> object:
        ballast.drop()
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, filling)
        with filled(ballast), pytest.raises(StorageFull, match=r"has no room left for .*Free disk space"):
            run(small, form, file, lambda *_: None)
    with engine.session(small, "load") as session:
        table = master.master(session, small, form.dataset)
        assert table.current() is None
        result = run(small, form, file, lambda *_: None)
        assert (result.already_loaded, result.readings) == (False, LINES)
        assert table.read().count() == LINES


def test_a_batch_says_that_the_disk_is_full_and_leaves_no_files_behind(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ballast = Ballast(small, FULL_FOR_HDFS)
    with engine.session(small, "batch") as session:
        load_rows(session, small, [row for day in DAYS for row in readings(day)])
        doing = []

        def tell(what: str) -> None:
            doing.append(what)
            if what.startswith(f"writing {NAME}_hour"):
                ballast.drop()

        monkeypatch.setattr(batch_run, "tell", tell)
        with filled(ballast), pytest.raises(StorageFull, match=r"has no room left for run .*Free disk space"):
            batch_commands.batch_once(small, DATASET, BatchRequest(), system_clock)
    client = hdfs.client(small)
    assert f"writing {NAME}_hour" in doing
    assert not client.list(f"/meterlake/batch/{NAME}_minute")
