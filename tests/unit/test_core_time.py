"""The time grid, daylight saving included, in Python and in DuckDB."""

# ruff: noqa: S608 - the SQL under test is generated

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from core_samples import TANK, changed, naive, query
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake.declaration import View
from meterlake.grains import GRAIN_SECONDS, FixedGrain, Grain, is_fixed
from meterlake.timegrid import (
    choice_order_sql,
    choose_interval,
    day_seconds,
    day_start,
    epoch_seconds_sql,
    floor_minute,
    floor_seconds,
    full_coverage,
    local_day,
    local_day_sql,
    local_days_of_utc_day,
    off_grid_sql,
    on_grid,
    rolls_up_from,
    row_end,
    row_start,
    row_time,
    row_time_sql,
    utc_days_of_local_day,
)

pytestmark = pytest.mark.unit

PARIS = "Europe/Paris"
SPRING, AUTUMN = date(2010, 3, 28), date(2010, 10, 31)
INSTANTS = st.integers(1_160_000_000, 1_800_000_000)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_days_of_paris_in_2010() -> None:
    lengths = {SPRING: 23, AUTUMN: 25}
    days = [date(2010, 1, 1) + timedelta(days=step) for step in range(365)]
    assert all(day_seconds(day, PARIS) == lengths.get(day, 24) * 3600 for day in days)
    assert day_start(SPRING, PARIS) == seconds("2010-03-27T23:00+00:00")
    assert day_start(AUTUMN, PARIS) == seconds("2010-10-30T22:00+00:00")
    assert local_day(seconds("2010-10-31T22:59:59+00:00"), PARIS) == AUTUMN
    assert local_day(seconds("2010-10-31T23:00:00+00:00"), PARIS) == date(2010, 11, 1)
    assert full_coverage(changed(time_zone=PARIS), "day", AUTUMN) == 90_000
    assert full_coverage(TANK, "hour") == 3600


@given(INSTANTS, st.sampled_from([PARIS, "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "UTC"]))
def test_local_days_and_utc_days_cover_each_other(ts: int, zone: str) -> None:
    day, utc_day = local_day(ts, zone), datetime.fromtimestamp(ts, UTC).date()
    assert day_start(day, zone) <= ts < day_start(day, zone) + day_seconds(day, zone)
    assert day in local_days_of_utc_day(utc_day, zone)
    assert utc_day in utc_days_of_local_day(day, zone)
    assert len(local_days_of_utc_day(utc_day, zone)) <= 2


def test_a_utc_day_touches_two_local_days() -> None:
    assert local_days_of_utc_day(date(2010, 3, 27), PARIS) == [date(2010, 3, 27), SPRING]
    assert local_days_of_utc_day(date(2010, 3, 27), "UTC") == [date(2010, 3, 27)]
    assert utc_days_of_local_day(SPRING, PARIS) == [date(2010, 3, 27), SPRING]


def test_the_grid() -> None:
    assert on_grid(TANK, 120, 60)
    assert not on_grid(TANK, 130, 60)
    assert on_grid(TANK, 130, 10)
    assert not on_grid(TANK, 130, 30)  # not declared
    assert not on_grid(TANK, 131, 10)
    assert floor_seconds(3599, 60) == 3540


def test_only_aware_times_have_a_meaning() -> None:
    moment = datetime(2010, 3, 28, 2, 30, 59, 5, tzinfo=timezone(timedelta(hours=1)))
    assert floor_minute(moment) == datetime(2010, 3, 28, 1, 30, tzinfo=UTC)
    with pytest.raises(ValueError, match="has no time zone"):
        floor_minute(naive(moment))


FIXED: list[FixedGrain] = [grain for grain in GRAIN_SECONDS if is_fixed(grain)]
ZONES = [PARIS, "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"]


@settings(max_examples=25)
@given(st.lists(INSTANTS, min_size=1, max_size=40), st.sampled_from(ZONES))
def test_duckdb_floors_and_finds_days_alike(instants: list[int], zone: str) -> None:
    grains: list[Grain] = [*FIXED, "day", "month"]
    rows = query(
        f"SELECT {epoch_seconds_sql('ts', 'duckdb')}, {local_day_sql('ts', zone, 'duckdb')},"
        f" {', '.join(row_time_sql('ts', grain, zone, 'duckdb') for grain in grains)} FROM t",
        {"ts": ("TIMESTAMP", [naive(datetime.fromtimestamp(ts, UTC)) for ts in instants])},
    )
    assert rows == [(ts, local_day(ts, zone), *(held(ts, grain, zone) for grain in grains)) for ts in instants]


def held(ts: int, grain: Grain, zone: str) -> datetime | date:
    """Return the time of the row that holds an instant, by hand, as tables have it."""
    day = datetime.fromtimestamp(ts, ZoneInfo(zone)).date()
    if not is_fixed(grain):
        return day.replace(day=1) if grain == "month" else day
    length = {"minute": 1, "five_minutes": 5, "ten_minutes": 10, "quarter_hour": 15, "half_hour": 30, "hour": 60}[grain]
    return naive(datetime.fromtimestamp(ts - ts % (60 * length), UTC))


@settings(max_examples=25)
@given(st.lists(st.tuples(INSTANTS, st.sampled_from([10, 60, 30, 0, -10])), min_size=1, max_size=40))
def test_duckdb_finds_the_same_readings_off_the_grid(rows: list[tuple[int, int]]) -> None:
    answered = query(
        f"SELECT {off_grid_sql(TANK, 's')} FROM t",
        {"s": ("BIGINT", [ts for ts, _ in rows]), "interval_s": ("INTEGER", [length for _, length in rows])},
    )
    assert [row[0] for row in answered] == [not on_grid(TANK, ts, length) for ts, length in rows]


@given(st.dictionaries(st.sampled_from([1, 10, 60]), st.integers(1, 60), min_size=1))
def test_more_coverage_wins_then_the_finer(coverage: dict[int, int]) -> None:
    chosen = choose_interval(coverage)
    assert coverage[chosen] == max(coverage.values())
    assert all(chosen <= other for other, covered in coverage.items() if covered == coverage[chosen])
    columns = {
        "interval_s": ("INTEGER", list(coverage)),
        "covered_s": ("INTEGER", list(coverage.values())),
    }
    order = choice_order_sql(TANK)
    assert query(f"SELECT interval_s FROM t ORDER BY {order} LIMIT 1", columns) == [(chosen,)]


def grains(*names: str, zone: str) -> Any:
    return changed(time_zone=zone, views=tuple(map(View, names)))


@pytest.mark.parametrize(
    ("zone", "views", "below"),
    [
        ("Europe/Paris", ("minute", "hour"), "hour"),
        ("UTC", ("minute", "hour"), "hour"),
        ("America/St_Johns", ("minute", "hour"), "minute"),
        ("Asia/Kolkata", ("minute", "hour"), "minute"),
        ("Asia/Kolkata", ("minute", "15 min", "30 min", "hour"), "half_hour"),
        ("Asia/Kathmandu", ("5 min", "15 min", "30 min", "hour"), "quarter_hour"),
        ("Asia/Kathmandu", ("5 min", "10 min", "30 min", "hour"), "five_minutes"),
        ("Australia/Lord_Howe", ("10 min", "30 min", "hour"), "half_hour"),
        ("Pacific/Apia", ("10 min", "30 min", "hour"), "hour"),
    ],
)
def test_days_are_made_of_the_coarsest_rows_that_no_offset_of_the_zone_cuts(
    zone: str, views: tuple[str, ...], below: Grain
) -> None:
    dataset = grains(*views, "day", "month", zone=zone)
    assert rolls_up_from(dataset, "day") == below
    assert rolls_up_from(dataset, "month") == "day"
    assert rolls_up_from(grains(*views, "month", zone=zone), "month") == below


def test_rows_are_made_of_the_coarsest_that_divides_them() -> None:
    dataset = grains("5 min", "10 min", "15 min", "30 min", "hour", zone="UTC")
    chain = [(grain, rolls_up_from(dataset, grain)) for grain in ("hour", "half_hour", "quarter_hour", "ten_minutes")]
    assert [below for _, below in chain] == ["half_hour", "quarter_hour", "five_minutes", "five_minutes"]
    with pytest.raises(ValueError, match="empty"):
        rolls_up_from(dataset, "five_minutes")


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Asia/Kathmandu", "2026-11-26", "2026-11-25T18:15", 24.0),
        ("Asia/Kolkata", "2026-11-26", "2026-11-25T18:30", 24.0),
        ("Europe/London", "2026-03-29", "2026-03-29T00:00", 23.0),
        ("Europe/London", "2026-10-25", "2026-10-24T23:00", 25.0),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00", 24.5),  # its clocks go back by half an hour
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30", 23.5),
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00", 23.0),  # begins at 01:00
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00", 25.0),  # has 23:xx twice
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00", 23.0),  # begins at 01:00
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00", 24.0),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00", 0.0),  # was skipped
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00", 24.0),
    ],
)
def test_days_begin_and_last_as_their_zones_say(zone: str, day: str, begins: str, hours: float) -> None:
    local = date.fromisoformat(day)
    assert day_start(local, zone) == seconds(f"{begins}+00:00")
    assert full_coverage(changed(time_zone=zone), "day", local) == hours * 3600
    if hours:
        first = datetime.fromisoformat(f"{begins}+00:00")
        last = first + timedelta(hours=hours) - timedelta(seconds=1)
        assert row_time(first, "day", zone) == row_time(last, "day", zone) == local
        assert row_time(first - timedelta(seconds=1), "day", zone) != local
        assert row_end(first, "day", zone) == row_start(first, "day", zone) + timedelta(hours=hours)


def test_the_day_that_apia_skipped_is_touched_by_nothing() -> None:
    days = [date(2011, 12, day) for day in (29, 31)]
    assert local_days_of_utc_day(date(2011, 12, 30), "Pacific/Apia") == days
    assert utc_days_of_local_day(days[0], "Pacific/Apia") == [date(2011, 12, 29), date(2011, 12, 30)]


@pytest.mark.parametrize(
    ("zone", "month", "begins", "hours"),
    [
        ("Europe/London", "2026-03-01", "2026-03-01T00:00", 31 * 24 - 1),
        ("Europe/London", "2026-10-01", "2026-09-30T23:00", 31 * 24 + 1),
        ("Asia/Kathmandu", "2024-02-01", "2024-01-31T18:15", 29 * 24),
        ("Pacific/Apia", "2011-12-01", "2011-12-01T10:00", 30 * 24),
        ("UTC", "2026-12-01", "2026-12-01T00:00", 31 * 24),
    ],
)
def test_months_are_made_of_local_days(zone: str, month: str, begins: str, hours: int) -> None:
    first, start = date.fromisoformat(month), datetime.fromisoformat(f"{begins}+00:00")
    end = start + timedelta(hours=hours)
    assert full_coverage(changed(time_zone=zone), "month", first) == hours * 3600
    assert row_start(end - timedelta(seconds=1), "month", zone) == start
    assert row_end(start, "month", zone) == end
    assert row_time(end - timedelta(seconds=1), "month", zone) == first
    assert row_time(end, "month", zone) == (first + timedelta(days=31)).replace(day=1)


@given(INSTANTS, st.sampled_from([*FIXED, "day", "month"]), st.sampled_from(ZONES))
def test_rows_follow_each_other_without_a_gap(ts: int, grain: Grain, zone: str) -> None:
    moment = datetime.fromtimestamp(ts, UTC)
    starts = [row_start(moment, grain, zone), row_end(moment, grain, zone)]
    starts.append(row_end(starts[1], grain, zone))
    assert starts[0] <= moment < starts[1]
    for start, end in pairwise(starts):
        assert row_start(end - timedelta(seconds=1), grain, zone) == start
