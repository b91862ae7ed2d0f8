"""Readings of one meter, removed from what the speed layer keeps: rows in Cassandra, messages in Kafka."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from engines import archive_progress, cassandra, hdfs, topics
from meterlake import ddl
from meterlake.erasure import InTopic, Remains, Retention, left_among_rejects, left_in_topic
from speed_layer.checkpoint import FOLDER, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.erasure import Erasure
    from meterlake.settings import Settings

# Names come from the declaration; values are bound.
# ruff: noqa: S608

_VIEWS: Final = "views"
_TIMEOUT_S: Final = 60


class LiveRows:
    """What the speed layer has of a meter; see ``meterlake.erasure.Live``."""

    def __init__(self, settings: Settings, dataset: MeterSeries, erasure: Erasure, clock: Clock) -> None:
        self._settings, self._dataset, self._erasure, self._clock = settings, dataset, erasure, clock
        self._finest, self._latest, self._recent = ddl.speed_tables(dataset)

    def count(self) -> dict[str, int]:
        """Return how many rows are in which table."""
        counts = dict.fromkeys(self._names(), 0)
        with cassandra.session(self._settings) as session, cassandra.translated(self._settings):
            for table, where, values in self._ranges(session):
                row = session.execute(f"SELECT count(*) FROM {_full(table)} WHERE {where}", values).one()
                counts[f"rows of {_full(table)}"] += row[0]
        return counts

    def erase(self) -> list[Remains]:
        """Remove them; return what cannot be removed."""
        removed = False
        with cassandra.session(self._settings) as session, cassandra.translated(self._settings):
            for table, where, values in self._ranges(session):
                session.execute(f"DELETE FROM {_full(table)} WHERE {where}", values)
                removed = True
        until = self._clock() + 2 * self._settings.speed_ttl
        result = [Remains("Cassandra's files", "deleted rows, which no query shows", until)] if removed else []
        return [*result, *self._open_rows()]

    def first_offsets(self) -> dict[int, int]:
        """Return the first offset that is kept of each partition of the readings' topic, as far as it is archived."""
        topic = topics.find(self._settings, self._dataset.readings_topic)
        progress = archive_progress.latest(self._settings, self._dataset.name)
        if topic is None or progress is None or progress.topic_id != topic.id:
            return {}
        return {partition: span.first for partition, span in topics.spans(self._settings, topic).items()}

    def trim(self, messages: list[InTopic]) -> list[Remains]:
        """Delete messages that stand before all others of their partition; return what is left."""
        topic = topics.find(self._settings, self._dataset.readings_topic)
        if topic is None:
            return []
        name, spans, read = topic.name, topics.spans(self._settings, topic), self._read(topic.name)
        ends = {part.partition: part.alone_until for part in messages}
        # What the query of the views has not read yet, it would miss.
        ends = {p: min(end, read.get(p, 0)) if read is not None else end for p, end in ends.items()}
        ends = {p: end for p, end in ends.items() if end > spans[p].first}
        if ends:
            topics.delete_before(self._settings, name, ends)
        firsts = {p: max(span.first, ends.get(p, 0)) for p, span in spans.items()}
        rejects, now = self._dataset.rejected_topic, self._clock()  # made with the readings' topic
        return [
            *left_in_topic(name, messages, firsts, self._retention(name), now),
            *(
                left_among_rejects(rejects, messages, self._retention(rejects), now)
                if topics.find(self._settings, rejects)
                else []
            ),
            *self._not_archived(topic, spans),
        ]

    def _retention(self, topic: str) -> Retention:
        return Retention(topics.retention(self._settings, topic), topics.segment_time(self._settings, topic))

    def _read(self, topic: str) -> dict[int, int] | None:
        """Return how far the query of the views has read the topic; None where there is none."""
        if hdfs.client(self._settings).status(f"{FOLDER}/{self._dataset.name}/{_VIEWS}", strict=False) is None:
            return None
        return Checkpoint(self._settings, self._dataset, _VIEWS).next_offsets().get(topic, {})

    def _not_archived(self, topic: topics.Topic, spans: dict[int, topics.Span]) -> list[Remains]:
        """Return the messages whose meter is not known, since the archive has not read them."""
        progress = archive_progress.latest(self._settings, self._dataset.name)
        reached = progress.partitions if progress and progress.topic_id == topic.id else {}
        behind = sum(
            span.end - max(span.first, reached[p].next_offset if p in reached else 0) for p, span in spans.items()
        )
        if behind <= 0:
            return []
        what = f"{behind} messages that are not archived yet: those of the meter come back with the archive"
        return [Remains(f"Kafka topic {topic.name}", f"{what}; then erase again")]

    def _open_rows(self) -> list[Remains]:
        if self._read(self._dataset.readings_topic) is None:
            return []
        what = f"rows that the stream has not closed (up to {self._dataset.lateness} old): until it has made 20 updates"
        return [Remains("the stream's checkpoint", f"{what} after them")]

    def _names(self) -> list[str]:
        return [f"rows of {_full(table)}" for table in (self._finest, self._latest, self._recent)]

    def _ranges(self, session: Any) -> Iterable[tuple[str, str, list[Any]]]:  # noqa: ANN401 - the driver's own
        """Yield the parts of tables that have rows to be removed: table, condition, values."""
        keyspace = session.cluster.metadata.keyspaces.get(ddl.CASSANDRA_KEYSPACE)
        there = set(keyspace.tables) if keyspace else set[str]()
        key, time, before = self._dataset.key, self._dataset.event_time, self._erasure.before
        meter, moment = self._erasure.meter, before.astimezone(UTC).replace(tzinfo=None) if before else None
        if self._finest in there:
            grain = self._dataset.finest.grain
            for row in session.execute(f"SELECT DISTINCT {key}, day FROM {_full(self._finest)}", timeout=_TIMEOUT_S):
                if row[0] != meter or (before and row[1] > f"{before.astimezone(UTC):%Y-%m-%d}"):
                    continue
                if moment is None:
                    yield self._finest, f"{key} = %s AND day = %s", [meter, row[1]]
                else:
                    yield self._finest, f"{key} = %s AND day = %s AND {grain} < %s", [meter, row[1], moment]
        if self._latest in there:
            latest = session.execute(f"SELECT {time} FROM {_full(self._latest)} WHERE {key} = %s", [meter]).one()
            if latest and (moment is None or latest[0] < moment):
                yield self._latest, f"{key} = %s", [meter]
        if self._recent in there:
            end, values = (f" AND {time} < %s", [meter, moment]) if moment else ("", [meter])
            yield self._recent, f"{key} = %s{end}", values


def _full(table: str) -> str:
    return f"{ddl.CASSANDRA_KEYSPACE}.{table}"
