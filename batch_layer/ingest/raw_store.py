"""Raw files in HDFS, as they came but unpacked: ``/meterlake/raw/<data set>/``.

A large file is an object of its own, ``<sha256>.txt``. Small ones lie one after the other in bundles of up to
``BUNDLE`` bytes, beside each of which an index says where each file is: HDFS likes few files. What is there already is
not written again. Until an object is whole it has another name; a failure removes it.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import uuid
from dataclasses import dataclass
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
_INDEX: Final = ".json"
_ALONE: Final = ".txt"
_BUNDLED: Final = ".bundle"
_LOOKED_INTO: Final = 100
_STALE_S: Final = 86_400
_WAITING: Final = 8
"""Small files that are held in memory until they are written."""


Number: TypeAlias = tuple[int, int]
"""Of a file in a load: that of the path, and of the member in it."""


class _Small(NamedTuple):
    number: Number
    seen: Seen
    content: bytes


@dataclass(frozen=True)
class RawFile:
    """A raw file, from byte ``begin`` of an object on.

    sha256: of its bytes as they are. was: digest of the file as it came, where lines were taken out since.
    """

    location: str
    sha256: str
    name: str = ""
    was: str = ""
    begin: int = 0
    length: int = 0

    @property
    def came_as(self) -> str:
        """Digest of the file as it came."""
        return self.was or self.sha256


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
            final = f"{self.folder}/{sha256()}{_ALONE}"
            _settle(client, partial, final, size)
        except BaseException:
            _discard(client, partial)
            raise
        return final

    def bundled(self) -> dict[str, tuple[str, int]]:
        """Return digest -> (bundle, first byte) of the files in the newest bundles; older ones are not looked into."""
        client, result = self._client(), dict[str, tuple[str, int]]()
        written = {name: status["modificationTime"] for name, status in client.list(self.folder, status=True)}
        indexes = [name for name in written if name.endswith(_INDEX) and not name.startswith(".")]
        for index in sorted(indexes, key=written.__getitem__)[-_LOOKED_INTO:]:
            bundle = index.removesuffix(_INDEX)
            if bundle in written:
                with client.read(f"{self.folder}/{index}") as reader:
                    files = json.loads(reader.read())["files"]
                result |= {file["sha256"]: (f"{self.folder}/{bundle}", file["offset"]) for file in files}
        return result

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
            bundle = f"{self.folder}/{digest}{_BUNDLED}"
            files_in_it = [RawFile(bundle, s.sha256, s.origin, "", offset, s.bytes) for _, s, offset in taken]
            self._write_index(client, bundle, [_entry(file) for file in files_in_it])
            _settle(client, partial, bundle, sum(seen.bytes for _, seen, _ in taken))
        except BaseException:
            _discard(client, partial)
            raise
        return {number: Stored(seen, bundle, offset) for number, seen, offset in taken}

    def files(self) -> list[RawFile]:
        """Return all raw files."""
        client = self._client()
        if client.status(self.folder, strict=False) is None:
            return []
        lengths = {n: s["length"] for n, s in client.list(self.folder, status=True) if not n.startswith(".")}
        result: list[RawFile] = []
        for index in (name for name in sorted(lengths) if name.endswith(_INDEX)):
            name = index.removesuffix(_INDEX)
            if name in lengths:
                result += [
                    RawFile(f"{self.folder}/{name}", f["sha256"], f["name"], f.get("was", ""), f["offset"], f["length"])
                    for f in json.loads(hdfs.read_bytes(self._settings, f"{self.folder}/{index}"))["files"]
                ]
        alone = [name for name in sorted(lengths) if name.endswith(_ALONE) and f"{name}{_INDEX}" not in lengths]
        return result + [
            RawFile(f"{self.folder}/{name}", name.removesuffix(_ALONE), length=lengths[name]) for name in alone
        ]

    def rewrite(self, location: str, files: Iterable[tuple[RawFile, Iterable[bytes]]]) -> None:
        """Replace an object by one with these files and contents; remove it where there is none.

        Until the new object is whole the old one stays. Doing it again with the same contents changes nothing.
        """
        client, partial = self._client(), self._partial()
        written: list[RawFile] = []

        def contents() -> Iterator[bytes]:
            begin = 0
            for file, chunks in files:
                digest, length = hashlib.sha256(), 0
                for chunk in chunks:
                    digest.update(chunk)
                    length += len(chunk)
                    yield chunk
                was = file.was or (file.sha256 if digest.hexdigest() != file.sha256 else "")
                written.append(RawFile(location, digest.hexdigest(), file.name, was, begin, length))
                begin += length

        try:
            client.write(partial, data=contents(), overwrite=True)
            if written:
                names = "\n".join(file.sha256 for file in written)
                is_alone = location.endswith(_ALONE)
                name = written[0].sha256 if is_alone else hashlib.sha256(names.encode()).hexdigest()
                final = f"{self.folder}/{name}{_ALONE if is_alone else _BUNDLED}"
                self._write_index(client, final, [_entry(file) for file in written])
                _settle(client, partial, final, sum(file.length for file in written))
            else:
                final = ""
                client.delete(partial)
        except BaseException:
            _discard(client, partial)
            raise
        if final != location:
            client.delete(location)
            client.delete(f"{location}{_INDEX}")

    def _write_index(self, client: hdfs.Client, bundle: str, files: list[dict[str, object]]) -> None:
        partial = self._partial()
        client.write(partial, data=json.dumps({"files": files}).encode(), overwrite=True)
        client.delete(f"{bundle}{_INDEX}")
        client.rename(partial, f"{bundle}{_INDEX}")

    def _client(self) -> hdfs.Client:
        return hdfs.client(self._settings)

    def _partial(self) -> str:
        return f"{self.folder}/{_PARTIAL}{uuid.uuid4().hex}"


class Bundler:
    """Takes small files from many threads, and writes them into bundles in one of its own."""

    def __init__(self, store: RawStore, pool: Executor) -> None:
        self.stored: dict[Number, Stored] = {}
        self._store, self._waiting = store, queue.Queue[_Small | None](_WAITING)
        self._there: dict[str, tuple[str, int]] | None = None
        self._lock, self._ended = threading.Lock(), False
        self._writing = pool.submit(self._write)

    def take(self, number: Number, seen: Seen, content: bytes) -> None:
        """Take a file; waits while many are waiting. Raises what writing has raised."""
        with self._lock:
            if self._there is None:
                self._there = self._store.bundled()
            place = self._there.get(seen.sha256)
        if place:
            self.stored[number] = Stored(seen, *place)
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


def _entry(file: RawFile) -> dict[str, object]:
    """Return what an index says of a file."""
    result = {"name": file.name, "sha256": file.sha256, "offset": file.begin, "length": file.length}
    return {**result, "was": file.was} if file.was else result


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
