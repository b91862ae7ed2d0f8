"""Times of text as people write them, and times beside the grid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from format_samples import LONG, LONG_HEAD, at, rows, times, with_time

from cli.arguments import file_clock
from meterlake.errors import UsageError
from meterlake.text.format import (
    ClockFlag,
    Epoch,
    ExcelDay,
    Moment,
    UtcOffset,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("columns", "options", "fields", "expected"),
    [
        (
            (Moment("t", "yyyy-MM-dd'T'HH:mm:ssXXX"),),
            {},
            ["2024-01-01T01:00:00+01:00", "2024-01-01T01:00:00Z", "2023-12-31T23:30:00-03:30", "2024-01-01T01:00:00"],
            ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 03:00", None],
        ),
        (
            (Moment("t", "yyyy-MM-dd HH:mm:ss.SSSXX"),),
            {},
            ["2024-01-01 01:00:00.000+0100", "2024-01-01 01:00:00Z", "2024-01-01 01:00:00.500Z"],
            ["2024-01-01 00:00", "2024-01-01 01:00", None],
        ),
        ((Moment("t", "yyyyMMdd HHmmss.SSS XXX"),), {}, ["20240101 010000.000 +01:00"], ["2024-01-01 00:00"]),
        ((Moment("t", "yyyyMMdd HHmmX"),), {}, ["20240101 0100+01", "20240101 0100+19"], ["2024-01-01 00:00", None]),
        (
            (Moment("t", "yyyy-MM-dd HH:mm"), UtcOffset("o")),
            {},
            [f"2024-01-01 01:00;{offset}" for offset in ("+01:00", "1", "-0330", "CET", "+01:60", "", "+1900")],
            ["2024-01-01 00:00", "2024-01-01 00:00", "2024-01-01 04:30", None, None, None, None],
        ),
        ((Epoch("t"),), {}, ["1704067200", "1704067200000"], ["2024-01-01 00:00", None]),
        ((Epoch("t", unit="ms"),), {}, ["1704067200000", "1704067200"], ["2024-01-01 00:00", "off"]),
        (
            (ExcelDay("t"),),
            {"utc_offset": timedelta(hours=1)},
            ["45292", "45292.0208333333", "45292.0208333", "x", "45292.01"],
            ["2023-12-31 23:00", "2023-12-31 23:30", "2023-12-31 23:30", None, "off"],
        ),
        ((ExcelDay("d"), ExcelDay("t")), {"decimal": ","}, ["45292;0,5"], ["2024-01-01 12:00"]),
        (
            (Moment("t", "d-MMM-yy hh:mm a"),),
            {},
            ["1-Jan-24 12:00 AM", "1-JAN-24 12:30 pm", "01-jan-99 01:00 PM", "1-Mai-24 01:00 AM", "1-Jan-24 13:00 PM"],
            ["2024-01-01 00:00", "2024-01-01 12:30", "1999-01-01 13:00", None, None],
        ),
        ((Moment("t", "MMMM d, yyyy H:m"),), {}, ["September 3, 2024 9:0"], ["2024-09-03 09:00"]),
        ((Moment("d", "d.M.yyyy"), Moment("t", "H:mm")), {}, ["1.1.2024;0:30"], ["2024-01-01 00:30"]),
        (
            (Moment("t", "yyyy-MM-dd HH:mm"),),
            {"marks": "end"},
            ["2024-01-01 00:30", "2024-01-01 24:00", "2024-01-01 24:30"],
            ["2024-01-01 00:00", "2024-01-01 23:30", None],
        ),
        ((Moment("t", "yyyy-MM-dd HH:mm"),), {}, ["2024-01-01 24:00"], [None]),
    ],
)
def test_times_as_people_write_them(
    columns: tuple[Any, ...], options: dict[str, Any], fields: list[str], expected: list[str | None]
) -> None:
    form = with_time(*columns, **options)
    content = ";".join([*(column.header for column in columns), "wh\n"]) + "".join(f"{field};1\n" for field in fields)
    reasons = {None: "bad_time", "off": "off_grid"}
    assert times(form, content) == [reasons.get(text) or at(str(text)) for text in expected]


def test_a_clock_is_refused_where_each_line_says_its_offset() -> None:
    own = with_time(Epoch("t"))
    assert file_clock(own, "", "") == timedelta(0)
    for utc_offset, time_zone in (("+01:00", ""), ("", "Europe/Paris")):
        with pytest.raises(UsageError, match="Leave --utc-offset and --time-zone out"):
            file_clock(own, utc_offset, time_zone)


def test_of_a_doubled_hour_a_column_says_which_is_which() -> None:
    flagged = with_time(
        Moment("t", "yyyy-MM-dd HH:mm"),
        ClockFlag("season", summer=("S", "DST"), winter=("W", "STD")),
        time_zone="Europe/Paris",
    )
    fields = ["27 01:30;S", "27 02:00;W", "27 02:00;S", "27 02:30;DST", "27 02:30;?", "27 03:00;?"]
    content = "t;season;wh\n" + "".join(f"2024-10-{field};1\n" for field in fields)
    assert times(flagged, content) == [
        at("2024-10-26 23:30"),
        at("2024-10-27 01:00"),
        at("2024-10-27 00:00"),
        at("2024-10-27 00:30"),
        "ambiguous_time",
        at("2024-10-27 02:00"),
    ]


def test_a_time_that_the_clock_skips_has_a_reason_of_its_own() -> None:
    zoned = with_time(Moment("t", "yyyy-MM-dd HH:mm"), time_zone="Europe/Paris")
    content = "t;wh\n2024-03-31 01:30;1\n2024-03-31 02:00;1\n2024-03-31 02:30;1\n2024-03-31 03:00;1\n"
    assert times(zoned, content) == [at("2024-03-31 00:30"), *["no_such_local_time"] * 2, at("2024-03-31 01:00")]


def test_of_long_lines_each_measure_has_an_order_of_its_own() -> None:
    form = replace(LONG, time_zone="Europe/Paris")
    halves = [(minute, pair) for minute in (0, 30) for pair in ("P,1,kW", "U,230,V", "A+,1,Wh")]
    once = "".join(f"a,2024-10-27 02:{minute:02},{pair}\n" for minute, pair in halves)
    result = rows(form, LONG_HEAD + once + once)
    assert [row[2] for row in result] == [
        at(f"2024-10-27 0{hour}:{minute}") for hour in (0, 1) for minute in ("00", "30")
    ]


def test_times_are_snapped_to_the_grid_within_the_tolerance() -> None:
    form = with_time(Moment("t", "yyyy-MM-dd HH:mm:ss.SSS"), snap_s=5)
    fields = ["00:00:04", "00:29:55.000", "00:30:05.001", "00:59:57.250", "01:00:00"]
    content = "t;wh\n" + "".join(f"2024-01-01 {field};{number}\n" for number, field in enumerate(fields))
    assert times(form, content) == [
        at("2024-01-01 00:00"),
        at("2024-01-01 00:30"),
        "off_grid",
        at("2024-01-01 01:00"),
        at("2024-01-01 01:00"),
    ]
    assert times(replace(form, snap_s=0), content)[:2] == ["off_grid", "off_grid"]
    epoch = with_time(Epoch("t", unit="ms"), snap_s=1)
    assert times(epoch, "t;wh\n1704067200999;1\n1704067199001;1\n1704067201001;1\n") == [
        at("2024-01-01"),
        at("2024-01-01"),
        "off_grid",
    ]
    whole = with_time(Epoch("t"), snap_s=1)
    assert times(whole, "t;wh\n1704067200.4;1\n1704067202;1\n") == [at("2024-01-01"), "off_grid"]
    ends = with_time(Moment("t", "yyyy-MM-dd HH:mm:ss"), snap_s=5, marks="end")
    assert times(ends, "t;wh\n2024-01-01 00:30:03;1\n") == [at("2024-01-01")]
