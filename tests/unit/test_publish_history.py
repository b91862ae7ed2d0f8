"""What follows from the record of runs: which one is current, what is unfinished, what may be rolled back to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datasets.household.declaration import HOUSEHOLD
from meterlake import merged
from meterlake.errors import UnknownName
from serving_layer.publish import history as past
from serving_layer.publish.history import Event, Record

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 21, tzinfo=UTC)


def record(seq: int, run: str, event: Event, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "dataset": "household",
        "seq": seq,
        "run_id": run,
        "event": event,
        "at": START + timedelta(minutes=seq),
        "boundary": START,
        "snapshot": seq,
        "before": {},
        "after": {"household_minute": {"2026-11": f"/batch/run={run}"}},
    }
    return Record(**(values | changes))


def published(*runs: str) -> list[Record]:
    """Return the history of runs published one after the other."""
    events: list[Record] = []
    for run in runs:
        events.append(record(len(events) + 1, run, "publishing"))
        events.append(record(len(events) + 1, run, "published"))
    return events


def test_nothing_is_current_before_the_first_run() -> None:
    assert past.current([]) is None
    assert past.unfinished([]) is None
    assert past.reachable([]) == []
    assert past.folders_in_use([]) == set()


def test_a_run_is_current_only_once_it_is_published() -> None:
    history = published("a", "b")
    for until, current in ((1, None), (2, "a"), (3, "a"), (4, "b")):
        found = past.current(history[:until])
        assert (found.run_id if found else None) == current


@pytest.mark.parametrize("event", ["publishing", "rolling_back"])
def test_what_was_begun_and_not_ended_is_unfinished(event: Event) -> None:
    history = [*published("a"), record(3, "b", event)]
    begun = past.unfinished(history)
    assert begun is not None
    assert begun.run_id == "b"
    assert past.unfinished([*history, record(4, "b", begun.finished_event)]) is None


def test_a_roll_back_makes_the_older_run_current_and_keeps_the_newer() -> None:
    history = [*published("a", "b", "c"), record(7, "a", "rolling_back"), record(8, "a", "rolled_back")]
    assert [found.run_id for found in past.reachable(history)] == ["a", "c", "b"]
    assert past.status(history, history[1]) == "current"
    assert past.target(history, "household", "c").seq == 6


def test_the_last_three_runs_besides_the_current_one_are_kept() -> None:
    history = published("a", "b", "c", "d", "e")
    assert [found.run_id for found in past.reachable(history)] == ["e", "d", "c", "b"]
    assert past.folders_in_use(history) == {f"/batch/run={run}" for run in "bcde"}
    assert [past.status(history, found) for found in history[1::2]] == ["expired", "kept", "kept", "kept", "current"]


def test_folders_of_an_unfinished_publish_are_in_use_on_both_sides() -> None:
    begun = record(3, "b", "publishing", before={"household_minute": {"2026-11": "/batch/run=old"}})
    assert past.folders_in_use([*published("a"), begun]) == {f"/batch/run={run}" for run in ("a", "b", "old")}


@pytest.mark.parametrize("run", ["a", "e", "nonsense"])
def test_a_run_that_cannot_be_reached_is_refused_with_those_that_can(run: str) -> None:
    with pytest.raises(UnknownName, match=r"b, c, d"):
        past.target(published("a", "b", "c", "d", "e"), "household", run)


def test_a_published_view_has_what_the_core_says_it_has() -> None:
    sql = merged.published_sql(HOUSEHOLD, "day")
    assert sql.startswith("CREATE OR REPLACE VIEW hive.published.household_day ")
    assert sql.rstrip().endswith("FROM hive.batch.household_day")
    for column in ("voltage_avg", "power_factor", "'batch' AS source"):
        assert column in sql
