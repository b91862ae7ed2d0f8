"""Text formats: their declaration, and what is seen of a file's bytes before Spark sees them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_layer.ingest.identity import Identity
from batch_layer.ingest.lines import Lines
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake import registry
from meterlake.errors import DeclarationError, UnknownName, UsageError
from meterlake.meter_names import check_meter_id
from meterlake.rebase import whole_weeks
from meterlake.text.format import Moment, offset_text, parse_offset
from meterlake.text.head import EmptyInput, WrongEncoding, WrongHeader, fitting, layout

pytestmark = pytest.mark.unit
HEADER = HOUSEHOLD_TEXT.header
LINE = "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000"


def naive(year: int) -> datetime:
    return datetime(year, 1, 1)  # noqa: DTZ001 - as Spark gives times


def test_the_format_of_a_data_set_is_found_by_name() -> None:
    assert registry.text_format("household") is HOUSEHOLD_TEXT
    with pytest.raises(UnknownName, match="household"):
        registry.text_format("houshold")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"columns": HOUSEHOLD_TEXT.columns[:-1]}, "sub_metering_3"),
        ({"columns": HOUSEHOLD_TEXT.columns[2:]}, "no column holds the time"),
        ({"interval_s": 61}, "61 s is not one"),
        ({"separator": ";;"}, "';;' cannot be used"),
    ],
)
def test_a_contradiction_is_found_at_construction(change: dict[str, object], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(HOUSEHOLD_TEXT, **change)


@pytest.mark.parametrize(("text", "hours"), [("+01:00", 1), ("-03:30", -3.5), ("Z", 0), ("+00:00", 0)])
def test_offsets_are_read_and_written(text: str, hours: float) -> None:
    assert parse_offset(text) == timedelta(hours=hours)
    assert parse_offset(offset_text(timedelta(hours=hours))) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "1", "01:00", "+1:00", "+01:60", "+19:00", "Europe/Paris"])
def test_a_wrong_offset_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"\+01:00"):
        parse_offset(text)


@pytest.mark.parametrize("meter", ["", " ", "\u00a0", "a" * 129, "a\x07", "a\nb", "\u200b"])
def test_a_meter_id_must_be_usable_everywhere(meter: str) -> None:
    with pytest.raises(UsageError):
        check_meter_id(meter)


@pytest.mark.parametrize(
    ("head", "error", "says"),
    [
        (b"", EmptyInput, "is empty"),
        (b"\r\n\r\n", EmptyInput, "is empty"),
        (f"{HEADER}\r\n".encode(), EmptyInput, "no reading"),
        (HEADER.replace(";Voltage", "").encode() + b"\nx", WrongHeader, "missing Voltage"),
        (HEADER.encode() + b";Phase\nx", WrongHeader, "unknown Phase"),
        (b"Time;Date;Date" + HEADER[9:].encode() + b"\nx", WrongHeader, "a column stands in it twice"),
        (f"{LINE}\n{LINE}\n".encode(), WrongHeader, "none of the columns"),
        (f"{HEADER}\n{LINE}\n".encode("utf-16"), WrongEncoding, "UTF-16"),
        (f"{HEADER}\n{LINE}\n".encode("utf-16-le"), WrongEncoding, "UTF-16"),
        (f"{HEADER}\n{LINE}\n".encode("utf-16-be"), WrongEncoding, "UTF-16"),
        (f"{HEADER}\n{LINE}\n".encode("utf-32"), WrongEncoding, "UTF-32"),
        (bytes(range(256)) * 4, WrongEncoding, "no text"),
        (b"\1\0\0\0" * 400, WrongEncoding, "no text"),
    ],
)
def test_a_wrong_file_is_told_by_its_head(head: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        layout(HOUSEHOLD_TEXT, "file.txt", head)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_right_head_passes_with_either_line_end_and_a_mark(end: str) -> None:
    layout(HOUSEHOLD_TEXT, "file.txt", f"{HEADER}{end}{LINE}".encode())
    layout(HOUSEHOLD_TEXT, "file.txt", f"{HEADER}{end}{LINE}".encode("utf-8-sig"))


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\r\r\n", bytes(9)])), st.integers(1, 7))
def test_lines_are_counted_and_parts_begin_with_a_line(parts: list[bytes], split: int) -> None:
    content, lines = b"".join(parts), Lines(split)
    for at in range(0, len(content), 5):
        lines.take(content[at : at + 5])
    lines.end()
    assert (lines.sha256, lines.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    plain = re.sub(rb"\r(?!\r?\n)", b"\n", content)
    begins = [at for at in range(len(plain)) if not at or plain[at - 1 : at] == b"\n"]
    assert lines.count == len(begins)
    assert [begins[start.line - 1] for start in lines.starts if plain] == [
        start.byte for start in lines.starts if plain
    ]
    ends = [*(start.byte for start in lines.starts[1:]), len(content)]
    for start, end in zip(lines.starts, ends, strict=True):
        # As short as they can be, but not shorter than the split.
        part = plain[start.byte : end]
        assert b"\n" not in part[split - 1 : -1]


def test_each_part_of_the_identity_makes_another_load() -> None:
    one = Identity("d", "s", "m", timedelta(hours=1), timedelta(0))
    others = [
        replace(one, dataset="e"),
        replace(one, sha256="t"),
        replace(one, meter_id="n"),
        replace(one, offset=timedelta(0)),
        replace(one, shift=timedelta(days=7)),
    ]
    assert len({one.load_id, *(other.load_id for other in others)}) == 6
    assert one.load_id == replace(one).load_id


MOMENTS = st.datetimes(naive(2000), naive(2040))


@given(MOMENTS, MOMENTS)
def test_a_history_moves_by_the_fewest_whole_weeks_that_end_it_now(end: datetime, now: datetime) -> None:
    shift = whole_weeks(end, now)
    assert shift % timedelta(weeks=1) == timedelta(0)
    assert shift >= timedelta(0)
    assert end + shift >= now
    assert not shift or end + shift - timedelta(weeks=1) < now


def test_of_several_formats_the_header_decides() -> None:
    short = replace(HOUSEHOLD_TEXT, columns=(Moment("When", "yyyy-MM-dd H:mm"), *HOUSEHOLD_TEXT.columns[2:]))
    forms = (HOUSEHOLD_TEXT, short)
    for form in forms:
        assert fitting(forms, "a.txt", f"{form.header}\nx\n".encode()) is form
    with pytest.raises(WrongHeader, match="missing Voltage"):
        fitting(forms, "a.txt", f"{short.header.replace(';Voltage', '')}\nx\n".encode())
    with pytest.raises(EmptyInput):
        fitting(forms, "a.txt", b"")
