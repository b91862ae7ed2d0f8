"""HDFS through WebHDFS."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import requests
from hdfs import InsecureClient
from hdfs.util import HdfsError
from urllib3.exceptions import HTTPError

from engines.errors import EngineUnavailable, MissingPackage, QueryFailed, StorageFull
from meterlake.settings import Settings

ERRORS = (HdfsError, requests.RequestException)
TIMEOUT_S = 30
_CHUNK = 1 << 20

Client = Any
"""The library's client; it has no types."""
# Java exceptions by which a NameNode says that the path is wrong.
_REFUSALS = (
    "AccessControlException",
    "FileAlreadyExistsException",
    "FileNotFoundException",
    "IllegalArgumentException",
    "InvalidPathException",
    "ParentNotDirectoryException",
)


_NO_ROOM = (
    "No space left on device",
    "DiskOutOfSpace",
    "DiskSpace quota",
    "Resources are low on NN",
)
_NO_DATANODE = "There are 0 datanode(s) running"
NOWHERE = ("All datanodes", "could only be written to 0 of the", "Failed to find datanode")
"""What a client hears when a block cannot be begun or gone on with: the DataNode is gone, or its disk is full."""
_BLOCK = 128 * 2**20
_HEARTBEAT_S = 4
"""The NameNode hears of a full disk within 3 s."""


def no_room(settings: Settings, message: str) -> str:
    """Return the words by which HDFS says in ``message`` that its disks or a quota are full, or an empty string."""
    if _NO_DATANODE in message:
        return ""
    if words := next((words for words in _NO_ROOM if words in message), ""):
        return words
    words = next((words for words in NOWHERE if words in message), "")
    return words if words and _is_full(settings) else ""


def _is_full(settings: Settings) -> bool:
    """Ask the NameNode whether a block would find no room; False where it does not say."""
    time.sleep(_HEARTBEAT_S)
    question = {"qry": "Hadoop:service=NameNode,name=FSNamesystemState"}
    try:
        state = requests.get(f"{settings.webhdfs}/jmx", params=question, timeout=TIMEOUT_S).json()["beans"][0]
        return bool(state["NumLiveDataNodes"] and state["CapacityRemaining"] < _BLOCK)
    except (requests.RequestException, ValueError, LookupError):
        return False


def client(settings: Settings) -> Client:
    """Return a WebHDFS client acting as the user of the settings. Raises MissingPackage."""
    session = requests.Session()
    session.verify = str(settings.hdfs_ca) if settings.hdfs_ca else True
    if settings.hdfs_auth == "kerberos":
        return _kerberos(settings, session)
    return InsecureClient(settings.webhdfs, user=settings.user("hdfs"), timeout=TIMEOUT_S, session=session)


def _kerberos(settings: Settings, session: requests.Session) -> Client:
    try:
        from hdfs.ext.kerberos import KerberosClient
    except ImportError as error:
        raise MissingPackage("requests-kerberos", "METERLAKE_HDFS_AUTH=kerberos", "hdfs[kerberos]") from error
    return KerberosClient(settings.webhdfs, timeout=TIMEOUT_S, session=session)


def write_bytes(settings: Settings, path: str, content: bytes) -> None:
    """Write a small file, replacing what is there. Raises EngineUnavailable or QueryFailed."""
    try:
        client(settings).write(path, data=content, overwrite=True)
    except ERRORS as error:
        raise failure(settings, f"write {path}", error) from error


def read_bytes(settings: Settings, path: str) -> bytes:
    """Return the content of a small file. Raises EngineUnavailable or QueryFailed."""
    try:
        with client(settings).read(path) as reader:
            content: bytes = reader.read()
    except ERRORS as error:
        raise failure(settings, f"read {path}", error) from error
    return content


@contextmanager
def opened_range(settings: Settings, path: str, begin: int, length: int) -> Iterator[IO[bytes]]:
    """Open ``length`` bytes of a file, from byte ``begin`` on. Raises EngineUnavailable or QueryFailed, also in reads.

    A stream that ends too early is an error: nothing is lost in silence.
    """
    with _named(settings, f"read {path}"), client(settings).read(path, offset=begin, length=length) as reader:
        yield cast("IO[bytes]", io.BufferedReader(_Whole(settings, path, reader, length), _CHUNK))


class _Whole(io.RawIOBase):
    """So many bytes of a stream, and neither more nor fewer."""

    def __init__(self, settings: Settings, path: str, reader: IO[bytes], length: int) -> None:
        self._settings, self._path, self._reader, self._left = settings, path, reader, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return 0
        with _named(self._settings, f"read {self._path}"):
            data = self._reader.read(min(len(buffer), self._left))
            if not data:
                raise requests.ConnectionError(f"{self._path} ended {self._left} bytes too early")
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def _named(settings: Settings, doing: str) -> Iterator[None]:
    try:
        yield
    except (*ERRORS, HTTPError) as error:
        raise failure(settings, doing, error) from error


def failure(settings: Settings, doing: str, error: Exception) -> EngineUnavailable | QueryFailed | StorageFull:
    """Return the error of ours for one of ``ERRORS``: the path is wrong, HDFS is full, or not at hand."""
    if no_room(settings, str(error)):
        return StorageFull("HDFS", settings.webhdfs, error, doing)
    if isinstance(error, HdfsError) and error.exception in _REFUSALS:
        return QueryFailed("HDFS", doing, error)
    return EngineUnavailable("HDFS", settings.webhdfs, error)
