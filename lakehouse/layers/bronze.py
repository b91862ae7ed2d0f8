"""Bronze: what has been landed since the last run, as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from engines import lake_spark
from lakehouse.landing import bookmark, objects
from lakehouse.layers import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.landing.bookmark import Bookmark
    from lakehouse.landing.objects import Manifest
    from lakehouse.layers.tables import Catalog
    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings


_BOOKMARK: Final = "meterlake.bookmark"
"""What the last commit to the table of objects says: how far manifests were read."""
_MOST_SOURCES: Final = 500
"""Of a bookmark. Each file is a source; a list of all manifests is not longer than that of so many files."""


def news(session: SparkSession, settings: Settings, catalog: Catalog) -> list[Manifest]:
    """Return the manifests that no run of this branch has read. Raises BrokenObject where an object is not whole."""
    read, name = _bookmark(session, catalog), catalog.lakehouse.name
    if read is None:
        known = _known(session, catalog)
        keys = [key for key in objects.manifests(settings, name) if key not in known]
    else:
        keys = bookmark.behind(settings, name, read)
    result = [objects.read(settings, key) for key in keys]
    objects.check(settings, result)
    return result


def append(
    session: SparkSession, settings: Settings, catalog: Catalog, record: Record, manifests: Sequence[Manifest], run: str
) -> int:
    """Append the records of landed objects; return how many. Bytes that are no UTF-8 are kept as hexadecimal digits."""
    mine = [item for item in manifests if item.topic == record.topic and item.rows]
    if not mine:
        return 0
    paths = [lake_spark.object_path(settings, item.object) for item in mine]
    reader = session.read.options(**lake_spark.object_options(settings)).schema(
        "source_offset BIGINT, arrived_at TIMESTAMP_NTZ, key BINARY, value BINARY"
    )
    landed = reader.parquet(*paths).selectExpr("*", "_metadata.file_path AS file")
    landed.createOrReplaceTempView(f"landed_{record.name}")
    session.sql(f"""
INSERT INTO {catalog.path(tables.bronze(record))}
SELECT {as_text("value")}, {as_text("key")}, arrived_at, '{record.topic}',
    element_at(split(file, '/'), -2), source_offset, '{run}'
FROM landed_{record.name}""")
    return sum(item.rows for item in mine)


def note(session: SparkSession, catalog: Catalog, manifests: Sequence[Manifest], run: str) -> None:
    """Note which manifests have been read, and how far."""
    before = _bookmark(session, catalog)
    if before is None:
        before = bookmark.moved({}, _known(session, catalog))
    now = bookmark.moved(before, (item.key for item in manifests))
    rows = [(m.key, m.object, m.topic, m.partition, m.first, m.end, m.rows, m.bytes, m.sha256, run) for m in manifests]
    schema = ", ".join(f"`{name}` {kind}" for name, kind in tables.OBJECTS.columns)
    writer = session.createDataFrame(rows, schema).coalesce(1).writeTo(catalog.path(tables.OBJECTS))
    if len(now) <= _MOST_SOURCES:
        writer = writer.option(f"snapshot-property.{_BOOKMARK}", orjson.dumps(now).decode())
    writer.append()


def _bookmark(session: SparkSession, catalog: Catalog) -> Bookmark | None:
    """Return how far manifests were read; None where the last commit does not say it: an older run's, or upkeep's."""
    snapshots = f"{catalog.path(tables.OBJECTS)}.snapshots"
    row = session.sql(
        f"SELECT element_at(summary, '{_BOOKMARK}') AS bookmark FROM {snapshots} ORDER BY committed_at DESC LIMIT 1"
    ).first()
    return orjson.loads(row.bookmark) if row is not None and row.bookmark else None


def _known(session: SparkSession, catalog: Catalog) -> set[str]:
    """Return the manifests that were read."""
    return {row.manifest for row in session.sql(f"SELECT manifest FROM {catalog.path(tables.OBJECTS)}").collect()}


def as_text(column: str) -> str:
    """Return SQL of bytes as text; those that are no UTF-8 as hexadecimal digits."""
    text = f"CAST({column} AS STRING)"
    return f"CASE WHEN is_valid_utf8({text}) THEN {text} ELSE hex({column}) END"
