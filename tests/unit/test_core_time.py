"""The time grid, daylight saving included, in Python and in DuckDB."""

# ruff: noqa: S608 - the SQL under test is generated

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from core_samples import TANK, changed, naive, query
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake.declaration import View
from meterlake.timegrid import (
    choice_order_sql,
    choose_interval,
    day_seconds,
    day_start,
    epoch_seconds_sql,
    floor_minute,
    floor_seconds,
    floor_sql,
    full_coverage,
    local_day,
    local_day_sql,
    local_days_of_utc_day,
    minutes_spanned,
    off_grid_sql,
    on_grid,
    rolls_up_from,
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
    assert list(minutes_spanned(130, 10)) == [120]
    assert list(minutes_spanned(1800, 180)) == [1800, 1860, 1920]
    assert floor_seconds(3599, 60) == 3540


def test_only_aware_times_have_a_meaning() -> None:
    moment = datetime(2010, 3, 28, 2, 30, 59, 5, tzinfo=timezone(timedelta(hours=1)))
    assert floor_minute(moment) == datetime(2010, 3, 28, 1, 30, tzinfo=UTC)
    with pytest.raises(ValueError, match="has no time zone"):
        floor_minute(naive(moment))


@settings(max_examples=25)
@given(st.lists(INSTANTS, min_size=1, max_size=40))
def test_duckdb_floors_and_finds_days_alike(instants: list[int]) -> None:
    rows = query(
        f"SELECT {epoch_seconds_sql('ts', 'duckdb')}, {floor_sql('ts', 'minute', 'duckdb')},"
        f" {floor_sql('ts', 'hour', 'duckdb')}, {local_day_sql('ts', PARIS, 'duckdb')} FROM t",
        {"ts": ("TIMESTAMP", [naive(datetime.fromtimestamp(ts, UTC)) for ts in instants])},
    )
    expected = [
        (
            ts,
            naive(datetime.fromtimestamp(floor_seconds(ts, 60), UTC)),
            naive(datetime.fromtimestamp(floor_seconds(ts, 3600), UTC)),
            local_day(ts, PARIS),
        )
        for ts in instants
    ]
    assert rows == expected


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


def test_a_zone_with_half_hours_needs_rows_that_fit() -> None:
    assert changed(time_zone=PARIS, views=(View("hour", "month"), View("day", "year"))).finest.grain == "hour"


@pytest.mark.parametrize(
    ("zone", "below"),
    [("Europe/Paris", "hour"), ("UTC", "hour"), ("America/St_Johns", "minute"), ("Asia/Kolkata", "minute")],
)
def test_days_are_made_of_hours_only_where_the_zone_is_whole_hours_away(zone: str, below: str) -> None:
    dataset = changed(time_zone=zone)
    assert rolls_up_from(dataset, "day") == below
    assert rolls_up_from(dataset, "hour") == "minute"
