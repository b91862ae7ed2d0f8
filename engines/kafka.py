"""Kafka: topics, and single records for checks. The hot paths build their own producers on ``CLIENT``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from engines.errors import EngineUnavailable
from meterlake.settings import Settings

TIMEOUT_S = 10.0


def client_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Return what every client of ours shares. The client's own log goes nowhere: errors come as exceptions."""
    return {
        "bootstrap.servers": settings.kafka,
        "log_level": 0,
        "error_cb": lambda _: None,
        **_security(settings),
        **more,
    }


def _security(settings: Settings) -> dict[str, str]:
    """Return librdkafka's options of who we are and whom we trust."""
    result: dict[str, str] = {"security.protocol": settings.kafka_security}
    if "SASL" in settings.kafka_security:
        result |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_user,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    if "SSL" in settings.kafka_security:
        if settings.kafka_ca:
            result["ssl.ca.location"] = str(settings.kafka_ca)
        if settings.kafka_certificate:
            path = str(settings.kafka_certificate)
            result |= {"ssl.certificate.location": path, "ssl.key.location": path}
    return result


def spark_options(settings: Settings) -> dict[str, str]:
    """Return the options of Spark's Kafka source and sink: the Java client's, with the prefix ``kafka.``.

    The files of certificates must lie at the same place on every executor.
    """
    result = {"bootstrap.servers": settings.kafka, "security.protocol": settings.kafka_security}
    if "SASL" in settings.kafka_security:
        result |= {"sasl.mechanism": settings.kafka_sasl_mechanism, "sasl.jaas.config": _jaas(settings)}
    if "SSL" in settings.kafka_security:
        if settings.kafka_ca:
            result |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(settings.kafka_ca)}
        if settings.kafka_certificate:
            result |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(settings.kafka_certificate)}
    return {f"kafka.{name}": value for name, value in result.items()}


def _jaas(settings: Settings) -> str:
    module = "plain.PlainLoginModule" if settings.kafka_sasl_mechanism == "PLAIN" else "scram.ScramLoginModule"
    user, password = (_quoted(text) for text in (settings.kafka_user, settings.kafka_password.get_secret_value()))
    return f"org.apache.kafka.common.security.{module} required username={user} password={password};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def create_topic(settings: Settings, topic: str, partitions: int, config: dict[str, str] | None = None) -> bool:
    """Create ``topic`` unless it is there; return whether it was created. Raises EngineUnavailable."""
    admin = AdminClient(client_config(settings))
    wanted = NewTopic(
        topic, num_partitions=partitions, replication_factor=settings.kafka_replication, config=config or {}
    )
    made = admin.create_topics([wanted], operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    try:
        made[topic].result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise EngineUnavailable("Kafka", settings.kafka, error) from error
    return True


def send_one(settings: Settings, topic: str, value: bytes) -> tuple[int, int]:
    """Send one record with all acknowledgements; return its (partition, offset). Raises EngineUnavailable."""
    outcome: list[Any] = []
    producer = Producer(client_config(settings, **{"acks": "all", "message.timeout.ms": int(TIMEOUT_S * 1000)}))
    producer.produce(topic, value, on_delivery=lambda error, message: outcome.append(error or message))
    producer.flush(TIMEOUT_S)
    if not outcome or isinstance(outcome[0], KafkaError):
        raise EngineUnavailable("Kafka", settings.kafka, outcome[0] if outcome else "no acknowledgement")
    return outcome[0].partition(), outcome[0].offset()


def read_one(settings: Settings, topic: str, partition: int, offset: int) -> bytes | None:
    """Return the value of the record at ``offset``, or None if it does not come. Raises EngineUnavailable."""
    message = _record(settings, topic, partition, offset)
    value: bytes | None = message.value() if message is not None else None
    return value


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
