"""NiFi's flow of a lakehouse, from its declaration: of each topic, messages in batches into objects.

An object's name says which offsets it holds. NiFi tries to write it, again and again; what cannot be written goes to
the dead letters.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSUME: Final = "meterlake.ConsumeTopic"
"""Our processor: NiFi's own for Kafka are in no archive that Maven has."""
PUT: Final = "org.apache.nifi.processors.aws.s3.PutS3Object"
INBOX, DEAD_LETTERS = "inbox", "dead-letter"
"""Beginnings of keys: of objects that nobody has counted yet, and of those that could not be written there."""
_RETRIES: Final = 10
_METADATA: Final = ("topic", "partition", "first", "end", "records")


@dataclass(frozen=True)
class Place:
    """Where a flow reads and writes. kafka: options of the Java client, one of which is the group."""

    kafka: Mapping[str, str]
    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Batch:
    """When an object is written: it has so many records or bytes, or is so old."""

    records: int = 100_000
    bytes: int = 16_000_000
    wait_ms: int = 5_000


@dataclass(frozen=True)
class Processor:
    """A step. ends: outcomes behind which nothing comes; again: those that are tried again before they are followed."""

    name: str
    type: str
    properties: Mapping[str, str]
    ends: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    def component(self, at: int) -> dict[str, object]:
        """Return it as NiFi's REST API has it. at: its place among the steps."""
        config = {
            "properties": dict(self.properties),
            "autoTerminatedRelationships": list(self.ends),
            "retriedRelationships": list(self.again),
            "retryCount": _RETRIES,
            "backoffMechanism": "PENALIZE_FLOWFILE",
            "maxBackoffPeriod": "1 mins",
            "penaltyDuration": "2 sec",
            "yieldDuration": "1 sec",
        }
        return {"name": self.name, "type": self.type, "position": {"x": 0, "y": 220 * at}, "config": config}


@dataclass(frozen=True)
class TopicFlow:
    """What is done with a topic. links: what goes from which step to which, by their numbers and by outcome."""

    topic: str
    steps: tuple[Processor, ...]
    links: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Flow:
    """A lakehouse's flow: a group of a name, with one of each topic in it."""

    name: str
    topics: tuple[TopicFlow, ...]
    stamp: str = field(init=False)
    """Another one where anything in it is another."""

    def __post_init__(self) -> None:
        text = json.dumps([asdict(topic) for topic in self.topics], sort_keys=True)
        object.__setattr__(self, "stamp", f"meterlake {hashlib.sha256(text.encode()).hexdigest()[:16]}")


def group_of(dataset: str) -> str:
    """Return the name of a lakehouse's group in NiFi, and of the group of consumers in Kafka that keeps its place."""
    return f"meterlake-nifi-{dataset}"


def flow(dataset: str, topics: tuple[str, ...], place: Place, batch: Batch | None = None) -> Flow:
    """Return the flow of a lakehouse's topics."""
    return Flow(group_of(dataset), tuple(_topic(dataset, topic, place, batch or Batch()) for topic in topics))


def _topic(dataset: str, topic: str, place: Place, batch: Batch) -> TopicFlow:
    properties = {
        "topic": topic,
        "client": "".join(f"{name}={_escaped(value)}\n" for name, value in sorted(place.kafka.items())),
        "most-records": str(batch.records),
        "most-bytes": str(batch.bytes),
        "longest-wait-ms": str(batch.wait_ms),
    }
    steps = (
        Processor("consume", CONSUME, properties),
        Processor("write", PUT, _object(dataset, INBOX, place), ends=("success",), again=("failure",)),
        Processor("dead letters", PUT, _object(dataset, DEAD_LETTERS, place), ends=("success",)),
    )
    return TopicFlow(topic, steps, ((0, 1, "success"), (1, 2, "failure"), (2, 2, "failure")))


def _object(dataset: str, prefix: str, place: Place) -> dict[str, str]:
    """Return what an object is called, with what metadata, and where it goes."""
    return {
        "Object Key": f"{prefix}/{dataset}/${{topic}}/${{partition}}/${{filename}}",
        "Bucket": place.bucket,
        "Access Key": place.access_key,
        "Secret Key": place.secret_key,
        "Region": place.region,
        "Endpoint Override URL": place.endpoint,
        **{name: f"${{{name}}}" for name in _METADATA},
    }


def _escaped(value: str) -> str:
    """Return a value as files of Java's properties have it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
