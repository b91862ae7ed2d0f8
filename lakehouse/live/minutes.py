"""The live minutes: messages, judged by the SQL of silver, counted by minute and place as gold's facts are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from engines import kafka
from lakehouse.layers import bronze, silver, tables, verdict
from meterlake.lakehouse import live

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.layers.tables import Catalog
    from lakehouse.live.window import Window
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.live import LiveEvent
    from meterlake.lakehouse.records import Record, Reference
    from meterlake.settings import Settings

Row = tuple[str, "datetime", str, str, int, int]
"""Event, minute, place, currency, events, amount in units."""
_ORIGIN = ("arrived_at", "source_partition", "source_offset")


def remember(session: SparkSession, catalog: Catalog) -> None:
    """Keep the members that runs have read, for as long as readers see this state."""
    for reference in catalog.lakehouse.references:
        known = f"SELECT {_listed(reference)}, is_rejected FROM {catalog.path(tables.silver(reference))}"
        session.sql(known).localCheckpoint().createOrReplaceTempView(f"live_known_{reference.name}")


def rows(session: SparkSession, settings: Settings, lakehouse: Lakehouse, window: Window) -> list[Row]:
    """Return the minutes of a window since its boundary. The state that the boundary is of is remembered."""
    assert lakehouse.live is not None  # noqa: S101 - the caller has asked for it
    shown = [lakehouse.event(item.event) for item in lakehouse.live.events]
    for record in (*lakehouse.references, *shown):
        messages = _messages(session, settings, window, record.topic)
        messages.createOrReplaceTempView(f"live_messages_{record.name}")
    for reference in lakehouse.references:
        session.sql(_members(reference)).localCheckpoint().createOrReplaceTempView(f"live_{reference.name}")
    parts = [_minutes(lakehouse, item, window.boundary) for item in lakehouse.live.events]
    return [tuple(row) for row in session.sql(" UNION ALL ".join(parts)).collect()]


def _messages(session: SparkSession, settings: Settings, window: Window, topic: str) -> DataFrame:
    """Return the messages of a topic, with the columns of bronze."""
    reader = session.read.format("kafka").options(**kafka.spark_options(settings))
    starting, ending = (
        json.dumps({topic: {str(partition): offset for partition, offset in offsets[topic].items()}})
        for offsets in (window.starting, window.ending)
    )
    assigned = json.dumps({topic: sorted(window.ending[topic])})
    return (
        reader.options(assign=assigned, startingOffsets=starting, endingOffsets=ending)
        .load()
        .selectExpr(
            f"{bronze.as_text('value')} AS value",
            "CAST(timestamp AS TIMESTAMP_NTZ) AS arrived_at",
            "lpad(CAST(partition AS STRING), 5, '0') AS source_partition",
            "offset AS source_offset",
        )
    )


def _listed(record: Record) -> str:
    """Return the columns of a judged record that are needed here."""
    return ", ".join(
        f"`{name}`" for name in [*(field.name for field in record.fields), "record_id", "revision", *_ORIGIN]
    )


def _judged(record: Record) -> str:
    """Return the query of the messages of a record, judged as silver judges them."""
    decoded = verdict.decoded(f"live_messages_{record.name}")
    typed = verdict.typed(record, f"(SELECT * FROM ({decoded}) WHERE document IS NOT NULL)")
    reasons = "size(rejection_reasons) > 0 AS is_rejected"
    return f"SELECT {_listed(record)}, {reasons} FROM ({verdict.judged(record, f'({typed})')})"


def _one_each(record: Record, source: str) -> str:
    """Return the query of the record of each identity that counts, if it is accepted."""
    row = f"max_by(struct({_listed(record)}, is_rejected), {silver.LATEST}) AS row"
    return f"SELECT row.* FROM (SELECT {row} FROM ({source}) GROUP BY record_id) WHERE NOT row.is_rejected"


def _members(reference: Reference) -> str:
    """Return the query of a reference's members with their validity: those that runs have read, and those since."""
    ever, forever = (f"TIMESTAMP_NTZ'{moment}'" for moment in (tables.EVER, tables.FOREVER))
    lead = f"lead(`{reference.time}`) OVER (PARTITION BY `{reference.key}` ORDER BY `{reference.time}`)"
    versions = reference.history == "versions"
    begin, end = (f"`{reference.time}`", f"coalesce({lead}, {forever})") if versions else (ever, forever)
    both = f"TABLE live_known_{reference.name} UNION ALL {_judged(reference)}"
    return f"SELECT *, {begin} AS live_since, {end} AS live_until FROM ({_one_each(reference, both)})"


def _minutes(lakehouse: Lakehouse, item: LiveEvent, boundary: datetime) -> str:
    """Return the query of the minutes of an event.

    What is late is left out before one of several records is chosen: it must not take the place of one that is shown.
    """
    assert lakehouse.live is not None  # noqa: S101 - the caller has asked for it
    event = lakehouse.event(item.event)
    lookup, dimension = live.looked_up(lakehouse, item)
    lateness = int(lakehouse.live.lateness.total_seconds())
    in_time = f"SELECT * FROM ({_judged(event)}) WHERE arrived_at <= `{event.time}` + INTERVAL '{lateness}' SECOND"
    joins, conditions = "", [f"e.`{event.time}` >= TIMESTAMP_NTZ'{boundary:%Y-%m-%d %H:%M:%S}'"]
    for number, known in enumerate(event.known):
        reference = lakehouse.reference(known.reference)
        joins += (
            f" LEFT JOIN (SELECT DISTINCT `{reference.key}` AS key FROM live_{reference.name}) k{number}"
            f" ON k{number}.key = e.`{known.field}`"
        )
        conditions.append(f"(e.`{known.field}` IS NULL OR k{number}.key IS NOT NULL)")
    currency = f"coalesce(e.`{item.currency}`, '{live.NONE}')" if item.currency else f"'{live.NONE}'"
    amount = f"coalesce(sum(e.`{item.amount}`) * {10**lakehouse.live.scale}, 0)" if item.amount else "0"
    return f"""
SELECT '{event.name}' AS event, date_trunc('MINUTE', e.`{event.time}`) AS minute,
    coalesce(m.`{item.place}`, '{live.UNKNOWN}') AS place, {currency} AS currency, count(*) AS events,
    CAST({amount} AS BIGINT) AS amount
FROM ({_one_each(event, in_time)}) e LEFT JOIN live_{dimension.reference} m
    ON m.`{dimension.attributes[0]}` = e.`{lookup.field}`
    AND e.`{event.time}` >= m.live_since AND e.`{event.time}` < m.live_until{joins}
WHERE {" AND ".join(conditions)} GROUP BY 2, 3, 4"""
