"""Files as they come: plain or packed, broken or of another kind."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from batch_layer.ingest import places
from batch_layer.ingest.errors import BrokenArchive, Unreadable
from batch_layer.ingest.places import Entry, find
from batch_layer.ingest.sources import Source, sources
from meterlake import packed
from meterlake.contents import NotText
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


def all_of(*paths: Path | str, password: str = "") -> list[tuple[str, str, bytes | Exception]]:
    """Return path, name and content of all files, or why one cannot be read."""
    result: list[tuple[str, str, bytes | Exception]] = []
    for entry in find(Settings(), map(str, paths)):
        seen: list[int] = []
        for source in sources(Settings(), entry, password, (), seen.append):
            if isinstance(source, Source):
                result.append((source.path, source.name, b"".join(iter(source.read, b""))))
            else:
                result.append((source.path, "", source))
        assert sum(seen) >= entry.size
    return result


def content_of(path: Path) -> bytes:
    ((_, name, content),) = all_of(path)
    assert name.partition("!")[0] == path.name
    assert isinstance(content, bytes)
    return content


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


def test_an_archive_that_ends_between_its_members_loses_none_in_silence(tmp_path: Path) -> None:
    """Python's tarfile takes what is cut off before, or within, a header for the end of the archive."""
    whole = tarred(b"x" * 700, "a.csv", "b.csv", "c.csv")
    header = 3 * 512  # of the second member
    damaged = bytearray(whole)
    damaged[header + 5] ^= 0xFF
    for content, says in [
        (whole[:header], "a.csv|lacks the end of a tar archive"),
        (whole[: header + 100], "a.csv|lacks the end of a tar archive"),
        (bytes(damaged), "a.csv|the header of a member: bad checksum"),
        (whole[: 9 * 512], "a.csv,b.csv,c.csv|lacks the end of a tar archive"),
        (whole + whole, "a.csv,b.csv,c.csv|something stands behind its end"),
        (gzip.compress(whole)[:-8] + bytes(8), "a.csv,b.csv,c.csv|CRC check failed"),
    ]:
        file = tmp_path / "many.tar"
        file.write_bytes(content)
        names, problem = says.split("|")
        *read, (at, _, error) = all_until_broken(file)
        assert [path.partition("!")[2] for path, _, _ in read] == names.split(",")
        assert {content for _, _, content in read} == {b"x" * 700}
        assert (at, str(error).count(f"{file}: the packed file is cut off or damaged")) == (str(file), 1)
        assert problem in str(error)
        with ExitStack() as stack, pytest.raises((tarfile.TarError, NotText)):  # where one text is asked for
            packed.opened(file, stack).read()


def test_a_zip_archive_whose_index_has_lost_a_member_says_so(tmp_path: Path) -> None:
    file = tmp_path / "many.zip"
    content = bytearray(zipped(b"x", "a.csv", "b.csv", "c.csv"))
    second = content.find(b"PK\1\2", content.find(b"PK\1\2") + 1)
    content[second + 32] = 51  # so long is its comment now: the entry of the next member
    file.write_bytes(content)
    with pytest.raises(BrokenArchive, match="its index says 3 members, and has 2"):
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
        (zipped(b"x"), "zip"),
        (tarred(b"x", "._a"), "holds no file"),
        (b"PAR1xxxx", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "old Excel workbook.*Export it as CSV"),
        (zipped(b"x", "[Content_Types].xml", "xl/workbook.xml"), "Excel workbook .xlsx.*Export it as CSV"),
        (gzip.compress(b"SQLite format 3\0", mtime=0), "SQLite"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "a web page.*Download the file itself"),
        (b'{"ts": 1}', "JSON"),
        (b'\xef\xbb\xbf [{"ts": 1}]', "JSON"),
        (zipped(b"x", "[Content_Types].xml", "word/document.xml"), "a Word document"),
        (zipped(b"x", "[Content_Types].xml", "ppt/presentation.xml"), "a PowerPoint presentation"),
        (zipped(b"x", "mimetype", "content.xml"), "an OpenDocument file"),
        (b"\x89PNG\r\n\x1a\nx", "a picture .PNG"),
        (b"\xff\xd8\xff\xe0x", "a picture .JPEG"),
        (gzip.compress(b"RDX3\nX\n\0", mtime=0), "R's saved data"),
        (gzip.compress(b"X\n\0\0\0\x03", mtime=0), "R's saved data"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file"),
        (b"\x28\xb5\x2f\xfdx", "zstd -d"),
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
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").touch()
    for path, says in [
        ("missing", "does not exist"),
        ("empty", "There is no file in"),
        ("*.csv", "No file matches"),
        ("pipe", "not a regular file"),
    ]:
        with pytest.raises(Unreadable, match=says):
            find(Settings(), [str(tmp_path / path)])


def test_a_path_on_another_hdfs_is_refused() -> None:
    with pytest.raises(Unreadable, match="another HDFS"):
        find(Settings(), ["hdfs://elsewhere:1/x"])


def test_files_of_folders_patterns_and_archives_come_in_order(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/1.csv", "b/.hidden", "b/Thumbs.db", "a.csv", "c/d/3.csv", "c/desktop.ini"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "z.tar.gz").write_bytes(gzip.compress(tarred(b"t", "m.csv", "._m.csv", "n/o.csv"), 1))
    inner = zipped(gzip.compress(b"g"), "g.csv.gz")
    hidden = ("__MACOSX/inner.zip", ".DS_Store", "n/.git/x.csv", "n/Thumbs.db", "DESKTOP.INI")
    (tmp_path / "y.zip").write_bytes(zipped(inner, "./inner.zip", *hidden))
    names = [name for _, name, _ in all_of(tmp_path / "z.tar.gz", tmp_path / "b", tmp_path / "a.csv", tmp_path / "b")]
    assert names == ["z.tar.gz!m.csv", "z.tar.gz!n/o.csv", "1.csv", "2.csv", "a.csv"]
    assert [name for _, name, _ in all_of(tmp_path / "*.csv", tmp_path / "c*")] == ["a.csv", "c/d/3.csv"]
    assert [name for _, name, _ in all_of(f"{tmp_path}/**/[12].csv")] == ["b/1.csv", "b/2.csv"]
    assert all_of(tmp_path / "y.zip") == [
        (f"{tmp_path}/y.zip!./inner.zip!g.csv.gz", "y.zip!./inner.zip!g.csv.gz", b"g")
    ]


def test_a_bad_member_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "many.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {
            "a.csv": b"a",
            "b.pdf": b"%PDF-1.7",
            "c.csv.gz": gzip.compress(b"c")[:12],
            "d.csv": b"d",
        }.items():
            archive.writestr(name, content)
    result = {path.partition("!")[2]: content for path, _, content in all_of_members(file)}
    assert (result["a.csv"], result["d.csv"]) == (b"a", b"d")
    assert "many.zip!b.pdf is a PDF document" in str(result["b.pdf"])
    assert "many.zip!c.csv.gz: the packed file is cut off" in str(result["c.csv.gz"])


def all_until_broken(file: Path) -> list[tuple[str, str, bytes | Exception]]:
    """As ``all_of``, with what ends the archive as its last."""
    result: list[tuple[str, str, bytes | Exception]] = []
    try:
        for source in sources(Settings(), Entry(str(file), file.name, 0), "", (), lambda _: None):
            assert isinstance(source, Source)
            result.append((source.path, source.name, b"".join(iter(source.read, b""))))
    except BrokenArchive as error:
        result.append((str(file), "", error))
    return result


def all_of_members(file: Path) -> list[tuple[str, str, bytes | Exception]]:
    """As ``all_of``, with what reading raises in its place."""
    result: list[tuple[str, str, bytes | Exception]] = []
    for source in sources(Settings(), Entry(str(file), file.name, 0), "", (), lambda _: None):
        try:
            content = b"".join(iter(source.read, b"")) if isinstance(source, Source) else source
        except BrokenArchive as error:
            content = error
        result.append((source.path, "", content))
    return result


ENCRYPTED = Path(__file__).parent / "samples" / "encrypted.zip"


def test_an_encrypted_member_needs_its_password() -> None:
    for password, says in [
        ("", "encrypted.zip!a.csv is encrypted.*--password"),
        ("wrong", "encrypted.zip!a.csv is encrypted with another password.*--password"),
        ("33", "is encrypted with another password, or damaged"),  # one of 256 passes the check of its first byte
    ]:
        ((_, _, error),) = all_of(ENCRYPTED, password=password)
        assert re.search(says, str(error))
    assert [content for _, _, content in all_of(ENCRYPTED, password="secret")] == [b"a;b\n1;2\n"]


def test_small_files_are_those_of_a_pattern_in_hdfs_and_s3_too() -> None:
    entries = [Entry(f"s3a://{name}", name, 1) for name in ("b/x/1.csv", "b/x/y/2.csv", "b/3.csv", "b/x/.4.csv")]
    matched = {
        pattern: [entry.name for entry in places._matching(pattern, entries)]  # noqa: SLF001 - what all places share
        for pattern in ("b/*.csv", "b/**/*.csv", "b/x*", "b/x/[12].csv", "b/?/1*")
    }
    assert matched == {
        "b/*.csv": ["3.csv"],
        "b/**/*.csv": ["x/1.csv", "x/y/2.csv", "3.csv"],
        "b/x*": ["x/1.csv", "x/y/2.csv"],
        "b/x/[12].csv": ["1.csv"],
        "b/?/1*": ["x/1.csv"],
    }


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
