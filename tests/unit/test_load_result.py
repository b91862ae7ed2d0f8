"""What `load` says of its result on a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from batch_layer.ingest.compare import Conflicts, Overlap
from batch_layer.ingest.request import FileResult, Result
from cli.load_result import facts

pytestmark = pytest.mark.unit
AT = datetime(2026, 11, 26, 12)  # noqa: DTZ001 - as tables have it
ONE = FileResult("a.csv", "loaded", "a", "l1", 61, 60, 0, 1)
RESULT = Result(
    dataset="household",
    file="a.csv",
    meter_id="a",
    load_id="l1",
    already_loaded=False,
    lines=61,
    readings=60,
    quarantined={"bad_time": 1},
    days=1,
    first=AT,
    last=AT,
    seconds={"total": 1.5},
    snapshot=7,
    files=(ONE,),
)


def test_one_file_needs_few_words() -> None:
    result = facts(RESULT)
    assert result["result"] == "loaded into the master data set of household, meter a"
    assert (result["lines read"], result["quarantined"]) == (61, "1 (1 bad_time)")
    assert not {"files", "loaded already", "set aside", "grew", "files contradict"} & result.keys()


def test_of_many_files_each_kind_is_counted_and_named() -> None:
    known = [FileResult(f"{number}.csv", "already loaded", "b") for number in range(25)]
    bad = FileResult("z.pdf", "set aside", reason="z.pdf is a PDF document.")
    grown = replace(ONE, path="g.csv", as_before=45)
    conflicts = Conflicts(3, "a", AT, "a.csv", "g.csv")
    overlap = Overlap(45, 2, AT, AT, "a", "g.csv", "old.csv")
    many = replace(RESULT, meter_id="", files=(ONE, grown, *known, bad), overlap=overlap, conflicts=conflicts)
    result = facts(many)
    assert result["result"] == "loaded into the master data set of household, 2 meters by the names of files"
    assert (result["files"], result["lines read"]) == (2, 122)
    names = ", ".join(f"{number}.csv" for number in range(20))
    assert result["loaded already"] == f"25: {names}, 5 more (all with --output json)"
    assert result["set aside"] == "1: z.pdf is a PDF document."
    assert result["grew"] == "15 new readings in 1: g.csv"
    assert result["different from before"] == (
        "2 (2026-11-26 12:00:00 to 2026-11-26 12:00:00 UTC), the first of meter a: g.csv against old.csv: those that"
        " were there count; `meterlake correct` makes these count"
    )
    assert result["files contradict"] == (
        "3 readings, the first of meter a at 2026-11-26 12:00:00 UTC: a.csv counts, g.csv does not"
    )


def test_a_load_that_did_nothing_says_so() -> None:
    known = replace(ONE, status="already loaded")
    assert facts(replace(RESULT, already_loaded=True, files=(known,)))["result"] == (
        "nothing to do: this file is loaded already, meter a"
    )
    assert facts(replace(RESULT, already_loaded=True, files=(known, known)))["result"] == (
        "nothing to do: these 2 files are loaded already, meter a"
    )
    bad = FileResult("z.pdf", "set aside", reason="z.pdf is a PDF document.")
    assert facts(replace(RESULT, files=(bad,), readings=0))["result"] == "nothing loaded"
