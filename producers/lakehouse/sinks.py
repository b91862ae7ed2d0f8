"""Where simulated records go: a file a topic, or Kafka."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol

from engines import kafka
from engines.errors import EngineUnavailable
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from meterlake.settings import Settings
    from producers.lakehouse.faults import Message


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes messages of a topic, in order. On leaving, all of them are there."""

    def send(self, topic: str, messages: list[Message]) -> None:
        """Take messages."""


class FileSink(Sink):
    """A file of lines for each topic, in a folder that is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> FileSink:
        """Make the folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self._folder} cannot be made: {error.strerror}.", hint="Choose another folder for --out."
            ) from error
        return self

    def send(self, topic: str, messages: list[Message]) -> None:
        """Write the values, a line each."""
        if topic not in self._files:
            self._files[topic] = (self._folder / f"{topic}.jsonl").open("wb")
        if messages:
            self._files[topic].write(b"\n".join(value for _, value in messages) + b"\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class KafkaSink(Sink):
    """The topics themselves, made where they are missing; every message is acknowledged."""

    def __init__(self, settings: Settings, topics: tuple[str, ...]) -> None:
        from confluent_kafka import Producer

        retention = int(settings.kafka_retention.total_seconds() * 1000)
        config = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(retention)}
        for topic in topics:
            kafka.create_topic(settings, topic, settings.kafka_partitions, config)
        self._settings = settings
        timeout = int(settings.kafka_delivery_timeout.total_seconds() * 1000)
        options = {"acks": "all", "enable.idempotence": True, "linger.ms": 20, "message.timeout.ms": timeout}
        self._producer = Producer(kafka.client_config(settings, **options))
        self._failed: list[object] = []

    def send(self, topic: str, messages: list[Message]) -> None:
        """Send messages; wait where the client's buffer is full."""
        for key, value in messages:
            while True:
                try:
                    self._producer.produce(topic, value, key, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._producer.poll(0.5)
        self._producer.poll(0)
        self._check()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait until all are acknowledged. Raises EngineUnavailable where some are not."""
        self._producer.flush()
        if kind is None:
            self._check()

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self._failed.append(error)

    def _check(self) -> None:
        if self._failed:
            raise EngineUnavailable("Kafka", self._settings.kafka, f"{len(self._failed)} messages: {self._failed[0]}")
