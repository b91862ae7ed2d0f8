"""Data sets that are not ours, each declared in a folder of its own: all that a declaration gives exists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from foreign_samples import FOLDER, LONDON, SAMPLES, WORKS, Sample

from meterlake import discovery, timepattern
from meterlake.errors import DeclarationError
from meterlake.replay import Replay
from meterlake.textformat import MeterColumn, Moment, TextFormat, Value
from serving_layer.verify.raw_text import RawText, meters_in

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def written(sample: Sample, folder: Path) -> Path:
    path = folder / f"{sample.name}.csv"
    path.write_text(sample.text, encoding="utf-8")
    return path


def test_they_are_found_without_an_edit_of_ours() -> None:
    listing = discovery.in_folder(FOLDER)
    assert listing.problems == ()
    assert sorted(listing.entries) == ["london", "plugs", "works"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_verify_reads_a_file_as_its_format_says(sample: Sample, tmp_path: Path) -> None:
    form = sample.form
    source = RawText(form, [written(sample, tmp_path)], form.meter_id, form.utc_offset, NOW)
    source.fetch(tmp_path)
    with duckdb.connect() as connection:
        source.read(connection)
        names = f"meter_id, ts, interval_s, {form.measures[0]}"
        rows = connection.execute(f"SELECT {names} FROM readings ORDER BY origin_offset").fetchall()  # noqa: S608
    assert rows == sample.rows


def test_the_meters_of_a_file_are_those_that_its_lines_name(tmp_path: Path) -> None:
    assert meters_in(WORKS.form, [written(WORKS, tmp_path)]) == {"north", "south"}
    assert meters_in(LONDON.form, [written(LONDON, tmp_path)]) == {"MAC000002", "MAC000003"}


@pytest.mark.parametrize(
    ("pattern", "c"),
    [
        ("d/M/yyyy H:mm:ss", "%d/%m/%Y %H:%M:%S"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSS", "%Y-%m-%dT%H:%M:%S"),
        ("yyyy-MM-dd'T'HH:mm:ss'Z'", "%Y-%m-%dT%H:%M:%SZ"),
        ("yyyyMMddHHmm", "%Y%m%d%H%M"),
        ("yy-MMM-dd hh:mm", None),
    ],
)
def test_patterns_of_times(pattern: str, c: str | None) -> None:
    if c is None:
        assert "its letters yy, MMM, h, h are not among" in str(timepattern.problem(pattern))
    else:
        assert timepattern.problem(pattern) is None
        assert timepattern.strptime(pattern) == c
    assert "quote" in str(timepattern.problem("yyyy-MM-dd'THH:mm"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter_id": "a"}, "names a meter, and a column does, too"),
        ({"columns": (Moment("DateTime", "yyyy-MM-dd"), Value("kWh", "energy"))}, "no column holds the meter"),
        ({"columns": (MeterColumn("id"), Moment("t", "yy"), Value("kWh", "energy"))}, "its letters yy are not among"),
        ({"decimal": ","}, "',' separates columns and fractions"),
    ],
)
def test_a_contradiction_is_found_at_construction(change: dict[str, object], problem: str) -> None:
    given = {"dataset": LONDON.declaration, "columns": LONDON.form.columns, "interval_s": 1800, **change}
    with pytest.raises(DeclarationError, match=problem):
        TextFormat(**given)  # type: ignore[arg-type]


def test_a_history_of_many_meters_is_no_script_for_one() -> None:
    with pytest.raises(DeclarationError, match="that of many meters"):
        Replay(form=LONDON.form, history="x.csv", interval_s=1800, scaled=(), split=lambda *_: _)  # type: ignore[arg-type,return-value]
