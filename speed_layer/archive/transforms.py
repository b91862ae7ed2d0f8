"""From decoded messages to the rows of the master data set, the quarantine and the topic of rejects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake.schema import master_fields, quarantine_fields
from speed_layer.decode import UNDECODABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries


def readings(decoded: DataFrame, dataset: MeterSeries, load_id: str) -> DataFrame:
    """Return the rows of the master data set: every decodable reading."""
    names = [field.name for field in master_fields(dataset) if field.name != "load_id"]
    return decoded.where(F.col(UNDECODABLE).isNull()).select(*names, F.lit(load_id).alias("load_id"))


def quarantined(decoded: DataFrame, dataset: MeterSeries, load_id: str) -> DataFrame:
    """Return the rows of the quarantine: what is no reading, its bytes in Base64."""
    given = {
        # Spark breaks Base64 into lines of 76.
        "payload": F.translate(F.base64("payload"), "\r\n", ""),
        "reason": F.col(UNDECODABLE),
        "load_id": F.lit(load_id),
    }
    names = [field.name for field in quarantine_fields(dataset)]
    bad = decoded.where(F.col(UNDECODABLE).isNotNull())
    return bad.select(*(given.get(name, F.col(name)).alias(name) for name in names))


def rejected(decoded: DataFrame) -> DataFrame:
    """Return the records of the topic of rejects: key and bytes as they came, and in the headers why and from where."""
    report = {
        "reason": UNDECODABLE,
        "topic": "origin",
        "partition": "origin_partition",
        "offset": "origin_offset",
        "size": "size",
    }
    headers = [
        F.struct(
            F.lit(name).alias("key"), F.coalesce(F.col(column).cast("string"), F.lit("0")).cast("binary").alias("value")
        )
        for name, column in report.items()
    ]
    bad = decoded.where(F.col(UNDECODABLE).isNotNull())
    return bad.select("key", F.col("payload").alias("value"), F.array(*headers).alias("headers"))


def after(decoded: DataFrame, next_offsets: Mapping[int, int]) -> DataFrame:
    """Return the messages that lie at or behind the next offset of their partition."""
    known = [
        (F.col("origin_partition") == partition) & (F.col("origin_offset") < offset)
        for partition, offset in next_offsets.items()
    ]
    for condition in known:
        decoded = decoded.where(~condition)
    return decoded
