"""A data set is begun from a sample: what is guessed, and that what is written can be used as it is."""

from __future__ import annotations

import lzma
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cli.sample_check import read
from meterlake import discovery, scaffold
from meterlake.dataset_check import Finding, check
from meterlake.declaration import per_hour
from meterlake.errors import DeclarationError, UsageError
from meterlake.sample import NotASample, Sample, look
from meterlake.textformat import (
    DayValues,
    Epoch,
    ExcelDay,
    MeasureColumn,
    MeterColumn,
    Moment,
    Skipped,
    UnitColumn,
    Value,
)

pytestmark = pytest.mark.unit
BEGIN = datetime(2012, 10, 12, 0, 30)  # noqa: DTZ001 - as a file has it


def london() -> str:
    """Half-hours of two meters: a missing marker, padded values, fractions of seconds."""
    lines = [
        f"{meter},{kind},{BEGIN + timedelta(minutes=30 * at)}.0000000,{' Null' if at == 7 else f' {at / 1000} '}"
        for meter, kind in (("MAC000002", "Std"), ("MAC000003", "ToU"))
        for at in (*range(12), 3, 1)
    ]
    return "\n".join(["LCLid,stdorToU,DateTime,KWH/hh (per half hour) ", *lines, ""])


def household() -> str:
    lines = [
        f"16/12/2006;{17 + at // 60}:{at % 60:02}:00;{'?;?' if at == 9 else f'4.{at % 10}16;234.840'}"
        for at in range(90)
    ]
    return "\r\n".join(["Date;Time;Global_active_power;Voltage", *lines, ""])


def works() -> str:
    """Hours stamped in ISO, with decimal commas; read by people in Germany."""
    lines = [
        f"{BEGIN + timedelta(minutes=30 + 60 * at):%Y-%m-%dT%H:%M:%S}+01:00;{name};{at * 37 % 50},5"
        for at in range(12)
        for name in ("north", "south")
    ]
    return "\n".join(["End;Meter;kWh", *lines])


def plug() -> str:
    return "\n".join(["timestamp,power_w", *(f"{1672574400 + at},{at * 7 % 23}.25" for at in range(40))])


def compact() -> str:
    lines = [f"{BEGIN + timedelta(minutes=15 * at):%Y%m%d%H%M}\t{at * 5 % 7}" for at in range(8)]
    return "\n".join(["when\tgas m³", *lines])


def supplier() -> str:
    """Two lines above the header, thousands, months by name, AM and PM, the unit in each line."""
    lines = [f"Süd;{1 + at // 24}-Mar-24 {at % 12 or 12}:00 {'PM' if at % 24 > 11 else 'AM'};{at % 9 + 1}.234,5;Wh"
             for at in range(30)]  # fmt: skip
    return "\n".join(["Stadtwerke", "Kunde 17", "Zähler;Zeit;Verbrauch;Einheit", *lines])


def bare() -> str:
    """No header, a comma within quotes, and times with offsets on both sides of a change."""
    stamps = [f"2024-03-31T0{hour}:00:00+0{1 + (hour > 2)}:00" for hour in (0, 1, 3, 4, 5)]
    return "\n".join(f'"{name}, 1",{stamp},{at}.5' for at, stamp in enumerate(stamps) for name in ("a", "b"))


def spreadsheet() -> str:
    return "\n".join(["Datum;Wert kWh", *(f"{45292 + at / 48:.10f};{at}".replace(".", ",") for at in range(9))])


def millis() -> str:
    return "\n".join(["timestamp,watts", *(f"{1704067200000 + at * 1000},{at}" for at in range(9))])


def days() -> str:
    """A day a line; room for the hour that comes again."""
    lines = [",".join([name, f"2024-01-0{day}", *(f"{n / 8}" for n in range(48)), "", ""])
             for name in "ab" for day in (1, 2, 3)]  # fmt: skip
    return "\n".join([",".join(["meter", "day", *(f"HH{n:02}" for n in range(1, 51))]), *lines])


def ends() -> str:
    """A day a line, its columns named by the end of the interval."""
    names = [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(1, 49)]
    lines = [",".join([f"0{day}/01/2024", *("0.25" for _ in names)]) for day in (1, 2, 3)]
    return "\n".join([",".join(["Date", *names]), *lines])


def jitter() -> str:
    """Minutes, of which each comes a few seconds late."""
    lines = [f"2024-01-01T00:{at:02}:0{at * 7 % 5}.{at}00Z,{at}" for at in range(9)]
    return "\n".join(["time,volts", *lines])


def registers() -> str:
    """A measure a line, with its unit."""
    lines = [
        f"{meter},2024-01-01 00:{at * 15:02},{register}"
        for meter in "ab"
        for at in range(4)
        for register in ("P+,0.25,kW", "1.8.0,62.5,Wh", "U1,230.1,V")
    ]
    return "\n".join(["meter,time,register,value,unit", *lines])


SAMPLES = {
    "jitter": jitter,
    "registers": registers,
    "london": london,
    "household": household,
    "works": works,
    "plug": plug,
    "compact": compact,
    "supplier": supplier,
    "bare": bare,
    "spreadsheet": spreadsheet,
    "millis": millis,
    "days": days,
    "ends": ends,
}
ENCODED = {"supplier": "cp1252", "spreadsheet": "utf-16"}


def sample(name: str, folder: Path) -> tuple[Path, Sample]:
    path = folder / f"{name}.csv"
    path.write_text(SAMPLES[name](), encoding=ENCODED.get(name, "utf-8"), newline="")
    return path, look(path)


@pytest.mark.parametrize(
    ("name", "separator", "decimal", "padded", "missing", "interval_s", "meters", "has_offset"),
    [
        ("london", ",", ".", True, ("", "Null"), 1800, 2, False),
        ("household", ";", ".", False, ("", "?"), 60, 1, False),
        ("works", ";", ",", False, ("",), 3600, 2, True),
        ("plug", ",", ".", False, ("",), 1, 1, True),
        ("compact", "\t", ".", False, ("",), 900, 1, False),
        ("supplier", ";", ",", False, ("",), 3600, 1, False),
        ("bare", ",", ".", False, ("",), 3600, 2, True),
        ("spreadsheet", ";", ",", False, ("",), 1800, 1, False),
        ("millis", ",", ".", False, ("",), 1, 1, True),
        ("days", ",", ".", False, ("",), 1800, 2, False),
        ("ends", ",", ".", False, ("",), 1800, 1, False),
        ("jitter", ",", ".", False, ("",), 60, 1, True),
        ("registers", ",", ".", False, ("",), 900, 2, False),
    ],
)
def test_what_a_file_looks_like(
    tmp_path: Path,
    name: str,
    separator: str,
    decimal: str,
    padded: bool,
    missing: tuple[str, ...],
    interval_s: int,
    meters: int,
    has_offset: bool,
) -> None:
    seen = sample(name, tmp_path)[1]
    assert (seen.separator, seen.decimal, seen.padded, seen.missing) == (separator, decimal, padded, missing)
    assert (seen.interval_s, seen.meters, seen.has_offset, seen.unread) == (interval_s, meters, has_offset, ())


@pytest.mark.parametrize(
    ("name", "measures", "columns"),
    [
        (
            "london",
            [("kwh_hh_per_half_hour", "amount", "kWh", "0.001", per_hour(0, 10))],
            [MeterColumn("LCLid"), Skipped("stdorToU"), Moment("DateTime", "yyyy-MM-dd HH:mm:ss.SSSSSSS")],
        ),
        (
            "household",
            [
                ("global_active_power", "level", "kW", "0.001", (0, 50)),
                ("voltage", "level", "V", "0.01", (0, 5000)),
            ],
            [Moment("Date", "d/M/yyyy"), Moment("Time", "H:mm:ss")],
        ),
        (
            "works",
            [("kwh", "amount", "kWh", "0.1", per_hour(0, 500))],
            [Moment("End", "yyyy-MM-dd'T'HH:mm:ssXXX"), MeterColumn("Meter")],
        ),
        ("plug", [("power_w", "level", "W", "0.01", (0, 500))], [Epoch("timestamp")]),
        ("compact", [("gas_m", "amount", "m³", "1", per_hour(0, 500))], [Moment("when", "yyyyMMddHHmm")]),
        (
            "supplier",
            [("verbrauch", "amount", "Wh", "0.1", per_hour(0, 100000))],
            [MeterColumn("Zähler"), Moment("Zeit", "d-MMM-yy h:mm a"), UnitColumn("Einheit")],
        ),
        (
            "bare",
            [("column_3", "level", "1", "0.1", (0, 50))],
            [MeterColumn("column 1"), Moment("column 2", "yyyy-MM-dd'T'HH:mm:ssXXX")],
        ),
        ("spreadsheet", [("wert_kwh", "amount", "kWh", "1", per_hour(0, 200))], [ExcelDay("Datum")]),
        ("millis", [("watts", "level", "W", "1", (0, 100))], [Epoch("timestamp", unit="ms")]),
        (
            "days",
            [("energy", "amount", "kWh", "0.001", per_hour(0, 200))],
            [MeterColumn("meter"), Moment("day", "yyyy-MM-dd"), DayValues("HH{n:02}", "energy", days="real")],
        ),
        ("jitter", [("volts", "level", "V", "1", (0, 100))], [Moment("time", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX")]),
        (
            "registers",
            [
                ("p", "level", "kW", "0.01", (0, 10)),
                ("value_1_8_0", "amount", "Wh", "0.1", per_hour(0, 5000)),
                ("u1", "level", "V", "0.1", (0, 5000)),
            ],
            [
                MeterColumn("meter"),
                Moment("time", "yyyy-MM-dd HH:mm"),
                MeasureColumn("register", names=(("P+", "p"), ("1.8.0", "value_1_8_0"), ("U1", "u1"))),
                UnitColumn("unit"),
            ],
        ),
        (
            "ends",
            [("energy", "amount", "kWh", "0.01", per_hour(0, 10))],
            [Moment("Date", "d/M/yyyy"), DayValues("{time}", "energy")],
        ),
    ],
)
def test_what_is_written_can_be_used_as_it_is(
    tmp_path: Path, name: str, measures: list[object], columns: list[object]
) -> None:
    file, seen = sample(name, tmp_path)
    path = scaffold.write(tmp_path / "my", f"my_{name}", seen)
    entry = discovery.in_folder(tmp_path / "my").entries[f"my_{name}"]
    declared, form = entry.declaration, entry.text_format()
    assert [(m.name, m.kind, m.unit, m.resolution, m.between) for m in declared.measures] == measures
    assert [column for column in form.columns if not isinstance(column, Value)] == columns
    assert {finding.state for finding in check(entry)} == {"ok", "old"}  # old: to be generated
    read_back = read(form, file)
    assert read_back.readings + read_back.gaps == read_back.lines
    assert read_back.lines * (3 if seen.registers else 1) == seen.lines * (48 if seen.day else 1)
    assert len(read_back.meters) == seen.meters
    for length in ("88", "120"):
        ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", length, "--diff", str(path)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_an_offset_in_each_line_is_read(tmp_path: Path) -> None:
    file, seen = sample("works", tmp_path)
    scaffold.write(tmp_path / "my", "hours", seen)
    form = discovery.in_folder(tmp_path / "my").entries["hours"].text_format()
    assert form.has_own_offset
    assert read(form, file).first == datetime(2012, 10, 12, 0, 0)  # noqa: DTZ001 - 01:00+01:00


def test_what_people_have_to_decide_and_what_cannot_be_read_is_in_the_comments(tmp_path: Path) -> None:
    path = tmp_path / "counter.csv"
    lines = [f'"{1 + at % 9}.3.2024 00:{at:02}";"{1000 + at}"' for at in range(20)]
    path.write_text("\r".join(["when;energy", *lines, "never;?"]), encoding="utf-8-sig", newline="")
    text = scaffold.text("counter", look(path))
    assert "# - day first or month first? No date of the sample says it; day first is assumed." in text
    assert "# - 'energy' only grows, as a counter does: totals are not turned into amounts." in text
    assert "# - time_zone: of the place; local days follow it, daylight saving included." in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has 0 lines. Give a header and at least two lines"),
        (b"just\nsome\nwords\n", "its first line has one column"),
        (b"1,2\n3,4\n5,6\n", "no column holds a time. Expected dates such as"),
        (b"a,b\n3,4\n5,6\n", "no column holds a time. Expected dates such as"),
        ("t,kWh\n2024-01-01 00:00:00,1\n".encode("utf-16-le"), "is no text: it has NUL bytes. If it is UTF-16: iconv"),
        (b"t,kWh\n2024-01-01 00:00:00,1\n2024-01-01 00:00:00,1\n", "no meter has two different times"),
        (lzma.compress(b"a,b\n1,2\n")[:-9], "cannot be read"),
    ],
)
def test_a_file_that_tells_nothing_is_refused_with_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(NotASample) as error:
        look(path)
    assert str(error.value).startswith(f"{path}")
    assert says in str(error.value)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    seen = sample("plug", tmp_path)[1]
    scaffold.write(tmp_path, "mine", seen)
    with pytest.raises(UsageError, match="mine is there already"):
        scaffold.write(tmp_path, "mine", seen)
    with pytest.raises(DeclarationError, match="'Mine' cannot be used"):
        scaffold.write(tmp_path, "Mine", seen)


PARTS = """
from meterlake.report_specs import SUMMARY, Course
DATASET = DataSet(
    declaration=DATASET.declaration,
    reports=(Course(name="a", title="A", doc="", value="powr_w"), Course(name="a", title="A", doc="", value="power_w")),
    replay=".nothing:REPLAY",
)
"""


def test_parts_that_do_not_fit_are_each_named(tmp_path: Path) -> None:
    path = scaffold.write(tmp_path / "my", "plugs_of_mine", sample("plug", tmp_path)[1])
    path.write_text(path.read_text(encoding="utf-8") + PARTS, encoding="utf-8")
    entry = discovery.in_folder(tmp_path / "my").entries["plugs_of_mine"]
    wrong = [finding for finding in check(entry) if finding.state == "wrong"]
    assert [(finding.what, finding.problem.partition(" cannot")[0]) for finding in wrong] == [
        ("replay", "Data set 'plugs_of_mine', replay: '.nothing:REPLAY'"),
        ("reports", "the report 'a' shows 'powr_w', which is not declared"),
        ("reports", "two reports are called 'a'"),
    ]
    assert wrong[1].to_do.startswith("Name one of power_w, ")


def test_ours_is_in_order() -> None:
    entry = discovery.discover("").entries["household"]
    assert [finding for finding in check(entry) if finding.state != "ok"] == []
    assert Finding("ok", "board") in check(entry)
