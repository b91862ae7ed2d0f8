"""One record to Kafka and back, through kafka-python: what a broker's health is judged by.

A second implementation of the protocol, in pure Python: a broker that answers only the client of the hot paths is not
healthy, and no thread of librdkafka stays behind a check.
"""

from __future__ import annotations

from typing import Any, Final

from engines.errors import EngineUnavailable
from meterlake.settings import Settings

TIMEOUT_S: Final = 10.0


def send_one(settings: Settings, topic: str, value: bytes) -> tuple[int, int]:
    """Send one record with all acknowledgements; return its (partition, offset). Raises EngineUnavailable."""
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    try:
        producer = KafkaProducer(**_common(settings), acks="all", max_block_ms=_ms(), delivery_timeout_ms=_ms())
        try:
            sent = producer.send(topic, value).get(TIMEOUT_S)
        finally:
            producer.close(timeout=0)
    except KafkaError as error:
        raise EngineUnavailable("Kafka", settings.kafka, error) from error
    return sent.partition, sent.offset


def read_one(settings: Settings, topic: str, partition: int, offset: int) -> bytes | None:
    """Return the value of the record at ``offset``, or None if it does not come. Raises EngineUnavailable."""
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    where = TopicPartition(topic, partition)
    try:
        consumer = KafkaConsumer(**_common(settings), enable_auto_commit=False)
        try:
            consumer.assign([where])
            consumer.seek(where, offset)
            records = consumer.poll(timeout_ms=_ms(), max_records=1).get(where, [])
        finally:
            consumer.close(timeout_ms=0)
    except KafkaError as error:
        raise EngineUnavailable("Kafka", settings.kafka, error) from error
    value: bytes | None = records[0].value if records else None
    return value


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.kafka.split(","),
        "bootstrap_timeout_ms": _ms(),
        "request_timeout_ms": _ms(),
        "metrics_enabled": False,
    }


def _ms() -> int:
    return int(TIMEOUT_S * 1000)
