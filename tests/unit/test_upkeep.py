"""Which snapshots may go: never one that a run, a query or the days changed since then still need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engines.snapshots import expendable
from engines.table_format import Snapshot

pytestmark = pytest.mark.unit
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
LONG_AFTER = BEGIN + timedelta(days=365)


def snapshot(number: int, **summary: str) -> Snapshot:
    return Snapshot(number, number - 1 or None, BEGIN + timedelta(days=number), "append", summary)


def history(*numbers: int) -> list[Snapshot]:
    return [snapshot(number) for number in sorted(numbers, reverse=True)]


def ids(snapshots: list[Snapshot]) -> list[int]:
    return sorted(item.id for item in snapshots)


def test_all_but_the_newest_go_if_nobody_needs_them() -> None:
    assert ids(expendable(history(1, 2, 3), [], LONG_AFTER, set(), "query-id")) == [1, 2]
    assert expendable(history(1), [], LONG_AFTER, set(), "query-id") == []
    assert expendable([], [], LONG_AFTER, set(), "query-id") == []


def test_what_a_run_has_read_stays_and_all_after_it() -> None:
    assert ids(expendable(history(1, 2, 3, 4, 5), [], LONG_AFTER, {3, 5}, "query-id")) == [1, 2]


def test_the_last_commit_of_each_query_stays() -> None:
    published = [snapshot(5), snapshot(4, **{"query-id": "b"}), snapshot(3, **{"query-id": "a"})]
    published += [snapshot(2, **{"query-id": "a"}), snapshot(1, **{"query-id": "b"})]
    assert ids(expendable(published, [], LONG_AFTER, set(), "query-id")) == [1, 2]


def test_young_ones_stay_and_so_do_staged_ones() -> None:
    before = BEGIN + timedelta(days=3)
    assert ids(expendable(history(1, 2, 3, 4), [snapshot(1, token="t")], before, {4}, "query-id")) == [1, 1, 2]
    assert expendable(history(4), [snapshot(3, token="t")], before, set(), "query-id") == []


def test_a_snapshot_that_is_not_known_protects_nothing() -> None:
    assert ids(expendable(history(1, 2), [], LONG_AFTER, {99}, "query-id")) == [1]
