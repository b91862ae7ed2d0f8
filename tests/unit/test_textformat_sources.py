"""Files as they come: plain or packed, broken or of another kind."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from batch_layer.ingest.errors import BrokenArchive, Unreadable
from batch_layer.ingest.sources import opened
from meterlake import packed
from meterlake.settings import Settings

pytestmark = pytest.mark.unit
NOBODY = 65_534
TEXT = b"".join(b"%d;%d\r\n" % (n, n * 7919 % 1000) for n in range(300_000))


def zipped(content: bytes, *names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return made.getvalue()


def tarred(content: bytes, *names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "txt": bytes,
    "xz": lambda content: lzma.compress(content, preset=0),
    "gz": lambda content: gzip.compress(content, 1),
    "zip": lambda content: zipped(content, "data.csv", "__MACOSX/._data.csv"),
    "bz2": lambda content: bz2.compress(content, 1),
    "tar": lambda content: tarred(content, "._data.csv", "data.csv"),
    "tar.gz": lambda content: gzip.compress(tarred(content, "data.csv"), 1),
    "tar.xz": lambda content: lzma.compress(tarred(content, "data.csv"), preset=0),
    "gz in zip": lambda content: zipped(gzip.compress(content, 1), "data.csv.gz"),
}


def content_of(path: Path) -> bytes:
    with opened(Settings(), str(path)) as source:
        found = b"".join(iter(source.read, b""))
        assert source.name == path.name
        assert source.size == path.stat().st_size
    return found


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, _offset: int, _whence: int = 0) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("kind", PACKERS)
def test_every_kind_is_unpacked_whatever_its_name(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "readings.data"
    file.write_bytes(PACKERS[kind](TEXT))
    assert content_of(file) == TEXT
    with ExitStack() as stack:
        assert packed.opened(file, stack).read() == TEXT
    with ExitStack() as stack:  # as HDFS gives it
        assert packed.unpacked(Unseekable(file.read_bytes()), stack)[0].read() == TEXT


@pytest.mark.parametrize("kind", ["xz", "gz", "zip", "bz2", "tar.gz"])
def test_a_truncated_archive_says_so(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"cut.{kind}"
    content = PACKERS[kind](TEXT)
    file.write_bytes(content[: len(content) // 3])
    with pytest.raises(BrokenArchive, match=r"cut off or damaged.*Get the file again"):
        content_of(file)


@pytest.mark.parametrize("kind", ["xz", "gz", "zip", "bz2", "tar.gz"])
def test_a_damaged_archive_says_so(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"bad.{kind}"
    content = bytearray(PACKERS[kind](TEXT))
    middle = len(content) // 4  # a zip has a second, hidden file behind
    content[middle : middle + 2] = bytes(byte ^ 0xFF for byte in content[middle : middle + 2])
    file.write_bytes(content)
    with pytest.raises(BrokenArchive):
        content_of(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped(b"x", "a.csv", "b.csv"), "2 files"),
        (zipped(b"x"), "zip"),
        (b"PAR1xxxx", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "old Excel workbook.*Export it as CSV"),
        (zipped(b"x", "[Content_Types].xml", "xl/workbook.xml"), "Excel workbook .xlsx.*Export it as CSV"),
        (gzip.compress(b"SQLite format 3\0", mtime=0), "SQLite"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "a web page.*Download the file itself"),
        (b'{"ts": 1}', "JSON"),
        (b"\x28\xb5\x2f\xfdx", "zstd -d"),
        (tarred(b"a", "a.txt", "b.txt"), r"several files \(a.txt, b.txt"),
        (functools.reduce(lambda content, _: gzip.compress(content, mtime=0), range(6), b"x"), "more than 4 times"),
    ],
)
def test_other_kinds_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(content)
    with pytest.raises(Unreadable, match=says):
        content_of(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in [("missing", "does not exist"), (".", "is a directory"), ("pipe", "not a regular file")]:
        with pytest.raises(Unreadable, match=says), opened(Settings(), str(tmp_path / path)):
            pass


def test_a_path_on_another_hdfs_is_refused() -> None:
    with pytest.raises(Unreadable, match="another HDFS"), opened(Settings(), "hdfs://elsewhere:1/x"):
        pass


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    """By the kernel's own refusal; root, who may read all, is somebody else for the moment."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret.txt"
        file.write_bytes(TEXT)
        file.chmod(0o000)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(Unreadable, match=r"may not be read by this user.*chmod"):
                content_of(file)
        finally:
            os.seteuid(user)
