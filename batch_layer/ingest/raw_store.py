"""Raw files in HDFS, as they came but unpacked: ``/meterlake/raw/<data set>/``.

A large file is an object of its own, ``<sha256>.txt``. Small ones lie one after the other in bundles of up to
``BUNDLE`` bytes, beside each of which an index says where each file is: HDFS likes few files. What is there already is
not written again. Until an object is whole it has another name; a failure removes it.
"""

from __future__ import annotations

import hashlib
import json
import queue
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from batch_layer.ingest.stored import Stored
from engines import hdfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from datetime import datetime

    from batch_layer.ingest.stored import Seen
    from meterlake.settings import Settings

RAW: Final = "/meterlake/raw"
BUNDLE: Final = 128 << 20
SMALL: Final = 8 << 20
"""Up to so many bytes, a file of a load of many goes into a bundle."""

_PARTIAL: Final = ".partial-"
_STALE_S: Final = 86_400
_WAITING: Final = 8
"""Small files that are held in memory until they are written."""


Number: TypeAlias = tuple[int, int]
"""Of a file in a load: that of the path, and of the member in it."""


class _Small(NamedTuple):
    number: Number
    seen: Seen
    content: bytes


class RawStore:
    """The raw files of one data set."""

    def __init__(self, settings: Settings, dataset: str) -> None:
        self._settings, self.folder = settings, f"{RAW}/{dataset}"

    def prepare(self) -> None:
        """Make the folder, and remove what uploads that were killed left behind."""
        _remove_stale(self._client(), self.folder)

    def write(self, content: Iterable[bytes], sha256: Callable[[], str]) -> str:
        """Write a large file; return its object. sha256: returns the digest, once all content has passed."""
        client, partial = self._client(), self._partial()
        try:
            size = 0

            def counted() -> Iterator[bytes]:
                nonlocal size
                for chunk in content:
                    size += len(chunk)
                    yield chunk

            client.write(partial, data=counted(), overwrite=True)
            final = f"{self.folder}/{sha256()}.txt"
            _settle(client, partial, final, size)
        except BaseException:
            _discard(client, partial)
            raise
        return final

    def bundled(self) -> dict[str, tuple[str, int]]:
        """Return digest -> (bundle, first byte) of all files in bundles."""
        client, found = self._client(), dict[str, tuple[str, int]]()
        names = set(client.list(self.folder))
        for index in sorted(name for name in names if name.endswith(".json") and not name.startswith(".")):
            bundle = index.removesuffix(".json")
            if bundle in names:
                with client.read(f"{self.folder}/{index}") as reader:
                    files = json.loads(reader.read())["files"]
                found |= {file["sha256"]: (f"{self.folder}/{bundle}", file["offset"]) for file in files}
        return found

    def write_bundle(self, files: Iterator[_Small]) -> dict[Number, Stored]:
        """Write files into a bundle until it is full or they end; return where they are."""
        client, partial = self._client(), self._partial()
        taken: list[tuple[Number, Seen, int]] = []

        def contents() -> Iterator[bytes]:
            offset = 0
            for number, seen, content in files:
                taken.append((number, seen, offset))
                offset += len(content)
                yield content
                if offset >= BUNDLE:
                    return

        try:
            client.write(partial, data=contents(), overwrite=True)
            digest = hashlib.sha256("\n".join(seen.sha256 for _, seen, _ in taken).encode()).hexdigest()
            bundle = f"{self.folder}/{digest}.bundle"
            self._write_index(client, bundle, taken)
            _settle(client, partial, bundle, sum(seen.bytes for _, seen, _ in taken))
        except BaseException:
            _discard(client, partial)
            raise
        return {number: Stored(seen, bundle, offset) for number, seen, offset in taken}

    def _write_index(self, client: hdfs.Client, bundle: str, taken: list[tuple[Number, Seen, int]]) -> None:
        files = [
            {"name": seen.origin, "sha256": seen.sha256, "offset": offset, "length": seen.bytes}
            for _, seen, offset in taken
        ]
        partial = self._partial()
        client.write(partial, data=json.dumps({"files": files}).encode(), overwrite=True)
        client.delete(f"{bundle}.json")
        client.rename(partial, f"{bundle}.json")

    def _client(self) -> hdfs.Client:
        return hdfs.client(self._settings)

    def _partial(self) -> str:
        return f"{self.folder}/{_PARTIAL}{uuid.uuid4().hex}"


class Bundler:
    """Takes small files from many threads, and writes them into bundles in one of its own."""

    def __init__(self, store: RawStore, pool: Executor) -> None:
        self.stored: dict[Number, Stored] = {}
        self._store, self._waiting = store, queue.Queue[_Small | None](_WAITING)
        self._there, self._ended = store.bundled(), False
        self._writing = pool.submit(self._write)

    def take(self, number: Number, seen: Seen, content: bytes) -> None:
        """Take a file; waits while many are waiting. Raises what writing has raised."""
        if seen.sha256 in self._there:
            self.stored[number] = Stored(seen, *self._there[seen.sha256])
        else:
            self._put(_Small(number, seen, content))

    def end(self) -> None:
        """Write what is waiting. Raises what writing has raised."""
        self._put(None)
        self._writing.result()

    def _put(self, item: _Small | None) -> None:
        while True:
            if self._writing.done():
                self._writing.result()
            try:
                self._waiting.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def _write(self) -> None:
        while not self._ended and (first := self._waiting.get()) is not None:
            self.stored |= self._store.write_bundle(self._from(first))

    def _from(self, first: _Small) -> Iterator[_Small]:
        item: _Small | None = first
        while item is not None:
            yield item
            item = self._waiting.get()
        self._ended = True


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
        if name.startswith(_PARTIAL) and latest - status["modificationTime"] > _STALE_S * 1000
    ]
    for name in old:
        client.delete(f"{folder}/{name}")
    return len(old)


def _settle(client: hdfs.Client, partial: str, final: str, size: int) -> None:
    """Give a whole object its name; the same content may be there from an earlier load."""
    there = client.status(final, strict=False)
    if there is not None and there["length"] == size:
        client.delete(partial)
        return
    if there is not None:
        client.delete(final)
    client.rename(partial, final)


def _discard(client: hdfs.Client, path: str) -> None:
    try:
        client.delete(path)
    except hdfs.ERRORS:
        return  # HDFS is away: it is removed as stale by a later load
