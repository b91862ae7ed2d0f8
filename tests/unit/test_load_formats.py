"""Every declared format is found out by a file's first bytes and read: what `load --dry-run` shows of each example."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from reader_forms import EXAMPLES, FORMS
from reader_samples import HOMES

from batch_layer.ingest.dry_run import Preview, dry_run
from batch_layer.ingest.request import Request
from meterlake.fileformats import Format
from meterlake.settings import Settings
from meterlake.textformat import MeterColumn, Moment, TextFormat, Value

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 26, tzinfo=UTC)
TEXT = TextFormat(
    dataset=HOMES,
    columns=(MeterColumn("meter"), Moment("time", "yyyy-MM-dd HH:mm"), Value("wh", "energy")),
    interval_s=1800,
    name="text",
)


def previews(forms: tuple[Format, ...], *paths: Path) -> list[Preview]:
    return list(dry_run(Settings(), Request(forms, tuple(map(str, paths)), "", None), NOW))


@pytest.mark.parametrize("name", FORMS)
def test_an_example_is_read_by_its_format(name: str) -> None:
    (seen,) = previews((FORMS[name],), EXAMPLES / name)
    assert (seen.problem, seen.form) == ("", FORMS[name].title)
    assert seen.readings > 0
    assert seen.meters
    assert len(seen.first_readings) == min(3, seen.readings + seen.gaps)


def test_one_load_takes_files_of_several_formats_in_an_archive(tmp_path: Path) -> None:
    names = ("readings.parquet", "readings.jsonl", "readings.xlsx", "table.json")
    forms = (TEXT, *(FORMS[name] for name in names))
    text = tmp_path / "text.csv"
    text.write_text("meter,time,wh\nh1,2026-03-01 00:00,250\n")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.write(EXAMPLES / name, name)
        file.write(text, "text.csv")
    found = {seen.path.rpartition("!")[2]: seen for seen in previews(forms, archive)}
    assert {name: (seen.form, seen.problem) for name, seen in found.items()} == {
        "readings.parquet": ("Parquet", ""),
        "readings.jsonl": ("JSON lines", ""),
        "readings.xlsx": ("Workbook", ""),
        "table.json": ("JSON table", ""),
        "text.csv": ("text", ""),
    }
    assert found["text.csv"].first_readings[0]["energy"] == 250.0


def test_what_is_of_no_format_or_of_two_is_named(tmp_path: Path) -> None:
    jsonl = FORMS["readings.jsonl"]
    (seen,) = previews((jsonl,), EXAMPLES / "nem12.csv")
    assert "is of none of the formats of homes: JSON lines" in seen.problem
    (seen,) = previews((TEXT,), EXAMPLES / "readings.parquet")
    assert "is a Parquet file" in seen.problem
    twice = (replace(jsonl, name="a"), replace(jsonl, name="b"))
    (seen,) = previews(twice, EXAMPLES / "readings.jsonl")
    assert "may be of several formats: a and b" in seen.problem
    assert "--format" in seen.problem


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.parquet"
    cut.write_bytes((EXAMPLES / "readings.parquet").read_bytes()[:-20])
    (seen,) = previews((FORMS["readings.parquet"],), cut)
    assert seen.problem.startswith(f"{cut} ")
    assert "Parquet" in seen.problem
