"""What is to be read of Kafka for the live minutes: from the boundary on; and of references, what no run has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines import kafka, topics
from meterlake.lakehouse import live

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from engines.topics import Span, Topic
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings

Offsets = dict[str, dict[int, int]]
"""Topic and partition -> offset."""


@dataclass(frozen=True)
class Window:
    """Messages: from ``starting`` on up to, not including, ``ending``. boundary: the first minute of the live rows."""

    boundary: datetime
    starting: Offsets
    ending: Offsets


def window(settings: Settings, lakehouse: Lakehouse, read: Mapping[tuple[str, int], int], now: datetime) -> Window:
    """Return what is to be read by now. read: up to which offset the run that readers see has read each partition.

    now: read before this is called, so that nothing can arrive unseen in between. Raises NoSuchTopic,
    EngineUnavailable.
    """
    assert lakehouse.live is not None  # noqa: S101 - the caller has asked for it
    shown = {item.event for item in lakehouse.live.events}
    events = [event for event in lakehouse.events if event.name in shown]
    known = {record.topic: topics.required(settings, record.topic) for record in (*lakehouse.references, *events)}
    spans = {name: topics.spans(settings, topic) for name, topic in known.items()}
    reached = [
        _reached(settings, event.topic, partition, max(read.get((event.topic, partition), 0), span.first), span, now)
        for event in events
        for partition, span in spans[event.topic].items()
    ]
    boundary = live.boundary(lakehouse, reached)
    starting = {
        record.topic: {
            partition: min(max(read.get((record.topic, partition), 0), span.first), span.end)
            for partition, span in spans[record.topic].items()
        }
        for record in lakehouse.references
    }
    for event in events:
        starting[event.topic] = _since(settings, known[event.topic], boundary - event.tolerance, spans[event.topic])
    ending = {name: {partition: span.end for partition, span in result.items()} for name, result in spans.items()}
    return Window(boundary, starting, ending)


def _reached(settings: Settings, topic: str, partition: int, offset: int, span: Span, now: datetime) -> datetime:
    """Return before which time of arrival everything of a partition is before an offset."""
    if offset >= span.end:
        return now
    return min(kafka.time_of(settings, topic, partition, offset) or now, now)


def _since(settings: Settings, topic: Topic, moment: datetime, spans: Mapping[int, Span]) -> dict[int, int]:
    """Return from which offset on messages may be of a minute since ``moment``: none is accepted from the future."""
    result = topics.offsets_at(settings, topic, moment)
    return {
        partition: min(max(offset, spans[partition].first), spans[partition].end)
        for partition, offset in result.items()
    }
