"""The live minutes: messages, judged by the SQL of silver, counted by minute and place as gold's facts are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from engines import kafka
from lakehouse.layers import bronze, silver, tables, verdict
from meterlake.lakehouse import live

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import SparkSession

    from lakehouse.layers.tables import Catalog
    from lakehouse.live.window import Window
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.live import LiveEvent
    from meterlake.lakehouse.records import Record, Reference
    from meterlake.settings import Settings

Row = tuple[str, "datetime", str, str, int, int]
"""Event, minute, place, currency, events, amount in units."""
_ORIGIN = ("arrived_at", "source_partition", "source_offset")


def rows(session: SparkSession, settings: Settings, catalog: Catalog, window: Window) -> list[Row]:
    """Return the minutes of a window since its boundary. catalog: the state that the boundary is of."""
    lakehouse = catalog.lakehouse
    assert lakehouse.live is not None  # noqa: S101 - the caller has asked for it
    _messages(session, settings, window).createOrReplaceTempView("live_messages")
    for reference in lakehouse.references:
        session.sql(_members(catalog, reference)).localCheckpoint().createOrReplaceTempView(f"live_{reference.name}")
    parts = [_minutes(lakehouse, item, window.boundary) for item in lakehouse.live.events]
    found = session.sql(" UNION ALL ".join(parts)).collect()
    return [tuple(row) for row in found]


def _messages(session: SparkSession, settings: Settings, window: Window) -> Any:  # noqa: ANN401 - a DataFrame
    """Return messages with the columns of bronze."""
    reader = session.read.format("kafka").options(**kafka.spark_options(settings))
    assigned = {name: sorted(offsets) for name, offsets in window.ending.items()}
    starting, ending = (
        json.dumps({name: {str(key): value for key, value in offsets.items()} for name, offsets in part.items()})
        for part in (window.starting, window.ending)
    )
    options = {"assign": json.dumps(assigned), "startingOffsets": starting, "endingOffsets": ending}
    return (
        reader.options(**options)
        .load()
        .selectExpr(
            f"{bronze.as_text('value')} AS value",
            "CAST(timestamp AS TIMESTAMP_NTZ) AS arrived_at",
            "topic AS source_topic",
            "lpad(CAST(partition AS STRING), 5, '0') AS source_partition",
            "offset AS source_offset",
        )
    )


def _judged(record: Record) -> str:
    """Return the query of the messages of a record, judged as silver judges them."""
    decoded = verdict.decoded(f"(SELECT * FROM live_messages WHERE source_topic = '{record.topic}')")
    return verdict.judged(
        record, f"({verdict.typed(record, f'(SELECT * FROM ({decoded}) WHERE document IS NOT NULL)')})"
    )


def _one_each(names: list[str], source: str) -> str:
    """Return the query of the record of each identity that counts, if it is accepted."""
    listed = ", ".join(f"`{name}`" for name in names)
    row = f"max_by(struct({listed}, is_rejected), {silver.LATEST}) AS row"
    return f"SELECT row.* FROM (SELECT {row} FROM ({source}) GROUP BY record_id) WHERE NOT row.is_rejected"


def _members(catalog: Catalog, reference: Reference) -> str:
    """Return the query of a reference's members with their validity: those that runs have read, and those since."""
    names = [field.name for field in reference.fields]
    listed = ", ".join(f"`{name}`" for name in [*names, "record_id", "revision", *_ORIGIN])
    known = f"SELECT {listed}, is_rejected FROM {catalog.path(tables.silver(reference))}"
    fresh = f"SELECT {listed}, size(rejection_reasons) > 0 AS is_rejected FROM ({_judged(reference)})"
    ever, forever = (f"TIMESTAMP_NTZ'{moment}'" for moment in (tables.EVER, tables.FOREVER))
    lead = f"lead(`{reference.time}`) OVER (PARTITION BY `{reference.key}` ORDER BY `{reference.time}`)"
    versions = reference.history == "versions"
    begin, end = (f"`{reference.time}`", f"coalesce({lead}, {forever})") if versions else (ever, forever)
    return (
        f"SELECT *, {begin} AS live_since, {end} AS live_until FROM ({_one_each(names, f'{known} UNION ALL {fresh}')})"
    )


def _minutes(lakehouse: Lakehouse, item: LiveEvent, boundary: datetime) -> str:
    """Return the query of the minutes of an event.

    What is late is left out before one of several records is chosen: it must not take the place of one that is shown.
    """
    assert lakehouse.live is not None  # noqa: S101 - the caller has asked for it
    event = lakehouse.event(item.event)
    names = [field.name for field in event.fields]
    lookup, dimension = live.looked_up(lakehouse, item)
    listed = ", ".join(f"`{name}`" for name in [*names, "record_id", "revision", *_ORIGIN])
    lateness = int(lakehouse.live.lateness.total_seconds())
    judged = (
        f"SELECT {listed}, size(rejection_reasons) > 0 AS is_rejected FROM ({_judged(event)})"
        f" WHERE arrived_at <= `{event.time}` + INTERVAL '{lateness}' SECOND"
    )
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
FROM ({_one_each(names, judged)}) e LEFT JOIN live_{dimension.reference} m
    ON m.`{dimension.attributes[0]}` = e.`{lookup.field}`
    AND e.`{event.time}` >= m.live_since AND e.`{event.time}` < m.live_until{joins}
WHERE {" AND ".join(conditions)} GROUP BY 2, 3, 4"""
