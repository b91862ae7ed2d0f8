"""Tables of databases into landed objects: whole at first, then what their watermark says is new.

What was landed is known by its manifests alone. An extract begins ``overlap`` behind the last watermark, and a row that
was landed as it is, is not landed again: so a row that is committed late is not missed, and none is landed twice. A row
becomes a document of its fields; its watermark is the document's revision, so a later state of a row takes its place.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from engines import relational
from engines.relational import BadSource, Window
from lakehouse.landing import deletions, documents, objects
from lakehouse.landing.from_kafka import MOST_RECORDS
from lakehouse.landing.objects import Landed, Source
from lakehouse.parallel import side_by_side
from meterlake.errors import PermanentError, UsageError
from meterlake.lakehouse.sources import DELETED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from threading import Event

    from lakehouse.landing.deletions import Deletions
    from meterlake.clock import Clock
    from meterlake.lakehouse.records import Record
    from meterlake.lakehouse.sources import Extract
    from meterlake.settings import Settings

_SLICE: Final = 50_000
"""Rows that one of several readers of a table takes at once, about."""
_READERS: Final = 3


class WatermarkBackwards(PermanentError):
    """The latest watermark of a table is earlier than what was landed of it."""

    def __init__(self, table: str, source: str, actual: str, landed: str) -> None:
        super().__init__(
            f"{source}, table {table}: its latest watermark is {actual}, but rows up to {landed} were landed.",
            hint="Was the database set back to an older copy? Nothing was landed. `meterlake land --full` compares all"
            " rows, and lands those that differ.",
        )


class NoWatermark(PermanentError):
    """Rows without a watermark would never be landed."""

    def __init__(self, table: str, source: str, column: str, count: int) -> None:
        super().__init__(
            f"{source}, table {table}: {count} rows have no {column}.",
            hint="An extract finds rows by it, and would miss these. Fill it there; nothing was landed.",
        )


@dataclass(frozen=True)
class Request:
    """What is landed: records of a data set, from the databases at ``urls``. full: compare all rows."""

    dataset: str
    records: tuple[Record, ...]
    urls: Mapping[str, str]
    clock: Clock
    full: bool = False


class _Overtaken(Exception):
    """Somebody else has landed rows of the same table."""


def land(settings: Settings, request: Request, stop: Event) -> Counter[str]:
    """Land the tables; return the records by topic. Raises BadSource, WatermarkBackwards, NoWatermark."""
    counts = side_by_side(partial(_land_table, settings, request, stop), request.records)
    return Counter({record.topic: count for record, count in zip(request.records, counts, strict=True)})


def _land_table(settings: Settings, request: Request, stop: Event, record: Record) -> int:
    landed = 0
    while not stop.is_set():
        table = _Table(settings, request, record)
        try:
            for count in table.land(stop):
                landed += count
        except _Overtaken:
            continue
        return landed
    return landed


class _Table:
    """One extract of a table, from what its manifests say."""

    def __init__(self, settings: Settings, request: Request, record: Record) -> None:
        self._settings, self._request, self._record = settings, request, record
        self._extract: Extract = documents.extract_of(record)
        if self._extract.database not in request.urls:
            raise UsageError(
                f"There is no database {self._extract.database!r} for {record.name}.",
                hint="Set METERLAKE_SOURCES, or `meterlake generate` sources to try it with.",
            )
        self._url = request.urls[self._extract.database]
        self._source = Source(request.dataset, record.topic, objects.TABLE)
        self._past = objects.Past(settings, self._source)
        last = next(iter(self._past), None)
        self._offset = last.end if last else 0
        self._mark = last.watermark_to if last else ""

    def land(self, stop: Event) -> Iterator[int]:
        """Yield the records of each object that was landed."""
        low = None
        if self._mark and not self._request.full:
            low = datetime.fromisoformat(self._mark) - self._extract.overlap
        with relational.opened(self._url) as connection:
            names, order = self._columns(connection), [self._extract.watermark, self._extract.key]
            window = Window(self._extract.table, self._extract.watermark, low)
            first, last, count, without = relational.span(connection, window)
            latest = last or relational.span(connection, Window(self._extract.table, self._extract.watermark))[1]
            present = relational.keys(connection, self._extract.table, self._extract.key) if self._compares else set()
        if without:
            raise NoWatermark(self._extract.table, relational.shown(self._url), self._extract.watermark, without)
        if self._mark and not self._request.full:
            self._check_watermark(latest, present)
        known = self._known(low)
        fresh: set[str] = set()
        rest: list[tuple[str, bytes, bytes]] = []
        if first is not None and last is not None:
            read = partial(self._read, names, order, known)
            slices = iter(_slices(window, first, last, count))
            with ThreadPoolExecutor(_READERS) as pool:
                while not stop.is_set() and (some := list(islice(slices, _READERS))):
                    for rows in pool.map(read, some):
                        # The last rows of a table whose keys are compared are written with what is gone.
                        yield from self._write(rest)
                        rest = rows
                        if self._compares:
                            fresh.update(key.decode() for _, key, _ in rows)
        if self._compares and not stop.is_set():
            deleted = deletions.find(self._settings, self._past, present, fresh)
            yield from self._write([*rest, *self._gone(deleted)], deleted.key_sum)
        else:
            yield from self._write(rest)

    def _check_watermark(self, latest: datetime | None, present: set[str]) -> None:
        """Raise WatermarkBackwards where the latest row is earlier than what was landed, and none was deleted."""
        if (latest is None or latest.isoformat() < self._mark) and not self._latest_is_gone(present):
            result = latest.isoformat() if latest else "none"
            raise WatermarkBackwards(self._extract.table, relational.shown(self._url), result, self._mark)

    @property
    def _compares(self) -> bool:
        return self._extract.deletions == "compare"

    def _columns(self, connection: Any) -> dict[str, str]:  # noqa: ANN401 - SQLAlchemy's, which only engines import
        """Return the source's columns and the documents' names of them: all that there are, declared or not."""
        shown = relational.shown(self._url)
        there = relational.columns(connection, self._extract.table, shown)
        if lacking := documents.lacking(self._record, there):
            raise BadSource(
                f"{shown}, table {self._extract.table} lacks {', '.join(lacking)}; it has {', '.join(there)}.",
                hint="A column was renamed or dropped there: mend it, or the declaration. Nothing was landed.",
            )
        return documents.names_of(self._record, there)

    def _known(self, low: datetime | None) -> set[bytes]:
        """Return what was landed of rows from a watermark on, as digests."""
        known: set[bytes] = set()
        removed = []
        for manifest in self._past:
            if low is not None and manifest.watermark_to < low.isoformat():
                break
            known.update(map(bytes.fromhex, manifest.erased))
            if manifest.is_removed:
                removed.append(manifest)
                continue
            for part in objects.newest_parts(self._settings, manifest):
                known.update(objects.digest(value) for _, value in part)
                if low is not None and _is_before(part, documents.revision(low)):
                    break
        for _, records in objects.tables(self._settings, removed):
            known.update(objects.digest(value) for value in records["value"].to_pylist())
        return known

    def _read(
        self, names: dict[str, str], order: list[str], known: set[bytes], window: Window
    ) -> list[tuple[str, bytes, bytes]]:
        """Return the rows of a window that were not landed as they are: watermark, key, document."""
        columns = list(names)
        at, key = columns.index(self._extract.watermark), columns.index(self._extract.key)
        result: list[tuple[str, bytes, bytes]] = []
        kinds = documents.kinds_of(self._record, names)
        with relational.opened(self._url) as connection:
            for part in relational.within(connection, window, columns, order, _SLICE):
                for row in part:
                    mark = row[at] if isinstance(row[at], datetime) else datetime.fromisoformat(row[at])
                    document = documents.document(names, kinds, row, mark)
                    if objects.digest(document) not in known:
                        result.append((mark.isoformat(), str(row[key]).encode(), document))
        return result

    def _write(self, rows: Sequence[tuple[str, bytes, bytes]], key_sum: str = "") -> Iterator[int]:
        """Write rows. key_sum: of all keys, after the last of these."""
        now = self._request.clock().astimezone(UTC).replace(tzinfo=None)
        for begin in range(0, len(rows), MOST_RECORDS):
            part = rows[begin : begin + MOST_RECORDS]
            records = [Landed(self._offset + n, now, key, value) for n, (_, key, value) in enumerate(part)]
            marks = [mark for mark, _, _ in part]
            mark = max(self._mark, *marks)
            end = self._offset + len(part)
            of_part = key_sum if end == self._offset + len(rows) - begin else ""
            offsets = range(self._offset, end)
            if objects.write(self._settings, self._source, records, offsets, (min(marks), mark), of_part) is None:
                raise _Overtaken
            self._offset, self._mark = end, mark
            yield len(part)

    def _latest_is_gone(self, present: set[str]) -> bool:
        """Return whether the row with the latest watermark was deleted: then the table's latest may be earlier.

        One that was erased here may be gone there, too: no object has a row of that watermark.
        """
        key = deletions.latest_key(self._settings, self._past, self._mark)
        return not key or (self._compares and key not in present)

    def _gone(self, deleted: Deletions) -> list[tuple[str, bytes, bytes]]:
        """Return documents that say that their rows are gone: the last state of each, marked, one revision later."""
        return [
            (self._mark, key.encode(), orjson.dumps({**document, DELETED: True, "revision": document["revision"] + 1}))
            for key, document in deleted.gone.items()
        ]


def _slices(window: Window, first: datetime, last: datetime, count: int) -> Iterator[Window]:
    """Yield parts of a window, in order, that are read side by side."""
    parts = max(1, round(count / _SLICE))
    length = (last - first) / parts
    begin = first
    for number in range(parts):
        final = number == parts - 1
        end = last if final else first + length * (number + 1)
        yield Window(window.table, window.watermark, begin, end, is_open=not final)
        begin = end


def _is_before(part: Sequence[tuple[bytes, bytes]], revision: int) -> bool:
    """Return whether records, and with them all that lie before them in their object, have earlier revisions.

    Rows lie in the order of their watermarks. What is gone comes after them, and says nothing.
    """
    every = (orjson.loads(value) for _, value in reversed(part))
    last = next((document for document in every if not document.get(DELETED)), None)
    return last is not None and last["revision"] < revision
