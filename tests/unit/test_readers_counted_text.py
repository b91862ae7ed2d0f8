"""Text files with columns whose values are those of counters."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from format_samples import rows as text_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_samples import BOTH, COUNTED, ESTIMATED, EXPORT, HOMES, series, tables

from engines.readers import text
from engines.readers.port import Options
from meterlake.counter_ends import Ends, Neighbours
from meterlake.declaration import Amount, Level
from meterlake.errors import DeclarationError
from meterlake.fileformats.records import Exchange, JsonLines, Register, Time
from meterlake.fileformats.records import Value as Field
from meterlake.registers import CounterReading
from meterlake.text.format import (
    DayValues,
    Epoch,
    MeasureColumn,
    MeterColumn,
    Moment,
    SerialColumn,
    TextFormat,
    UnitColumn,
    Value,
)
from meterlake.text.head import layout

pytestmark = pytest.mark.unit

METER, TIME = MeterColumn("meter"), Moment("time", "yyyy-MM-dd HH:mm")
SPREAD = Register(across_gap="spread")
FORM = TextFormat(
    dataset=HOMES,
    columns=(METER, TIME, Value("total", "energy", unit="kWh", register=Register(digits=4))),
    interval_s=1800,
)


def made(form: TextFormat, *lines: str, header: str = "meter,time,total") -> list[tuple[Any, ...]]:
    """Return (line, meter, time, values…) of readings and (line, reason) of what is none, in order of the lines."""
    result = text_rows(form, "\n".join([header, *lines]))
    return sorted(row if len(row) == 2 else (*row[:2], f"{row[2]:%d %H:%M}", *row[3:]) for row in result)


def test_a_column_of_a_counter_gives_amounts() -> None:
    assert made(
        FORM,
        "a,2026-03-01 01:00,9999.95",
        "b,2026-03-01 00:30,7",
        "a,2026-03-01 00:30,9999.9",
        "a,2026-03-01 01:30,0.2",
        "b,2026-03-01 01:00,x",
        "b,2026-03-01 01:30,6",
        "a,2026-03-01 03:30,0.3",
        "a,2026-03-01 02:00,",
    ) == [
        (2, "a", "01 00:30", 50.0),
        (3, "first_reading"),
        (4, "first_reading"),
        (5, "a", "01 01:00", 250.0),
        (6, "bad_value:energy"),
        (7, "counter_went_back"),
        (8, "across_gap"),
        (9, "missing_measure"),
    ]


def test_spread_amounts_are_marked_as_estimated() -> None:
    columns = (METER, Moment("time", "yyyy-MM-dd HH:mm:ss"), Value("total", "energy", register=SPREAD))
    form = TextFormat(dataset=COUNTED, columns=columns, interval_s=1800, estimated="estimated")
    assert made(form, "a,2026-03-01 00:00:00,0", "a,2026-03-01 00:40:00,40", "a,2026-03-01 01:00:00,70") == [
        (2, "first_reading"),
        (3, "a", "01 00:00", 30.0, 1.0),
        (4, "a", "01 00:30", 40.0, 1.0),
    ]


def test_decimal_commas_thousands_and_a_clock_on_the_wall() -> None:
    form = replace(FORM, decimal=",", thousands=".", separator=";", time_zone="Europe/Paris")
    assert made(
        form,
        "a;2026-10-25 01:30;1.000,0",
        "a;2026-10-25 02:00;1.000,1",
        "a;2026-10-25 02:30;1.000,3",
        "a;2026-10-25 02:00;1.000,6",
        "a;2026-10-25 02:30;1.001,0",
        "a;2026-10-25 03:00;1.001,5",
        header="meter;time;total",
    ) == [
        (2, "first_reading"),
        (3, "a", "24 23:30", 100.0),
        (4, "a", "25 00:00", 200.0),
        (5, "a", "25 00:30", 300.0),
        (6, "a", "25 01:00", 400.0),
        (7, "a", "25 01:30", 500.0),
    ]


def test_an_exchange_by_the_number_of_the_meter_or_by_declaration() -> None:
    header = "meter,time,total,number"
    form = replace(FORM, columns=(*FORM.columns, SerialColumn("number", aliases=("nr",))))
    lines = ("a,2026-03-01 00:00,5,x1", "a,2026-03-01 00:30,6,x1", "a,2026-03-01 01:00,2,x2", "a,2026-03-01 01:30,4,x2")
    assert made(form, *lines, header=header) == [
        (2, "first_reading"),
        (3, "a", "01 00:00", 1000.0),
        (4, "meter_exchange"),
        (5, "a", "01 01:00", 2000.0),
    ]
    exchange = Exchange("a", "energy", datetime(2026, 3, 1, 0, 45, tzinfo=UTC), final="6.5", first="1.75")
    known = replace(FORM.values[0], register=Register(exchanges=(exchange,)))
    form = replace(form, columns=(METER, TIME, known, SerialColumn("number")))
    assert (4, "a", "01 00:30", 750.0) in made(form, *lines, header=header)


def test_a_line_a_register() -> None:
    columns = (
        METER,
        TIME,
        MeasureColumn("register", names=(("1.8.0", "energy"), ("2.8.0", "feed_in")), absent=(("feed_in", "0"),)),
        Value("value", register=Register()),
        UnitColumn("unit"),
    )
    form = TextFormat(dataset=BOTH, columns=columns, interval_s=1800)
    assert made(
        form,
        "a,2026-03-01 00:00,1.8.0,1,kWh",
        "a,2026-03-01 00:00,2.8.0,500,Wh",
        "a,2026-03-01 00:30,2.8.0,0.75,kWh",
        "a,2026-03-01 00:30,1.8.0,1250,Wh",
        "a,2026-03-01 01:00,1.8.0,2,kWh",
        "a,2026-03-01 01:30,2.8.0,2,m3",
        "a,2026-03-01 01:30,9.8.0,2,kWh",
        header="meter,time,register,value,unit",
    ) == [
        (2, "first_reading"),
        (3, "first_reading"),
        (5, "a", "01 00:00", 250.0, 250.0),
        (6, "a", "01 00:30", 750.0, 0.0),
        (7, "bad_unit:feed_in"),
        (8, "unknown_measure"),
    ]


def test_times_within_a_second_and_readings_beside_the_grid() -> None:
    columns = (Epoch("time", unit="ms"), Value("total", "energy", register=Register(snap_s=5)))
    form = TextFormat(dataset=HOMES, columns=columns, interval_s=1800, meter_id="m")
    begin = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    lines = [f"{begin + at},{value}" for at, value in ((250, 1), (1_796_900, 3), (2_000_000, 4), (3_600_000, 8))]
    assert made(form, *lines, header="time,total") == [
        (2, "first_reading"),
        (3, "m", "01 00:00", 2.0),
        (4, "off_grid"),
        (5, "m", "01 00:30", 5.0),
    ]


def test_digits_are_exact() -> None:
    columns = (METER, TIME, Value("total", "energy", unit="kWh", register=Register(digits=9)))
    form = TextFormat(dataset=HOMES, columns=columns, interval_s=1800)
    assert made(form, "a,2026-03-01 00:00,123456789.1234", "a,2026-03-01 00:30,123456789.1236") == [
        (2, "first_reading"),
        (3, "a", "01 00:00", 0.2),
    ]


def test_a_file_goes_on_where_its_neighbours_end() -> None:
    data = b"meter,time,total\na,2026-03-01 01:00,3\na,2026-03-01 01:30,4\n"
    before = CounterReading(int(datetime(2026, 3, 1, 0, 30, tzinfo=UTC).timestamp()), 15_000)
    ends: dict[tuple[str, str], Ends] = {}
    options = Options("", timedelta(0), {("a", "energy"): Neighbours((before,))}, ends)
    form = layout(FORM, "file.csv", data)
    result = [row for table in text.read(form, io.BytesIO(data), options) for row in table.to_pylist()]
    assert [(row["line"], row["energy"]) for row in result] == [(2, 1500.0), (3, 1000.0)]
    assert [one.units for one in (*ends["a", "energy"].head, *ends["a", "energy"].tail)] == [30_000, 40_000]
    assert (form.counter_interval_s, text.is_divisible(form, form.clock), text.expected_rows(form, 3)) == (
        1800,
        False,
        None,
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"marks": "end"}, "read at an instant"),
        ({"snap_s": 5}, "read at an instant"),
        ({"estimated": "estimated"}, "no measure is called 'estimated'"),
        ({"columns": (METER, TIME, Value("total", "energy", register=SPREAD))}, "estimates amounts"),
        ({"columns": (METER, TIME, SerialColumn("number"), Value("total", "energy"))}, "no value is one"),
        (
            {"columns": (METER, TIME, UnitColumn("u"), Value("total", "energy", register=Register(digits=3)))},
            "have no unit",
        ),
        (
            {
                "dataset": BOTH,
                "columns": (METER, TIME, Value("total", "energy", register=Register()), Value("out", "feed_in")),
            },
            "some of its values are counters",
        ),
        (
            {
                "dataset": series(Level("energy", "W", "1", between=(0, None))),
                "columns": (METER, TIME, Value("total", "energy", register=Register())),
            },
            "which is a level",
        ),
        (
            {"dataset": COUNTED, "columns": (METER, TIME, DayValues("{time}", "energy")), "estimated": "estimated"},
            "no value is one|the time of DayValues",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(FORM, **change)


TWO = series(Amount("energy", "Wh", "0.001", between=(0, None)), EXPORT, ESTIMATED, intervals=("30 min",))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([1, 600, 1800, 3600, 5000]), st.integers(-40, 900)), min_size=1, max_size=12
    ),
    digits=st.sampled_from([None, 1]),
    resets=st.booleans(),
)
def test_text_and_records_decide_alike(steps: list[tuple[int, int]], digits: int | None, resets: bool) -> None:
    register = Register(digits=digits, resets=resets, across_gap="spread")
    at, shown, lines, records = 1_772_323_200, 2000, [], []
    for step, ran in steps:
        at, shown = at + step, shown + ran
        lines.append(f"a,{at},{shown / 1000},{shown / 500}")
        records.append(f'{{"meter":"a","time":{at},"total":{shown / 1000},"out":{shown / 500}}}')
    columns = (
        METER,
        Epoch("time"),
        Value("total", "energy", unit="kWh", register=register),
        Value("out", "feed_in", unit="kWh", register=register),
    )
    form = TextFormat(dataset=TWO, columns=columns, interval_s=1800, estimated="estimated")
    other = JsonLines(
        dataset=TWO,
        meter="meter",
        time=Time("time", "epoch_s"),
        values=(Field("total", "energy", "kWh"), Field("out", "feed_in", "kWh")),
        interval_s=1800,
        register=register,
        estimated="estimated",
    )
    data = "\n".join(["meter,time,total,out", "", *lines]).encode()
    text_form = layout(form, "file.csv", data)
    result = [(row["line"] - 2, row["ts"], row["energy"], row["feed_in"], row["estimated"], row["reason"])
             for row in tables(text_form, data) if row["reason"] != "empty_line"]  # fmt: skip
    expected = [
        (row["line"], row["ts"], row["energy"], row["feed_in"], row["estimated"], row["reason"])
        for row in tables(other, "\n".join(records).encode())
    ]
    assert result == expected
