"""What the merged minutes must be after a soak: everything that is in Kafka, aggregated by DuckDB with SQL of its own.

The system's own code says nothing here: `serving_layer/verify` decodes and counts by hand-written SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
from confluent_kafka import Consumer, TopicPartition

from engines import topics, trino
from engines.kafka import client_config
from meterlake import merged
from meterlake.declaration import MeterSeries
from meterlake.settings import Settings
from serving_layer.verify import actual, expected
from serving_layer.verify.messages import readings_sql

# Names come from the declaration.
# ruff: noqa: S608

AT_ONCE = 50_000
TIMEOUT_S = 30


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison. examples: of rows that are in one of both only."""

    messages: int
    readings: int
    minutes: int
    wrong: int
    examples: list[str]


def compare(settings: Settings, dataset: MeterSeries, now: datetime) -> Verdict:
    """Compare all merged minutes with what all that is in Kafka makes. now: after the newest message."""
    columns = actual.stored_columns(dataset, "minute")
    with duckdb.connect(config={"memory_limit": "3GB", "autoinstall_known_extensions": "false"}) as connection:
        messages = _read(connection, settings, dataset, now)
        readings = int(connection.execute(f"SELECT count(*) FROM {expected.READINGS}").fetchall()[0][0])
        connection.execute(f"CREATE TABLE counted AS {expected.counted_sql(dataset)}")
        connection.execute(f"DROP TABLE {expected.READINGS}")
        names = ", ".join(column.name for column in columns)
        connection.execute(f"CREATE TABLE wanted AS SELECT {names} FROM ({expected.view_sql(dataset, 'minute')})")
        shown = trino.rows(settings, f"SELECT {names} FROM {merged.merged_view(dataset, 'minute')}")
        actual.load(connection, "shown", columns, shown)
        wrong = "(FROM wanted EXCEPT ALL FROM shown) UNION ALL (FROM shown EXCEPT ALL FROM wanted)"
        connection.execute(f"CREATE TABLE wrong AS {wrong}")
        minutes, differing = (
            int(
                connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT meter_id, minute FROM {table})").fetchall()[
                    0
                ][0]
            )
            for table in ("wanted", "wrong")
        )
        examples = [str(row) for row in connection.execute("FROM wrong ORDER BY ALL LIMIT 6").fetchall()]
    return Verdict(messages, readings, minutes, differing, examples)


def _read(connection: duckdb.DuckDBPyConnection, settings: Settings, dataset: MeterSeries, now: datetime) -> int:
    """Make the table of readings; return how many messages there were. A partition at a time, in its order."""
    names = ", ".join(expected.make_readings(connection, dataset))
    given = {"now": now.astimezone(UTC).replace(tzinfo=None), "topic": dataset.readings_topic}
    spans, count = topics.spans(settings, topics.required(settings, dataset.readings_topic)), 0
    for partition, span in spans.items():
        connection.execute("CREATE OR REPLACE TABLE lines (line BIGINT, value VARCHAR)")
        for some in _messages(settings, dataset.readings_topic, partition, span):
            count += len(some)
            text = [_text(value, dataset.max_message_bytes) for _, value in some]
            arrays = [pa.array([at for at, _ in some], pa.int64()), pa.array(text, pa.string())]
            connection.register("chunk", pa.table(arrays, ["line", "value"]))
            connection.execute("INSERT INTO lines SELECT line, value FROM chunk WHERE value IS NOT NULL")
            connection.unregister("chunk")
        connection.execute(f"INSERT INTO {expected.READINGS} SELECT {names} FROM ({readings_sql(dataset)})", given)
    connection.execute("DROP TABLE lines")
    return count


def _messages(
    settings: Settings, topic: str, partition: int, span: topics.Span
) -> Iterator[list[tuple[int, bytes | None]]]:
    """Yield all of a partition: offset and value."""
    consumer = Consumer(client_config(settings, **{"group.id": "meterlake-soak", "enable.auto.commit": False}))
    try:
        consumer.assign([TopicPartition(topic, partition, span.first)])
        reached = span.first
        while reached < span.end:
            some: list[Any] = consumer.consume(min(AT_ONCE, span.end - reached), TIMEOUT_S)
            if not some or any(message.error() for message in some):
                raise RuntimeError(f"{topic}/{partition} cannot be read beyond offset {reached} of {span.end}")
            kept = [message for message in some if message.offset() < span.end]
            reached = some[-1].offset() + 1
            yield [(message.offset(), message.value()) for message in kept]
    finally:
        consumer.close()


def _text(value: bytes | None, limit: int) -> str | None:
    """Return a message as text; None where it is none that can be read."""
    if value is None or len(value) > limit:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
