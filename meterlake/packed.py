"""Files as they are or packed: their first bytes tell, their names may lie.

xz, gzip, bzip2, zip and tar are read, one in the other, too. What else a file can be is named, and read where its data
set has a format of it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path


class Damaged(Exception):
    """A packed file is cut off or damaged, where its library says so without a type."""


DAMAGED: Final = (
    Damaged,
    EOFError,
    RuntimeError,
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""What reading raises where a packed file is cut off or damaged."""

PLAIN: Final = "text"

Content: TypeAlias = Literal["text", "parquet", "sqlite", "json", "xml", "xlsx"]
"""What a file that can be read is, by its first bytes."""

_DEEPEST: Final = 4
_BLOCK: Final = 512
_ZIP_END: Final = 22 + (1 << 16)
"""The end of a zip archive is no longer than this, its comment included."""
_MANY: Final = 0xFFFF
"""So many members are counted elsewhere (zip64)."""
_CHUNK: Final = 1 << 20
_AS_CSV: Final = "Export it as CSV in UTF-8."
_DECLARE: Final = "Export it as CSV in UTF-8, or declare a format of it: see docs/formats."
_UNPACK: Final = "Unpack it first, or pack it by xz, gzip or zip."
_REFUSED: Final[dict[bytes, tuple[str, str]]] = {
    b"\x28\xb5\x2f\xfd": ("a zstd file", "Unpack it first: zstd -d FILE."),
    b"\x04\x22\x4d\x18": ("an LZ4 file", "Unpack it first: lz4 -d FILE."),
    b"\x1f\x9d": ("a compress (.Z) file", "Unpack it first: gzip -d FILE."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!": ("a rar archive", _UNPACK),
    b"PK\x05\x06": ("an empty zip archive", "Give an archive of one text file."),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel workbook (xls), whatever its name", _AS_CSV),
    b"PAR1": ("a Parquet file", _DECLARE),
    b"ORC": ("an ORC file", _AS_CSV),
    b"Obj\x01": ("an Avro file", _AS_CSV),
    b"ARROW1": ("an Arrow (feather) file", _AS_CSV),
    b"SQLite format 3\x00": ("an SQLite database", _DECLARE),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _AS_CSV),
    b"%PDF-": ("a PDF document", _AS_CSV),
    b"\x89PNG\r\n\x1a\n": ("a picture (PNG)", _AS_CSV),
    b"\xff\xd8\xff": ("a picture (JPEG)", _AS_CSV),
    b"RDX": ("R's saved data", _AS_CSV),
    b"RDA": ("R's saved data", _AS_CSV),
    b"X\n\x00\x00\x00": ("R's saved data", _AS_CSV),
    b"MATLAB 5.0 MAT-file": ("a MATLAB file", _AS_CSV),
    b"{": ("JSON", _DECLARE),
    b"[": ("JSON", _DECLARE),
}
_MARKUP: Final = {
    b"<!doctype html": ("a web page", "Download the file itself: this is perhaps the page of a login or an error."),
    b"<html": ("a web page", "Download the file itself: this is perhaps the page of a login or an error."),
    b"<?xml": ("XML", _DECLARE),
}
_CONTENTS: Final[dict[bytes, Content]] = {
    b"PAR1": "parquet",
    b"SQLite format 3\x00": "sqlite",
    b"{": "json",
    b"[": "json",
    b"<?xml": "xml",
    b"<feed": "xml",
}
_WORKBOOK_PARTS: Final = (b"[Content_Types].xml", b"docProps/", b"xl/", b"_rels/")

_DOCUMENTS: Final = {
    "word/document.xml": "a Word document (docx)",
    "ppt/presentation.xml": "a PowerPoint presentation (pptx)",
    "[Content_Types].xml": "an Excel workbook (xlsx)",
    "mimetype": "an OpenDocument file (ods)",
}
"""Members of archives that are documents."""
_OF_WINDOWS: Final = ("thumbs.db", "desktop.ini")


class NotText(Exception):
    """A file is, or holds, something else than one text file. problem: without the path; hint: how to go on."""

    def __init__(self, problem: str, hint: str) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(problem)


def opened(path: Path, stack: ExitStack) -> IO[bytes]:
    """Return a local file's unpacked bytes. Raises OSError, one of DAMAGED (also while reading), or NotText."""
    return unpacked(stack.enter_context(path.open("rb")), stack)[0]


def files_in(
    raw: IO[bytes], stack: ExitStack, password: str = "", takes: Collection[Content] = ()
) -> Iterator[tuple[str, IO[bytes] | Exception]]:
    """Yield the files in a stream: the one that it is, under an empty name, or the members of an archive, in order.

    A member's name has ``!`` before it, and before each further archive in it. A stream is to be read before the next
    one is asked for. Where a member cannot be opened, an exception comes in its place: one of DAMAGED, or NotText.
    password: of encrypted members of zip archives. takes: what may be in it besides text. Raises what ``unpacked``
    raises about the outermost archive.
    """
    yield from _files_in(raw, stack, partial(_is_taken, takes), password, "")


def _files_in(
    raw: IO[bytes], stack: ExitStack, is_taken: Callable[[bytes], bool], password: str, name: str, depth: int = 0
) -> Iterator[tuple[str, IO[bytes] | Exception]]:
    head, raw = _peeked(raw)
    kind = PLAIN if is_taken(head) else _kind(head)
    if kind == PLAIN:
        if not is_taken(head):
            _check_text(head)
        yield name, raw
        return
    if depth == _DEEPEST:
        raise NotText(f"is packed more than {_DEEPEST} times", _UNPACK)
    if kind not in _MEMBERS:
        yield from _files_in(_OPENERS[kind](raw, stack), stack, is_taken, password, name, depth + 1)
        return
    found = False
    for member, open_member in _MEMBERS[kind](raw, stack, password):
        found = True
        named = f"{name}!{member}"
        try:
            with ExitStack() as inner:
                yield from _files_in(open_member(), inner, is_taken, password, named, depth + 1)
        except (*DAMAGED, NotText) as error:
            yield named, error
    if not found:
        raise NotText("holds no file", "Give an archive with files of readings.")


def _is_taken(takes: Collection[Content], head: bytes) -> bool:
    return content(head) in takes


def _zip_members(raw: IO[bytes], stack: ExitStack, password: str) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    archive, files = _zip_files(raw, stack)
    for item in files:
        yield item.filename, partial(_open_member, archive, item, password)


def _open_member(archive: zipfile.ZipFile, item: zipfile.ZipInfo, password: str) -> IO[bytes]:
    encrypted = bool(item.flag_bits & 1)
    if encrypted and not password:
        raise NotText("is encrypted", "Give its password: --password asks for it.")
    try:
        file = archive.open(item, pwd=password.encode() if encrypted else None)
        return _decrypted(file) if encrypted else file
    except NotImplementedError as error:
        raise NotText(f"cannot be unpacked ({error})", "Unpack it first, or pack it by deflate.") from error
    except RuntimeError as error:
        raise NotText("is encrypted with another password", "Give the right one: --password asks for it.") from error


def _decrypted(file: IO[bytes]) -> IO[bytes]:
    """One of 256 wrong passwords opens a member, and shows by what it reads."""

    def read(size: int) -> bytes:
        try:
            return file.read(size)
        except (zlib.error, zipfile.BadZipFile, EOFError) as error:
            raise NotText(
                "is encrypted with another password, or damaged", "Give the right one: --password asks for it."
            ) from error

    return cast("IO[bytes]", io.BufferedReader(_Pieces([read]), _CHUNK))


def _tar_members(raw: IO[bytes], stack: ExitStack, _: str) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    archive = _tar(raw, stack)
    while member := _next_file(archive):
        yield member.name, partial(_extract, archive, member)
    _check_end(archive)


class _Header(tarfile.TarInfo):
    """A member's header. The library takes a damaged or missing one for the end, where two empty blocks stand."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) < _BLOCK:
            raise tarfile.ReadError("it lacks the end of a tar archive")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise
            raise tarfile.ReadError(f"the header of a member: {error}") from error


def _tar(raw: IO[bytes], stack: ExitStack) -> tarfile.TarFile:
    return stack.enter_context(tarfile.open(fileobj=raw, mode="r|", tarinfo=_Header))


def _check_end(archive: tarfile.TarFile) -> None:
    """Read what is behind the last member: what it is packed by has its checksum there, and nothing else may be."""
    rest = cast("IO[bytes]", archive.fileobj)
    while chunk := rest.read(_CHUNK):
        if any(chunk):
            raise tarfile.ReadError("something stands behind its end")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = cast("IO[bytes]", archive.extractfile(member))
    return cast("IO[bytes]", io.BufferedReader(_Pieces([file.read]), _CHUNK))


_MEMBERS: Final[dict[str, Callable[[IO[bytes], ExitStack, str], Iterator[tuple[str, Callable[[], IO[bytes]]]]]]] = {
    "zip": _zip_members,
    "tar": _tar_members,
}


def content(head: bytes) -> Content | None:
    """Return what a file that begins with ``head`` is, where its first bytes say it; None for text and all else."""
    if head.startswith(b"PK\x03\x04"):
        # The name of the first file in the archive.
        return "xlsx" if head[30:].startswith(_WORKBOOK_PARTS) else None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((found for magic, found in _CONTENTS.items() if start.startswith(magic)), None)


def unpacked(raw: IO[bytes], stack: ExitStack, takes: Collection[Content] = ()) -> tuple[IO[bytes], str]:
    """Return the text in a stream, and how the stream itself is packed.

    takes: what may be in it besides text. Raises OSError, one of DAMAGED, or NotText, also while reading.
    """
    outermost = ""
    for _ in range(_DEEPEST + 1):
        head, raw = _peeked(raw)
        kind = PLAIN if content(head) in takes else _kind(head)
        outermost = outermost or kind
        if kind == PLAIN:
            if content(head) not in takes:
                _check_text(head)
            return raw, outermost
        raw = _OPENERS[kind](raw, stack)
    raise NotText(f"is packed more than {_DEEPEST} times", _UNPACK)


def _peeked(raw: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream, and the stream with them."""
    head = raw.read(_BLOCK)
    if raw.seekable():
        raw.seek(0)
        return head, raw
    return head, cast("IO[bytes]", io.BufferedReader(_Pieces([io.BytesIO(head).read, raw.read]), _CHUNK))


class _Pieces(io.RawIOBase):
    """Streams, one after the other, as one. done: called at the end of the last."""

    def __init__(self, reads: Sequence[Callable[[int], bytes]], done: Callable[[], None] | None = None) -> None:
        self._reads, self._done = list(reads), done

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        while self._reads:
            data = self._reads[0](len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            del self._reads[0]
        done, self._done = self._done, None
        if done:
            done()
        return 0


def _kind(head: bytes) -> str:
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "tar" if _is_tar(head) else PLAIN


def _is_tar(head: bytes) -> bool:
    """Return whether a block is the header of a member: its checksum tells."""
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _check_text(head: bytes) -> None:
    found = next((named for magic, named in _REFUSED.items() if head.startswith(magic)), None)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = found or next((named for magic, named in _MARKUP.items() if start.startswith(magic)), None)
    if found:
        name, hint = found
        raise NotText(f"is {name}", hint)


def _open_xz(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    return stack.enter_context(lzma.open(raw))


def _open_gzip(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    file = stack.enter_context(cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")))
    # It says that it can seek, whatever it reads from.
    return file if raw.seekable() else cast("IO[bytes]", io.BufferedReader(_Pieces([file.read]), _CHUNK))


def _open_bzip2(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    file = stack.enter_context(bz2.open(raw))  # noqa: SIM115 - closed by the stack

    def read(size: int) -> bytes:
        try:
            return file.read(size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise Damaged(str(error)) from error

    return cast("IO[bytes]", io.BufferedReader(_Pieces([read]), _CHUNK))


def _open_zip(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """Open the one file in a zip archive."""
    archive, files = _zip_files(raw, stack)
    if len(files) != 1:
        raise _not_one([item.filename for item in files])
    return stack.enter_context(_open_member(archive, files[0], ""))


def _zip_files(raw: IO[bytes], stack: ExitStack) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """Return a zip archive, whose index stands at its end, and the files in it."""
    if not raw.seekable():
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by the stack
        shutil.copyfileobj(raw, file, _CHUNK)
        raw = file
    archive = stack.enter_context(zipfile.ZipFile(raw))
    counted = _counted(raw)
    if counted is not None and counted != len(archive.infolist()):
        raise zipfile.BadZipFile(f"its index says {counted} members, and has {len(archive.infolist())}")
    names = {*archive.namelist()}
    if document := next((title for name, title in _DOCUMENTS.items() if name in names), None):
        raise NotText(f"is {document}", _AS_CSV)
    files = [item for item in archive.infolist() if not item.is_dir() and not is_hidden(item.filename)]
    return archive, files


def _counted(raw: IO[bytes]) -> int | None:
    """Return how many members a zip archive says at its end that it has; None where it says it in another way."""
    raw.seek(0, io.SEEK_END)
    raw.seek(max(0, raw.tell() - _ZIP_END))
    end = raw.read()
    at = end.rfind(b"PK\x05\x06")
    number = int.from_bytes(end[at + 10 : at + 12], "little")
    return None if at < 0 or number == _MANY else number


def _open_tar(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """Open the one file in a tar archive; whether it is the only one is known at its end."""
    archive = _tar(raw, stack)
    first = _next_file(archive)
    member = archive.extractfile(first) if first else None
    if first is None or member is None:
        raise _not_one([])

    def check_end() -> None:
        second = _next_file(archive)
        if second:
            raise NotText(f"holds several files ({first.name}, {second.name}, …)", "Give an archive of one text file.")
        _check_end(archive)

    return cast("IO[bytes]", io.BufferedReader(_Pieces([member.read], check_end), _CHUNK))


def _next_file(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    while member := archive.next():
        if member.isfile() and not is_hidden(member.name):
            return member
    return None


def is_hidden(name: str) -> bool:
    """Return whether a file of a folder or an archive is hidden, or one that macOS or Windows adds."""
    parts = name.split("/")
    added = parts[0] == "__MACOSX" or parts[-1].lower() in _OF_WINDOWS
    return added or any(part.startswith(".") and part.strip(".") for part in parts)


def _not_one(names: list[str]) -> NotText:
    listed = ", ".join(names[:5]) or "none"
    return NotText(f"holds {len(names)} files ({listed})", "Give an archive of one text file.")


_OPENERS: Final[dict[str, Callable[[IO[bytes], ExitStack], IO[bytes]]]] = {
    "xz": _open_xz,
    "gzip": _open_gzip,
    "bzip2": _open_bzip2,
    "zip": _open_zip,
    "tar": _open_tar,
}
