"""Slices: which a time is written in, and which become one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from meterlake import slices
from meterlake.slices import Change, Layout

pytestmark = pytest.mark.unit

# Times in tables are UTC without zone.
# ruff: noqa: DTZ001

NEWEST = date(2026, 11, 26)
MINUTES = Layout("month", "hour", NEWEST)
DAYS = Layout("year", "day", NEWEST)


@pytest.mark.parametrize(
    ("time", "name"),
    [
        (datetime(2026, 11, 26, 14, 59), "2026-11-26T14"),
        (datetime(2026, 11, 25), "2026-11-25T00"),
        (datetime(2026, 11, 24, 23, 59), "2026-11-24"),
        (datetime(2026, 11, 1), "2026-11-01"),
        (datetime(2026, 10, 31, 23), "2026-10"),
        (datetime(2010, 1, 1), "2010-01"),
        (datetime(2026, 11, 27, 1), "2026-11-27T01"),
        (datetime(2026, 12, 28, 5), "2026-12-28T05"),
        (datetime(2099, 12, 31, 23), "2099-12"),
    ],
)  # fmt: skip
def test_new_time_is_written_in_small_slices_and_old_time_in_large_ones(time: datetime, name: str) -> None:
    assert MINUTES.slice_of(time) == name


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 11, 26), "2026-11-26"),
        (date(2026, 11, 1), "2026-11-01"),
        (date(2026, 10, 31), "2026-10"),
        (date(2025, 12, 31), "2025"),
        (date(2031, 1, 1), "2031"),
    ],
)
def test_a_table_by_year_has_slices_of_days_months_and_years(day: date, name: str) -> None:
    assert DAYS.slice_of(day) == name


def test_a_month_is_one_slice_a_week_after_it() -> None:
    assert Layout("month", "hour", date(2026, 12, 7)).slice_of(datetime(2026, 11, 9)) == "2026-11-09"
    assert Layout("month", "hour", date(2026, 12, 8)).slice_of(datetime(2026, 11, 9)) == "2026-11"


def test_time_within_an_existing_slice_stays_in_it() -> None:
    layout = Layout("month", "hour", NEWEST, frozenset({"2026-11-26", "2026-10-03", "2026-09"}))
    assert layout.slice_of(datetime(2026, 11, 26, 14)) == "2026-11-26"
    assert layout.slice_of(datetime(2026, 10, 3, 14)) == "2026-10-03"
    assert layout.slice_of(datetime(2026, 9, 3, 14)) == "2026-09"


def test_slices_never_overlap() -> None:
    """Where a smaller slice exists, time beside it is written in slices as small as it takes."""
    layout = Layout("month", "hour", NEWEST, frozenset({"2026-10-03T07", "2026-08-09"}))
    assert layout.slice_of(datetime(2026, 10, 3, 8)) == "2026-10-03T08"
    assert layout.slice_of(datetime(2026, 10, 4, 8)) == "2026-10-04"
    assert layout.slice_of(datetime(2026, 8, 31, 8)) == "2026-08-31"
    assert layout.slice_of(datetime(2026, 7, 31, 8)) == "2026-07"


def test_whatever_comes_in_whatever_order_no_two_slices_overlap() -> None:
    existing: frozenset[str] = frozenset()
    for step in range(3000):
        newest = date(2026, 1, 1) + timedelta(days=step // 10)
        back = timedelta(hours=step * step * 7919 % 9000)
        layout = Layout("month", "hour", newest, existing)
        existing |= {layout.slice_of(datetime(newest.year, newest.month, newest.day, step % 24) - back)}
        if step % 97 == 0:
            for target, parts in layout.merges().items():
                existing = (existing - set(parts)) | {target}
    names = sorted(existing)
    assert len(names) == 30
    assert [(a, b) for a in names for b in names if a != b and slices.lies_in(b, a)] == []


def test_slices_that_have_become_old_are_merged() -> None:
    hours = {f"2026-11-{day}T{hour:02}" for day in (24, 25) for hour in (0, 5)}
    layout = Layout(
        "month", "hour", NEWEST, frozenset({*hours, "2026-11-23", "2026-10-01", "2026-10-31T23", "2026-09"})
    )
    assert layout.merges() == {
        "2026-11-24": ["2026-11-24T00", "2026-11-24T05"],
        "2026-10": ["2026-10-01", "2026-10-31T23"],
    }
    assert Layout("month", "month", NEWEST, frozenset({"2026-10"})).merges() == {}


def test_changes_are_applied_to_what_lies_where() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    changes = {"a": Change("1", "4"), "b": Change("2", None), "d": Change(None, "5"), "e": Change(None, None)}
    assert slices.changed(before, changes) == {"a": "4", "c": "3", "d": "5"}
