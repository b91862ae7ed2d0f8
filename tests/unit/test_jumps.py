"""Readings far from all others: a clock that was not set decides neither a file's length nor what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from core_samples import TANK

from datasets.household.declaration import HOUSEHOLD
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.jumps import Stretch, kept, may_jump, stretches
from meterlake.reading import Reading
from meterlake.rules import reasons, reject_reason
from producers.history import MISSING, load

pytestmark = pytest.mark.unit
DAY = 86_400
HOUR = timedelta(hours=1)
VALUES = "0.300;0.110;241.20;1.2;0.000;0.000;1.000"


def second(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def test_a_stretch_ends_where_the_next_reading_is_further_away_than_the_limit() -> None:
    limit = int(HOUSEHOLD.jump_limit.total_seconds())
    counts = {0: 5, DAY: 6, 2 * DAY + limit: 7, 4 * DAY + 2 * limit: 1}
    assert stretches(HOUSEHOLD, counts, DAY) == [
        Stretch(0, 3 * DAY + limit, 18), Stretch(4 * DAY + 2 * limit, 5 * DAY + 2 * limit, 1)
    ]  # fmt: skip
    assert not may_jump(HOUSEHOLD, 0, limit, 0)
    assert may_jump(HOUSEHOLD, 0, limit + 61, 60)


def test_less_than_a_day_is_set_aside_where_there_is_more() -> None:
    factory, real, wrong = (
        Stretch(second(year), second(year) + DAY, n) for year, n in ((2010, 3), (2026, 9000), (2070, 1))
    )
    assert kept(HOUSEHOLD, [factory, real, wrong], 60) == [real]
    assert kept(HOUSEHOLD, [replace(factory, readings=1440), real], 60) == [replace(factory, readings=1440), real]
    assert kept(HOUSEHOLD, [factory], 60) == [factory]
    assert kept(HOUSEHOLD, [replace(real, readings=60), factory], 60) == [replace(real, readings=60)]


def test_what_lies_before_the_earliest_day_is_left_to_its_rule() -> None:
    early, short = Stretch(second(2000), second(2000) + 9 * DAY, 9999), Stretch(second(2026), second(2026) + DAY, 60)
    assert kept(HOUSEHOLD, [early, short], 60) == [early, short]


@pytest.mark.parametrize(("day", "reason"), [(date(2004, 12, 31), "before_earliest"), (date(2005, 1, 1), None)])
def test_a_reading_from_before_the_earliest_day_is_rejected(day: date, reason: str | None) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for values in ((1.0, 0.0, 230.0, 5.0, 0.0, 0.0, 0.0), (None,) * 7):
        reading = Reading("m", int(midnight.timestamp()), 60, values, received_at=midnight)
        assert reject_reason(HOUSEHOLD, reading) == reason
    assert "before_earliest" in reasons(HOUSEHOLD)
    assert reject_reason(TANK, Reading("m", 0, 10, (None,) * 3, received_at=midnight)) is None


@pytest.mark.parametrize(("wrong", "reason"), [
    ("1/1/2000", "before_earliest"), ("1/1/1970", "before_earliest"), ("5/5/2012", "far_from_others"),
    ("1/1/2070", "far_from_others"),
])  # fmt: skip
def test_the_simulator_lives_what_lies_together(tmp_path: Path, wrong: str, reason: str) -> None:
    path = tmp_path / "h.txt"
    good = [f"1/11/2026;00:{minute:02};{VALUES}".replace(";0.300", ":00;0.300") for minute in range(60)]
    lines = [HOUSEHOLD_TEXT.header, f"{wrong};01:00:00;{VALUES}", *good]
    path.write_text("\n".join(lines))
    history = load(tmp_path, HOUSEHOLD_TEXT, path, HOUR)
    assert history.units.shape == (60, 7)
    assert (history.units != MISSING).all()
    assert history.first == second(2026, 10, 31) + 23 * 3600
    assert history.skipped == {reason: 1}
    assert sum(file.stat().st_size for file in (tmp_path / "histories").iterdir()) < 10_000
