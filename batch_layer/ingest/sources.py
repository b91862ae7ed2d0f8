"""The files of a load, one after the other: as they lie there, or packed; each is read as one stream."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from batch_layer.ingest.errors import BrokenArchive, Unreadable
from batch_layer.ingest.places import place_of, unavailable
from meterlake.contents import NotText
from meterlake.errors import NOTHING_LOADED
from meterlake.packed import DAMAGED, files_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from batch_layer.ingest.places import Entry
    from meterlake.contents import Content
    from meterlake.settings import Settings

CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Source:
    """An open file. ``read`` returns up to a chunk of unpacked bytes, and ``b""`` at the end.

    path: as the user names it, with the member of an archive behind ``!``. name: without folders that the user named.
    """

    path: str
    name: str
    read: Callable[[], bytes]

    @property
    def origin(self) -> str:
        """Its name in the tables: ASCII."""
        return quote(self.name, safe=" ()+,@=/!")


def sources(
    settings: Settings, entry: Entry, password: str, takes: Collection[Content], on_bytes: Callable[[int], None]
) -> Iterator[Source | Unreadable | BrokenArchive]:
    """Yield the file that lies somewhere, or the members of the archive that it is, in order; each is read in its turn.

    In place of a member that cannot be opened comes its error. takes: what files may be besides text. on_bytes: takes
    how many more bytes have been read, of the file as it lies there. Raises Unreadable or BrokenArchive (also while
    reading), EngineUnavailable.
    """
    with ExitStack() as stack:
        raw = place_of(settings, entry.path).open(entry.path, stack)
        packed = cast("IO[bytes]", io.BufferedReader(_Counting(raw, on_bytes), CHUNK))
        result = files_in(packed, stack, password, takes)
        while True:
            with _named(settings, entry.path):
                item = next(result, None)
            if item is None:
                return
            member, stream = item
            path = f"{entry.path}{member}"
            if isinstance(stream, Exception):
                yield _error(path, stream)
            else:
                yield Source(path, f"{entry.name}{member}", _reading(settings, path, stream))


def _reading(settings: Settings, path: str, stream: IO[bytes]) -> Callable[[], bytes]:
    def read() -> bytes:
        with _named(settings, path):
            return stream.read(CHUNK)

    return read


class _Counting(io.RawIOBase):
    """Counts what is read from a file, for the progress bar; can seek where the file can (zip needs it)."""

    def __init__(self, raw: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        self._raw, self._on_bytes = raw, on_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(getattr(self._raw, "seekable", lambda: False)())  # WebHDFS's reader has none

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._raw.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._on_bytes(len(data))
        return len(data)


@contextmanager
def _named(settings: Settings, path: str) -> Iterator[None]:
    """Turn what reading raises into an error that names the file, or the server that went away meanwhile."""
    try:
        yield
    except (*DAMAGED, NotText, OSError, requests.RequestException, HTTPError) as error:
        if away := unavailable(settings, error):
            raise away from error
        raise _error(path, error) from error


def _error(path: str, error: Exception) -> Unreadable | BrokenArchive:
    if isinstance(error, NotText):
        return Unreadable(f"{path} {error.problem}.", hint=error.hint, path=path)
    if isinstance(error, DAMAGED):
        return BrokenArchive(path, error)
    return Unreadable(f"{path} cannot be read to its end: {error}.", hint=NOTHING_LOADED, path=path)
