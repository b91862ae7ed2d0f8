"""How far Kafka is archived, as the master table's own commits say: no second record that could disagree.

Each append of the archive carries, in the summary of its snapshot, the next offset and the broker time of the last
message of every partition. Read from the table's metadata, without Spark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlparse

from engines import hdfs, kafka, metastore, topics
from engines.master import DATABASE
from meterlake.boundary import PartitionProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyiceberg.table.metadata import TableMetadata

    from engines.topics import Span, Topic
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

QUERY: Final = "archive-query"
BATCH: Final = "archive-batch"
PROGRESS: Final = "archive-progress"


@dataclass(frozen=True)
class Reached:
    """How far one partition is archived. next_offset: of the first message that is not. until: time of the last."""

    next_offset: int
    until: datetime


@dataclass(frozen=True)
class Progress:
    """What the archive's last append to a table says. query and batch: which micro-batch it was."""

    topic: str
    topic_id: str
    query: str
    batch: int
    partitions: Mapping[int, Reached] = field(default_factory=dict, hash=False)

    def properties(self) -> dict[str, str]:
        """Return this as properties of a commit."""
        parts = {
            str(partition): {"next_offset": reached.next_offset, "until": reached.until.isoformat()}
            for partition, reached in sorted(self.partitions.items())
        }
        report = {"topic": self.topic, "topic_id": self.topic_id, "partitions": parts}
        return {QUERY: self.query, BATCH: str(self.batch), PROGRESS: json.dumps(report)}

    @classmethod
    def of(cls, summary: Mapping[str, str]) -> Progress:
        """Return the progress in a commit's properties; the inverse of ``properties``."""
        report = json.loads(summary[PROGRESS])
        parts = {
            int(partition): Reached(reached["next_offset"], datetime.fromisoformat(reached["until"]).astimezone(UTC))
            for partition, reached in report["partitions"].items()
        }
        return cls(report["topic"], report["topic_id"], summary[QUERY], int(summary[BATCH]), parts)


def read(settings: Settings, dataset: MeterSeries, snapshot: int | None = None) -> list[PartitionProgress]:
    """Return the progress of every partition of the readings' topic, for the boundary; empty without an archive.

    snapshot: of the master table that the run reads (default: the current one). Take the run's clock before the call:
    the partitions' ends are read in it. Raises EngineUnavailable.
    """
    result = latest(settings, dataset.name, snapshot)
    if result is None:
        return []
    topic = topics.find(settings, result.topic)
    return [] if topic is None else at_ends(result, topic, topics.spans(settings, topic))


def untouched(settings: Settings, dataset: MeterSeries) -> list[PartitionProgress]:
    """Return the progress of a topic that nobody has archived: nothing is missing before its first messages.

    Empty where there is no topic, or no message in it: whatever comes will be later than the run's clock. Take that
    before the call. Raises EngineUnavailable.
    """
    topic = topics.find(settings, dataset.readings_topic)
    if topic is None:
        return []
    firsts = {
        partition: span.first for partition, span in topics.spans(settings, topic).items() if span.end > span.first
    }
    times = {partition: kafka.time_of(settings, topic.name, partition, first) for partition, first in firsts.items()}
    return [PartitionProgress(partition, result, at_end=False) for partition, result in times.items()]


def at_ends(progress: Progress, topic: Topic, spans: Mapping[int, Span]) -> list[PartitionProgress]:
    """Return the progress of each partition against the ends of the topic as it is now.

    Nothing is archived of a topic that was created again since.
    """
    reached = progress.partitions if progress.topic_id == topic.id else {}
    return [_at_end(partition, reached.get(partition), spans[partition]) for partition in topic.partitions]


def effective_offsets(
    progress: Progress | None, topic: Topic, query: str, spans: Mapping[int, Span]
) -> dict[int, Reached]:
    """Return what a table's progress means for a query: partition -> what the table has and must not get again.

    query: which one asks. spans: of the topic when it started. Nothing counts of a topic that was created again, nor of
    a partition that had lost its end by then, but what this query has appended itself.
    """
    if progress is None or progress.topic_id != topic.id:
        return {}
    is_own = progress.query == query
    return {p: reached for p, reached in progress.partitions.items() if is_own or reached.next_offset <= spans[p].end}


def _at_end(partition: int, reached: Reached | None, span: Span) -> PartitionProgress:
    """At its end is a partition of which Kafka has nothing more: what it dropped unread will never be archived.

    One that ends before what is archived has lost its end: its next messages get offsets that were archived of others.
    """
    next_offset = max(span.first, reached.next_offset if reached else 0)
    return PartitionProgress(partition, reached.until if reached else None, at_end=next_offset == span.end)


def latest(settings: Settings, table: str, snapshot: int | None = None) -> Progress | None:
    """Return what the archive's last append to a master or quarantine table says, as of a snapshot."""
    metadata = _metadata(settings, table)
    if metadata is None:
        return None
    result = next((summary for summary in _history(metadata, snapshot) if PROGRESS in summary), None)
    return Progress.of(result) if result is not None else None


@dataclass(frozen=True)
class Newer:
    """What a master table has beyond a snapshot. snapshot: the one that readers see; None: there is none.

    rows: how many were appended since; None where something else was done to them, or that snapshot is not known.
    """

    snapshot: int | None
    rows: int | None


def newer(settings: Settings, table: str, since: int) -> Newer:
    """Return what a master table has beyond a snapshot. Raises EngineUnavailable."""
    metadata = _metadata(settings, table)
    return Newer(None, None) if metadata is None else newer_in(metadata, since)


def newer_in(metadata: TableMetadata, since: int) -> Newer:
    """Return what a table has beyond a snapshot, by its metadata."""
    from pyiceberg.table.snapshots import Operation, ancestors_of

    rows = 0
    for each in ancestors_of(metadata.current_snapshot(), metadata):
        if each.snapshot_id == since:
            return Newer(metadata.current_snapshot_id, rows)
        if each.summary is None or each.summary.operation not in (Operation.APPEND, Operation.REPLACE):
            break
        if each.summary.operation == Operation.APPEND:
            rows += int(each.summary.additional_properties.get("added-records", 0))
    return Newer(metadata.current_snapshot_id, None)


def _metadata(settings: Settings, table: str) -> TableMetadata | None:
    """Return a table's metadata: PyIceberg reads the file, as it cannot ask this metastore for the table."""
    from pyiceberg.table.metadata import TableMetadataUtil  # slow to import: only for who asks

    with metastore.client(settings) as client:
        result = metastore.get_table(client, DATABASE, table)
    if result is None:
        return None
    content = hdfs.read_bytes(settings, urlparse(result.properties["metadata_location"]).path)
    return TableMetadataUtil.parse_raw(content.decode())


def _history(metadata: TableMetadata, snapshot: int | None) -> Iterator[Mapping[str, str]]:
    """Yield the summaries of the snapshots that readers have seen, newest first."""
    from pyiceberg.table.snapshots import ancestors_of

    newest = metadata.current_snapshot() if snapshot is None else metadata.snapshot_by_id(snapshot)
    for each in ancestors_of(newest, metadata):
        if each.summary is not None:
            yield each.summary.additional_properties
