"""How far Kafka is archived, as commits say it and as the boundary asks it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil

from engines.archive_progress import Newer, Progress, Reached, _history, at_ends, effective_offsets, newer_in
from engines.topics import Span, Topic
from meterlake.boundary import PartitionProgress

pytestmark = pytest.mark.unit
NOON = datetime(2026, 11, 21, 12, 0, 0, 5000, tzinfo=UTC)
reached = st.builds(Reached, st.integers(0, 2**62), st.datetimes(timezones=st.just(UTC)))


@given(st.dictionaries(st.integers(0, 500), reached), st.integers(0, 10**9))
def test_progress_survives_a_commit(partitions: dict[int, Reached], batch: int) -> None:
    progress = Progress("t", "id", "query", batch, partitions)
    assert Progress.of({"added-records": "1", **progress.properties()}) == progress


@pytest.mark.parametrize(
    ("archived", "spans"),
    [
        ({0: Reached(10, NOON), 1: Reached(5, NOON)}, {0: Span(0, 10), 1: Span(0, 6), 2: Span(0, 0), 3: Span(0, 1)}),
        # What Kafka has dropped unread is not waited for; what it has is.
        ({0: Reached(5, NOON), 1: Reached(5, NOON)}, {0: Span(9, 9), 1: Span(8, 9), 2: Span(4, 4), 3: Span(4, 5)}),
    ],
)
def test_a_partition_is_at_its_end_or_as_far_as_its_last_message(
    archived: dict[int, Reached], spans: dict[int, Span]
) -> None:
    progress = Progress("t", "id", "q", 7, archived)
    assert at_ends(progress, Topic("t", "id", (0, 1, 2, 3)), spans) == [
        PartitionProgress(0, NOON, at_end=True),
        PartitionProgress(1, NOON, at_end=False),
        PartitionProgress(2, None, at_end=True),
        PartitionProgress(3, None, at_end=False),
    ]


def test_a_topic_that_has_lost_its_end_is_not_archived_to_its_end() -> None:
    """Its next messages get offsets that the master data set has of others."""
    progress = Progress("t", "id", "q", 7, {0: Reached(10, NOON)})
    assert at_ends(progress, Topic("t", "id", (0,)), {0: Span(0, 7)}) == [PartitionProgress(0, NOON, at_end=False)]


def test_what_a_table_has_counts_unless_the_topic_is_another_or_has_lost_its_end_since() -> None:
    parts = {0: Reached(10, NOON), 1: Reached(5, NOON)}
    progress, topic = Progress("t", "id", "before", 7, parts), Topic("t", "id", (0, 1))
    assert effective_offsets(progress, topic, "now", {0: Span(0, 10), 1: Span(0, 9)}) == parts
    assert effective_offsets(progress, topic, "now", {0: Span(0, 7), 1: Span(0, 9)}) == {1: parts[1]}
    assert effective_offsets(progress, topic, "before", {0: Span(0, 7), 1: Span(0, 9)}) == parts
    assert effective_offsets(progress, Topic("t", "new", (0, 1)), "before", {0: Span(0, 10), 1: Span(0, 9)}) == {}
    assert effective_offsets(None, topic, "now", {0: Span(0, 0), 1: Span(0, 0)}) == {}


def test_nothing_is_archived_of_a_topic_that_was_made_anew() -> None:
    progress = Progress("t", "old", "q", 7, {0: Reached(10, NOON)})
    assert at_ends(progress, Topic("t", "new", (0,)), {0: Span(0, 3)}) == [PartitionProgress(0, None, at_end=False)]


def metadata(
    *snapshots: tuple[int, int | None, str], current: int | None = None, operation: str = "append"
) -> TableMetadata:
    """Return a table's metadata. snapshots: id, parent and ``n`` in the summary, of each; ``n`` rows were added.

    operation: of the second.
    """
    said: dict[str, object] = {
        "format-version": 2, "table-uuid": str(uuid.uuid4()), "location": "hdfs://n/t", "last-sequence-number": 1,
        "last-updated-ms": 1, "last-column-id": 1, "last-partition-id": 999, "properties": {},
        "schemas": [{"schema-id": 0, "type": "struct", "fields": []}], "current-schema-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": []}], "default-spec-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}], "default-sort-order-id": 0,
        "snapshots": [
            {"snapshot-id": number, "timestamp-ms": 1, "sequence-number": 1, "manifest-list": "hdfs://n/m",
             "summary": {"operation": operation if number == 2 else "append", "n": n, "added-records": n}}
            | ({"parent-snapshot-id": parent} if parent else {})
            for number, parent, n in snapshots
        ],
    }  # fmt: skip
    if current is not None:
        said |= {"current-snapshot-id": current, "refs": {"main": {"snapshot-id": current, "type": "branch"}}}
    return TableMetadataUtil.parse_raw(json.dumps(said))


def test_only_what_readers_saw_up_to_a_snapshot_counts() -> None:
    table = metadata((1, None, "1"), (2, 1, "2"), (3, 2, "staged"), (4, 2, "4"), current=4)
    assert [summary["n"] for summary in _history(table, None)] == ["4", "2", "1"]
    assert [summary["n"] for summary in _history(table, 2)] == ["2", "1"]
    assert [summary["n"] for summary in _history(metadata((2, 1, "2"), current=2), None)] == ["2"]  # 1 has expired
    assert list(_history(metadata(), None)) == []


@pytest.mark.parametrize(
    ("operation", "since", "rows"),
    [
        ("append", 4, 0),
        ("append", 2, 40),
        ("append", 1, 60),
        ("replace", 1, 40),
        ("overwrite", 1, None),
        ("append", 9, None),
    ],
)
def test_rows_are_new_that_were_appended_since_a_snapshot(operation: str, since: int, rows: int | None) -> None:
    table = metadata((1, None, "10"), (2, 1, "20"), (3, 2, "30"), (4, 2, "40"), current=4, operation=operation)
    assert newer_in(table, since) == Newer(4, rows)


def test_a_table_without_snapshots_has_nothing_new() -> None:
    assert newer_in(metadata(), 1) == Newer(None, None)
