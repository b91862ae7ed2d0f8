"""Kafka through librdkafka: topics, times of records, and ``client_config``, on which the hot paths build."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from engines.errors import EngineUnavailable
from meterlake.settings import Settings

TIMEOUT_S = 10.0


def client_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Return what every client of ours shares. The client's own log goes nowhere: errors come as exceptions."""
    return {"bootstrap.servers": settings.kafka, "log_level": 0, "error_cb": lambda _: None, **more}


def create_topic(settings: Settings, topic: str, partitions: int, config: dict[str, str] | None = None) -> bool:
    """Create ``topic`` unless it is there; return whether it was created. Raises EngineUnavailable."""
    admin = AdminClient(client_config(settings))
    made = admin.create_topics(
        [NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config or {})],
        operation_timeout=TIMEOUT_S,
        request_timeout=TIMEOUT_S,
    )
    try:
        made[topic].result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise EngineUnavailable("Kafka", settings.kafka, error) from error
    return True


def time_of(settings: Settings, topic: str, partition: int, offset: int) -> datetime | None:
    """Return the broker's time of the record at ``offset``, or None if it does not come. Raises EngineUnavailable."""
    message = _record(settings, topic, partition, offset)
    return None if message is None else datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)


def _record(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    where = TopicPartition(topic, partition, offset)
    consumer = Consumer(client_config(settings, **{"group.id": "meterlake-check", "enable.auto.commit": False}))
    try:
        # A broker that is away would only make ``poll`` come back empty.
        consumer.get_watermark_offsets(where, timeout=TIMEOUT_S)
        consumer.assign([where])
        message = consumer.poll(TIMEOUT_S)
        if message is not None and message.error():
            raise EngineUnavailable("Kafka", settings.kafka, message.error())
    except KafkaException as error:
        raise EngineUnavailable("Kafka", settings.kafka, error.args[0]) from error
    finally:
        consumer.close()
    return message
