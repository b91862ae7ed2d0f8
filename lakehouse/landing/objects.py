"""Landed objects: a Parquet file of records as they came, and a manifest.

A manifest's key is the first offset that it covers, and only one writer can create it: of two that land the same
records one is counted. An object without a manifest was given up by its writer, and is not read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from engines import lake
from lakehouse.landing import removed
from lakehouse.landing.newest import PAGE, newest
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from lakehouse.landing.removed import Bronze
    from meterlake.settings import Settings

SCHEMA: Final = pa.schema(
    [
        pa.field("source_offset", pa.int64(), nullable=False),
        pa.field("arrived_at", pa.timestamp("us"), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
    ]
)
"""A record as it came. value: NULL where the source sent none."""


TABLE: Final = "table"
"""Partition of what is landed from a database."""
_PART: Final = 2_000
"""Records of an object that can be read without the others."""
_SMALL: Final = 200_000
"""Bytes of an object that is read as a whole all the same."""


class BrokenObject(PermanentError):
    """A landed object is not what its manifest says."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(
            f"The landed object {key} {problem}.",
            hint="Somebody has changed the bucket. Put the object back from a copy; nothing was read.",
        )


@dataclass(frozen=True)
class Source:
    """Where records come from: a topic's partition, or a file."""

    dataset: str
    topic: str
    partition: str

    @classmethod
    def of_file(cls, dataset: str, topic: str, path: Path) -> Source:
        """Return a file's: it is known by its content, whatever it is called."""
        with path.open("rb") as file:
            return cls(dataset, topic, f"file-{hashlib.file_digest(file, 'sha256').hexdigest()[:24]}")

    @property
    def folder(self) -> str:
        """The part of keys that names it."""
        return f"{self.dataset}/{self.topic}/{self.partition}"


@dataclass(frozen=True)
class Manifest:
    """What an object holds: offsets from ``first`` up to, not with, ``end``; rows, bytes and SHA-256 of the object.

    watermark_from, watermark_to: of tables of databases: the earliest watermark among its rows, and the latest that
    has been landed with it or before it. key_sum: where keys are compared, what ``deletions`` says; '' where an extract
    was not finished with it. erased: digests of rows of a table that were taken out of the object since, so that they
    are not landed again. removed: objects that it had and that retention has removed, and when. Where its own is one of
    them, its records are in a table of bronze (``namespace.name``), and have a SHA-256.
    """

    dataset: str
    topic: str
    partition: str
    first: int
    end: int
    object: str
    rows: int
    bytes: int
    sha256: str
    arrived_from: str
    arrived_to: str
    watermark_from: str = ""
    watermark_to: str = ""
    key_sum: str = ""
    erased: tuple[str, ...] = ()
    removed: Mapping[str, str] = field(default_factory=dict)
    bronze: str = ""
    records_sha256: str = ""

    @property
    def is_removed(self) -> bool:
        """Whether retention has removed its object, or is about to: bronze has the records."""
        return self.object in self.removed

    @property
    def key(self) -> str:
        """Its own key."""
        return f"manifest/{self.dataset}/{self.topic}/{self.partition}/{self.first:020}.json"


@dataclass(frozen=True)
class Landed:
    """A record: offset, time of arrival (UTC, without zone), key and value."""

    offset: int
    arrived_at: datetime
    key: bytes | None
    value: bytes | None


def write(
    settings: Settings,
    source: Source,
    records: Sequence[Landed],
    offsets: range,
    watermarks: tuple[str, str] = ("", ""),
    key_sum: str = "",
) -> Manifest | None:
    """Land records that lie in order; None where somebody else has landed from the first of the offsets on.

    offsets: from where the last manifest of the source ends, or 0: between manifests with gaps one could come late.
    """
    first, end = offsets.start, offsets.stop
    table = pa.Table.from_arrays(
        [
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.arrived_at for record in records], pa.timestamp("us")),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
        ],
        schema=SCHEMA,
    )
    data, key = _packed(table), _key(source, offsets)
    arrivals = [record.arrived_at for record in records]
    manifest = Manifest(
        source.dataset,
        source.topic,
        source.partition,
        first,
        end,
        key,
        len(records),
        len(data),
        hashlib.sha256(data).hexdigest(),
        min(arrivals).isoformat(),
        max(arrivals).isoformat(),
        *watermarks,
        key_sum,
    )
    lake.put(settings, key, data)
    content = orjson.dumps(asdict(manifest))
    # Where an answer gets lost, the client asks again: the manifest that is there may be this one.
    if lake.create(settings, manifest.key, content) or lake.get(settings, manifest.key) == content:
        return manifest
    lake.delete(settings, key)
    return None


def table(settings: Settings, manifest: Manifest) -> pa.Table:
    """Return an object's records, as SCHEMA has them; those of a removed one from bronze.

    Raises BrokenObject where it is not what its manifest says, LostRecords where bronze has others.
    """
    if not manifest.is_removed:
        try:
            return pq.read_table(io.BytesIO(_whole(settings, manifest)), schema=SCHEMA)
        except BrokenObject as error:
            manifest = _just_removed(settings, manifest, error)
    ((_, records),) = tables(settings, [manifest])
    return records


def tables(
    settings: Settings, wanted: Sequence[Manifest], bronze: Bronze | None = None
) -> Iterator[tuple[Manifest, pa.Table]]:
    """Yield the records of many objects, as ``table`` does: of bronze, many at once are asked for.

    bronze: that of another state than the last run's.
    """
    for manifest in wanted:
        if not manifest.is_removed:
            yield manifest, table(settings, manifest)
    bronze = bronze or removed.Bronze(settings)
    for window in removed.windows([manifest for manifest in wanted if manifest.is_removed]):
        rows = bronze.rows(window).cast(SCHEMA)
        for manifest, records in zip(window, removed.parted(rows, window), strict=True):
            if manifest.records_sha256 not in ("", sum_of(records)) or len(records) != manifest.rows:
                raise removed.LostRecords(manifest.object, manifest.bronze, len(records), manifest.rows)
            yield manifest, records


def sum_of(records: pa.Table) -> str:
    """Return the SHA-256 of records: the same wherever they were read from."""
    result = hashlib.sha256()
    for name in SCHEMA.names[:2]:
        result.update(records[name].cast(pa.int64()).to_numpy().tobytes())
    for name in SCHEMA.names[2:]:
        values = records[name].combine_chunks()
        lengths = pc.fill_null(pc.binary_length(values), -1)
        result.update(lengths.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
        result.update(b"".join(value or b"" for value in values.to_pylist()))
    return result.hexdigest()


def end(settings: Settings, manifest: Manifest, bronze: str, now: datetime, records_sha256: str) -> None:
    """Let a manifest say that its object is removed: from now on its records are those of a table of bronze.

    The object is still there. For one writer at a time.
    """
    ended = {**manifest.removed, manifest.object: now.isoformat()}
    said = dataclasses.replace(manifest, removed=ended, bronze=bronze, records_sha256=records_sha256)
    lake.put(settings, manifest.key, orjson.dumps(asdict(said)))


def replace(settings: Settings, manifest: Manifest, kept: pa.Table, erased: Sequence[str]) -> None:
    """Let a manifest be that of another object, which has these records. The object that it had stays.

    Its offsets and watermarks stay: nothing is landed once more. erased: digests of rows that are to be known as
    landed. For one writer at a time.
    """
    source = Source(manifest.dataset, manifest.topic, manifest.partition)
    data, key = _packed(kept), _key(source, range(manifest.first, manifest.end))
    lake.put(settings, key, data)
    now = dataclasses.replace(
        manifest,
        object=key,
        rows=len(kept),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        erased=tuple(sorted({*manifest.erased, *erased})),
        records_sha256="",
    )
    lake.put(settings, manifest.key, orjson.dumps(asdict(now)))


def digest(value: bytes) -> bytes:
    """Return what a document is recognised by."""
    return hashlib.blake2b(value, digest_size=16).digest()


def _packed(records: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(records, buffer, compression="zstd", row_group_size=_PART, write_page_checksum=True)
    return buffer.getvalue()


def _key(source: Source, offsets: range) -> str:
    return f"landing/{source.folder}/{offsets.start:020}-{offsets.stop:020}-{uuid4().hex[:8]}.parquet"


def manifests(settings: Settings, dataset: str) -> list[str]:
    """Return the keys of all manifests of a data set, in order."""
    return [item.key for item in lake.listed(settings, f"manifest/{dataset}/")]


def read(settings: Settings, key: str) -> Manifest:
    """Return a manifest. Raises BrokenObject where it is none."""
    manifest = find(settings, key)
    if manifest is None:
        raise BrokenObject(key, "is not there")
    return manifest


def find(settings: Settings, key: str) -> Manifest | None:
    """Return a manifest, if there is one. Raises BrokenObject where it is none."""
    data = lake.get(settings, key)
    if data is None:
        return None
    try:
        content: dict[str, Any] = orjson.loads(data)
        return Manifest(**content)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise BrokenObject(key, f"is no manifest ({error})") from error


def check(settings: Settings, wanted: Sequence[Manifest]) -> None:
    """Raise BrokenObject unless each manifest's object is there with all its bytes, or was removed."""
    wanted = [manifest for manifest in wanted if not manifest.is_removed]
    sizes: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for manifest in wanted:
        folder = manifest.object.rpartition("/")[0]
        firsts[folder] = min(firsts.get(folder, manifest.object), manifest.object)
    for folder, first in firsts.items():
        # Behind what comes before the first of them: not all that was ever landed.
        sizes |= {item.key: item.size for item in lake.listed(settings, f"{folder}/", first[:-1])}
    for manifest in wanted:
        size = sizes.get(manifest.object)
        if size is None:
            raise BrokenObject(manifest.object, "is not there")
        if size != manifest.bytes:
            raise BrokenObject(manifest.object, f"has {size} bytes instead of {manifest.bytes}")


class Past:
    """The manifests that a source has at a moment, the last one first; each is read when it is asked for, once."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._keys = [item.key for item in reversed(lake.listed(settings, f"manifest/{source.folder}/"))]
        self._read: dict[str, Manifest] = {}

    def __iter__(self) -> Iterator[Manifest]:
        for key in self._keys:
            if key not in self._read:
                self._read[key] = read(self._settings, key)
            yield self._read[key]


def records(settings: Settings, manifest: Manifest) -> list[bytes]:
    """Return the values of an object's records. Raises what ``table`` raises."""
    return [value or b"" for value in table(settings, manifest)["value"].to_pylist()]


def newest_parts(settings: Settings, manifest: Manifest) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield keys and values of an object's records by parts, the last one first; each is read when it is asked for.

    Raises what ``table`` raises. Pages have checksums: that of the whole object would take all of its bytes.
    """
    if not manifest.is_removed:
        try:
            yield from _parts(settings, manifest)
        except BrokenObject as error:
            manifest = _just_removed(settings, manifest, error)
        else:
            return
    # Of an object that has just been removed, parts may come twice.
    records = table(settings, manifest).select(["key", "value"])
    for first in reversed(range(0, len(records), _PART)):
        yield _pairs(records.slice(first, _PART))


def _just_removed(settings: Settings, manifest: Manifest, error: BrokenObject) -> Manifest:
    """Return what a manifest says now that its object could not be read. Raises the error unless that is removed."""
    now = find(settings, manifest.key)
    if now is None or not now.is_removed or now.object != manifest.object:
        raise error
    return now


def _parts(settings: Settings, manifest: Manifest) -> Iterator[list[tuple[bytes, bytes]]]:
    try:
        if manifest.bytes <= _SMALL:
            file = pq.ParquetFile(io.BytesIO(_whole(settings, manifest)))
        else:
            file = pq.ParquetFile(_Object(settings, manifest), page_checksum_verification=True)
        for number in reversed(range(file.num_row_groups)):
            yield _pairs(file.read_row_group(number, columns=["key", "value"]))
    except FileNotFoundError as error:
        raise BrokenObject(manifest.object, "is not there") from error
    except OSError as error:  # Arrow's, too
        raise BrokenObject(manifest.object, f"is not what was landed ({error})") from error


def _pairs(part: pa.Table) -> list[tuple[bytes, bytes]]:
    return [(row["key"] or b"", row["value"] or b"") for row in part.to_pylist()]


def _whole(settings: Settings, manifest: Manifest) -> bytes:
    data = lake.get(settings, manifest.object)
    if data is None:
        raise BrokenObject(manifest.object, "is not there")
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise BrokenObject(manifest.object, "is not what was landed")
    return data


class _Object(io.RawIOBase):
    """An object as a file, of which that is fetched which is read."""

    def __init__(self, settings: Settings, manifest: Manifest) -> None:
        super().__init__()
        self._settings, self._manifest, self._place = settings, manifest, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._manifest.bytes}[whence]
        self._place = begin + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(self._manifest.bytes - self._place, 0)
        length = left if size < 0 else min(size, left)
        data = lake.get_range(self._settings, self._manifest.object, self._place, length) if length else b""
        self._place += len(data)
        return data


def next_offset(settings: Settings, source: Source) -> int | None:
    """Return the offset from which on nothing of a source has been landed; None where nothing has."""
    manifest = latest(settings, source)
    return manifest.end if manifest else None


def latest(settings: Settings, source: Source) -> Manifest | None:
    """Return the last manifest of a source; None where nothing of it has been landed."""
    place = f"manifest/{source.folder}/"

    def page(after: int) -> list[int]:
        behind = lake.first_behind(settings, place, f"{place}{after:020}.json" if after >= 0 else "", PAGE)
        return [int(item.key.removeprefix(place).removesuffix(".json")) for item in behind]

    last = newest(page)
    return None if last is None else read(settings, f"{place}{last:020}.json")
