"""All readers behind the port: recognised by their first bytes, and no file makes them fail or lose a record."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from collections import Counter
from contextlib import ExitStack
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_forms import EXAMPLES, FORMS
from reader_samples import HOMES, Unseekable, rows, tables

from engines.readers.port import Options, row_schema
from engines.readers.recognise import HEAD, format_of, recognise
from engines.readers.registry import reader_of
from meterlake.contents import NotText, content
from meterlake.fileformats.base import FileFormat, WrongFile
from meterlake.fileformats.nem import Channel, Nem12
from meterlake.fileformats.records import JsonLines, JsonList, JsonTable, Time, Value
from meterlake.packed import unpacked
from meterlake.text.columns import MeterColumn, Moment
from meterlake.text.columns import Value as TextValue
from meterlake.text.format import TextFormat
from meterlake.text.head import WrongText
from meterlake.text.lines import blocks

pytestmark = pytest.mark.unit

NAMES = list(FORMS)
FUZZED = int(os.environ.get("METERLAKE_FUZZED_FILES", "25"))
"""How many damaged files of each format; METERLAKE_FUZZED_FILES for more."""
TEXTS = [name for name in NAMES if name.rpartition(".")[2] in {"csv", "jsonl", "json", "xml"}]
GIVEN = {
    "readings.parquet": 4,
    "readings.jsonl": 4,
    "list.json": 4,
    "table.json": 4,
    "readings.xlsx": 4,
    "nem12.csv": 192,
    "nem13.csv": 83,
    "green-button.xml": 6,
    "home-assistant.db": 3,
    "home-assistant.csv": 3,
    "obis.csv": 5,
}
"""Readings of each example, gap rows included."""


@cache
def example(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_read(name: str) -> None:
    assert sum(row["reason"] is None for row in tables(FORMS[name], example(name))) == GIVEN[name]


def test_the_same_readings_in_five_formats() -> None:
    expected = [(f"2026-03-01 0{n // 2}:{30 * (n % 2):02}", 125.0 + 50 * n) for n in range(4)]
    for name in ("readings.parquet", "readings.jsonl", "list.json", "table.json", "readings.xlsx"):
        assert [row[2:] for row in rows(FORMS[name], example(name))] == expected


def test_every_example_has_its_format() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(FORMS)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_recognised_whatever_its_name(name: str) -> None:
    assert recognise(list(FORMS.values()), example(name)[:HEAD]) == [FORMS[name]]


def test_a_file_of_no_format_and_of_two() -> None:
    forms = list(FORMS.values())
    assert recognise(forms, b"a,b\n1,2\n") == []
    assert recognise(forms, b'{"a": 1}\n') == []
    assert recognise(forms, b"") == []
    form = FORMS["readings.jsonl"]
    assert recognise([form, form], example("readings.jsonl")) == [form, form]
    long = b'{"device": "' + b"x" * HEAD
    assert recognise(forms, long[:HEAD]) == [form]


def test_text_is_recognised_as_the_file_has_it() -> None:
    columns = (MeterColumn("id"), Moment("at", "yyyy-MM-dd HH:mm"), TextValue("wh", "energy"))
    form = TextFormat(dataset=HOMES, columns=columns, interval_s=1800)
    data = b"ID;At;Wh\na;2026-03-01 00:30;5\n"
    (result,) = recognise([form, *FORMS.values()], data)
    assert isinstance(result, TextFormat)
    assert result.separator == ";"
    (table,) = reader_of(result)(io.BytesIO(data), Options("", result.clock))
    assert table["energy"].to_pylist() == [5.0]
    assert recognise([form], example("readings.parquet")) == []
    assert recognise([form], example("obis.csv")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_packed_file_is_opened_where_its_format_is_declared(name: str) -> None:
    kind = FORMS[name].content
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file", example(name))
    for packed in (example(name), gzip.compress(example(name)), zipped.getvalue()):
        for raw in (io.BytesIO(packed), io.BufferedReader(Unseekable(packed))):
            with ExitStack() as stack:
                stream, _ = unpacked(raw, stack, takes=[kind])
                assert stream.read() == example(name)
            if kind != "text" and raw.seekable():
                raw.seek(0)
                with ExitStack() as stack, pytest.raises(NotText, match=r"^is |^holds "):
                    unpacked(raw, stack)
    assert content(example(name)) == (None if kind == "text" else kind)


@pytest.mark.parametrize("name", TEXTS)
def test_a_byte_order_mark_is_part_of_no_format(name: str) -> None:
    marked = b"\xef\xbb\xbf" + example(name)
    assert format_of(list(FORMS.values()), name, marked) == FORMS[name]
    assert tables(FORMS[name], marked) == tables(FORMS[name], example(name))


def test_what_a_file_of_no_format_is_and_what_would_be_read() -> None:
    forms = [FORMS[name] for name in ("readings.parquet", "list.json")]
    for head, says in (
        (b"", "f is empty. Expected a file of Parquet, JSON list."),
        (b"\xef\xbb\xbf \n", "f is empty. Expected a file of Parquet, JSON list."),
        (example("readings.xlsx"), "f begins like an Excel workbook, and is of no format of homes. It has Parquet"),
        (example("green-button.xml"), "f begins like XML, and is of no format of homes."),
        (example("readings.jsonl"), "f begins like JSON, and is of no format of homes."),
        (b"meter,time\na,b\n", "f begins like text ('meter,time'), and is of no format of homes."),
    ):
        with pytest.raises(WrongText) as refused:
            format_of(forms, "f", head)
        assert f"{refused.value.what} {refused.value.hint}".startswith(says)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_goes_to_other_processes(name: str) -> None:
    form: FileFormat = FORMS[name]
    tables(form, example(name))
    assert pickle.loads(pickle.dumps(form)) == form  # noqa: S301
    assert hash(form) == hash(pickle.loads(pickle.dumps(form)))  # noqa: S301


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_the_columns_of_the_port(name: str) -> None:
    form = FORMS[name]
    for table in reader_of(form)(io.BytesIO(example(name)), Options(form.meter_id, form.clock)):
        assert table.schema == row_schema(form.dataset)


def test_a_payload_is_cut() -> None:
    (row,) = tables(FORMS["readings.jsonl"], '{"é": "'.encode() + "é".encode() * 5000 + b"\n")
    assert len(row["payload"].encode()) in {4095, 4096}


mutations = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(0, 255)),
        st.tuples(st.just("cut"), st.integers(0, 10**6), st.integers(1, 60)),
        st.tuples(st.just("end"), st.integers(0, 10**6), st.just(0)),
        st.tuples(st.just("twice"), st.integers(0, 10**6), st.integers(1, 200)),
        st.tuples(
            st.just("put"),
            st.integers(0, 10**6),
            st.sampled_from(
                [b"\n", b"\r", b",", b";", b'"', b"\0", b"\xff", b"-", b"9" * 30, b"NaN", b"1e999", b"[", b"}", b"<"]
            ),
        ),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, changes: list[tuple[str, int, Any]]) -> bytes:
    for kind, at, by in changes:
        place = at % (len(data) + 1)
        if kind == "flip" and place < len(data):
            data = data[:place] + bytes([by]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place] + data[place + by :]
        elif kind == "end":
            data = data[: len(data) - len(data) * (at % 100) // 400]
        elif kind == "twice":
            data = data[: place + by] + data[place:]
        elif kind == "put":
            data = data[:place] + by + data[place:]
    return data


def read_or_wrong(form: FileFormat, data: bytes) -> list[dict[str, Any]] | None:
    """Return the rows; None where the whole file is none of its format, as an error says."""
    try:
        result = tables(form, data)
    except WrongFile:
        return None
    names = [measure.name for measure in form.dataset.measures]
    for row in result:
        values = [row[name] for name in names]
        if row["reason"] is None:
            assert values.count(None) in {0, len(values)}
            assert row["ts"] is not None
            assert row["interval_s"] in form.dataset.intervals
            assert int(row["ts"].timestamp()) % row["interval_s"] == 0
        else:
            assert row["reason"]
            assert row["payload"] is not None
        assert row["line"] is not None
    return result


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=FUZZED)
@given(changes=mutations)
def test_no_damaged_file_makes_a_reader_fail(name: str, changes: list[tuple[str, int, Any]]) -> None:
    data = mutated(example(name), changes)
    read_or_wrong(FORMS[name], data)
    recognise(list(FORMS.values()), data[:HEAD])


@pytest.mark.parametrize(("name", "at"), [("readings.parquet", 2497 % 1080), ("home-assistant.db", 336)])
def test_text_that_is_no_text_is_damage(name: str, at: int) -> None:
    with pytest.raises(WrongFile, match="is damaged"):
        tables(FORMS[name], mutated(example(name), [("flip", at, 128)]))


@settings(max_examples=FUZZED)
@given(changes=mutations)
def test_every_json_line_is_a_row(changes: list[tuple[str, int, Any]]) -> None:
    data = mutated(example("readings.jsonl"), changes)
    result = read_or_wrong(FORMS["readings.jsonl"], data)
    count = sum(len(block.texts) for block in blocks(io.BytesIO(data).read))
    assert result is not None
    assert [row["line"] for row in result] == list(range(1, count + 1))


@settings(max_examples=FUZZED)
@given(changes=mutations)
def test_every_day_of_nem12_is_rows(changes: list[tuple[str, int, Any]]) -> None:
    """Each 300 record gives a row an interval, or one with the reason why not; so does whatever is no record."""
    data = mutated(example("nem12.csv"), changes)
    form = Nem12(dataset=HOMES, channels=(Channel("E1", "energy"),))
    result = read_or_wrong(form, data)
    if result is None:
        return
    by_line = Counter(row["line"] for row in result)
    for block in blocks(io.BytesIO(data).read):
        for at, text in enumerate(block.texts):
            kind = text.partition(",")[0].strip().strip('"')
            if at in block.undecoded or kind not in {"100", "200", "400", "500", "550", "900"}:
                assert by_line[block.first + at] >= 1
    assert all(count in {1, 2, 24 * 60 // 30} or count > 2 for count in by_line.values())


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", " ", "2026-03-01", "2026-03-01T00:30:00Z", "a", "1.5", "1,5", "NaN", "é\0", "9" * 400]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["kwh", "x"]), st.integers(), max_size=2),
)
records = st.lists(
    st.one_of(
        st.fixed_dictionaries({"meter": st.just("a"), "time": st.just("2026-03-01T00:30Z"), "kwh": odd}),
        st.fixed_dictionaries({"meter": odd, "time": odd, "kwh": odd}),
        st.dictionaries(st.sampled_from(["meter", "time", "kwh"]), odd, max_size=3),
        odd,
    ),
    min_size=1,
    max_size=8,
)
PLAIN: dict[str, Any] = {
    "dataset": HOMES,
    "meter": "meter",
    "time": Time("time"),
    "values": (Value("kwh", "energy", unit="kWh"),),
    "interval_s": 1800,
}


@settings(max_examples=2 * FUZZED)
@given(records=records)
def test_every_record_is_a_row(records: list[Any]) -> None:
    texts = [dumped(record) for record in records]
    places = list(range(1, len(records) + 1))
    result = read_or_wrong(JsonLines(**PLAIN), b"\n".join(texts) + b"\n")
    assert [row["line"] for row in result or []] == places
    result = read_or_wrong(JsonList(**PLAIN), b"[" + b",".join(texts) + b"]")
    assert [row["line"] for row in result or []] == places
    table = [list(record.values()) if isinstance(record, dict) else record for record in records]
    data = b'{"columns": ["meter", "time", "kwh"], "data": [' + b",".join(map(dumped, table)) + b"]}"
    assert [row["line"] for row in read_or_wrong(JsonTable(**PLAIN), data) or []] == places


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_tables_are_arrow() -> None:
    form = FORMS["table.json"]
    (table,) = reader_of(form)(io.BytesIO(example("table.json")), Options("", form.clock))
    assert isinstance(table, pa.Table)
