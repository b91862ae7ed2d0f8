"""Bronze: what has been landed since the last run, as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import lake_spark
from lakehouse.landing import objects
from lakehouse.layers import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.landing.objects import Manifest
    from lakehouse.layers.tables import Catalog
    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings


def news(session: SparkSession, settings: Settings, catalog: Catalog) -> list[Manifest]:
    """Return the manifests that no run of this branch has read. Raises BrokenObject where an object is not whole."""
    known = {row.manifest for row in session.sql(f"SELECT manifest FROM {catalog.path(tables.OBJECTS)}").collect()}
    keys = [key for key in objects.manifests(settings, catalog.lakehouse.name) if key not in known]
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
    """Note which manifests have been read."""
    rows = [(m.key, m.object, m.topic, m.partition, m.first, m.end, m.rows, m.bytes, m.sha256, run) for m in manifests]
    schema = ", ".join(f"`{name}` {kind}" for name, kind in tables.OBJECTS.columns)
    session.createDataFrame(rows, schema).coalesce(1).writeTo(catalog.path(tables.OBJECTS)).append()


def as_text(column: str) -> str:
    """Return SQL of bytes as text; those that are no UTF-8 as hexadecimal digits."""
    text = f"CAST({column} AS STRING)"
    return f"CASE WHEN is_valid_utf8({text}) THEN {text} ELSE hex({column}) END"
