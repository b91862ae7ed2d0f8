"""Files on their way into HDFS: found, unpacked, recognised and hashed in several threads, as their bytes pass."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Final

import requests
from hdfs.util import HdfsError

from batch_layer.ingest.errors import BrokenArchive, ClockNotUsed, Unreadable
from batch_layer.ingest.formats import format_of, taken
from batch_layer.ingest.lines import Lines
from batch_layer.ingest.places import find
from batch_layer.ingest.raw_store import RAW, SMALL, Bundler, RawStore
from batch_layer.ingest.request import Progress
from batch_layer.ingest.sources import sources
from batch_layer.ingest.stored import Seen, SetAside, Stored
from engines import hdfs
from engines.errors import EngineUnavailable, QueryFailed, StorageFull
from meterlake.errors import MeterlakeError
from meterlake.meter_names import NoMeter, meter_by, meter_of_file
from meterlake.text.head import WrongText
from meterlake.wallclock import clock_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch_layer.ingest.places import Entry
    from batch_layer.ingest.raw_store import Number
    from batch_layer.ingest.request import Request
    from batch_layer.ingest.sources import Source
    from meterlake.fileformats import Format
    from meterlake.settings import Settings

BAD_FILE: Final = (Unreadable, BrokenArchive, WrongText, NoMeter, ClockNotUsed)
"""What can be wrong with a file, so that it may be set aside."""

_THREADS: Final = 4


def upload(settings: Settings, request: Request, on_progress: Callable[[Progress], None]) -> list[Stored | SetAside]:
    """Copy files into HDFS; return them in the order of the request's paths, and in each by their names.

    Raises one of BAD_FILE about the first file that cannot be loaded, unless such files are set aside;
    EngineUnavailable, StorageFull.
    """
    entries = find(settings, request.paths)
    store = RawStore(settings, request.dataset.name)
    try:
        store.prepare()
        with ThreadPoolExecutor(_THREADS + 1) as pool:
            return _Upload(settings, request, store, entries, on_progress).run(pool)
    except (HdfsError, requests.RequestException) as error:
        raise _failure(settings, error, request.title) from error


class _Stopped(Exception):
    """Another file is wrong."""


class _Upload:
    def __init__(
        self,
        settings: Settings,
        request: Request,
        store: RawStore,
        entries: list[Entry],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._settings, self._request, self._store, self._entries = settings, request, store, entries
        self._on_progress, self._lock = on_progress, threading.Lock()
        self._progress = Progress(0, len(entries), 0, sum(entry.size for entry in entries))
        self._forms: dict[Format, Format] = {}
        self._done: dict[Number, Stored | SetAside] = {}
        self._withdrawn: dict[Number, SetAside] = {}
        self._stop, self._takes = threading.Event(), taken(request.forms)

    def run(self, pool: ThreadPoolExecutor) -> list[Stored | SetAside]:
        bundler = Bundler(self._store, pool)
        try:
            under_way = [pool.submit(self._entry, bundler, at, entry) for at, entry in enumerate(self._entries)]
            errors = [error for future in under_way if (error := future.exception())]
        finally:
            self._stop.set()
            bundler.end()
        if errors:
            raise next((error for error in errors if not isinstance(error, _Stopped)), errors[0])
        done = self._done | bundler.stored | self._withdrawn
        return [done[number] for number in sorted(done)]

    def _entry(self, bundler: Bundler, at: int, entry: Entry) -> None:
        """Bring the files of one path. Raises _Stopped once another path has failed."""
        is_done, members = False, list[str]()
        try:
            for source in sources(self._settings, entry, self._request.password, self._takes, self._on_bytes):
                self._member(bundler, (at, len(members)), source)
                if isinstance(source, BrokenArchive):
                    self._withdraw(at, members, source.path, source)
                members.append(source.path)
            is_done = True
        except BAD_FILE as error:
            self._set_aside((at, len(members)), entry.path, error)
            self._withdraw(at, members, entry.path, error)
            is_done = True
        finally:
            if not is_done:
                self._stop.set()
        with self._lock:
            self._progress = self._progress._replace(files=self._progress.files + 1)
            self._on_progress(self._progress)

    def _member(self, bundler: Bundler, number: Number, source: Source | Unreadable | BrokenArchive) -> None:
        if isinstance(source, Unreadable | BrokenArchive):
            self._set_aside(number, source.path, source)
            return
        try:
            self._file(bundler, number, source)
        except BAD_FILE as error:
            self._set_aside(number, source.path, error)

    def _set_aside(self, number: Number, path: str, error: MeterlakeError) -> None:
        if not self._request.skip_bad_files:
            raise error
        self._done[number] = SetAside(path, error)

    def _withdraw(self, at: int, members: list[str], archive: str, error: MeterlakeError) -> None:
        """Set aside also what was read of an archive before its damage showed: its checksum stands at its end."""
        for member, path in enumerate(members):
            if path.startswith(f"{archive}!"):
                self._withdrawn[at, member] = SetAside(path, error)

    def _file(self, bundler: Bundler, number: Number, source: Source) -> None:
        lines, head = Lines(), source.read()
        form = format_of(self._request.forms, source.path, head)
        check_clock(self._request, form, source)
        with self._lock:  # equal ones are one object: tasks read such files together
            form = self._forms.setdefault(form, form)
        meter = meter_of(self._request, form, source)

        def seen() -> Seen:
            return Seen(
                form,
                source.path,
                source.name,
                source.origin,
                meter,
                lines.sha256,
                lines.bytes,
                lines.count,
                tuple(lines.starts),
            )

        beginning, rest = self._beginning(head, source)
        if rest or (len(self._entries) == 1 and "!" not in source.name):
            chunks = chain(beginning, rest, iter(source.read, b""))
            location = self._store.write(self._passing(lines, chunks), lambda: lines.sha256)
            self._done[number] = Stored(seen(), location)
            return
        content = b"".join(self._passing(lines, iter(beginning)))
        bundler.take(number, seen(), content)

    def _beginning(self, head: bytes, source: Source) -> tuple[list[bytes], list[bytes]]:
        """Return the chunks of a small file, and nothing; or those of the beginning of a large one, and the next."""
        chunks, size = [head], len(head)
        while chunk := source.read():
            size += len(chunk)
            if size > SMALL:
                return chunks, [chunk]
            chunks.append(chunk)
        return chunks, []

    def _passing(self, lines: Lines, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._stop.is_set():
                raise _Stopped
            lines.take(chunk)
            yield chunk
        lines.end()

    def _on_bytes(self, more: int) -> None:
        with self._lock:
            self._progress = self._progress._replace(bytes=self._progress.bytes + more)
            self._on_progress(self._progress)


def check_clock(request: Request, form: Format, source: Source) -> None:
    """Raise ClockNotUsed where the request gives a clock to a file that needs none."""
    if request.offset is not None and form.has_own_offset:
        raise ClockNotUsed(source.path, clock_text(request.offset))


def meter_of(request: Request, form: Format, source: Source) -> str:
    """Return the meter of all lines of a file: by its name, as the request says, or its format's; empty where a column
    says it. Raises NoMeter, or UsageError for a meter that cannot be used.
    """
    if form.has_meters:
        return ""
    if request.meter_from_name:
        return meter_by(request.meter_from_name, source.path, source.name)
    return request.meter_id or meter_of_file(form, source.path, source.name)


def _failure(settings: Settings, error: HdfsError | requests.RequestException, doing: str) -> Exception:
    if hdfs.no_room(settings, str(error)):
        return StorageFull("HDFS", settings.webhdfs, error, f"the raw files of {doing}")
    if "Permission denied" in str(error):
        return QueryFailed("HDFS", f"write {RAW}", error)
    return EngineUnavailable("HDFS", settings.webhdfs, error)
