"""The cutover between the layers, the merged views' text, and why a minute may differ between layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from core_samples import LONDON, NOON, TANK, tank_readings
from hypothesis import assume, given
from hypothesis import strategies as st

from datasets.household.declaration import HOUSEHOLD
from meterlake import merged, timegrid
from meterlake.boundary import BEGINNING
from meterlake.ddl import cassandra_ddl, hive_ddl, speed_tables
from meterlake.declaration import View
from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.judgement import judge, state_of
from meterlake.lateness import is_late
from meterlake.precedence import Balance
from meterlake.reading import Reading
from meterlake.reconciliation import explain

pytestmark = pytest.mark.unit

T = int(NOON.timestamp())
TTL = timedelta(days=3)
MOMENTS = st.integers(0, 4 * 10**9).map(lambda ts: datetime.fromtimestamp(ts, UTC))
ZONES = st.sampled_from(["Europe/Paris", "Asia/Kolkata", "America/St_Johns", "UTC"])
HOURLY = replace(TANK, time_zone="Europe/Paris", views=(View("hour", "month"), View("day", "year")))


@given(MOMENTS, st.sampled_from(sorted(GRAIN_SECONDS)), ZONES)
def test_a_row_holds_the_moment_from_which_its_time_is_taken(moment: datetime, grain: Grain, zone: str) -> None:
    time = timegrid.row_time(moment, grain, zone)
    begins = timegrid.row_start(moment, grain, zone)
    assert begins <= moment
    assert timegrid.row_time(begins, grain, zone) == time
    assert timegrid.row_time(begins - timedelta(seconds=1), grain, zone) != time


def test_the_line_is_the_boundary_at_the_beginning_of_a_row_of_the_finest_view() -> None:
    boundary = NOON + timedelta(minutes=34)
    assert merged.cutover_at(HOUSEHOLD, boundary) == boundary
    assert merged.cutover_at(HOURLY, boundary) == NOON


def test_the_hour_view_takes_whole_hours_then_minutes_then_speed() -> None:
    sql = merged.merged_sql(HOUSEHOLD, "hour", merged.cutover(HOUSEHOLD, NOON + timedelta(minutes=34), NOON, TTL))
    assert "WHERE hour < TIMESTAMP '2026-11-21 12:00'" in sql
    assert "month IN ('2026-11')" in sql
    assert "minute >= TIMESTAMP '2026-11-21 12:00'" in sql
    assert "minute < TIMESTAMP '2026-11-21 12:34'" in sql
    assert "minute >= TIMESTAMP '2026-11-21 12:34 UTC'" in sql
    assert "day IN ('2026-11-21', '2026-11-22'" in sql
    assert "AND day <= date_format(current_timestamp AT TIME ZONE 'UTC' + INTERVAL '1' DAY, '%Y-%m-%d')" in sql


def test_on_the_hour_no_minute_of_batch_is_read() -> None:
    sql = merged.merged_sql(HOUSEHOLD, "hour", merged.cutover(HOUSEHOLD, NOON, NOON, TTL))
    assert "hive.batch.household_minute" not in sql


def test_local_days_begin_where_the_zone_says_and_may_need_two_partitions() -> None:
    boundary = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)  # Paris: 00:30 on the first of November
    sql = merged.merged_sql(HOUSEHOLD, "day", merged.cutover(HOUSEHOLD, boundary, boundary, TTL))
    assert "WHERE day < DATE '2026-11-01'" in sql
    assert "hour < TIMESTAMP" not in sql  # its first hour is not over
    assert "minute >= TIMESTAMP '2026-10-31 23:00'" in sql
    late = merged.merged_sql(HOUSEHOLD, "day", merged.cutover(HOUSEHOLD, boundary + timedelta(hours=3), boundary, TTL))
    assert (
        "month IN ('2026-10', '2026-11')\n    AND hour >= TIMESTAMP '2026-10-31 23:00'\n"
        "    AND hour < TIMESTAMP '2026-11-01 02:00'" in late
    )
    assert "minute >= TIMESTAMP '2026-11-01 02:00'" in late


def test_a_month_is_made_of_days_hours_and_half_hours_up_to_the_line() -> None:
    boundary = datetime(2026, 7, 21, 12, 44, tzinfo=UTC)
    result = merged.cutover(LONDON, boundary, boundary, TTL)
    assert result.at == datetime(2026, 7, 21, 12, 30, tzinfo=UTC)
    assert merged.batch_pieces(LONDON, "month", result.at) == [
        merged.Piece("half_hour", datetime(2026, 7, 21, 12, tzinfo=UTC), result.at),
        merged.Piece("hour", datetime(2026, 7, 20, 23, tzinfo=UTC), datetime(2026, 7, 21, 12, tzinfo=UTC)),
        merged.Piece("day", datetime(2026, 6, 30, 23, tzinfo=UTC), datetime(2026, 7, 20, 23, tzinfo=UTC)),
    ]
    sql = merged.merged_sql(LONDON, "month", result)
    assert "WHERE month < DATE '2026-07-01'" in sql
    assert (
        "FROM hive.batch.london_day\n  WHERE year IN ('2026')\n"
        "    AND day >= DATE '2026-07-01'\n    AND day < DATE '2026-07-21'" in sql
    )
    assert "date_trunc('month', day) AS month" in sql
    assert "date_format(month, '%Y') AS year" in sql


def test_half_hours_live_in_tables_of_their_name_in_both_layers() -> None:
    sql = merged.merged_sql(LONDON, "half_hour", merged.cutover(LONDON, NOON, NOON, TTL))
    assert "FROM hive.batch.london_half_hour\n  WHERE half_hour < TIMESTAMP '2026-11-21 12:00'" in sql
    assert "CAST(half_hour AT TIME ZONE 'UTC' AS TIMESTAMP(6)) AS half_hour" in sql
    assert "FROM cassandra.speed.london_half_hour\n  WHERE day IN ('2026-11-21'" in sql
    assert "AND half_hour >= TIMESTAMP '2026-11-21 12:00 UTC'" in sql
    assert "energy_avg" not in sql  # an amount has none
    cql = cassandra_ddl(LONDON)
    assert "CREATE TABLE IF NOT EXISTS speed.london_half_hour (" in cql
    assert "PRIMARY KEY ((meter_id, day), half_hour)" in cql
    assert "minute" not in cql.lower().replace("'minutes'", "")
    assert list(speed_tables(LONDON)) == ["london_half_hour", "london_latest", "london_recent"]
    assert "batch.london_month (\n" in hive_ddl(LONDON)


def test_a_view_shows_the_partition_of_its_rows_whichever_layer_they_come_from() -> None:
    result = merged.cutover(HOUSEHOLD, NOON, NOON, TTL)
    computed = {
        "minute": "date_format(CAST(minute AT TIME ZONE 'UTC' AS TIMESTAMP(6)), '%Y-%m') AS month",
        "hour": "date_format(hour, '%Y-%m') AS month",
        "day": "date_format(day, '%Y') AS year",
    }
    for view in HOUSEHOLD.views:
        name = merged.partition_of(HOUSEHOLD, view.grain)
        assert name == view.partition
        assert computed[view.grain] in merged.merged_sql(HOUSEHOLD, view.grain, result)
        for sql in (merged.merged_sql(HOUSEHOLD, view.grain, None), merged.published_sql(HOUSEHOLD, view.grain)):
            assert f"'batch' AS source,\n  {name}\nFROM" in sql


def test_without_a_speed_layer_batch_answers_to_its_end() -> None:
    for view in HOUSEHOLD.views:
        sql = merged.merged_sql(HOUSEHOLD, view.grain, None)
        assert "cassandra" not in sql
        assert "WHERE" not in sql


def test_before_the_first_run_only_days_that_may_have_rows_are_asked_for() -> None:
    result = merged.cutover(HOUSEHOLD, BEGINNING, NOON, TTL)
    assert result.at == BEGINNING
    assert (result.days[0], result.days[-1]) == ("2026-11-16", "2026-11-26")


# What becomes of readings


def reading(offset: int = 0, **changes: Any) -> Reading:
    values: dict[str, Any] = {
        "meter_id": "a",
        "ts": T,
        "interval_s": 60,
        "values": (2.0, 300.0, 1.0),
        "received_at": NOON + timedelta(seconds=61),
        "origin": TANK.readings_topic,
        "origin_offset": offset,
    }
    return Reading(**(values | changes))


@given(st.lists(tank_readings(wild=True), max_size=12))
def test_every_reading_has_one_verdict_and_one_length_counts_in_a_cell(readings: list[Reading]) -> None:
    judged = judge(TANK, readings)
    assert [result.reading for result in judged] == readings
    Balance.of(len(readings), [result.verdict for result in judged]).check()
    lengths: dict[Any, set[int]] = {}
    for result in judged:
        if result.verdict == "used":
            cell = (result.reading.meter_id, result.reading.ts - result.reading.ts % TANK.cell_s)
            lengths.setdefault(cell, set()).add(result.reading.interval_s)
    assert all(len(result) == 1 for result in lengths.values())


def test_the_finer_readings_of_a_minute_supersede_the_coarse_one_once_they_cover_as_much() -> None:
    fine = [reading(n, ts=T + 10 * n, interval_s=10) for n in range(6)]
    verdicts = [result.verdict for result in judge(TANK, [reading(9), *fine])]
    assert verdicts == ["superseded", *["used"] * 6]
    assert [result.verdict for result in judge(TANK, [reading(9), *fine[:5]])] == ["used", *["superseded"] * 5]


def test_no_used_reading_makes_no_row() -> None:
    assert state_of(TANK, judge(TANK, [reading(values=(None, None, None))])) is None
    assert state_of(TANK, []) is None


# Reconciliation


def state(readings: Sequence[Reading]) -> Any:
    return state_of(TANK, judge(TANK, readings))


LATE = reading(5, ts=T + 10, interval_s=10, values=(3.0, 301.0, 2.0), received_at=NOON + timedelta(hours=1))
ON_TIME = [reading(n, ts=T + 10 * n, interval_s=10) for n in (0, 2, 3)]


def test_equal_rows_need_no_readings() -> None:
    assert explain(TANK, state(ON_TIME), state(ON_TIME), []) == "equal"


def test_what_came_after_the_watermark_is_late() -> None:
    assert is_late(TANK, LATE)
    assert explain(TANK, state([*ON_TIME, LATE]), state(ON_TIME), [*ON_TIME, LATE]) == "late"
    assert explain(TANK, state([LATE]), None, [LATE]) == "late"


def test_what_came_in_time_and_is_not_in_speed_is_unexplained() -> None:
    assert explain(TANK, state(ON_TIME), state(ON_TIME[:2]), ON_TIME) == "unexplained"
    assert explain(TANK, state(ON_TIME), None, ON_TIME) == "unexplained"


def test_what_is_in_speed_and_not_in_the_master_is_unexplained() -> None:
    assert explain(TANK, None, state(ON_TIME), []) == "unexplained"
    assert explain(TANK, state(ON_TIME[:2]), state(ON_TIME), ON_TIME[:2]) == "unexplained"


def test_what_the_master_has_got_since_batch_read_it_has_arrived_since() -> None:
    assert explain(TANK, None, state(ON_TIME), [], ON_TIME) == "arrived_since"
    assert explain(TANK, state(ON_TIME[:1]), state(ON_TIME[:2]), ON_TIME[:1], ON_TIME[1:]) == "arrived_since"
    other = reading(9, ts=T + 40, interval_s=10, values=(4.0, 302.0, 2.0))
    skipped = state([ON_TIME[0], other])
    assert explain(TANK, state(ON_TIME[:1]), skipped, ON_TIME[:1], [ON_TIME[1], other]) == "unexplained"
    assert explain(TANK, state(ON_TIME), state([*ON_TIME, LATE]), ON_TIME, [LATE]) == "unexplained"


def test_a_late_reading_that_replaces_another_has_revised_or_withdrawn_it() -> None:
    revised = replace(LATE, ts=T, revision=1)
    withdrawn = replace(revised, values=(None, None, None))
    for late, outcome in ((revised, "revised"), (withdrawn, "withdrawn")):
        every = [*ON_TIME, late]
        assert explain(TANK, state(every), state(ON_TIME), every) == outcome
    assert explain(TANK, None, state(ON_TIME[:1]), [ON_TIME[0], withdrawn]) == "withdrawn"
    both = [*ON_TIME, withdrawn, replace(LATE, ts=T + 20, revision=1)]
    assert explain(TANK, state(both), state(ON_TIME), both) == "revised"
    in_time = replace(revised, received_at=NOON + timedelta(minutes=2))
    assert explain(TANK, state([*ON_TIME, in_time]), state(ON_TIME), [*ON_TIME, in_time]) == "unexplained"
    assert explain(TANK, state([*ON_TIME, revised]), state([revised]), [*ON_TIME, revised]) == "unexplained"


def test_a_minute_that_was_withdrawn_on_time_has_no_row_in_either_layer() -> None:
    gone = replace(ON_TIME[0], origin_offset=9, revision=1, values=(None, None, None))
    assert explain(TANK, None, None, [ON_TIME[0], gone]) == "equal"
    assert explain(TANK, None, state(ON_TIME[:1]), [ON_TIME[0], gone]) == "unexplained"  # a row that should be gone


def test_the_declared_lateness_counts_from_the_end_of_the_minute() -> None:
    edge = NOON + timedelta(minutes=1) + TANK.lateness
    assert is_late(TANK, replace(LATE, received_at=edge))
    assert not is_late(TANK, replace(LATE, received_at=edge - timedelta(milliseconds=1)))


def test_a_reading_by_file_is_loaded() -> None:
    by_file = replace(LATE, origin="history.csv")
    assert explain(TANK, state([*ON_TIME, by_file]), state(ON_TIME), [*ON_TIME, by_file]) == "loaded"


def test_a_row_of_batch_that_its_readings_do_not_make_is_unexplained() -> None:
    assert explain(TANK, state(ON_TIME[:1]), state(ON_TIME[:2]), ON_TIME) == "unexplained"


def test_a_file_explains_a_row_where_late_messages_change_nothing() -> None:
    by_file = replace(LATE, origin="history.csv")
    again = replace(ON_TIME[0], origin_offset=9, received_at=LATE.received_at)
    every = [*ON_TIME, again, by_file]
    assert explain(TANK, state(every), state(ON_TIME), every) == "loaded"


@given(st.lists(tank_readings(), min_size=1, max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
def test_whatever_came_late_is_explained(readings: list[Reading], late: list[bool]) -> None:
    """Whatever the speed layer leaves out because it came late, in any order, is never unexplained."""
    live = [
        replace(reading, meter_id="a", origin=TANK.readings_topic, origin_partition=0, origin_offset=n)
        for n, reading in enumerate(readings)
        if reading.ts // 60 == T // 60
    ]
    assume(live)
    arrived = [
        replace(reading, received_at=NOON + timedelta(seconds=n, hours=int(is_after)))
        for n, (reading, is_after) in enumerate(zip(live, late, strict=False))
    ]
    seen = [reading for reading in arrived if reading.received_at < NOON + timedelta(minutes=11)]
    assert explain(TANK, state(arrived), state(seen), arrived) in ("equal", "late", "revised", "withdrawn")
