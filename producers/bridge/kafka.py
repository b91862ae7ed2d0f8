"""Topics of other people in Kafka: their offsets are committed only when readings are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from engines import topics
from engines.errors import EngineUnavailable
from engines.kafka import client_config
from producers.bridge.errors import NoForeignTopic
from producers.bridge.reader import Arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from meterlake.clock import Clock
    from meterlake.settings import Settings
    from producers.bridge.totals import BridgeTotals


class KafkaReader:
    """Reads topics of the same Kafka, each from its beginning, then from where the group has committed.

    The time of arrival is that of the record, so that a message that comes again makes the same reading.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], group: str, clock: Clock, totals: BridgeTotals
    ) -> None:
        self.where, self.trouble = settings.kafka, ""
        self._settings, self._names, self._clock, self._totals = settings, list(names), clock, totals
        options: dict[str, Any] = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "error_cb": self._on_error,
        }
        self._consumer = Consumer(client_config(settings, **options))

    def connect(self) -> None:
        """Subscribe. Raises NoForeignTopic or EngineUnavailable."""
        for name in self._names:
            if topics.find(self._settings, name) is None:
                raise NoForeignTopic(name, self.where)
        self._consumer.subscribe(self._names, on_assign=self._on_assign, on_revoke=self._on_revoke)

    def take(self, most: int, wait_s: float) -> list[Arrived]:
        """Return records that have come. Raises EngineUnavailable."""
        return [self._arrived(message) for message in self._consumer.consume(most, wait_s)]

    def acknowledge(self, messages: Sequence[Arrived]) -> None:
        """Commit their offsets. Raises EngineUnavailable."""
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            partition, offset = message.receipt
            ends[message.topic, partition] = offset + 1
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*place, end) for place, end in ends.items()], asynchronous=False
            )
        except KafkaException as error:
            raise EngineUnavailable("Kafka", self.where, error.args[0].str()) from error

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._totals.connected = False

    def _arrived(self, message: Message) -> Arrived:
        error = message.error()
        if error:
            raise EngineUnavailable("Kafka", self.where, error.str())
        kind, at_ms = message.timestamp()
        if kind == TIMESTAMP_NOT_AVAILABLE:
            at_ms = int(self._clock().timestamp() * 1000)
        receipt = (message.partition() or 0, message.offset() or 0)
        return Arrived(message.topic() or "", message.value() or b"", at_ms, False, receipt)

    def _on_assign(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._totals.connected, self.trouble = True, ""

    def _on_revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._totals.connected = False

    def _on_error(self, error: KafkaError) -> None:
        self.trouble = error.str()
