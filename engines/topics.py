"""The topics of a data set: created on purpose, with their times, sizes and retention, and described.

``LogAppendTime``: the time of arrival is the broker's, so no producer's clock decides what is late.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from engines.errors import EngineUnavailable
from engines.kafka import TIMEOUT_S, client_config, create_topic
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

MAX_MESSAGE_BYTES: Final = 1_048_576
"""Of every topic. A reading is much smaller; but what is sent must arrive, to be seen in quarantine."""


APPEND_TIME: Final = "LogAppendTime"

_ELECTION: Final = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)


class ProducersTimes(PermanentError):
    """A topic keeps the times that producers give: their clocks would decide what is late."""

    def __init__(self, topic: str, bootstrap: str, kind: str) -> None:
        self.topic = topic
        super().__init__(
            f"Topic {topic} at {bootstrap} has message.timestamp.type={kind} instead of {APPEND_TIME}: the time of"
            " arrival would be that of each producer's clock, and one that is slow would have its readings rejected as"
            " received before they were measured.",
            hint=f"Let the broker stamp them: `kafka-python admin -b {bootstrap} configs alter -r topic -n {topic} -c"
            f" message.timestamp.type={APPEND_TIME}`. Messages that are there already keep their times.",
        )


class NoSuchTopic(PermanentError):
    """The topic is not there."""

    def __init__(self, topic: str, bootstrap: str) -> None:
        self.topic = topic
        super().__init__(
            f"Kafka at {bootstrap} has no topic {topic}.",
            hint="`meterlake stream` and `archive` create it when they start, `simulate` those of a lakehouse. Deleted"
            " under them, it ends them.",
        )


@dataclass(frozen=True)
class Topic:
    """A topic as the broker has it. id: another one after it was deleted and created again."""

    name: str
    id: str
    partitions: tuple[int, ...]


@dataclass(frozen=True)
class Span:
    """Offsets of a partition: the first that is kept, and the one that the next message will get."""

    first: int
    end: int


def ensure(settings: Settings, dataset: MeterSeries) -> list[str]:
    """Create the topics of a data set that are not there; return their names. Raises EngineUnavailable."""
    retention = str(int(settings.kafka_retention.total_seconds() * 1000))
    config = {
        "message.timestamp.type": APPEND_TIME,
        "retention.ms": retention,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "cleanup.policy": "delete",
    }
    wanted = {
        dataset.readings_topic: config,
        # Holds a whole message and its headers.
        dataset.rejected_topic: {**config, "max.message.bytes": str(MAX_MESSAGE_BYTES + 16_384)},
    }
    made = []
    for name, options in wanted.items():
        if find(settings, name) is None and create_topic(settings, name, settings.kafka_partitions, options):
            made.append(name)
    return made


def find(settings: Settings, name: str) -> Topic | None:
    """Return a topic, or None if there is none of that name. Raises EngineUnavailable."""
    admin = AdminClient(client_config(settings))
    try:
        result = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise EngineUnavailable("Kafka", settings.kafka, _reason(error)) from error
    return Topic(name, str(result.topic_id), tuple(sorted(partition.id for partition in result.partitions)))


def required(settings: Settings, name: str) -> Topic:
    """Return a topic. Raises NoSuchTopic if there is none of that name, EngineUnavailable."""
    result = find(settings, name)
    if result is None:
        raise NoSuchTopic(name, settings.kafka)
    return result


def retention(settings: Settings, name: str) -> timedelta | None:
    """Return how long the broker keeps the messages of a topic; None if for ever. Raises EngineUnavailable."""
    kept = int(_config(settings, name, "retention.ms"))
    return timedelta(milliseconds=kept) if kept >= 0 else None


def segment_time(settings: Settings, name: str) -> timedelta:
    """Return how long the broker may write on in one file of a topic: only whole files expire."""
    return timedelta(milliseconds=int(_config(settings, name, "segment.ms")))


def delete_before(settings: Settings, topic: str, offsets: Mapping[int, int]) -> None:
    """Delete the messages before an offset of each partition. Raises EngineUnavailable."""
    admin = AdminClient(client_config(settings))
    asked = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    try:
        for answer in admin.delete_records(asked, request_timeout=TIMEOUT_S).values():
            answer.result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise EngineUnavailable("Kafka", settings.kafka, _reason(error)) from error


def check_times(settings: Settings, name: str) -> None:
    """Raise ProducersTimes unless the broker stamps the messages of a topic. Raises EngineUnavailable."""
    kind = _config(settings, name, "message.timestamp.type")
    if kind != APPEND_TIME:
        raise ProducersTimes(name, settings.kafka, kind)


def _config(settings: Settings, name: str, key: str) -> str:
    admin, resource = AdminClient(client_config(settings)), ConfigResource(ResourceType.TOPIC, name)
    try:
        result = admin.describe_configs([resource], request_timeout=TIMEOUT_S)
        return str(result[resource].result(TIMEOUT_S)[key].value)
    except (KafkaException, TimeoutError) as error:
        raise EngineUnavailable("Kafka", settings.kafka, _reason(error)) from error


def spans(settings: Settings, topic: Topic) -> dict[int, Span]:
    """Return the offsets of each partition. Raises EngineUnavailable."""
    first, end = (_offsets(settings, topic, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    return {partition: Span(first[partition], end[partition]) for partition in topic.partitions}


def offsets_at(settings: Settings, topic: Topic, moment: datetime) -> dict[int, int]:
    """Return, of each partition, the offset of the first message since ``moment``; its end where there is none.

    Raises EngineUnavailable.
    """
    since = _offsets(settings, topic, OffsetSpec.for_timestamp(int(moment.timestamp() * 1000)))
    end = _offsets(settings, topic, OffsetSpec.latest())
    return {partition: offset if offset >= 0 else end[partition] for partition, offset in since.items()}


def _offsets(settings: Settings, topic: Topic, spec: OffsetSpec) -> dict[int, int]:
    admin = AdminClient(client_config(settings))
    asked = {TopicPartition(topic.name, partition): spec for partition in topic.partitions}

    def ask() -> dict[int, int]:
        answers = admin.list_offsets(asked, request_timeout=TIMEOUT_S)
        return {where.partition: answer.result(TIMEOUT_S).offset for where, answer in answers.items()}

    again = retry_if_exception(has_no_leader_yet)
    try:
        return Retrying(retry=again, stop=stop_after_delay(TIMEOUT_S), wait=wait_fixed(0.1), reraise=True)(ask)
    except (KafkaException, TimeoutError) as error:
        raise EngineUnavailable("Kafka", settings.kafka, _reason(error)) from error


def has_no_leader_yet(error: BaseException) -> bool:
    """Return whether brokers are still agreeing which of them leads a partition, as after a start."""
    return isinstance(error, KafkaException) and error.args[0].code() in _ELECTION


def _reason(error: Exception) -> object:
    return error.args[0].str() if isinstance(error, KafkaException) else error
