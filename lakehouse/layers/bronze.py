"""Bronze: what has been landed since the last run, as it came."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import orjson

from engines import lake_spark
from lakehouse import history
from lakehouse.landing import bookmark, objects, removed
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
    """Append the records of landed objects; return how many. Bytes that are no UTF-8 are kept as hexadecimal digits.

    Those of objects that retention has removed are taken from bronze as the last run has left it. Raises LostRecords.
    """
    mine = [item for item in manifests if item.topic == record.topic and item.rows]
    if landed := [item for item in mine if not item.is_removed]:
        _append_landed(session, settings, catalog, record, landed, run)
    if ended := [item for item in mine if item.is_removed]:
        last = history.latest(settings, catalog.lakehouse.name)
        past = lake_spark.catalog(session, settings, f"lake_{uuid4().hex[:8]}", last)
        append_removed(session, past, catalog, record, ended, run)
    return sum(item.rows for item in mine)


def _append_landed(
    session: SparkSession, settings: Settings, catalog: Catalog, record: Record, manifests: Sequence[Manifest], run: str
) -> None:
    paths = [lake_spark.object_path(settings, item.object) for item in manifests]
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


def append_removed(
    session: SparkSession, past: str, catalog: Catalog, record: Record, manifests: Sequence[Manifest], run: str
) -> None:
    """Append the records of objects that retention has removed, from bronze of another state. Raises LostRecords.

    past: that state, as a catalog of Spark.
    """
    by_table = defaultdict(list)
    for manifest in manifests:
        by_table[manifest.bronze].append(manifest)
    origin = ", ".join(f"b.{name}" for name, _ in tables.ORIGIN if name != "run_id")
    for table, ended in by_table.items():
        spans = session.createDataFrame(removed.spans(ended), "part STRING, begins BIGINT, ends BIGINT")
        spans.createOrReplaceTempView(f"removed_{record.name}")
        begin, end = min(item.arrived_from for item in ended), max(item.arrived_to for item in ended)
        rows = session.sql(f"""
SELECT /*+ BROADCAST(r) */ b.value, b.key, {origin}, '{run}' AS run_id
FROM {past}.{table} b JOIN removed_{record.name} r
    ON b.source_partition = r.part AND b.source_offset >= r.begins AND b.source_offset < r.ends
WHERE b.arrived_at BETWEEN TIMESTAMP_NTZ'{begin}' AND TIMESTAMP_NTZ'{end}'""")
        counts = {row["source_partition"]: row["count"] for row in rows.groupBy("source_partition").count().collect()}
        for part, wanted in removed.counted(ended).items():
            if counts.get(part, 0) != wanted:
                raise removed.LostRecords(part, table, counts.get(part, 0), wanted)
        rows.writeTo(catalog.path(tables.bronze(record))).append()


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
