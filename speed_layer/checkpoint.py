"""A query's checkpoint in HDFS: whose it is, how far it is, and whether it still fits its topic.

Spark keeps offsets but not what they are offsets of: a topic that was deleted and created again has the same name. So
the topic's id lies beside them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from engines import hdfs
from speed_layer.errors import BrokenCheckpoint, MessagesLost, OffsetsAhead, OtherCheckpoint, TopicRecreated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.topics import Span, Topic
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

FOLDER: Final = "/meterlake/checkpoints"
_OWNER: Final = "owner.json"


@dataclass(frozen=True)
class Owner:
    """Whose checkpoint it is. id: of this checkpoint; another one when it is made again."""

    id: str
    dataset: str
    query: str
    topic: str
    topic_id: str


@dataclass(frozen=True)
class Checkpoint:
    """Where a query keeps how far it is."""

    settings: Settings
    dataset: MeterSeries
    query: str

    @property
    def path(self) -> str:
        """Folder in HDFS."""
        return f"{FOLDER}/{self.dataset.name}/{self.query}"

    @property
    def location(self) -> str:
        """Address of the folder, for Spark and for people."""
        return f"{self.settings.hdfs}{self.path}"

    def open(self, topic: Topic, spans: Mapping[int, Span]) -> Owner:
        """Return the owner of the checkpoint, made if there is none, after checking that it fits its topic.

        spans: the topic's offsets. Raises OtherCheckpoint, TopicRecreated, MessagesLost, OffsetsAhead,
        BrokenCheckpoint, EngineUnavailable.
        """
        owner, next_offsets = self._owner(), self.next_offsets()
        if owner is None:
            if next_offsets and set(next_offsets) != {topic.name}:
                raise OtherCheckpoint(self.location, ", ".join(sorted(next_offsets)), topic.name)
            owner = Owner(uuid4().hex, self.dataset.name, self.query, topic.name, topic.id)
            hdfs.write_bytes(self.settings, f"{self.path}/{_OWNER}", json.dumps(asdict(owner)).encode())
        fits(self.location, owner, self.dataset, topic)
        lossless = self.settings.fail_on_data_loss
        reachable(self.location, topic, next_offsets.get(topic.name, {}), spans, lossless=lossless)
        return owner

    def next_offsets(self) -> dict[str, dict[int, int]]:
        """Return, by topic and partition, the offset from which the query will read; empty for a new checkpoint."""
        planned, done = self._batches("offsets"), self._batches("commits")
        # A batch that is planned but not committed is done again, from where the one before it ends.
        ends = [batch for batch in planned if batch in done]
        if not ends:
            return {}
        text = hdfs.read_bytes(self.settings, f"{self.path}/offsets/{max(ends)}").decode(errors="replace")
        return offsets_of(text, f"{self.path}/offsets/{max(ends)}")

    def has_reached(self, topic: str, ends: Mapping[int, int]) -> bool:
        """Return whether all before the offsets ``ends`` of a topic's partitions is committed."""
        done = self.next_offsets().get(topic, {})
        return all(done.get(partition, 0) >= end for partition, end in ends.items())

    def _owner(self) -> Owner | None:
        if _OWNER not in self._names(""):
            return None
        path = f"{self.path}/{_OWNER}"
        content = hdfs.read_bytes(self.settings, path)
        if not content:  # made, but not written: a full disk, say. The query had not begun
            return None
        try:
            return Owner(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise BrokenCheckpoint(path, str(error)) from error

    def _batches(self, folder: str) -> set[int]:
        return {int(name) for name in self._names(f"/{folder}") if name.isdigit()}

    def _names(self, below: str) -> list[str]:
        client = hdfs.client(self.settings)
        try:
            if client.status(self.path + below, strict=False) is None:
                return []
            names: list[str] = client.list(self.path + below)
        except hdfs.ERRORS as error:
            raise hdfs.failure(self.settings, f"list {self.path}{below}", error) from error
        return names


def offsets_of(text: str, path: str) -> dict[str, dict[int, int]]:
    """Return the offsets, by topic and partition, in a file of Spark's offset log."""
    try:
        _, _, sources = text.splitlines()
        result: dict[str, Any] = json.loads(sources)
        return {topic: {int(p): int(offset) for p, offset in parts.items()} for topic, parts in result.items()}
    except (ValueError, AttributeError) as error:
        raise BrokenCheckpoint(path, str(error)) from error


def fits(location: str, owner: Owner, dataset: MeterSeries, topic: Topic) -> None:
    """Raise unless a checkpoint belongs to this data set and to this very topic."""
    if (owner.dataset, owner.topic) != (dataset.name, topic.name):
        result = f"data set {owner.dataset} and topic {owner.topic}"
        raise OtherCheckpoint(location, result, f"data set {dataset.name} and topic {topic.name}")
    if owner.topic_id != topic.id:
        raise TopicRecreated(topic.name, location, f"its id was {owner.topic_id} and is {topic.id}")


def reachable(
    location: str, topic: Topic, offsets: Mapping[int, int], spans: Mapping[int, Span], *, lossless: bool
) -> None:
    """Raise unless the topic still has every message from ``offsets`` on; lost ones matter if ``lossless``."""
    gone = sorted(set(offsets) - set(spans))
    if gone:
        raise TopicRecreated(topic.name, location, f"partition {gone[0]} is not there any more")
    ahead = {p: offset for p, offset in offsets.items() if offset > spans[p].end}
    if ahead:
        p, offset = min(ahead.items())
        raise OffsetsAhead(topic.name, location, f"partition {p} was read up to {offset} and ends at {spans[p].end}")
    lost = {p: spans[p].first - offset for p, offset in offsets.items() if offset < spans[p].first}
    if lost and lossless:
        p, count = min(lost.items())
        detail = f"partition {p} was read up to offset {offsets[p]} and now begins at {spans[p].first} ({count} missing"
        raise MessagesLost(topic.name, f"{detail}; {sum(lost.values())} in all partitions)")
