"""What a line is, and what the head of a file says: the same for load, verify and simulate."""

from __future__ import annotations

import io
import re
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.household.text import HOUSEHOLD_EXPORT, HOUSEHOLD_TEXT
from engines.readers import text
from engines.readers.port import Options
from meterlake.text.format import TextFormat
from meterlake.text.head import WrongHeader, fitting, layout
from meterlake.text.lines import MAX_LINE_BYTES, Block, LineEnds, blocks, first_line

pytestmark = pytest.mark.unit
HEADER = HOUSEHOLD_TEXT.header
ROW = "3/3/2025;00:{:02}:00;0.300;0.110;241.20;1.2;0.000;0.000;1.000"
ROWS = [ROW.format(minute) for minute in range(60)]
HOUR = timedelta(hours=1)


def lines(content: bytes) -> list[str]:
    return [text for block in blocks(io.BytesIO(content).read) for text in block.texts]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\r", ["a", "b"]),
        (b"a\r\r\nb\r\r\n", ["a", "b"]),
        (b"a\r\nb\nc\rd", ["a", "b", "c", "d"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\rb", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        (b"a", ["a"]),
        (b"", []),
    ],
)
def test_every_line_end_ends_a_line(content: bytes, expected: list[str]) -> None:
    assert lines(content) == expected


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\r\r\n"])), st.lists(st.integers(1, 5)))
def test_where_a_stream_is_cut_into_chunks_does_not_matter(parts: list[bytes], sizes: list[int]) -> None:
    content, at, ends, result = b"".join(parts), 0, LineEnds(), b""
    for size in [*sizes, len(content) + 1]:
        result += ends.take(content[at : at + size])
        at += size
    result += ends.rest()
    assert result == re.sub(rb"\r(?!\r?\n)", b"\n", content)
    assert len(result) == len(content)
    sizes_left = iter(sizes)
    stream = io.BytesIO(content)
    some = [text for block in blocks(lambda _: stream.read(next(sizes_left, 3))) for text in block.texts]
    assert some == lines(content)


def test_lines_that_are_no_text_have_a_reason_and_their_number() -> None:
    long = b"x" * (MAX_LINE_BYTES + 1)
    content = b"\n".join([b"head", b"a\0b", b"\xff", long, b"x" * MAX_LINE_BYTES, long + b"\r", "é".encode()])
    result = [(block.first + at, block.undecoded.get(at)) for block in blocks(io.BytesIO(content).read)
             for at in range(len(block.texts))]  # fmt: skip
    assert result == [
        (1, None), (2, "nul_byte"), (3, "not_utf8"), (4, "line_too_long"), (5, None), (6, "line_too_long"), (7, None)
    ]  # fmt: skip
    assert next(blocks(io.BytesIO(b"a\nb").read)) == Block(1, ["a"])


def test_the_first_line_has_neither_mark_nor_end() -> None:
    for end in (b"\n", b"\r\n", b"\r", b"\r\r\n"):
        assert first_line(b"\xef\xbb\xbfa" + end + b"b") == (b"a", b"b")


def read(
    content: bytes, offset: timedelta = HOUR, form: TextFormat = HOUSEHOLD_TEXT
) -> tuple[list[datetime], dict[str, int]]:
    """Return the times of the readings in a file, and how many lines are none, by reason."""
    form = layout(form, "file", content)
    rows = [row for table in text.read(form, io.BytesIO(content), Options("m1", offset)) for row in table.to_pylist()]
    return [row["ts"] for row in rows if not row["reason"]], dict(
        Counter(row["reason"] for row in rows if row["reason"])
    )


MINUTES = [datetime(2025, 3, 2, 23, minute) for minute in range(60)]  # noqa: DTZ001


@pytest.mark.parametrize("head_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_all_rows_are_read_whatever_ends_the_lines(head_end: str, end: str) -> None:
    assert read((HEADER + head_end + end.join(ROWS)).encode()) == (MINUTES, {})
    assert read((HEADER + head_end + end.join([*ROWS, ""])).encode("utf-8-sig")) == (MINUTES, {})


def test_a_separator_at_the_end_counts_as_a_column_unless_the_header_has_it_too() -> None:
    odd = [*ROWS[:58], ROWS[58] + ";", " " + ROWS[59]]
    assert read("\n".join([HEADER, *odd]).encode()) == (MINUTES[:58], {"extra_column": 1, "bad_time": 1})
    assert read("\n".join(line + ";" for line in [HEADER, *ROWS]).encode()) == (MINUTES, {})


@pytest.mark.parametrize(
    "header",
    [
        HEADER.lower(),
        HEADER.upper(),
        ";".join(f'"{name}"' for name in HEADER.split(";")),
        "; ".join(HEADER.split(";")),
    ],
)
def test_names_are_the_same_in_other_letters_and_between_quotes(header: str) -> None:
    assert read("\n".join([header, *ROWS, header]).encode()) == (MINUTES, {"header_again": 1})


@pytest.mark.parametrize("first", ['""', "", "Unnamed: 0"])
def test_what_r_and_pandas_write_with_row_numbers_is_read(first: str) -> None:
    quoted = [f'"{number}",' + re.sub(r"([\d/]+);([\d:]+);", r'"\1";"\2";', row).replace(";", ",")
              for number, row in enumerate(ROWS)]  # fmt: skip
    header = ",".join([first, *(f'"{name}"' for name in HEADER.split(";"))])
    assert read("\n".join([header, *quoted]).encode()) == (MINUTES, {})


def test_what_pandas_writes_with_date_and_time_in_one_column_is_read() -> None:
    header = HEADER.replace("Date;Time", "datetime").replace(";", ",")
    rows = [
        f"2025-03-03 00:{minute:02}:00,0.3,0.11,241.2,1.2,0.0,0.0,{'' if minute == 3 else 1.0}" for minute in range(60)
    ]
    content = "\n".join([header, *rows]).encode()
    form = fitting((HOUSEHOLD_TEXT, HOUSEHOLD_EXPORT), "file", content)
    assert read(content, form=form) == (MINUTES[:3] + MINUTES[4:], {"missing_measure": 1})


@pytest.mark.parametrize(
    ("header", "difference"),
    [
        (HEADER.replace("Date;Time", "datetime").replace(";", ","), "missing Date, Time; unknown datetime"),
        (HEADER.replace(";Voltage", ""), "missing Voltage"),
        (f"{HEADER};Phase", "unknown Phase"),
        (f"{HEADER};Voltage", "twice"),
        ("LCLid,stdorToU,DateTime", "none of the columns"),
        (HEADER.replace(";", " "), "9 of its columns are in it, but not between one of"),
        (",".join(f"'{name}'" for name in HEADER.split(";")), "9 of its columns are in it, but .* other quotes"),
    ],
)
def test_the_real_difference_is_named(header: str, difference: str) -> None:
    with pytest.raises(WrongHeader, match=difference):
        layout(HOUSEHOLD_TEXT, "file", f"{header}\n{ROWS[0]}\n".encode())


@pytest.mark.parametrize("text", ["nan", "NaN", "NA", "<NA>", "N/A", "None", "null", "NULL", "?", ""])
def test_texts_for_no_value_make_a_gap_row(text: str) -> None:
    gap = ";".join(["3/3/2025", "00:00:00", *[text] * 7])
    assert read(f"{HEADER}\n{gap}\n".encode()) == (MINUTES[:1], {})
    partly = ";".join(["3/3/2025", "00:00:00", *["1"] * 6, text])
    assert read(f"{HEADER}\n{partly}\n".encode()) == ([], {"missing_measure": 1})


def test_a_column_that_the_header_lacks_is_skipped_where_all_lines_have_it() -> None:
    """An empty one at the end; as R's write.table has them, row numbers; and the other way round."""
    with_end = "\n".join([HEADER, *(f"{row};" for row in ROWS)])
    assert read(with_end.encode()) == (MINUTES, {})
    # One line without it is an odd line, wherever it stands.
    assert read(with_end.replace(f"{ROWS[40]};", ROWS[40]).encode()) == (
        MINUTES[:40] + MINUTES[41:],
        {"missing_column": 1},
    )
    numbered = [f'"{number}";{row}' for number, row in enumerate(ROWS, start=1)]
    assert read("\n".join([HEADER, *numbered]).encode()) == (MINUTES, {})
    # Numbers that do not count the rows are values of a column that is not known.
    assert read("\n".join([HEADER, *(f"7;{row}" for row in ROWS)]).encode()) == ([], {"extra_column": 60})
    assert read("\n".join([f"{HEADER};", *ROWS]).encode()) == (MINUTES, {})


@pytest.mark.parametrize("first", ["", '""', "timestamp", "DATETIME", "date_time"])
def test_an_index_of_times_is_read_with_or_without_its_name(first: str) -> None:
    header = ",".join([first, *HEADER.split(";")[2:]])
    rows = [f"2025-03-03 00:{minute:02}:00,0.3,0.11,241.2,1.2,0,0,<NA>" for minute in range(2)]
    rows += [f"2025-03-03 00:{minute:02}:00,0.3,0.11,241.2,1.2,0,0,1" for minute in range(2, 60)]
    content = "\n".join([header, *rows]).encode()
    form = fitting((HOUSEHOLD_TEXT, HOUSEHOLD_EXPORT), "file", content)
    assert read(content, form=form) == (MINUTES[2:], {"missing_measure": 2})


@pytest.mark.parametrize("line", ["sep=;", '"sep=,"', "SEP=\t"])
def test_the_line_for_excel_above_the_header_is_none_of_the_readings(line: str) -> None:
    for end in ("\n", "\r\n"):
        assert read(end.join([line, HEADER, *ROWS]).encode("utf-8-sig")) == (MINUTES, {})
    odd = "\n".join([line, HEADER, *ROWS, "junk"]).encode()
    form = layout(HOUSEHOLD_TEXT, "file", odd)
    [bad] = [row for table in text.read(form, io.BytesIO(odd), Options("m1", HOUR)) for row in table.to_pylist()
             if row["reason"]]  # fmt: skip
    assert (bad["line"], bad["payload"]) == (63, "junk")
