"""Readings of one meter in the master data set and in quarantine: counted, deleted, and forgotten by both tables."""

from __future__ import annotations

from datetime import UTC
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.erase.loads import quoted
from engines import archive_progress
from meterlake.erasure import InTopic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Row

    from batch_layer.erase.loads import Loads
    from engines.table_format import Table
    from meterlake.declaration import MeterSeries
    from meterlake.erasure import Erasure
    from meterlake.settings import Settings

_DECODED: Final = "CAST(try_to_binary(payload, 'base64') AS STRING)"
"""The payload of a message, or of a line that is no text."""
_TEXTS: Final = ("payload", _DECODED)
_UNQUOTED: Final = "field -> trim(BOTH '\" ' FROM field)"
_SEPARATORS: Final = "'[,;\\\\t|]'"


def of_quarantine(dataset: MeterSeries, erasure: Erasure, loads: Loads) -> str:
    """Return the condition, in Spark's SQL, that a row of quarantine is the meter's, as far as can be seen.

    It is where its load has lines of this meter alone, where a field of its line is the meter, or where its message
    names it. Its time is not known. So with a moment, rows go that came with loads that have readings before it, and
    messages that say an earlier time, or none that can be read.
    """
    topic, meter = f"origin = {quoted(dataset.readings_topic)}", quoted(erasure.meter)
    fields = [f"array_contains(transform(split({text}, {_SEPARATORS}), {_UNQUOTED}), {meter})" for text in _TEXTS]
    named = f"NOT ({topic}) AND ({' OR '.join(f'coalesce({each}, false)' for each in fields)})"
    if erasure.before is not None:
        named += f" AND {_among([*(note.load_id for note in loads.mixed), *(load for load, _ in loads.unknown)])}"
    alone = _among([note.load_id for note in loads.alone])
    return f"{alone} OR ({named}) OR ({topic} AND coalesce({_names(dataset, erasure)}, false))"


def _among(load_ids: list[str]) -> str:
    return f"load_id IN ({', '.join(map(quoted, load_ids))})" if load_ids else "false"


def _names(dataset: MeterSeries, erasure: Erasure) -> str:
    """Return whether a message names the meter: as its key's value, or in quotes anywhere where it is no JSON."""
    value, quotes = f"get_json_object({_DECODED}, '$.{dataset.key}')", quoted(f'"{erasure.meter}"')
    named = f"coalesce({value} = {quoted(erasure.meter)}, contains({_DECODED}, {quotes}))"
    if erasure.before is None:
        return named
    second = f"try_cast(get_json_object({_DECODED}, '$.{dataset.event_time}') AS BIGINT)"
    return f"{named} AND coalesce({second} < {int(erasure.before.timestamp())}, true)"


def in_topic(
    dataset: MeterSeries, readings: tuple[Table, str], quarantine: tuple[Table, str], first: Mapping[int, int]
) -> list[InTopic]:
    """Return what is known of the meter's messages that the topic still has.

    readings, quarantine: the tables, with the conditions of the meter's rows. first: the first offset that is kept, by
    partition.
    """
    partition, offset = F.col("origin_partition"), F.col("origin_offset")
    kept = reduce(or_, ((partition == p) & (offset >= o) for p, o in first.items()), F.lit(False))
    names = ("origin_partition", "origin_offset", "received_at")
    parts = [
        table.read()
        .where((F.col("origin") == dataset.readings_topic) & kept)
        .select(*names, F.coalesce(F.expr(mine), F.lit(False)).alias("mine"), F.lit(is_bad).alias("bad"))
        for (table, mine), is_bad in ((readings, False), (quarantine, True))
    ]
    rows = reduce(DataFrame.unionByName, parts)
    result = rows.groupBy("origin_partition").agg(
        F.count_if("mine").alias("count"),
        F.count_if(F.col("mine") & F.col("bad")).alias("bad"),
        F.max(F.when(F.col("mine"), F.col("received_at"))).alias("last_at"),
        F.min(F.when(~F.col("mine"), offset)).alias("other"),
        F.max(offset).alias("last"),
    )
    return [
        InTopic(
            partition=row.origin_partition,
            count=row["count"],
            bad=row.bad,
            last_at=row.last_at.replace(tzinfo=UTC),
            first=first[row.origin_partition],
            alone_until=_alone(rows, row, first[row.origin_partition]),
        )
        for row in result.where("count > 0").collect()
    ]


def _alone(rows: DataFrame, row: Row, first: int) -> int:
    """Return up to which offset a partition has messages of the meter only."""
    end = int(row.last) + 1 if row.other is None else int(row.other)
    before = rows.where((F.col("origin_partition") == row.origin_partition) & (F.col("origin_offset") < end))
    return end if before.count() == end - first else first


def delete(settings: Settings, table: Table, name: str, condition: str) -> None:
    """Delete rows, and carry how far Kafka is archived on to a commit after it.

    The archive finds that in the newest commit that says it, and all before is to be forgotten. name: of the table.
    """
    base = table.delete(condition)
    progress = archive_progress.latest(settings, name, base.id) if base else None
    while base and progress:
        added = table.append(table.read().limit(0), progress.properties())
        if added.parent == base.id:
            return
        base, progress = added, archive_progress.latest(settings, name, added.parent)
