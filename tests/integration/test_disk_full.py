"""HDFS's disk fills up in the middle: said as such, nothing visible, and the same command works once there is room."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from batch_samples import DAYS, NAME, expected, fresh, history, readings, seen
from batch_samples import load as load_rows
from commands import command, run, said_until
from small_disk import MIB, Disk, small_disk
from test_load_chaos import LINES, count, leftovers, quiet
from test_load_chaos import run as load

# Fixtures.
from test_load_chaos import file, form  # noqa: F401  # isort: skip

from batch_layer.ingest import load as module
from engines import hdfs, spark
from engines.errors import StorageFull
from meterlake.settings import Settings
from meterlake.text.format import TextFormat
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
RESERVED = 101 * MIB
"""Room that HDFS has none of: the DataNode leaves 100 MiB to others (hdfs-site.xml)."""


@pytest.fixture(scope="module")
def disk(stack: Instance) -> Iterator[Disk]:
    with small_disk(stack, "datanode") as result:
        yield result


@pytest.fixture
def free(disk: Disk, stack: Instance) -> Iterator[None]:
    """Room again after the test, whatever happened in it."""
    yield
    make_room(disk, stack)


def make_room(disk: Disk, stack: Instance) -> None:
    """Free the disk as an operator would, and see to it that the servers run."""
    disk.free()
    launcher.up(select([]), stack, lambda *_: None)


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(
    ("moment", "left"),
    [("upload", 0), ("_stage", 0), ("_stage", RESERVED), ("_check", 0), ("_check", RESERVED)],
)
def test_a_load_says_that_the_disk_is_full_and_can_be_run_again(
    stack: Instance,
    settings: Settings,
    disk: Disk,
    form: TextFormat,  # noqa: F811
    file: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    left: int,
) -> None:
    fills: list[int] = []

    def fill() -> None:
        if not fills:
            fills.append(left)
            disk.fill(left)

    def filling(*given: object) -> object:
        fill()
        return original(*given)

    with monkeypatch.context() as patch:
        if moment != "upload":
            original = getattr(module._Load, moment)  # noqa: SLF001 - the moment at which it fills up
            patch.setattr(module._Load, moment, filling)  # noqa: SLF001
        with pytest.raises(StorageFull, match=r"HDFS at .* has no room left for .*Free disk space"):
            load(settings, form, file, (lambda *_: fill()) if moment == "upload" else quiet)
    assert fills == [left]
    assert count(settings, form) == 0
    make_room(disk, stack)
    result = load(settings, form, file)
    assert (result.already_loaded, result.readings) == (False, LINES)
    assert count(settings, form) == LINES
    assert leftovers(settings, form) == []


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("doing", [f"writing {NAME}_minute", "publishing"])
@pytest.mark.parametrize("left", [0, RESERVED])
def test_a_batch_says_that_the_disk_is_full_and_can_be_run_again(
    stack: Instance, settings: Settings, disk: Disk, doing: str, left: int
) -> None:
    with fresh(settings) as session:
        load_rows(session, settings, readings(DAYS[0]))
    assert run(settings, NAME, "batch", NAME)[0] == 0
    with spark.session(settings, "batch-test") as session:
        load_rows(session, settings, readings(DAYS[1]))
    old, new = expected(readings(DAYS[0]), "minute"), expected([*readings(DAYS[0]), *readings(DAYS[1])], "minute")
    with command(settings, NAME, "batch", NAME) as batch:
        said_until(batch, doing)
        disk.fill(left)
        said = batch.communicate(timeout=900)[0]
    assert batch.returncode == 1, said
    assert re.search("error: HDFS at .* has no room left for .*Free disk space", said, re.DOTALL), said
    assert "Traceback" not in said
    disk.free()  # a full disk may keep its files from being read
    launcher.up(select([]), stack, lambda *_: None)
    assert seen(settings) in ([old] if doing.startswith("writing") else [old, new])
    base = f"/meterlake/batch/{NAME}_minute"
    assert not [name for name in hdfs.client(settings).list(base) if name.startswith("_staging")]
    code, said = run(settings, NAME, "batch", NAME)
    assert code == 0, said
    assert history(settings).begun is None
    assert seen(settings) == new
