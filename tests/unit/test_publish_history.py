"""What follows from the record of runs: which one is current, what is unfinished, what may be rolled back to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.household.declaration import HOUSEHOLD
from meterlake import merged
from meterlake.errors import UnknownName
from serving_layer.publish import packing
from serving_layer.publish.folders import applied, by_name, difference
from serving_layer.publish.history import Event, History, Record, out_of_reach
from serving_layer.publish.lineage import Layer
from serving_layer.publish.records import history_of, tidy_is_due

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 21, tzinfo=UTC)
MINUTES = "household_minute"
MONTH = "month=2026-11"


def record(seq: int, run: str, event: Event, **more: Any) -> Record:
    values: dict[str, Any] = {
        "dataset": "household",
        "seq": seq,
        "run_id": run,
        "event": event,
        "at": START + timedelta(minutes=seq),
        "boundary": START,
        "snapshot": seq,
        "changes": {MINUTES: {MONTH: (None, folder(run))}},
    }
    return Record(**(values | more))


def folder(run: str, name: str = MONTH) -> str:
    return f"/batch/{name}/run={run}"


def published(*runs: str) -> list[Record]:
    """Return the records of runs published one after the other."""
    events: list[Record] = []
    for run in runs:
        events.append(record(len(events) + 1, run, "publishing"))
        events.append(record(len(events) + 1, run, "published"))
    return events


def names(history: History) -> list[str]:
    return [run.run_id for run in history.runs]


def test_nothing_is_current_before_the_first_run() -> None:
    assert History() == History.of([])
    assert (History().current, History().begun, History().runs, History().folders_in_use) == (None, None, [], set())


def test_a_run_is_current_only_once_it_is_published() -> None:
    records = published("a", "b")
    for until, current in ((1, None), (2, "a"), (3, "a"), (4, "b")):
        history = History.of(records[:until])
        assert (history.current.run_id if history.current else None) == current
        assert history.seq == until


@pytest.mark.parametrize("event", ["publishing", "rolling_back"])
def test_what_was_begun_and_not_ended_is_unfinished(event: Event) -> None:
    history = History.of([*published("a"), record(3, "b", event)])
    assert history.begun is not None
    assert history.begun.run_id == "b"
    assert history.after(record(4, "b", history.begun.finished_event)).begun is None


def test_a_roll_back_makes_the_older_run_current_and_keeps_the_newer() -> None:
    records = [*published("a", "b", "c"), record(7, "a", "rolling_back"), record(8, "a", "rolled_back")]
    history = History.of(records)
    assert names(history) == ["a", "c", "b"]
    assert history.tables == {MINUTES: {MONTH: folder("a")}}
    assert history.status(records[1]) == "current"
    assert history.target("household", "c").record.seq == 6
    assert names(history.after(record(10, "d", "published"))) == ["d", "a", "c", "b"]


def test_the_last_three_runs_besides_the_current_one_are_kept() -> None:
    records = published("a", "b", "c", "d", "e")
    history = History.of(records)
    assert names(history) == ["e", "d", "c", "b"]
    assert history.folders_in_use == {folder(run) for run in "bcde"}
    assert [history.status(each) for each in records[1::2]] == ["expired", "kept", "kept", "kept", "current"]
    under_way = History.of(records[:-1])
    assert under_way.folders_in_use == {folder(run) for run in "abcde"}
    assert out_of_reach(under_way, history) == out_of_reach(History.of(records[:-2]), history) == {folder("a")}


def test_the_same_run_published_again_with_a_later_boundary_pushes_none_out() -> None:
    later = START + timedelta(minutes=5)
    records = [*published("a", "b"), record(6, "b", "published", boundary=later, changes={})]
    history = History.of(records)
    assert names(history) == ["b", "a"]
    assert history.current is not None
    assert history.current.boundary == later
    assert history.tables == {MINUTES: {MONTH: folder("b")}}


def test_folders_of_an_unfinished_publish_are_in_use_on_both_sides() -> None:
    begun = record(3, "b", "publishing", changes={MINUTES: {MONTH: ("/batch/old", folder("b"))}})
    assert History.of([*published("a"), begun]).folders_in_use == {folder("a"), folder("b"), "/batch/old"}


@pytest.mark.parametrize("run", ["a", "e", "nonsense"])
def test_a_run_that_cannot_be_reached_is_refused_with_those_that_can(run: str) -> None:
    with pytest.raises(UnknownName, match=r"b, c, d"):
        History.of(published("a", "b", "c", "d", "e")).target("household", run)


partitions = st.dictionaries(st.sampled_from(["month=1", "month=2", "month=3"]), st.sampled_from("pqrs"))
arrangements = st.dictionaries(st.sampled_from(["minute", "hour"]), partitions)


@given(arrangements, arrangements)
def test_a_difference_leads_from_one_arrangement_to_the_other_and_names_nothing_else(before: Any, after: Any) -> None:
    there = difference(before, after)
    assert _filled(applied(before, there)) == _filled(after)
    assert _filled(applied(applied(before, there), there)) == _filled(after)
    back = {table: {name: (new, old) for name, (old, new) in changed.items()} for table, changed in there.items()}
    assert difference(after, before) == back
    for table, changed in there.items():
        assert all(before.get(table, {}).get(name) == old != new for name, (old, new) in changed.items())


def _filled(tables: Any) -> Any:
    return {table: dict(parts) for table, parts in tables.items() if parts}


moves = st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["month=1", "month=2"]), st.booleans()))


@given(moves, st.integers(0, 40))
def test_a_history_that_was_recorded_whole_goes_on_as_all_its_records_do(
    steps: list[tuple[str, str, bool]], at: int
) -> None:
    records: list[Record] = []
    history = History()
    for run, name, moved in steps:
        known = {each.run_id: each for each in history.kept}
        event: Event = "rolled_back" if run in known else "published"
        changes: Any = {MINUTES: {name: (history.tables.get(MINUTES, {}).get(name), folder(run, name))}}
        if run in known:
            changes = difference(history.tables, known[run].tables)
        elif moved:
            changes = {}
        details = {"mode": "range", "read_snapshot": len(records), "tables": {"master": {"days": ["2026-11-21"]}}}
        records.append(record(len(records) + 1, run, event, changes=changes, details=details))
        history = history.after(records[-1])
    at = min(at, len(records))
    whole = History.of(records[:at])
    text = json.loads(json.dumps(packing.packed(whole)))
    restored = packing.unpacked("household", whole.seq, text)
    for later in records[at:]:
        restored = restored.after(later)
    assert restored == history


def rows(records: list[Record]) -> list[dict[str, Any]]:
    """Return records as the table gives them, the history recorded whole with each finished one."""
    history = History()
    result: list[dict[str, Any]] = []
    for each in records:
        history = history.after(each)
        row = packing.values(each, history if each.is_finished else None)
        times = {name: datetime.fromisoformat(row[name]) for name in ("at", "boundary")}
        result.append(row | times)
    return result


def test_what_is_before_the_last_finished_record_need_not_be_read() -> None:
    records = [*published(*(f"run{number}" for number in range(60))), record(121, "next", "publishing")]
    table = rows(records)
    assert [row["seq"] for row in table if row["state"]] == list(range(2, 121, 2))
    assert history_of(table[119:]) == History.of(records)
    assert history_of([row | {"state": None} for row in table]) == History.of(records)


def test_a_state_that_was_not_compressed_is_read() -> None:
    records = published("a", "b")
    history = History.of(records)
    row = rows(records)[-1] | {"state": json.dumps(packing.packed(history), sort_keys=True)}
    assert packing.state_of(row) == history


def test_the_state_of_many_partitions_is_packed_small() -> None:
    tables = {
        f"t{number}": {f"hour={hour}": f"/b/t{number}/hour={hour}/run=a" for hour in range(800)} for number in range(5)
    }
    records = [record(1, "a", "publishing"), record(2, "a", "published", changes=difference({}, tables))]
    row = rows(records)[-1]
    assert len(row["state"]) < 40_000
    assert packing.state_of(row) == History.of(records)


@pytest.mark.parametrize(("seq", "due"), [(2, False), (48, False), (50, True), (51, True), (52, False), (100, True)])
def test_the_table_is_tidied_each_fifty_records(seq: int, due: bool) -> None:
    assert tidy_is_due(History(seq=seq)) is due


def test_records_of_version_0_1_with_the_place_of_every_partition_are_read_as_what_they_changed() -> None:
    first = {MINUTES: {"2026-10": "/b/month=2026-10/run=a", "2026-11": "/b/month=2026-11/run=a"}}
    second = {MINUTES: {"2026-11": "/b/month=2026-11/run=b"}}
    table = [
        packing.values(record(seq, run, "published"), None)
        | {"changes": None, "state": None, "at": START, "boundary": START}
        | {"locations_before": json.dumps(before), "locations_after": json.dumps(after)}
        for seq, run, before, after in ((1, "a", {}, first), (2, "b", first, second))
    ]
    assert packing.record_of(table[1]).changes == {
        MINUTES: {
            "month=2026-10": ("/b/month=2026-10/run=a", None),
            "month=2026-11": ("/b/month=2026-11/run=a", "/b/month=2026-11/run=b"),
        }
    }
    history = history_of(table).after(record(3, "c", "published", changes={MINUTES: {MONTH: (None, folder("c"))}}))
    assert names(history) == ["c", "b", "a"]
    assert history.target("household", "a").tables == by_name(first)


def test_a_range_run_has_its_days_from_its_own_snapshot_and_the_rest_from_before() -> None:
    def range_of(days: list[str]) -> dict[str, Any]:
        return {"mode": "range", "read_snapshot": 3, "tables": {"master": {"days": days}}}

    first = record(2, "a", "published", details={"mode": "full", "read_snapshot": 1})
    one = record(4, "b", "published", details=range_of(["2020-01-02"]))
    two = record(6, "c", "published", details=range_of(["2020-01-02", "2020-01-03"]) | {"read_snapshot": 5})
    history = History.of([first, one])
    assert history.present is not None
    assert history.present.layers == (Layer(3, (date(2020, 1, 2),)), Layer(1, None))
    assert history.kept[0].layers == (Layer(1, None),)
    moved = history.after(replace(one, seq=6))
    assert moved.present is not None
    assert moved.present.layers == history.present.layers
    covered = history.after(two)
    assert covered.present is not None
    assert covered.present.layers == (Layer(5, (date(2020, 1, 2), date(2020, 1, 3))), Layer(1, None))


def test_a_published_view_has_what_the_core_says_it_has() -> None:
    sql = merged.published_sql(HOUSEHOLD, "day")
    assert sql.startswith("CREATE OR REPLACE VIEW hive.published.household_day ")
    assert sql.rstrip().endswith("FROM hive.batch.household_day")
    for column in ("voltage_avg", "power_factor", "'batch' AS source"):
        assert column in sql
