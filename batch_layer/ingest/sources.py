"""Where a file comes from: a local or an HDFS path, as it is or packed; read as one stream."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlparse

import requests
from hdfs.util import HdfsError

from batch_layer.ingest.errors import BrokenArchive, Unreadable
from engines import hdfs
from engines.errors import EngineUnavailable
from meterlake.packed import DAMAGED, NotText, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.settings import Settings

CHUNK: int = 1 << 20


@dataclass(frozen=True)
class Source:
    """An open file. ``read`` returns up to a chunk of unpacked bytes, and ``b""`` at the end.

    name: for ``origin``: ASCII, without folder. size: bytes of the file as it lies there, packed.
    position: how many of these have been read.
    """

    path: str
    name: str
    size: int
    read: Callable[[], bytes]
    position: Callable[[], int]


@contextmanager
def opened(settings: Settings, path: str) -> Iterator[Source]:
    """Open a file. Raises Unreadable or BrokenArchive (also while reading), EngineUnavailable for HDFS."""
    with ExitStack() as stack:
        raw, size = _remote(settings, path, stack) if path.startswith("hdfs:") else _local(path, stack)
        counting = _Counting(raw)
        packed = cast("IO[bytes]", io.BufferedReader(counting, CHUNK))
        with _named(path, "packed"):
            text, kind = unpacked(packed, stack)
        name = quote(PurePosixPath(urlparse(path).path if path.startswith("hdfs:") else path).name, safe=" ()+,@=")
        yield Source(path, name, size, lambda: _read(path, kind, text), lambda: counting.done)


class _Counting(io.RawIOBase):
    """Counts what is read from a file, for the progress bar; can seek where the file can (zip needs it)."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self.done = raw, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(getattr(self._raw, "seekable", lambda: False)())  # WebHDFS's reader has none

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._raw.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.done += len(data)
        return len(data)


def _local(path: str, stack: ExitStack) -> tuple[IO[bytes], int]:
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise Unreadable(f"{path} is a directory.", hint="Give one file; load several one after the other.")
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"{path} is not a regular file.", hint="Give a file; pipes and devices are not read.")
        return stack.enter_context(Path(path).open("rb", buffering=0)), found.st_size
    except FileNotFoundError:
        raise Unreadable(
            f"{path} does not exist.", hint=f"Local paths count from {Path.cwd()}; HDFS ones begin with hdfs://."
        ) from None
    except PermissionError:
        raise Unreadable(f"{path} may not be read by this user.", hint="Change its permissions (chmod +r).") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {error}.", hint="Give the path of a text file.") from error


def _remote(settings: Settings, path: str, stack: ExitStack) -> tuple[IO[bytes], int]:
    address = urlparse(path)
    if address.netloc and f"hdfs://{address.netloc}" != settings.hdfs:
        raise Unreadable(
            f"{path} lies on another HDFS than {settings.hdfs}.",
            hint="Write hdfs:///path for the one that is set, or set METERLAKE_HDFS_URL.",
        )
    client = hdfs.client(settings)
    try:
        status = client.status(address.path, strict=False)
        if status is None:
            raise Unreadable(f"{path} does not exist.", hint=f"It was looked for on {settings.hdfs}.")
        if status["type"] == "DIRECTORY":
            raise Unreadable(f"{path} is a directory.", hint="Give one file; load several one after the other.")
        return stack.enter_context(client.read(address.path)), int(status["length"])
    except HdfsError as error:
        if "Permission denied" in str(error):
            raise Unreadable(f"{path} may not be read by this user.", hint="Change its permissions.") from None
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error
    except requests.RequestException as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error


@contextmanager
def _named(path: str, kind: str) -> Iterator[None]:
    """Turn what reading raises into an error that names the file."""
    try:
        yield
    except NotText as error:
        raise Unreadable(f"{path} {error.problem}.", hint=error.hint) from error
    except DAMAGED as error:
        raise BrokenArchive(path, kind, error) from error
    except (OSError, requests.RequestException) as error:
        raise Unreadable(f"{path} cannot be read to its end: {error}.", hint="Nothing was loaded.") from error


def _read(path: str, kind: str, text: IO[bytes]) -> bytes:
    with _named(path, kind):
        return text.read(CHUNK)
