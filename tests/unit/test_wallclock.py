"""Clocks on the wall: what comes twice is told by the order of the file, what is skipped is no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterlake.errors import DeclarationError, UnknownName
from meterlake.wallclock import FIRST, SECOND, Doubtful, check_zone, clock_text, places, repeats, segments, zone

pytestmark = pytest.mark.unit
PARIS = ZoneInfo("Europe/Paris")
TWO = int(datetime(2024, 10, 27, 2, tzinfo=UTC).timestamp())
"""02:00 on the wall of the day on which it comes twice."""


def test_a_zone_is_named_as_iana_does() -> None:
    assert zone("Europe/Paris").key == clock_text(PARIS) == "Europe/Paris"
    assert clock_text(timedelta(hours=-3, minutes=-30)) == "-03:30"
    with pytest.raises(UnknownName) as error:
        zone("Europe/Pari")
    assert str(error.value) == (
        "Unknown time zone 'Europe/Pari'. Did you mean 'Europe/Paris'? Give an IANA name such as Europe/Paris; a clock"
        " without summer time has a UTC offset instead."
    )
    with pytest.raises(DeclarationError, match=r"Format of campus: there is no time zone 'Mars'. Give an IANA name"):
        check_zone("Mars", "Format of campus")


@pytest.mark.parametrize(
    ("name", "lengths"),
    [("Europe/Paris", (3600,)), ("Australia/Lord_Howe", (1800, 3600)), ("Asia/Kathmandu", ()), ("UTC", ())],
)
def test_clocks_go_back_by_an_hour_or_by_half_of_one(name: str, lengths: tuple[int, ...]) -> None:
    assert tuple(sorted({end - begin for begin, end in repeats(zone(name))})) == lengths


@pytest.mark.parametrize(
    "name", ["Europe/Paris", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca"]
)
@given(st.integers(0, 4_102_444_799))
def test_every_instant_is_on_the_wall_where_its_segment_says(name: str, at: int) -> None:
    clock = zone(name)
    moment = datetime.fromtimestamp(at, clock)
    local = int(moment.replace(tzinfo=UTC).timestamp())
    segment = max((one for one in segments(clock) if one.begins <= local), key=lambda one: one.begins)
    assert local - at == (segment.later_s if moment.fold else segment.offset_s)
    assert bool(moment.fold) <= (segment.later_s is not None)


def hour(*, step: int = 60, first_line: int = 10, meter: str = "m") -> list[Doubtful]:
    return [Doubtful(first_line + at, meter, TWO + at * step) for at in range(3600 // step)]


def test_the_line_at_which_times_step_back_is_the_second_time() -> None:
    first, second = hour(), hour(first_line=70)
    result = places([*second, *first], PARIS)
    assert result == {line.line: FIRST for line in first} | {line.line: SECOND for line in second}
    assert (TWO, TWO + 3600) in repeats(PARIS)


def test_a_file_with_the_newest_line_first_is_told_too() -> None:
    lines = [line._replace(line=1000 - line.line) for line in (*hour(), *hour(first_line=70))]
    result = places(lines, PARIS)
    assert {result[1000 - line] for line in range(10, 70)} == {FIRST}
    assert {result[1000 - line] for line in range(70, 130)} == {SECOND}


def test_what_the_order_does_not_say_stays_open() -> None:
    assert places(hour(), PARIS) == {}
    assert places([*hour(), *hour(first_line=70), *hour(first_line=130)], PARIS) == {}


def test_each_meter_has_an_order_of_its_own() -> None:
    lines = [
        Doubtful(line.line * 2 + at, meter, line.local)
        for at, meter in enumerate("ab")
        for line in (*hour(), *hour(first_line=70))
    ]
    result = places(lines, PARIS)
    assert [result[number] for number in range(20, 260)] == [FIRST] * 120 + [SECOND] * 120


@pytest.mark.parametrize("step", [1800, 3600])
def test_one_or_two_readings_in_the_hour_are_enough(step: int) -> None:
    first, second = hour(step=step), hour(step=step, first_line=70)
    assert sorted(places([*first, *second], PARIS).values()) == [FIRST] * len(first) + [SECOND] * len(second)
