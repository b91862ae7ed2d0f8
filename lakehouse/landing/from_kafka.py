"""Kafka topics into landed objects, exactly once: where a topic's partition goes on is what its manifests say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import kafka, topics
from engines.errors import EngineUnavailable
from lakehouse.landing import inbox, objects
from lakehouse.landing.objects import BrokenObject, Landed, Source
from meterlake.errors import PermanentError
from meterlake.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from engines.topics import Span
    from lakehouse.landing.inbox import Brought, Step
    from meterlake.settings import Settings

MOST_RECORDS: Final = 200_000
"""In one object: some 20 MB."""
_POLL_S: Final = 0.5


class Lost(PermanentError):
    """Kafka has dropped messages that were not landed yet."""

    def __init__(self, topic: str, partition: int, wanted: int, first: int) -> None:
        super().__init__(
            f"{topic}, partition {partition}: offsets {wanted} to {first - 1} are gone before they were landed.",
            hint="Kafka's retention was shorter than the time that nobody landed. To go on without them, land with"
            " --accept-loss once.",
        )


class OutOfRange(PermanentError):
    """A partition ends before what was landed of it."""

    def __init__(self, topic: str, partition: int, landed: int, end: int) -> None:
        super().__init__(
            f"{topic}, partition {partition}: offsets up to {landed - 1} are landed, but it ends at {end - 1}.",
            hint="The topic was deleted and created again, or its broker has lost the end of it: what is sent now would"
            " be taken for what was landed. Declare another topic for these records, and send them there.",
        )


@dataclass(frozen=True)
class Request:
    """What is landed: topics of a data set, up to their ends; with ``every`` again and again.

    accept_loss: go on where Kafka has dropped what was not landed. report: told of a topic's records. brought_only: up
    to where NiFi has brought objects, and not what else is in Kafka.
    """

    dataset: str
    topics: tuple[str, ...]
    every: timedelta | None = None
    accept_loss: bool = False
    report: Callable[[str, int], None] | None = None
    brought_only: bool = False


def land(settings: Settings, request: Request, stop: Event) -> Counter[str]:
    """Land topics, until ``stop`` is set or their ends are reached.

    Returns the records by topic. Raises NoSuchTopic, Lost, OutOfRange, EngineUnavailable; BrokenObject where NiFi
    has brought what nobody can read, and Kafka has it no more.
    """
    for name in request.topics:
        topics.required(settings, name)
    landed: Counter[str] = Counter()
    while True:
        for name in request.topics:
            count = _land_topic(settings, request, name, stop)
            landed[name] += count
            if request.report and count:
                request.report(name, count)
        if request.every is None or stop.wait(request.every.total_seconds()):
            return landed


def _land_topic(settings: Settings, request: Request, name: str, stop: Event) -> int:
    spans = topics.spans(settings, topics.required(settings, name))
    return sum(_land_partition(settings, request, name, partition, span, stop) for partition, span in spans.items())


def _land_partition(settings: Settings, request: Request, topic: str, partition: int, span: Span, stop: Event) -> int:
    """Land what NiFi has brought of a partition, and from Kafka what is missing; return how many records.

    Offsets without a record belong to the manifest that comes behind them: each begins at ``tip``, where the last one
    ends.
    """
    source, count = Source(request.dataset, topic, f"{partition:05}"), 0
    waiting, begin = inbox.brought(settings, source), objects.next_offset(settings, source)
    at, tip = _start(topic, partition, span, waiting, begin), begin or 0
    while not stop.is_set():
        waiting = inbox.remove_until(settings, waiting, at)
        step = inbox.following(at, waiting, None if request.brought_only else span.end)
        if step is None:
            break
        if step.item is None and at < span.first:
            if not request.accept_loss:
                raise Lost(topic, partition, at, span.first)
            at = min(span.first, step.until)
            continue
        part = _part(settings, topic, partition, at, step, in_kafka=at >= span.first)
        if part is None:
            waiting, tip = [item for item in waiting if item != step.item], objects.next_offset(settings, source) or tip
            at = max(at, tip)
            continue
        records, end = part
        manifest = objects.write(settings, source, records, range(tip, end)) if records else None
        if manifest:
            count, tip = count + manifest.rows, end
        elif records:  # somebody else was faster
            tip = objects.next_offset(settings, source) or tip
        at = max(end, tip) if manifest or not records else tip
    return count


def _start(topic: str, partition: int, span: Span, waiting: Sequence[Brought], landed: int | None) -> int:
    """Return the offset to go on at; landed: where the last manifest ends, if there is one. Raises OutOfRange."""
    if landed is None:
        return min([span.first, *(item.first for item in waiting)])
    if landed > max([span.end, *(item.end for item in waiting)]):
        raise OutOfRange(topic, partition, landed, span.end)
    return landed


def _part(
    settings: Settings, topic: str, partition: int, at: int, step: Step, *, in_kafka: bool
) -> tuple[list[Landed], int] | None:
    """Return records from an offset on, and the offset behind them.

    None where somebody else has landed what NiFi had brought, or nobody can read it and Kafka has it, too.
    Raises BrokenObject where Kafka has it no more.
    """
    if step.item is None:
        return _read(settings, topic, partition, at, step.until)
    try:
        brought = inbox.read(settings, step.item, at)
    except BrokenObject as error:
        if not in_kafka:
            raise
        get_logger().warning("Kafka is read instead", reason=str(error))
        return None
    return None if brought is None else (brought, step.until)


def _read(settings: Settings, topic: str, partition: int, first: int, end: int) -> tuple[list[Landed], int]:
    """Return records from an offset on, and the offset behind them; offsets without a record are passed over."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    config = kafka.client_config(
        settings, **{"group.id": "meterlake-land", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    consumer = Consumer(config)
    records: list[Landed] = []
    try:
        consumer.assign([TopicPartition(topic, partition, first)])
        idle = 0.0
        while len(records) < MOST_RECORDS:
            # It waits for so many, or for its time.
            missing = end - (records[-1].offset + 1 if records else first)
            messages = consumer.consume(min(10_000, missing, MOST_RECORDS - len(records)), _POLL_S)
            for message in messages:
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    return records, max(end, records[-1].offset + 1 if records else end)
                if error is not None:
                    raise EngineUnavailable("Kafka", settings.kafka, error)
                records.append(_landed(message))
            idle = 0.0 if messages else idle + _POLL_S
            if idle > kafka.TIMEOUT_S:
                raise EngineUnavailable("Kafka", settings.kafka, f"{topic}, partition {partition}: nothing comes")
            if records and records[-1].offset >= end - 1:
                break
    except KafkaException as error:
        raise EngineUnavailable("Kafka", settings.kafka, error.args[0]) from error
    finally:
        consumer.close()
    return records, records[-1].offset + 1


def _landed(message: Any) -> Landed:  # noqa: ANN401 - the client has no types
    moment = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC).replace(tzinfo=None)
    return Landed(message.offset(), moment, message.key(), message.value())
