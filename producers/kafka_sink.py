"""The broker as a sink: idempotent, acknowledged by all replicas, keyed by meter, compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, Producer

from engines import topics
from engines.kafka import client_config
from producers.errors import Undelivered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from producers.faults import Message
    from producers.totals import Deliveries

_POLL_S: Final = 0.2


class KafkaSink:
    """Sends to the readings topic of a data set.

    A broker that is away is waited for as long as the setting ``kafka_delivery_timeout`` says; then the run is over.
    stop: set when the run is to end; a message that finds no room in the buffer is then not taken.
    """

    def __init__(self, settings: Settings, dataset: MeterSeries, totals: Deliveries, stop: Event) -> None:
        """Create the topic if it is not there. Raises EngineUnavailable."""
        topics.ensure(settings, dataset)
        self.where, self.trouble = settings.kafka, ""
        self._topic, self._totals, self._stop = dataset.readings_topic, totals, stop
        self._failure = ""
        self._before, self._sent, self._lost = totals.acknowledged, 0, 0
        timeout = int(settings.kafka_delivery_timeout.total_seconds() * 1000)
        options: dict[str, Any] = {
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # as Java's clients
            "delivery.timeout.ms": timeout,
            "reconnect.backoff.max.ms": 1000,  # a broker that is back is found at once
            "error_cb": self._on_error,
            # What is acknowledged is counted, not reported: a report each costs as much as making the message.
            "delivery.report.only.error": True,
            "on_delivery": self._on_lost,
        }
        self._producer = Producer(client_config(settings, **options))

    def send(self, messages: Sequence[Message]) -> int:
        """Hand messages to the client; wait where its buffer is full. None is taken after a delivery has failed."""
        for number, message in enumerate(messages):
            while self._failure or not self._taken(message):
                if self._stop.is_set() or self._failure:
                    self._count()
                    return number
                self._producer.poll(_POLL_S)
        self._producer.poll(0)
        self._count()
        return len(messages)

    def flush(self) -> None:
        """Wait for all acknowledgements. Raises Undelivered where some do not come."""
        while len(self._producer) and not self._failure:
            self._producer.poll(_POLL_S)
            self._count()
        if self._failure:
            # What waits behind a message that was given up would wait as long once more.
            self._producer.purge()
            self._producer.flush()
            self._count()
            raise Undelivered(self.where, self._totals, self._failure)

    def _taken(self, message: Message) -> bool:
        try:
            self._producer.produce(self._topic, message.value, message.key)
        except BufferError:
            return False
        self._sent += 1
        self._totals.sent += 1
        return True

    def _count(self) -> None:
        """Count what is safe: all that was taken, but for what waits and what was given up."""
        acknowledged = self._before + self._sent - self._lost - len(self._producer)
        if acknowledged > self._totals.acknowledged:
            self._totals.acknowledged, self.trouble = acknowledged, ""

    def _on_lost(self, error: KafkaError, _: object) -> None:
        self._lost += 1
        if not self._failure:
            self._failure = error.str()

    def _on_error(self, error: KafkaError) -> None:
        self.trouble = error.str()
