"""Files as they are or packed: xz, gzip, bzip2, zip and tar are read, one in the other, too.

What else a file can be (``contents``) is read where its data set has a format of it.
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
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from meterlake.contents import BLOCK, PLAIN, UNPACK, NotText, check_members, check_text, content, is_hidden, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from meterlake.contents import Content


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

_DEEPEST: Final = 4
_ZIP_END: Final = 22 + (1 << 16)
"""The end of a zip archive is no longer than this, its comment included."""
_MANY: Final = 0xFFFF
"""So many members are counted elsewhere (zip64)."""
_CHUNK: Final = 1 << 20


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
    kind = PLAIN if is_taken(head) else kind_of(head)
    if kind == PLAIN:
        if not is_taken(head):
            check_text(head)
        yield name, raw
        return
    if depth == _DEEPEST:
        raise NotText(f"is packed more than {_DEEPEST} times", UNPACK)
    if kind not in _MEMBERS:
        yield from _files_in(_OPENERS[kind](raw, stack), stack, is_taken, password, name, depth + 1)
        return
    result = False
    for member, open_member in _MEMBERS[kind](raw, stack, password):
        result = True
        named = f"{name}!{member}"
        try:
            with ExitStack() as inner:
                yield from _files_in(open_member(), inner, is_taken, password, named, depth + 1)
        except (*DAMAGED, NotText) as error:
            yield named, error
    if not result:
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
        if len(buf) < BLOCK:
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


def unpacked(raw: IO[bytes], stack: ExitStack, takes: Collection[Content] = ()) -> tuple[IO[bytes], str]:
    """Return the text in a stream, and how the stream itself is packed.

    takes: what may be in it besides text. Raises OSError, one of DAMAGED, or NotText, also while reading.
    """
    outermost = ""
    for _ in range(_DEEPEST + 1):
        head, raw = _peeked(raw)
        kind = PLAIN if content(head) in takes else kind_of(head)
        outermost = outermost or kind
        if kind == PLAIN:
            if content(head) not in takes:
                check_text(head)
            return raw, outermost
        raw = _OPENERS[kind](raw, stack)
    raise NotText(f"is packed more than {_DEEPEST} times", UNPACK)


def _peeked(raw: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream, and the stream with them."""
    head = raw.read(BLOCK)
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
    check_members(archive.namelist())
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
