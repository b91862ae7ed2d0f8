"""How far a group of consumers has read."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from engines.kafka import client_config
from meterlake.settings import Settings


def committed(settings: Settings, group: str, topic: str) -> int:
    """Return up to where a group has read the only partition of a topic."""
    consumer = Consumer(client_config(settings, **{"group.id": group, "enable.auto.commit": False}))
    try:
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        return place.offset
    finally:
        consumer.close()
