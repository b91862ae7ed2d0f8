"""What a text format can say of a file, its columns and values, option by option: each with its right values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from format_samples import ENERGY, PLAIN, POWER, at, rows, times, values, with_time
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake.errors import DeclarationError, UsageError
from meterlake.meter_names import check_meter_id
from meterlake.reading import Reading
from meterlake.schema import json_schema
from meterlake.text.format import (
    ClockFlag,
    DayValues,
    Epoch,
    MeasureColumn,
    MeterColumn,
    Moment,
    Skipped,
    TextFormat,
    UnitColumn,
    UtcOffset,
    Value,
)
from meterlake.text.head import AmbiguousFormat, EmptyInput, WrongEncoding, WrongHeader, fitting, layout
from meterlake.wire import decode, encode
from serving_layer.verify.scope import Scope

pytestmark = pytest.mark.unit

POWERS = TextFormat(
    dataset=POWER,
    columns=(
        Moment("time", "yyyy-MM-dd HH:mm"),
        Value("power", "power", aliases=("P", "Wirkleistung")),
        Value("voltage", "voltage", absent="230"),
        Value("energy", "energy"),
    ),
    interval_s=60,
    meter_id="m",
)
ONE = "a,2024-01-01 00:00,1.5\n"
READ = (2, "a", at("2024-01-01"), 1.5)


def test_without_a_header_columns_are_known_by_their_place() -> None:
    assert rows(replace(PLAIN, has_header=False), ONE + ONE) == [(1, *READ[1:]), (2, *READ[1:])]


def test_lines_above_the_header_are_skipped() -> None:
    content = f"Energy Ltd\r\n\r\nmeter,time,wh\r\n{ONE}"
    wanted = [(4, *READ[1:])]
    assert rows(replace(PLAIN, skip_lines=2), content) == wanted
    assert rows(replace(PLAIN, skip_lines="to_header"), content) == wanted
    assert rows(replace(PLAIN, skip_lines=3, has_header=False), content) == wanted
    with pytest.raises(WrongHeader, match="none of the columns"):
        rows(PLAIN, content)
    with pytest.raises(WrongHeader, match="where its format looks for it"):
        rows(replace(PLAIN, skip_lines="to_header"), ONE * 3)


def test_lines_like_the_footer_are_skipped_and_counted() -> None:
    content = f"meter,time,wh\n# by hand\n{ONE}Total,,1.5\n"
    assert rows(replace(PLAIN, footer="Total.*|#.*"), content) == [
        (2, "skipped_line"),
        (3, *READ[1:]),
        (4, "skipped_line"),
    ]


def test_quotes_are_those_of_rfc_4180() -> None:
    content = (
        'meter,"time",wh\n'
        '"a","2024-01-01 00:00","1.5"\n'
        '"a, ""left""",2024-01-01 00:00, "2" \n'
        '"a,2024-01-01 00:00,3\n'
        '"a"b,2024-01-01 00:00,4\n'
        'a"b,2024-01-01 00:00,5\n'
        '"a\n'
        'b",2024-01-01 00:00,6\n'
    )
    assert rows(PLAIN, content) == [
        READ,
        (3, 'a, "left"', at("2024-01-01"), 2.0),
        (4, "bad_quotes"),
        (5, "bad_quotes"),
        (6, 'a"b', at("2024-01-01"), 5.0),
        (7, "bad_quotes"),  # a line end within quotes ends the line
        (8, 'b"', at("2024-01-01"), 6.0),
    ]


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("windows-1252", "cp1252"),
        ("latin-1", "latin-1"),
    ],
)
def test_files_are_read_in_their_encoding(encoding: Any, codec: str) -> None:
    content = f"Zähler,time,wh\r\n{ONE}é§,2024-01-01 00:30,2\r\n"
    form = replace(PLAIN, encoding=encoding, columns=(MeterColumn("zähler"), *PLAIN.columns[1:]))
    assert rows(form, content.encode(codec)) == [READ, (3, "é§", at("2024-01-01 00:30"), 2.0)]


def test_the_mark_says_the_order_of_bytes_in_utf_16() -> None:
    content = f"meter,time,wh\n{ONE}"
    for order in ("le", "be"):
        marked = f"\ufeff{content}".encode(f"utf-16-{order}")
        assert rows(replace(PLAIN, encoding="utf-16"), marked) == [READ]
    with pytest.raises(WrongEncoding, match=r'no mark.*Declare encoding="utf-16-le"'):
        rows(replace(PLAIN, encoding="utf-16"), content.encode("utf-16-le"))
    with pytest.raises(WrongEncoding, match=r'UTF-16 text, not UTF-8. Declare encoding="utf-16"'):
        rows(PLAIN, content.encode("utf-16"))


def test_a_line_that_is_no_text_is_quarantined_alone() -> None:
    lines = [b"meter,time,wh", b"a\x81,2024-01-01 00:00,1", ONE.strip().encode()]
    assert rows(replace(PLAIN, encoding="windows-1252"), b"\n".join(lines)) == [(2, "not_windows_1252"), (3, *READ[1:])]
    assert rows(PLAIN, b"\n".join(lines)) == [(2, "not_utf8"), (3, *READ[1:])]
    half_a_pair = b"a\0\x00\xd8,\0" + f"\n{ONE}".encode("utf-16-le")
    content = "meter,time,wh\n".encode("utf-16") + half_a_pair
    assert rows(replace(PLAIN, encoding="utf-16"), content) == [(2, "not_utf16"), (3, *READ[1:])]


# 2. The columns


def test_columns_are_matched_by_name_in_any_order() -> None:
    content = "ENERGY,P,Time,voltage\n0.5,0.25,2024-01-01 00:00,230\n"
    assert rows(POWERS, content) == [(2, "m", at("2024-01-01"), 0.25, 230.0, 0.5)]
    split = with_time(Moment("d", "d/M/yyyy"), Moment("t", "H:mm"))
    assert times(split, "t;wh;d\n13:30;1;31/12/2024\n") == [at("2024-12-31 13:30")]


def test_a_column_that_a_file_lacks_has_its_declared_value_and_no_other_may_be_absent() -> None:
    both = "time,power,energy\n2024-01-01 00:00,0.25,0.5\n2024-01-01 00:01,,\n2024-01-01 00:02,,1\n"
    assert rows(POWERS, both) == [
        (2, "m", at("2024-01-01"), 0.25, 230.0, 0.5),
        (3, "m", at("2024-01-01 00:01"), None, None, None),
        (4, "missing_measure"),
    ]
    # What is there and empty is missing: nobody says that it was 230 V.
    assert rows(POWERS, "time,power,voltage,energy\n2024-01-01 00:00,1,,2\n2024-01-01 00:01,,230,\n") == [
        (2, "missing_measure"),
        (3, "missing_measure"),
    ]
    with pytest.raises(WrongHeader, match="missing energy"):
        rows(POWERS, "time,power\n2024-01-01 00:00,1\n")


def test_other_columns_are_an_error_or_ignored() -> None:
    content = "meter,tariff,time,wh\na,Std,2024-01-01 00:00,1.5\na,Std,2024-01-01 00:00,1.5,\n"
    with pytest.raises(WrongHeader, match="unknown tariff"):
        rows(PLAIN, content)
    assert rows(replace(PLAIN, extra="ignore"), content)[0] == READ
    named = replace(PLAIN, columns=(*PLAIN.columns, Skipped("tariff")))
    assert rows(named, content) == [READ, (3, "extra_column")]
    bare = replace(PLAIN, has_header=False, extra="ignore")
    assert rows(bare, "a,2024-01-01 00:00,1.5,Std\n") == [(1, *READ[1:])]


def test_a_file_of_two_formats_is_refused_with_both_names() -> None:
    one, other = replace(PLAIN, name="ours"), replace(PLAIN, name="theirs", extra="ignore")
    with pytest.raises(AmbiguousFormat, match="two formats of energy: 'ours' and 'theirs'"):
        fitting((one, other), "f.csv", f"meter,time,wh\n{ONE}".encode())
    assert fitting((one, other), "f.csv", f"meter,time,wh,x\n{ONE}".encode()) is other
    with pytest.raises(AmbiguousFormat, match=r"number 1 \(the header 'meter,time,wh'\) and number 2 \(3 columns"):
        fitting((PLAIN, replace(PLAIN, has_header=False)), "f.csv", f"meter,time,wh\n{ONE}".encode())


def test_a_file_that_is_too_short_for_one_format_may_be_of_another() -> None:
    content = f"meter,time,wh\n{ONE}".encode()
    short = replace(PLAIN, has_header=False, skip_lines=5)
    assert fitting((short, PLAIN), "f.csv", content) is PLAIN
    for forms in ((short, PLAIN), (PLAIN, short)):
        with pytest.raises(EmptyInput, match="has a header but no reading"):
            fitting(forms, "f.csv", b"meter,time,wh\n")
        with pytest.raises(WrongHeader, match="none of the columns"):
            fitting(forms, "f.csv", b"a,b,c\n1,2,3\n")


def test_a_file_without_a_reading_is_empty() -> None:
    for form, content in [
        (PLAIN, b"meter,time,wh\n\n"),
        (replace(PLAIN, has_header=False, skip_lines=1), b"x\n"),
        (replace(PLAIN, skip_lines="to_header"), b"x\nmeter,time,wh"),
    ]:
        with pytest.raises(EmptyInput, match="no reading"):
            layout(form, "f.csv", content)


@pytest.mark.parametrize(
    ("written", "meter"),
    [
        ("MAC 3", "MAC 3"),
        ("  north/1+2 ", "north/1+2"),
        ("\u00a0Zähler 7\u00a0", "Zähler 7"),
        ("1-0:1.8.0*255", "1-0:1.8.0*255"),
        ("O'Brien", "O'Brien"),
        ("電 表", "電 表"),
        ("x" * 128, "x" * 128),
        ("x" * 129, None),
        ("", None),
        (" \u2003\t", None),
        ("a\x07", None),
        ("a\u2028b", None),
    ],
)
def test_meter_ids_are_kept_as_people_have_them(written: str, meter: str | None) -> None:
    expected = [(2, meter, *READ[2:])] if meter else [(2, "bad_meter")]
    assert rows(PLAIN, f"meter,time,wh\n{written},2024-01-01 00:00,1.5\n") == expected
    if meter:
        assert check_meter_id(written) == meter
        message = encode(ENERGY, Reading(meter, 1800, 1800, (1.5,)))
        decoded = decode(ENERGY, message)
        assert isinstance(decoded, Reading)
        assert decoded.meter_id == meter
        jsonschema.Draft202012Validator(json_schema(ENERGY)).validate(json.loads(message))
    else:
        with pytest.raises(UsageError, match="cannot be used"):
            check_meter_id(written)


def test_a_meter_id_is_quoted_as_each_engine_reads_it() -> None:
    scope = Scope(ENERGY, meters=("O'Brien \\",))
    assert scope.condition("day") == "meter_id IN ('O''Brien \\')"
    assert scope.condition("day", "hive") == "meter_id IN ('O\\'Brien \\\\')"
    with pytest.raises(UsageError, match="has blanks around it"):
        Scope(ENERGY, meters=(" a",))


# 3. The values


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({"decimal": ","}, ["1,5", "1.5", "-,5", "1"], [1.5, "bad_value:energy", -0.5, 1.0]),
        (
            {"decimal": ",", "thousands": "."},
            ["1.234,5", "1.234.567", "1234,5", "1.23", "12.34,5"],
            [1234.5, 1234567.0, 1234.5, "bad_value:energy", "bad_value:energy"],
        ),
        ({"thousands": ","}, ["1,234.5", "1234.5", "1,23"], [1234.5, 1234.5, "bad_value:energy"]),
        ({"thousands": " "}, ["1 234.5", "1\u00a0234", "-1\u202f234.25"], [1234.5, 1234.0, -1234.25]),
        ({"thousands": "'"}, ["1'234.5", "1’234", "'234"], [1234.5, 1234.0, "bad_value:energy"]),
        ({"padded": True}, [" 1.5 ", "\u00a01.5\t", "1 .5"], [1.5, 1.5, "bad_value:energy"]),
        ({"missing": ("", "-", "n/a")}, ["", "-", "n/a", "N/A"], [None, None, None, "bad_value:energy"]),
        ({"missing": ("-",), "padded": True}, [" - ", ""], [None, "bad_value:energy"]),
    ],
)
def test_numbers_as_people_write_them(options: dict[str, Any], fields: list[str], expected: list[Any]) -> None:
    form = with_time(Moment("time", "HH:mm yyyy-MM-dd"), **options)
    assert values(form, "time;wh\n" + "".join(f"00:00 2024-01-01;{field}\n" for field in fields)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Value("wh", "energy", unit="kWh"), [143.0, 1005.0, 1e17, None]),
        (Value("wh", "energy", factor="0.1"), [0.0143, 0.1005, 1e13, None]),
        (Value("wh", "energy", unit="MJ"), [39.72222222222222, 279.1666666666667, 1e14 / 3.6 * 1000, None]),
        (Value("wh", "energy", unit="Wh"), [0.143, 1.005, 1e14, None]),
    ],
)
def test_units_are_turned_by_exact_factors(value: Value, expected: list[float | None]) -> None:
    form = replace(PLAIN, columns=(*PLAIN.columns[:2], value))
    fields = ["0.143", "1.005", "1e14", ""]
    assert values(form, "meter,time,wh\n" + "".join(f"a,2024-01-01 00:00,{field}\n" for field in fields)) == expected


@settings(max_examples=20, deadline=None)
@given(st.lists(st.decimals(0, 10**10, places=9), min_size=200, max_size=200))
def test_a_scaled_value_is_the_double_nearest_to_the_product(numbers: list[Decimal]) -> None:
    form = replace(PLAIN, columns=(*PLAIN.columns[:2], Value("wh", "energy", unit="kWh")))
    content = "meter,time,wh\n" + "".join(f"a,2024-01-01 00:00,{number:f}\n" for number in numbers)
    assert values(form, content) == [float(number * 1000) for number in numbers]


def test_a_column_says_the_unit_of_each_line() -> None:
    form = replace(PLAIN, columns=(*PLAIN.columns, UnitColumn("unit")))
    fields = ["1.5,kWh", "1.5,KWH", "1.5, Wh ", "1.5,MWH", "1.5,mwh", "1.5,kW", ",", "1.5,", "3.6,MJ"]
    content = "meter,time,wh,unit\n" + "".join(f"a,2024-01-01 00:00,{field}\n" for field in fields)
    bad = "bad_unit:energy"
    assert values(form, content) == [1500.0, 1500.0, 1.5, 1_500_000.0, bad, bad, None, bad, 1000.0]


# Contradictions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time_zone": "Europe/Pari"}, "there is no time zone 'Europe/Pari'. Did you mean 'Europe/Paris'?"),
        ({"time_zone": "Europe/Paris", "utc_offset": timedelta(hours=1)}, "has an offset and a time zone. Give one"),
        ({"thousands": "."}, "'.' stands before fractions and thousands. Give another decimal"),
        ({"thousands": "_"}, "the thousands mark '_' is not known"),
        ({"encoding": "ebcdic"}, "the encoding 'ebcdic' is not known. Use one of utf-8, utf-16"),
        ({"footer": "("}, "its footer '(' is no regular expression"),
        ({"footer": "(?=a)"}, "looks around or back"),
        (
            {"skip_lines": "to_header", "has_header": False},
            "a header that it does not have. Give skip_lines a number",
        ),
        ({"skip_lines": -1}, "skips -1 lines. Give 0 or more"),
        ({"snap_s": 901}, "snap_s=901 is more than half of its interval of 1800 s. Give 0 to 900"),
        (
            {"columns": (*PLAIN.columns, Epoch("e"))},
            "two columns hold the time. Give Moments, or one Epoch",
        ),
        (
            {"columns": (*PLAIN.columns, UtcOffset("o")), "time_zone": "UTC"},
            "each line says its offset. Leave",
        ),
        ({"columns": (*PLAIN.columns, UtcOffset("o"), UtcOffset("p"))}, "has 2 columns UtcOffset. Give one at most"),
        (
            {"columns": (*PLAIN.columns, UtcOffset("o"), ClockFlag("f", ("S",), ("W",)))},
            "a ClockFlag is for times without an offset",
        ),
        ({"columns": (*PLAIN.columns, ClockFlag("f", ("S",), ("S",)))}, "has a text for both summer and winter"),
        ({"columns": (*PLAIN.columns[:2], Value("wh", "energy", unit="kWh", factor="2"))}, "has a unit and a factor"),
        ({"columns": (*PLAIN.columns[:2], Value("wh", "energy", unit="kW"))}, "kW cannot be turned into Wh"),
        (
            {"columns": (*PLAIN.columns[:2], Value("wh", "energy", factor="1e3"))},
            "its factor '1e3' is no positive",
        ),
        ({"columns": (*PLAIN.columns[:2], Value("wh", "energy", factor="0"))}, "its factor '0' is no positive number"),
        (
            {"columns": (*PLAIN.columns[:2], UnitColumn("u"), Value("wh", "energy", unit="kWh"))},
            "a UnitColumn says the unit, and each column of values does, too",
        ),
        ({"columns": (*PLAIN.columns, Value("again", "energy"))}, "Give each of ['energy'] one column"),
        ({"columns": (*PLAIN.columns[:2], Value("wh"))}, "a column of values names no measure"),
        (
            {"columns": (*PLAIN.columns, MeasureColumn("m"))},
            "a MeasureColumn names the measure of each line, and so",
        ),
        (
            {"columns": (*PLAIN.columns[:2], MeasureColumn("m", absent=(("x", "0"),)), Value("wh"))},
            "no measure is called ['x']",
        ),
        (
            {
                "columns": (
                    *PLAIN.columns[:2],
                    MeasureColumn("m", names=(("a", "energy"),), ignored=("a",)),
                    Value("wh"),
                )
            },
            "['a'] are both read and ignored",
        ),
        ({"columns": (*PLAIN.columns, DayValues("{n}", "energy"))}, "has both a Value and DayValues"),
        (
            {"columns": (*PLAIN.columns[:2], DayValues("{n}", "energy"))},
            'the time of DayValues is a day. Give a Moment with a date, such as "yyyy-MM-dd"',
        ),
        (
            {"columns": (PLAIN.columns[0], Moment("d", "yyyyMMdd"), DayValues("v", "energy"))},
            "do not say how its columns differ",
        ),
        (
            {"columns": (PLAIN.columns[0], Moment("d", "yyyyMMdd"), DayValues("{time}", "energy", days="real"))},
            "columns named by {time} are nominal",
        ),
        (
            {"columns": (PLAIN.columns[0], Moment("d", "yyyyMMdd"), DayValues("{n}", "energy")), "snap_s": 1},
            "snap_s is for times, and the times of DayValues are on the grid",
        ),
    ],
)
def test_a_contradiction_says_what_to_do(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as error:
        replace(PLAIN, **change)
    assert says in str(error.value)
