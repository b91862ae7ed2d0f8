"""Topics into landed objects by NiFi: its flow is made and started; what it brings is landed like anything else.

Where it goes on is kept by a group of consumers in Kafka. It is only where NiFi begins to read: what counts is what the
manifests say. So it may be wrong either way; what NiFi brings twice is dropped, what it leaves out is read from Kafka.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from engines import kafka, nifi, topics
from engines.errors import EngineUnavailable
from lakehouse.landing import from_kafka, objects
from lakehouse.landing.objects import Source
from meterlake.errors import TransientError
from meterlake.lakehouse.nifi import CONSUME, Flow, Place, flow, group_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from engines.topics import Span
    from lakehouse.landing.from_kafka import Request
    from meterlake.settings import Settings

_POLL_S: Final = 1.0
_OPTION: Final = "kafka."


class NothingComes(TransientError):
    """NiFi does not bring what is in Kafka, or does not get rid of what it has."""

    def __init__(self, what: str, dataset: str, complaints: list[str]) -> None:
        said = f" It says: {' | '.join(complaints[-3:])}" if complaints else ""
        super().__init__(
            f"{what}{said}",
            hint="Nothing is lost: look into NiFi's page and its log (`meterlake logs nifi`), or land without it:"
            f" `meterlake land {dataset}`.",
        )


def land(settings: Settings, request: Request, stop: Event, report: Callable[[str], None]) -> Counter[str]:
    """Have NiFi's flow run, and land what it brings: what is in Kafka now, or with ``every`` until ``stop`` is set.

    The flow goes on when this ends. Returns the records by topic. Raises NoSuchTopic, Lost, EngineUnavailable,
    NothingComes, Refused.
    """
    spans = _spans(settings, request)
    start(settings, request.dataset, request.topics, report)
    once = replace(request, every=None, brought_only=True)
    landed: Counter[str] = Counter()
    moved = monotonic()
    pause = request.every.total_seconds() if request.every else _POLL_S
    while not stop.is_set():
        if request.every is not None:
            spans = _spans(settings, request)
        part = from_kafka.land(settings, once, stop)
        landed += part
        left = _left(settings, request.dataset, spans)
        if not left and request.every is None:
            break
        if part.total() or not left:
            moved = monotonic()
        elif monotonic() - moved > max(settings.stall_timeout.total_seconds(), 2 * pause):
            what = f"NiFi at {settings.nifi} has brought nothing for a while, and {left:,} messages are in Kafka."
            raise NothingComes(what, request.dataset, _complaints(settings, request.dataset))
        stop.wait(pause)
    return Counter({name: landed[name] for name in request.topics})


def start(settings: Settings, dataset: str, names: tuple[str, ...], report: Callable[[str], None]) -> None:
    """Have NiFi run the flow of topics, as it is declared now. Raises EngineUnavailable, NothingComes, Refused."""
    wanted = flow(dataset, names, _place(settings, dataset))
    entity = _find(settings, dataset)
    if entity is not None and entity["component"]["comments"] != wanted.stamp:
        report("NiFi's flow is another one than is declared: it is made anew.")
        _drain(settings, dataset, entity["id"])
        nifi.remove_group(settings, entity["id"])
        entity = None
    group = entity["id"] if entity is not None else _make(settings, wanted)
    if all(_state(item) == "RUNNING" for item in nifi.processors(settings, group)):
        report(f"NiFi at {settings.nifi} runs {wanted.name} already: {len(names)} topics.")
        return
    if not any(_state(item) == "RUNNING" for item in nifi.processors(settings, group)):
        _set_offsets(settings, dataset, names)
    nifi.run(settings, group)
    _await(settings, dataset, lambda: _all_run(settings, dataset, group), "NiFi does not start its flow.")
    report(f"NiFi at {settings.nifi} runs {wanted.name}: {', '.join(names)}.")


def stop_flow(settings: Settings, request: Request, stop: Event) -> Counter[str]:
    """Stop NiFi's flow, where there is one, when all that it has read is in S3, and land that.

    Raises EngineUnavailable, NothingComes.
    """
    if (entity := _find(settings, request.dataset)) is not None:
        _drain(settings, request.dataset, entity["id"])
    return from_kafka.land(settings, replace(request, every=None, brought_only=True), stop)


def _find(settings: Settings, dataset: str) -> dict[str, Any] | None:
    named = (item for item in nifi.groups(settings) if item["component"]["name"] == group_of(dataset))
    return next(named, None)


def _make(settings: Settings, wanted: Flow) -> str:
    """Make a flow; it has its stamp when it is whole."""
    group = nifi.make_group(settings, "root", wanted.name, "", (0, 0))
    for number, topic in enumerate(wanted.topics):
        inner = nifi.make_group(settings, group, topic.topic, "", (450 * number, 0))
        steps = [nifi.make_processor(settings, inner, step.component(at)) for at, step in enumerate(topic.steps)]
        for source, target, outcome in topic.links:
            nifi.connect(settings, inner, steps[source], steps[target], [outcome])
    nifi.comment_group(settings, group, wanted.stamp)
    return group


def _drain(settings: Settings, dataset: str, group: str) -> None:
    """Stop reading, then writing when all that was read is written."""
    for item in nifi.processors(settings, group):
        wanted = "STOPPED" if item["component"]["type"] == CONSUME else "RUNNING"
        if _state(item) != wanted:
            nifi.set_processor(settings, item["id"], wanted)

    def is_empty() -> bool | int:
        load = nifi.load(settings, group)
        return load.queued + load.active == 0 or load.queued

    _await(settings, dataset, is_empty, "What NiFi has read does not get to S3; it reads no more.")
    nifi.halt(settings, group)
    _await(settings, dataset, lambda: nifi.load(settings, group).active == 0, "NiFi does not stop its flow.")


def _await(settings: Settings, dataset: str, check: Callable[[], bool | int], what: str) -> None:
    """Wait until a check says True, as long as what it says changes. Raises NothingComes."""
    last, since = check(), monotonic()
    while last is not True:
        sleep(0.3)
        now = check()
        if now != last:
            last, since = now, monotonic()
        if monotonic() - since > settings.stall_timeout.total_seconds():
            raise NothingComes(what, dataset, _complaints(settings, dataset))


def _all_run(settings: Settings, dataset: str, group: str) -> bool:
    items = nifi.processors(settings, group)
    invalid = [item["component"] for item in items if item["component"].get("validationStatus") == "INVALID"]
    if invalid:
        errors = [f"{one['name']}: {error}" for one in invalid for error in one.get("validationErrors", [])]
        raise NothingComes("NiFi cannot run its flow.", dataset, sorted(set(errors)))
    if all(_state(item) == "RUNNING" for item in items):
        return True
    nifi.run(settings, group)  # those that it was still checking
    return False


def _state(item: dict[str, Any]) -> str:
    return str(item["component"]["state"])


def _complaints(settings: Settings, dataset: str) -> list[str]:
    entity = _find(settings, dataset)
    return nifi.complaints(settings, entity["id"]) if entity else []


def _spans(settings: Settings, request: Request) -> dict[tuple[str, int], Span]:
    """Return what Kafka has now of each partition of the topics."""
    return {
        (name, partition): span
        for name in request.topics
        for partition, span in topics.spans(settings, topics.required(settings, name)).items()
    }


def _left(settings: Settings, dataset: str, spans: dict[tuple[str, int], Span]) -> int:
    """Return how many offsets are not landed yet of those that Kafka had."""
    return sum(
        max(0, span.end - max(span.first, objects.next_offset(settings, Source(dataset, name, f"{partition:05}")) or 0))
        for (name, partition), span in spans.items()
    )


def _place(settings: Settings, dataset: str) -> Place:
    client = {name.removeprefix(_OPTION): value for name, value in kafka.spark_options(settings).items()}
    own = {
        "group.id": group_of(dataset),
        "enable.auto.commit": "false",
        "auto.offset.reset": "earliest",
        "enable.metrics.push": "false",
        "max.poll.records": "5000",
    }
    access, secret = settings.lake_keys
    return Place(client | own, settings.lake_s3, settings.lake_region, settings.lake_bucket, access, secret)


def _set_offsets(settings: Settings, dataset: str, names: tuple[str, ...]) -> None:
    """Let NiFi go on behind what has been landed without it; never before what it has itself read."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    config = kafka.client_config(settings, **{"group.id": group_of(dataset), "enable.auto.commit": False})
    consumer = Consumer(config)
    try:
        asked = [
            TopicPartition(name, partition)
            for name in names
            for partition in topics.required(settings, name).partitions
        ]
        ahead = []
        for known in consumer.committed(asked, timeout=kafka.TIMEOUT_S):
            landed = objects.next_offset(settings, Source(dataset, known.topic, f"{known.partition:05}"))
            if landed is not None and landed > known.offset:
                ahead.append(TopicPartition(known.topic, known.partition, landed))
        if ahead:
            consumer.commit(offsets=ahead, asynchronous=False)
    except KafkaException as error:
        raise EngineUnavailable("Kafka", settings.kafka, error.args[0]) from error
    finally:
        consumer.close()
