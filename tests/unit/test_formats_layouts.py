"""Text with a measure a line, and with a day a line."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from format_samples import ENERGY, LONG, LONG_HEAD, POWER, at, rows, times, with_time

from meterlake.text.format import (
    DayValues,
    MeasureColumn,
    MeterColumn,
    Moment,
    TextFormat,
    UnitColumn,
)

pytestmark = pytest.mark.unit


def long_lines(meter: str, minute: int, *pairs: str) -> str:
    return "".join(f"{meter},2024-01-01 00:{minute:02},{pair}\n" for pair in pairs)


def test_lines_that_name_their_measure_are_joined_wherever_they_stand() -> None:
    whole = ("P,250,W", "U,230,V", "A+,0.5,kWh")
    one = "".join(long_lines("a", minute, *whole) for minute in range(3))
    by_register = "".join(long_lines("a", minute, pair) for pair in whole for minute in range(3))
    for content, first in ((one, (2, 5, 8)), (by_register, (2, 3, 4))):
        assert rows(LONG, LONG_HEAD + content) == [
            (line, "a", at(f"2024-01-01 00:0{minute}"), 0.25, 230.0, 500.0) for minute, line in enumerate(first)
        ]


def test_lines_of_a_reading_that_lacks_a_measure_are_each_quarantined() -> None:
    content = long_lines("a", 0, "P,1,kW", "U,230,V") + long_lines("b", 0, "P,,", "U,,", "A+,,")
    content += long_lines("b", 1, "f,50,Hz", "P,1,kW", "U,x,V", "A+,1,kW", "Q,1,W")
    assert rows(LONG, LONG_HEAD + content) == [
        (2, "missing_measure"),
        (3, "missing_measure"),
        (4, "b", at("2024-01-01"), None, None, None),
        (7, "skipped_line"),
        (8, "missing_measure"),
        (9, "bad_value:voltage"),
        (10, "bad_unit:energy"),
        (11, "unknown_measure"),
    ]
    register = replace(LONG.columns[2], absent=(("voltage", "231"), ("energy", "0")))
    some = replace(LONG, columns=(*LONG.columns[:2], register, *LONG.columns[3:]))
    assert rows(some, LONG_HEAD + content)[:2] == [
        (2, "a", at("2024-01-01"), 1.0, 230.0, 0.0),
        (4, "b", at("2024-01-01"), None, None, None),
    ]


def test_a_measure_that_comes_twice_makes_a_second_reading() -> None:
    first, second = ("P,1,kW", "U,230,V", "A+,1,Wh"), ("P,2,kW", "U,231,V", "A+,2,Wh")
    content = LONG_HEAD + long_lines("a", 0, *first, *second, "P,3,kW")
    assert rows(LONG, content) == [
        (2, "a", at("2024-01-01"), 1.0, 230.0, 1.0),
        (5, "a", at("2024-01-01"), 2.0, 231.0, 2.0),
        (8, "missing_measure"),
    ]


NOMINAL = TextFormat(
    dataset=ENERGY,
    columns=(MeterColumn("meter"), Moment("day", "dd.MM.yyyy"), DayValues("{time}", "energy", unit="kWh")),
    interval_s=1800,
    separator=";",
    decimal=",",
    time_zone="Europe/Paris",
)
REAL = replace(NOMINAL, columns=(*NOMINAL.columns[:2], DayValues("HH{n:02}", "energy", days="real", unit="kWh")))
SPRING, AUTUMN = "31.03.2024", "27.10.2024"


def day_file(form: TextFormat, names: list[str], *lines: tuple[str, list[str]]) -> str:
    head = ";".join(["meter", "day", *names])
    return "\n".join([head, *(";".join(["a", day, *fields]) for day, fields in lines)])


def wall_names() -> list[str]:
    return [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(48)]


def test_a_line_is_a_day() -> None:
    fields = [f"0,{half:03}" for half in range(48)]
    fields[3], fields[4] = "", "x"
    result = rows(NOMINAL, day_file(NOMINAL, wall_names(), ("01.01.2024", fields), ("32.01.2024", fields)))
    assert result[:3] == [(2, "a", at("2023-12-31 23:00") + timedelta(minutes=30 * n), float(n)) for n in range(3)]
    assert result[3:6] == [(2, "a", at("2024-01-01 00:30"), None), (2, "bad_value:energy"), (2, "a", *result[5][2:])]
    assert result[47] == (2, "a", at("2024-01-01 22:30"), 47.0)
    assert result[48:] == [(3, "bad_time")]
    ends = replace(NOMINAL, marks="end")
    names = [*wall_names()[1:], "24:00"]
    assert rows(ends, day_file(ends, names, ("01.01.2024", fields))) == result[:48]
    assert rows(ends, day_file(ends, [*wall_names()[1:], "0:00"], ("01.01.2024", fields))) == result[:48]


def test_nominal_days_have_48_places_also_when_the_clock_changes() -> None:
    filled = ["1"] * 48
    blank = [*filled[:4], "", "", *filled[6:]]
    content = day_file(NOMINAL, wall_names(), (SPRING, filled), (SPRING, blank), (AUTUMN, filled), (AUTUMN, blank))
    result = rows(NOMINAL, content)
    spring = [row for row in result if row[0] == 2]
    assert [row[1] for row in spring if len(row) == 2] == ["no_such_local_time"] * 2
    assert [row for row in spring if len(row) > 2] == [
        (2, "a", at("2024-03-30 23:00") + timedelta(minutes=30 * n), 1000.0) for n in range(46)
    ]
    assert [row[1:] for row in result if row[0] == 3] == [row[1:] for row in spring if len(row) > 2]
    autumn = [row for row in result if row[0] == 4]
    assert [row[1] for row in autumn if len(row) == 2] == ["ambiguous_time"] * 2
    assert sum(row[0] == 5 for row in result) == 46
    assert autumn[-1][2] == at("2024-10-27 22:30")


def test_real_days_have_46_or_50_intervals_when_the_clock_changes() -> None:
    names = [f"HH{n:02}" for n in range(1, 51)]
    filled = [f"{n}" for n in range(1, 51)]
    lines = [
        (SPRING, filled[:46]),
        (SPRING, [*filled[:46], "", "", "", ""]),
        (SPRING, filled[:47]),
        (AUTUMN, filled),
        ("01.01.2024", filled[:48]),
        ("01.01.2024", filled[:47]),
        ("01.01.2024", [*filled, "51"]),
    ]
    result = rows(REAL, day_file(REAL, names, *lines))
    half = timedelta(minutes=30)
    spring = [("a", at("2024-03-30 23:00") + n * half, 1000.0 * (n + 1)) for n in range(46)]
    assert [row[1:] for row in result if row[0] == 2] == spring
    assert [row[1:] for row in result if row[0] == 3] == spring
    assert [row[1:] for row in result if row[0] == 4] == [*spring, ("no_such_local_time",)]
    autumn = [row for row in result if row[0] == 5]
    assert [row[2] for row in autumn] == [at("2024-10-26 22:00") + n * half for n in range(50)]
    assert [row[-1] for row in result if row[0] == 6] == [1000.0 * n for n in range(1, 49)]
    assert result[-2:] == [(7, "missing_column"), (8, "extra_column")]
    bare = replace(REAL, has_header=False)
    text = "\n".join(day_file(REAL, names, *lines).split("\n")[1:])
    assert [row[1:] for row in rows(bare, text)] == [row[1:] for row in result]
    normal = day_file(REAL, names[:48], (AUTUMN, filled[:48]))
    assert [row[2] for row in rows(REAL, normal)] == [row[2] for row in autumn[:48]]


def test_days_that_are_none_and_days_beyond_the_years_that_are_read() -> None:
    names, filled = [f"HH{n:02}" for n in range(1, 49)], ["1"] * 48
    dates = ("31.12.9999", "01.01.1960", "01.01.1970", "01.01.2100", "30.02.2024")
    result = rows(REAL, day_file(REAL, names, *((day, filled) for day in dates)))
    assert [row for row in result if len(row) == 2] == [
        (2, "bad_time"),
        (3, "bad_time"),
        *[(4, "bad_time")] * 2,  # in Paris the day began in 1969
        *[(5, "bad_time")] * 45,  # and 2100 in 2099
        (6, "bad_time"),
    ]
    apia = replace(REAL, time_zone="Pacific/Apia")  # had no 30 December 2011
    skipped = rows(apia, day_file(apia, names, ("30.12.2011", filled), ("31.12.2011", filled)))
    assert skipped[:48] == [(2, "no_such_local_time")] * 48
    assert skipped[48] == (3, "a", at("2011-12-30 10:00"), 1000.0)


def test_times_beyond_the_years_that_are_read() -> None:
    ends = with_time(Moment("t", "yyyy-MM-dd HH:mm"), marks="end")
    fields = ["9999-12-31 24:00", "0000-01-01 00:00", "1969-12-31 24:00", "1970-01-01 00:30", "2100-01-01 01:00"]
    expected = ["bad_time", "bad_time", "bad_time", at("1970-01-01"), "bad_time"]
    assert times(ends, "t;wh\n" + "".join(f"{field};1\n" for field in fields)) == expected
    own = with_time(Moment("t", "yyyy-MM-dd HH:mmXXX"))
    assert times(own, "t;wh\n9999-12-31 23:30-18:00;1\n0001-01-01 00:00+18:00;1\n") == ["bad_time"] * 2


def test_a_clock_of_fixed_offset_has_48_intervals_every_day() -> None:
    fixed = replace(REAL, time_zone="", utc_offset=timedelta(hours=1))
    content = day_file(fixed, [f"hh{n:02}" for n in range(1, 49)], (SPRING, ["1"] * 48))
    assert times(fixed, content) == [at("2024-03-30 23:00") + timedelta(minutes=30 * n) for n in range(48)]


def test_a_day_of_each_measure_is_a_line() -> None:
    form = TextFormat(
        dataset=POWER,
        columns=(Moment("day", "yyyyMMdd"), MeasureColumn("what"), UnitColumn("unit"), DayValues("{n}")),
        interval_s=60,
        meter_id="m",
    )
    names = ",".join(str(n) for n in range(1, 1441))
    content = f"day,what,unit,{names}\n"
    for what, unit, first in (("power", "W", 1000), ("voltage", "V", 230), ("energy", "kWh", 1)):
        content += f"20240101,{what},{unit},{','.join(str(first + n) for n in range(1440))}\n"
    result = rows(form, content)
    assert len(result) == 1440
    assert result[0] == (2, "m", at("2024-01-01"), 1.0, 230.0, 1000.0)
    assert result[-1] == (2, "m", at("2024-01-01 23:59"), 2.439, 1669.0, 1_440_000.0)
