"""The raw file on its way into HDFS, by WebHDFS: unpacked, checked, and under its digest as name when it is whole."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import requests
from hdfs.util import HdfsError

from batch_layer.ingest.lines import Lines
from batch_layer.ingest.sources import opened
from batch_layer.ingest.stored import Stored
from engines import hdfs
from engines.errors import EngineUnavailable, QueryFailed, StorageFull
from meterlake.texthead import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from batch_layer.ingest.sources import Source
    from meterlake.settings import Settings
    from meterlake.textformat import TextFormat

RAW: Final = "/meterlake/raw"
_STALE_S: Final = 86_400


def upload(settings: Settings, form: TextFormat, path: str, on_bytes: Callable[[int, int], None]) -> Stored:
    """Copy a file into HDFS as ``/meterlake/raw/<dataset>/<sha256>.txt``.

    Until it is whole it has another name; a failure removes it. Raises Unreadable, BrokenArchive, EmptyInput,
    WrongEncoding, WrongHeader, EngineUnavailable, StorageFull.
    """
    folder = f"{RAW}/{form.dataset.name}"
    partial = f"{folder}/.partial-{uuid.uuid4().hex}"
    lines = Lines()
    with opened(settings, path) as source:
        head = source.read()
        found = layout(form, path, head)
        client = hdfs.client(settings)
        try:
            _remove_stale(client, folder)
            client.write(partial, data=_passing(source, head, lines, on_bytes), overwrite=True)
            final = f"{folder}/{lines.sha256}.txt"
            _settle(client, partial, final, lines.bytes)
        except BaseException as error:
            _discard(client, partial)
            failure = _failure(settings, error, path)
            if failure is None:
                raise
            raise failure from error
    return Stored(
        form=found,
        path=path,
        name=source.name,
        location=final,
        begin=0,
        sha256=lines.sha256,
        bytes=lines.bytes,
        lines=lines.count,
        starts=tuple(lines.starts),
    )


def _passing(source: Source, head: bytes, lines: Lines, on_bytes: Callable[[int, int], None]) -> Iterator[bytes]:
    chunk = head
    while chunk:
        lines.take(chunk)
        yield chunk
        on_bytes(source.position(), source.size)
        chunk = source.read()
    lines.end()


def _settle(client: hdfs.Client, partial: str, final: str, size: int) -> None:
    """Give a whole file its name; the same content may be there from an earlier load."""
    there = client.status(final, strict=False)
    if there is not None and there["length"] == size:
        client.delete(partial)
        return
    if there is not None:
        client.delete(final)
    client.rename(partial, final)


def remove_stale(settings: Settings, dataset: str, now: datetime) -> int:
    """Remove what uploads that were killed left behind a day ago or longer; return how many files."""
    client, folder = hdfs.client(settings), f"{RAW}/{dataset}"
    try:
        return _remove_stale(client, folder, now.timestamp() * 1000)
    except hdfs.ERRORS as error:
        raise hdfs.failure(settings, f"clean {folder}", error) from error


def _remove_stale(client: hdfs.Client, folder: str, now_ms: float | None = None) -> int:
    """now_ms: by default the time of the newest file, by HDFS's own clock."""
    if client.status(folder, strict=False) is None:
        client.makedirs(folder)
    files = client.list(folder, status=True)
    latest = now_ms or max((status["modificationTime"] for _, status in files), default=0)
    old = [
        name
        for name, status in files
        if name.startswith(".partial-") and latest - status["modificationTime"] > _STALE_S * 1000
    ]
    for name in old:
        client.delete(f"{folder}/{name}")
    return len(old)


def _discard(client: hdfs.Client, path: str) -> None:
    try:
        client.delete(path)
    except hdfs.ERRORS:
        return  # HDFS is away: it is removed as stale by a later load


def _failure(settings: Settings, error: BaseException, path: str) -> Exception | None:
    if isinstance(error, HdfsError | requests.RequestException):
        if hdfs.no_room(settings, str(error)):
            return StorageFull("HDFS", settings.webhdfs, error, f"the raw file {path}")
        if "Permission denied" in str(error):
            return QueryFailed("HDFS", f"write {RAW}", error)
        return EngineUnavailable("HDFS", settings.webhdfs, error)
    return None
