"""Landed objects: a Parquet file of records as they came, and a manifest.

A manifest's key is the first offset that it covers, and only one writer can create it: of two that land the same
records one is counted. An object without a manifest was given up by its writer, and is not read.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from engines import lake
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

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
    has been landed with it or before it.
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
    settings: Settings, source: Source, records: Sequence[Landed], end: int, watermarks: tuple[str, str] = ("", "")
) -> Manifest | None:
    """Land records that lie in order, up to the offset ``end``; None where somebody else has landed the first."""
    first = records[0].offset if records else end
    table = pa.Table.from_arrays(
        [
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.arrived_at for record in records], pa.timestamp("us")),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
        ],
        schema=SCHEMA,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    data = buffer.getvalue()
    key = f"landing/{source.folder}/{first:020}-{end:020}-{uuid4().hex[:8]}.parquet"
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
    )
    lake.put(settings, key, data)
    content = orjson.dumps(asdict(manifest))
    # Where an answer gets lost, the client asks again: the manifest that is there may be this one.
    if lake.create(settings, manifest.key, content) or lake.get(settings, manifest.key) == content:
        return manifest
    lake.delete(settings, key)
    return None


def manifests(settings: Settings, dataset: str) -> list[str]:
    """Return the keys of all manifests of a data set, in order."""
    return [item.key for item in lake.listed(settings, f"manifest/{dataset}/")]


def read(settings: Settings, key: str) -> Manifest:
    """Return a manifest. Raises BrokenObject where it is none."""
    data = lake.get(settings, key)
    try:
        content: dict[str, Any] = orjson.loads(data or b"")
        return Manifest(**content)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise BrokenObject(key, f"is no manifest ({error})") from error


def check(settings: Settings, wanted: Sequence[Manifest]) -> None:
    """Raise BrokenObject unless each manifest's object is there with all its bytes."""
    sizes: dict[str, int] = {}
    for folder in sorted({manifest.object.rpartition("/")[0] for manifest in wanted}):
        sizes |= {item.key: item.size for item in lake.listed(settings, f"{folder}/")}
    for manifest in wanted:
        size = sizes.get(manifest.object)
        if size is None:
            raise BrokenObject(manifest.object, "is not there")
        if size != manifest.bytes:
            raise BrokenObject(manifest.object, f"has {size} bytes instead of {manifest.bytes}")


def newest_first(settings: Settings, source: Source) -> Iterator[Manifest]:
    """Yield the manifests of a source, the last one first; each is read when it is asked for."""
    for item in reversed(lake.listed(settings, f"manifest/{source.folder}/")):
        yield read(settings, item.key)


def records(settings: Settings, manifest: Manifest) -> list[bytes]:
    """Return the values of an object's records. Raises BrokenObject where it is not what its manifest says."""
    data = lake.get(settings, manifest.object)
    if data is None:
        raise BrokenObject(manifest.object, "is not there")
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise BrokenObject(manifest.object, "is not what was landed")
    return [value or b"" for value in pq.read_table(io.BytesIO(data), columns=["value"])["value"].to_pylist()]


def next_offset(settings: Settings, source: Source) -> int | None:
    """Return the offset from which on nothing of a source has been landed; None where nothing has."""
    keys = lake.listed(settings, f"manifest/{source.folder}/")
    return read(settings, keys[-1].key).end if keys else None
