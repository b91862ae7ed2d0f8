"""HDFS through WebHDFS."""

from __future__ import annotations

import time
from typing import Any

import requests
from hdfs import InsecureClient
from hdfs.util import HdfsError

from engines.errors import EngineUnavailable, MissingPackage, QueryFailed, StorageFull
from meterlake.settings import Settings

ERRORS = (HdfsError, requests.RequestException)
TIMEOUT_S = 30

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


def failure(settings: Settings, doing: str, error: Exception) -> EngineUnavailable | QueryFailed | StorageFull:
    """Return the error of ours for one of ``ERRORS``: the path is wrong, HDFS is full, or not at hand."""
    if no_room(settings, str(error)):
        return StorageFull("HDFS", settings.webhdfs, error, doing)
    if isinstance(error, HdfsError) and error.exception in _REFUSALS:
        return QueryFailed("HDFS", doing, error)
    return EngineUnavailable("HDFS", settings.webhdfs, error)
