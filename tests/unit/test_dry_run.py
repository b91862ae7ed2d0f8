"""What a load would read of files, without a server: of every declared format, packed or not, good or bad."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from reader_forms import EXAMPLES, FORMS

from batch_layer.ingest.dry_run import BadRow, Preview, dry_run
from batch_layer.ingest.request import Request
from cli.load_result import preview_facts
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.errors import DeclarationError
from meterlake.fileformats import Format
from meterlake.fileformats.records import Time
from meterlake.settings import Settings
from meterlake.text.columns import MeterColumn

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 26, tzinfo=UTC)
VALUES = "4.216;0.418;234.840;18.400;0.000;1.000;17.000"
HOMES = tuple(form for form in FORMS.values() if form.dataset == FORMS["readings.jsonl"].dataset)


def minutes(count: int, day: str = "16/12/2006", step: int = 1) -> list[str]:
    return [f"{day};{at * step // 60:02}:{at * step % 60:02}:00;{VALUES}" for at in range(count)]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HOUSEHOLD_TEXT.header, *lines, ""]), encoding="utf-8")
    return path


def seen(path: Path, *forms: Format, **more: Any) -> dict[str, Preview]:
    request = Request(forms or (HOUSEHOLD_TEXT,), (str(path),), **{"meter_id": "", "offset": None, **more})
    result = dry_run(Settings(), request, NOW)
    return {preview.path.removeprefix(str(path)).lstrip("/"): preview for preview in result}


def utc(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[misc,arg-type] # noqa: DTZ001 - as tables have it


def test_rows_meters_period_and_interval_are_shown(tmp_path: Path) -> None:
    lines = [
        *minutes(60),
        "16/12/2006;17:24:30;" + VALUES,
        "16/12/2006;01:00:00;?;?;?;?;?;?;",
        "1/1/2070;00:00:00;" + VALUES,
        "1/1/2000;00:00:00;" + VALUES,
    ]
    write(tmp_path / "house_a.csv", *lines)
    (result,) = seen(tmp_path, meter_from_name="house_(?P<meter>.)").values()
    assert replace(result, first_readings=()) == Preview(
        path=f"{tmp_path}/house_a.csv",
        form=HOUSEHOLD_TEXT.name or HOUSEHOLD_TEXT.header,
        lines=64,
        readings=61,
        gaps=1,
        quarantined={"far_from_others": 1, "off_grid": 1},
        first_quarantined=(
            BadRow("far_from_others", 64, f"1/1/2070;00:00:00;{VALUES}"),
            BadRow("off_grid", 62, f"16/12/2006;17:24:30;{VALUES}"),
        ),
        rejected={"before_earliest": 1},
        meters=("a",),
        first=utc(1999, 12, 31, 23),
        last=utc(2006, 12, 16, 0),
        interval_s=60,
        seen_interval_s=60,
    )
    shown = preview_facts(result)
    assert shown["off_grid"] == f"line 62: 16/12/2006;17:24:30;{VALUES}"
    assert shown["rejected by the views"] == "1 before_earliest"
    assert [(row["meter_id"], row["ts"]) for row in result.first_readings] == [
        ("a", utc(2006, 12, 15, 23, minute)) for minute in range(3)
    ]
    assert result.first_readings[0]["voltage"] == 234.84


def test_what_is_far_from_others_is_so_for_its_meter(tmp_path: Path) -> None:
    """Others may have readings all the time that a clock was not set."""
    form = replace(HOUSEHOLD_TEXT, meter_id="", columns=(MeterColumn("meter"), *HOUSEHOLD_TEXT.columns))
    days = [f"a;{line}" for day in ("16/12/2006", "16/12/2008") for line in minutes(1440, day)]
    lines = [*days, f"b;16/12/2006;00:00:00;{VALUES}", *(f"b;{line}" for line in minutes(1440, "16/12/2008"))]
    (tmp_path / "two.csv").write_text("\n".join([f"meter;{HOUSEHOLD_TEXT.header}", *lines, ""]))
    result = seen(tmp_path, form)["two.csv"]
    assert (result.meters, result.readings, result.quarantined) == (("a", "b"), 3 * 1440, {"far_from_others": 1})


def test_a_declaration_takes_the_meter_from_the_name(tmp_path: Path) -> None:
    form = replace(HOUSEHOLD_TEXT, meter_id="", meter_from_name=r"house_(.+?)\.")
    lines = replace(FORMS["readings.jsonl"], meter="", meter_from_name="(?P<meter>[a-z]+)[0-9]*.jsonl")
    write(tmp_path / "house_a b.csv", *minutes(2))
    write(tmp_path / "other.csv", *minutes(2))
    result = seen(tmp_path, form)
    assert {name: preview.meters for name, preview in result.items()} == {"house_a b.csv": ("a b",), "other.csv": ()}
    assert "finds no meter in the name 'other.csv'" in result["other.csv"].problem
    shutil.copy(EXAMPLES / "readings.jsonl", tmp_path / "flat7.jsonl")
    assert seen(tmp_path / "flat7.jsonl", lines)[""].meters == ("flat",)
    # The command says otherwise.
    assert seen(tmp_path / "other.csv", form, meter_id="x")[""].meters == ("x",)
    assert seen(tmp_path / "other.csv", form, meter_from_name="(.)ther")[""].meters == ("o",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter_from_name": "house_."}, "has 0 groups"),
        ({"meter_from_name": "house_("}, "is no regular expression"),
        ({"meter_from_name": "(.)(.)"}, "has 2 groups"),
        ({"meter_from_name": "house_(.)", "meter_id": "a"}, "says the meter twice"),
        ({}, "no column holds the meter|nothing says the meter"),
    ],
)
def test_a_pattern_that_says_no_meter_is_refused(change: dict[str, str], problem: str) -> None:
    for form in (replace(HOUSEHOLD_TEXT, meter_id="x"), replace(FORMS["readings.jsonl"], meter="", meter_id="x")):
        with pytest.raises(DeclarationError, match=problem):
            replace(form, **{"meter_id": "", **change})


def test_an_interval_that_differs_from_the_declared_one_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *minutes(10, step=15))
    (result,) = seen(tmp_path).values()
    assert (result.interval_s, result.seen_interval_s) == (60, 900)
    assert preview_facts(result)["interval"] == "60 s declared, 900 s seen"


def test_bad_files_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path / "house_a.csv", *minutes(2))
    write(tmp_path / "b.csv", *minutes(2))
    write(tmp_path / "house_c.csv", *minutes(5, day="12/16/2006"))
    (tmp_path / "house_d.csv").write_text("a,b\n1,2\n")
    (tmp_path / "house_e.pdf").write_bytes(b"%PDF-1.7")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("house_f.csv", (tmp_path / "house_a.csv").read_bytes())
        archive.writestr("empty.csv", b"")
    result = seen(tmp_path, meter_from_name="house_(.)")
    said = {name: preview.problem.partition(". ")[0].removeprefix(f"{tmp_path}/") for name, preview in result.items()}
    assert {name: problem for name, problem in said.items() if problem} == {
        "b.csv": "b.csv: the pattern 'house_(.)' finds no meter in the name 'b.csv'",
        "house_c.csv": "house_c.csv: 5 of 5 lines are no readings of household: 5 bad_time (first in line 2)",
        "house_d.csv": "house_d.csv does not begin with the header of household: it has none of the columns",
        "house_e.pdf": "house_e.pdf is a PDF document",
        "z.zip!empty.csv": "z.zip!empty.csv is empty",
    }
    good = {name: (preview.readings, preview.meters) for name, preview in result.items() if not preview.problem}
    assert good == {"house_a.csv": (2, ("a",)), "z.zip!house_f.csv": (2, ("f",))}


def test_of_two_formats_that_fit_neither_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *minutes(1))
    two = (
        replace(HOUSEHOLD_TEXT, name="one"),
        replace(HOUSEHOLD_TEXT, name="two", utc_offset=HOUSEHOLD_TEXT.utc_offset * 2),
    )
    (result,) = seen(tmp_path, *two).values()
    assert "is of two formats of household: 'one' and 'two'. Name the right one by --format" in result.problem
    assert not seen(tmp_path, two[1])["a.csv"].problem


def test_a_file_is_read_by_the_one_of_a_data_sets_formats_that_it_is_of(tmp_path: Path) -> None:
    names = [name for name, form in FORMS.items() if form in HOMES]
    for name in names:
        shutil.copy(EXAMPLES / name, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name in names:
            archive.write(EXAMPLES / name, name)
    (tmp_path / "cut.parquet").write_bytes((EXAMPLES / "readings.parquet").read_bytes()[:-9])
    result = seen(tmp_path, *HOMES)
    for name in names:
        assert not result[name].problem
        assert result[name].readings > 0
        assert result[name].seen_interval_s == 1800
        assert result[f"z.zip!{name}"].first_readings == result[name].first_readings
    lines = result["readings.jsonl"]
    assert (lines.readings, lines.meters, lines.first, lines.last) == (
        4, ("A-17",), utc(2026, 3, 1), utc(2026, 3, 1, 1, 30)
    )  # fmt: skip
    assert "cut.parquet" in result["cut.parquet"].problem


@pytest.mark.parametrize("name", FORMS)
def test_each_example_is_recognised_and_read(name: str) -> None:
    (result,) = seen(EXAMPLES / name, FORMS[name]).values()
    assert not result.problem
    assert result.lines == result.readings + result.gaps + sum(result.quarantined.values())
    assert result.readings > 1
    assert result.first is not None
    assert result.seen_interval_s == result.interval_s


def test_a_clock_that_would_not_be_used_is_refused(tmp_path: Path) -> None:
    path, clock = EXAMPLES / "green-button.xml", timedelta(hours=1)
    asked = Request((FORMS["green-button.xml"],), (str(path),), "", clock)
    [result] = dry_run(Settings(), asked, NOW)
    assert result.problem.startswith(f"{path} says the offset of each time: the clock +01:00 would not be used.")


def walls(zone: str, begin: datetime, minutes: int, step: int = 1) -> list[str]:
    """Return lines of a clock on the wall. begin: aware."""
    instants = (begin + timedelta(minutes=minute) for minute in range(0, minutes, step))
    return [f"{at:%d/%m/%Y;%H:%M:%S};{VALUES}" for at in (one.astimezone(ZoneInfo(zone)) for one in instants)]


@pytest.mark.parametrize(
    ("zone", "begin", "minutes", "first", "twice"),
    [
        ("Europe/Paris", datetime(2024, 10, 26, 22, tzinfo=UTC), 1500, "2024-10-27 02:00", 60),
        ("Australia/Lord_Howe", datetime(2024, 4, 6, 13, tzinfo=UTC), 1470, "2024-04-07 01:30", 30),
        ("America/Havana", datetime(2024, 11, 3, 4, tzinfo=UTC), 1500, "2024-11-03 00:00", 60),
    ],
)
def test_a_clock_on_the_wall_is_refused_as_a_load_refuses_it(
    tmp_path: Path, zone: str, begin: datetime, minutes: int, first: str, twice: int
) -> None:
    form = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, time_zone=zone))
    lines = walls(zone, begin, minutes)
    for order in (lines, lines[::-1]):
        write(tmp_path / "logger.csv", *order)
        (result,) = seen(tmp_path, form).values()
        assert f"{twice} times come twice, the first is {first}, just when the clock of {zone}" in result.problem
        assert f"Give --time-zone {zone}" in result.problem
        (by_zone,) = seen(tmp_path, form, offset=ZoneInfo(zone)).values()
        assert (by_zone.problem, by_zone.readings, by_zone.quarantined) == ("", minutes, {})
        assert by_zone.first == begin.replace(tzinfo=None)
        assert by_zone.last == begin.replace(tzinfo=None) + timedelta(minutes=minutes - 1)


@pytest.mark.parametrize("marks", ["start", "end"])
def test_a_clock_on_the_wall_of_records_is_refused_whichever_end_they_mark(tmp_path: Path, marks: str) -> None:
    form = replace(
        FORMS["readings.jsonl"], time=Time("time", "yyyy-MM-dd HH:mm"), marks=marks, utc_offset=timedelta(hours=1)
    )
    form = replace(form, dataset=replace(form.dataset, time_zone="Europe/Berlin"))
    begin = datetime(2025, 10, 25, 22, tzinfo=UTC)
    stamps = [begin + timedelta(minutes=30 * (n + (marks == "end"))) for n in range(50)]
    times = [f"{stamp.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M}" for stamp in stamps]
    lines = [json.dumps({"device": {"id": "a"}, "time": time, "sensor": {"energy": 0.1}}) for time in times]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (result,) = seen(tmp_path, form).values()
    assert "2 times come twice, the first is 2025-10-26 02:00, just when the clock of Europe/Berlin" in result.problem
    (by_zone,) = seen(tmp_path, form, offset=ZoneInfo("Europe/Berlin")).values()
    assert (by_zone.problem, by_zone.readings, by_zone.first) == ("", 50, utc(2025, 10, 25, 22))
    assert by_zone.last == utc(2025, 10, 26, 22, 30)


def test_times_that_come_twice_for_another_reason_are_no_clock_on_the_wall(tmp_path: Path) -> None:
    day = minutes(1440, "27/10/2024")
    for lines in (day, [*day, *day], [*day, *day[150:160]]):
        write(tmp_path / "a.csv", *lines)
        (result,) = seen(tmp_path).values()
        assert (result.problem, result.readings) == ("", len(lines))


def test_an_hour_that_comes_once_says_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *minutes(180, "27/10/2024")[120:])
    (result,) = seen(tmp_path, offset=ZoneInfo("Europe/Paris")).values()
    assert result.quarantined == {"ambiguous_time": 60}
    assert result.problem.endswith("which of two equal times is which: an offset, or a column, must.")


def test_what_the_views_will_reject_is_said_beforehand(tmp_path: Path) -> None:
    ahead = f"{NOW + timedelta(days=40):%d/%m/%Y;%H:%M:%S};{VALUES}"
    volts = VALUES.replace("234.840", "2348.40")
    write(tmp_path / "a.csv", *minutes(3, "25/11/2026"), f"25/11/2026;00:03:00;{volts}", ahead)
    (result,) = seen(tmp_path).values()
    assert (result.readings, result.rejected) == (5, {"received_before_event": 1, "voltage_above_max": 1})
