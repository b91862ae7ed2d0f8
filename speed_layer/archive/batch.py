"""One micro-batch of the archive: every message once into the master data set, the quarantine, the topic of rejects.

Each table says in its own last commit which offsets it has, and takes only what lies behind them. So a micro-batch that
is done again after a crash, with whatever bounds, adds what is missing and nothing else. The topic of rejects comes
first: after a crash it may have a message twice, never not at all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import archive_progress, kafka, master
from engines.archive_progress import Progress, Reached
from engines.spark_failures import translated
from meterlake.errors import OutOfBalance
from speed_layer.archive import transforms
from speed_layer.decode import UNDECODABLE
from speed_layer.errors import NewerMessages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from engines.table_format import Table
    from engines.topics import Span, Topic
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

MANY: Final = 1000
"""With as many messages, all of an unknown version, the archive stops instead of filling the quarantine."""


@dataclass(frozen=True)
class Part:
    """The messages of one partition in a micro-batch."""

    count: int
    first: int
    last: int
    until: datetime
    bad: Mapping[str, int]


@dataclass(frozen=True)
class Archived:
    """What a micro-batch came to. missing: offsets between its messages that hold none."""

    received: int
    decoded: int
    undecodable: Mapping[str, int]
    missing: int
    already_there: int


class Archive:
    """Appends micro-batches. query: the checkpoint's id. spans: the topic's offsets when the query started."""

    def __init__(
        self, settings: Settings, dataset: MeterSeries, topic: Topic, query: str, spans: Mapping[int, Span]
    ) -> None:
        self._settings, self._dataset, self._topic, self._query, self._spans = settings, dataset, topic, query, spans

    def append(self, decoded: DataFrame, batch_id: int) -> Archived:
        """Append the messages of a micro-batch. Doing it again adds nothing.

        decoded: with the originals. Raises NewerMessages, with nothing appended; OutOfBalance; EngineUnavailable.
        """
        held = decoded.persist()
        try:
            with translated(self._settings, f"archive {self._topic.name}"):
                return self._append(held, batch_id)
        finally:
            held.unpersist()

    def _append(self, decoded: DataFrame, batch_id: int) -> Archived:
        parts = _parts(decoded)
        received, bad = _count(parts), _by_reason(parts)
        if received >= MANY and bad.get("unknown_version") == received:
            raise NewerMessages(self._topic.name, received, self._dataset.wire_version)
        quarantine = self._rest(f"{self._dataset.name}_quarantine", decoded, parts)
        if _by_reason(quarantine.parts):
            self._quarantine(quarantine, batch_id)
        readings = self._rest(self._dataset.name, decoded, parts)
        if readings.parts:
            self._readings(readings, batch_id)
        already = received - _count(readings.parts)
        return Archived(received, received - sum(bad.values()), bad, readings.missing, already)

    def _rest(self, table: str, decoded: DataFrame, parts: Mapping[int, Part]) -> _Rest:
        """Return the messages of a micro-batch that a table does not have yet."""
        before = archive_progress.latest(self._settings, table)
        reached = archive_progress.effective_offsets(before, self._topic, self._query, self._spans)
        behind = {p: reached[p].next_offset for p in parts if p in reached and parts[p].first < reached[p].next_offset}
        if not behind:
            return _Rest(decoded, parts, reached)
        rows = transforms.after(decoded, behind)
        return _Rest(rows, _parts(rows), reached)

    def _quarantine(self, rest: _Rest, batch_id: int) -> None:
        options = {**kafka.spark_options(self._settings), "topic": self._dataset.rejected_topic}
        transforms.rejected(rest.rows).write.format("kafka").options(**options).save()
        table = master.quarantine(rest.rows.sparkSession, self._settings, self._dataset)
        rows = transforms.quarantined(rest.rows, self._dataset, self._load_id(batch_id))
        self._commit(table, rows, rest, batch_id, sum(_by_reason(rest.parts).values()))

    def _readings(self, rest: _Rest, batch_id: int) -> None:
        """Append the readings, if only none, with the progress that they stand for."""
        table = master.master(rest.rows.sparkSession, self._settings, self._dataset)
        rows = transforms.readings(rest.rows, self._dataset, self._load_id(batch_id))
        self._commit(table, rows, rest, batch_id, _count(rest.parts) - sum(_by_reason(rest.parts).values()))

    def _commit(self, table: Table, rows: DataFrame, rest: _Rest, batch_id: int, expected: int) -> None:
        reached = rest.reached | {p: Reached(part.last + 1, part.until) for p, part in rest.parts.items()}
        progress = Progress(self._topic.name, self._topic.id, self._query, batch_id, reached)
        added = table.append(rows, progress.properties()).added_rows
        if added != expected:
            raise OutOfBalance(
                f"Micro-batch {batch_id} of {self._topic.name}, {table.name}",
                expected,
                {"appended": added},
                hint="The append is committed as it is; the archive has stopped so that somebody looks: it is a bug."
                f" Report it with commit {self._load_id(batch_id)}; started again, the archive goes on behind it.",
            )

    def _load_id(self, batch_id: int) -> str:
        return f"{self._query[:12]}-{batch_id}"


@dataclass(frozen=True)
class _Rest:
    """Messages that a table does not have yet. reached: how far it is."""

    rows: DataFrame
    parts: Mapping[int, Part]
    reached: dict[int, Reached]

    @property
    def missing(self) -> int:
        """Offsets up to the last message that have none: dropped by Kafka, or marks of transactions."""
        inside = sum(part.last - part.first + 1 - part.count for part in self.parts.values())
        between = ((part.first, self.reached[p].next_offset) for p, part in self.parts.items() if p in self.reached)
        return inside + sum(first - expected for first, expected in between)


def _parts(decoded: DataFrame) -> dict[int, Part]:
    """Return what a micro-batch holds of each partition."""
    rows = decoded.groupBy("origin_partition", UNDECODABLE).agg(
        F.count(F.lit(1)).alias("n"),
        F.min("origin_offset").alias("first"),
        F.max("origin_offset").alias("last"),
        F.max("received_at").alias("until"),
    )
    parts: dict[int, Part] = {}
    for row in rows.collect():
        p, reason = row["origin_partition"], row[UNDECODABLE]
        part = Part(
            row["n"], row["first"], row["last"], row["until"].replace(tzinfo=UTC), {reason: row["n"]} if reason else {}
        )
        parts[p] = _joined(parts[p], part) if p in parts else part
    return parts


def _joined(one: Part, other: Part) -> Part:
    return Part(
        one.count + other.count,
        min(one.first, other.first),
        max(one.last, other.last),
        max(one.until, other.until),
        {**one.bad, **other.bad},
    )


def _count(parts: Mapping[int, Part]) -> int:
    return sum(part.count for part in parts.values())


def _by_reason(parts: Mapping[int, Part]) -> dict[str, int]:
    result: Counter[str] = Counter()
    for part in parts.values():
        result.update(part.bad)
    return dict(result)
