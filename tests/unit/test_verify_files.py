"""`verify --against` files of any format: what of records is decoded apart from `load`, and what as it does."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_forms import EXAMPLES, FORMS
from reader_samples import HOMES, tables

from cli.verify_command import from_files
from meterlake import registry
from meterlake.dataset import DataSet
from meterlake.fileformats.base import FileFormat
from meterlake.fileformats.records import JsonLines, JsonTable, Parquet, RecordFormat, Time, Value, Workbook
from meterlake.text.format import Moment, TextFormat
from meterlake.text.format import Value as TextValue
from serving_layer.publish.history import Record
from serving_layer.verify import records
from serving_layer.verify.errors import UnreadableFile
from serving_layer.verify.raw_files import RawFile, RawFiles
from serving_layer.verify.scope import Scope

pytestmark = pytest.mark.unit
NOW = datetime(2030, 1, 1, tzinfo=UTC)
APART = {"readings.parquet", "readings.jsonl", "list.json", "table.json", "readings.xlsx"}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    result = duckdb.connect()
    yield result
    result.close()


def read(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, form: FileFormat, *paths: Path
) -> tuple[RawFiles, list[Any]]:
    source = RawFiles([RawFile(path, form, form.meter_id, form.clock) for path in paths], NOW)
    source.fetch(tmp_path)
    source.read(connection)
    names = ", ".join(measure.name for measure in form.dataset.measures)
    order = f"SELECT meter_id, ts, interval_s, {names}, revision FROM readings ORDER BY ALL"  # noqa: S608
    return source, connection.execute(order).fetchall()


def of_reader(form: FileFormat, data: bytes) -> list[tuple[Any, ...]]:
    names = ["meter_id", "ts", "interval_s", *(measure.name for measure in form.dataset.measures)]
    result = (tuple(row[name] for name in names) for row in tables(form, data) if row["reason"] is None)
    return sorted(result, key=nothing_last)


def nothing_last(row: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    """Sort as DuckDB does."""
    return [(value is None, 0 if value is None else value) for value in row]


@pytest.mark.parametrize("name", FORMS)
def test_each_example_has_the_readings_of_its_reader(
    name: str, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    form = FORMS[name]
    source, result = read(connection, tmp_path, form, EXAMPLES / name)
    assert [row[:-1] for row in result] == of_reader(form, (EXAMPLES / name).read_bytes())
    assert result
    assert records.is_apart(form, form.clock) == (name in APART)
    assert ("decoded apart from load" if name in APART else "decoded as load does") in source.title
    assert source.meters() == {row[0] for row in result}


def test_nothing_of_a_reader_runs_for_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import engines.readers.records as reader

    def fails(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(reader, "read_records", fails)
    for module in ("json_files", "workbook", "parquet"):
        monkeypatch.setattr(f"engines.readers.{module}.read_records", fails)
    monkeypatch.setattr(reader, "_Decoder", fails)
    for name in APART:
        with duckdb.connect() as connection:
            assert read(connection, tmp_path, FORMS[name], EXAMPLES / name)[1]


VALUES = st.one_of(
    st.none(),
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 4)),
    st.sampled_from(["", " ", "1.5", " 2 ", "x", "1e3", "1,5", "+7", ".5", "5."]),
)
TIMES = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 3)).map(  # noqa: DTZ001
        lambda at: at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0).isoformat()
    ),
    st.sampled_from(["2024-01-01T00:30:00+05:45", "2024-01-01 01:00Z", "2024-01-01", "2024-01-01T00:10", "x", ""]),
)
RECORDS = st.lists(st.tuples(st.sampled_from(["a", " b ", "", "ä", "a\tb"]), TIMES, VALUES), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(given_records=RECORDS, offset=st.sampled_from([0, 345]), marks=st.sampled_from(["start", "end"]))
def test_records_are_decoded_alike(given_records: list[tuple[str, str, Any]], offset: int, marks: Any) -> None:
    common: dict[str, Any] = {
        "dataset": HOMES,
        "meter": "m",
        "time": Time("t"),
        "values": (Value("v.w", "energy", unit="kWh"),),
        "interval_s": 1800,
        "utc_offset": timedelta(minutes=offset),
        "marks": marks,
    }
    lines = [json.dumps({"m": m, "t": t, "v": {"w": v}}) for m, t, v in given_records]
    table = {"columns": ["m", "t", "v.w", "x"], "data": [[*record, 1] for record in given_records]}
    check(JsonLines(**common), "\n".join([*lines, "x", "[]"]).encode())
    check(JsonTable(**common), json.dumps(table).encode())


def check(form: RecordFormat, data: bytes) -> None:
    import tempfile

    with duckdb.connect() as connection, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        assert [row[:-1] for row in read(connection, Path(folder), form, path)[1]] == of_reader(form, data)


def test_dates_and_decimals_of_parquet_and_excel(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    from decimal import Decimal

    at = [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in (0, 30)]
    content = pa.table({"meter": [7, 8], "time": at, "kwh": pa.array([Decimal("0.1234"), None], pa.decimal128(9, 4))})
    pq.write_table(content, tmp_path / "a.parquet")
    form = FORMS["readings.parquet"]
    assert isinstance(form, Parquet)
    _, result = read(connection, tmp_path, form, tmp_path / "a.parquet")
    naive = [moment.replace(tzinfo=None) for moment in at]
    assert result == [("7", naive[0], 1800, 123.4, 0), ("8", naive[1], 1800, None, 0)]
    book = openpyxl.Workbook()
    for row in (["Meter", "From", "kWh"], ["a", naive[1], 0.5], ["a", "01.01.2024 01:00", "n/a"], [None] * 3):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    sheet = replace(FORMS["readings.xlsx"], missing=("n/a",))
    assert isinstance(sheet, Workbook)
    with duckdb.connect() as other:
        _, result = read(other, tmp_path, sheet, tmp_path / "a.xlsx")
    assert result == [("a", naive[1], 1800, 500.0, 0), ("a", datetime(2024, 1, 1, 1), 1800, None, 0)]  # noqa: DTZ001
    assert [row[:-1] for row in result] == of_reader(sheet, (tmp_path / "a.xlsx").read_bytes())


def test_counters_go_on_from_file_to_file(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    header, *lines = (EXAMPLES / "obis.csv").read_text().splitlines()[1:]
    paths = []
    for number, part in enumerate((lines[:2], lines[2:])):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text("\n".join([header, *part]))
    whole = tmp_path / "whole.csv"
    whole.write_text("\n".join([header, *lines]))
    form = FORMS["obis.csv"]
    _, result = read(connection, tmp_path, form, *paths[::-1])
    assert [row[:-1] for row in result] == of_reader(form, whole.read_bytes())


def test_damaged_files_are_named(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    damaged = tmp_path / "a.xml"
    damaged.write_bytes((EXAMPLES / "green-button.xml").read_bytes()[:-200])
    with pytest.raises(UnreadableFile, match=r"a\.xml"):
        read(connection, tmp_path, FORMS["green-button.xml"], damaged)


def test_each_file_is_read_by_its_own_format(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    homes = replace(HOMES, name="verifyhomes")
    forms = (
        replace(FORMS["readings.parquet"], dataset=homes),
        replace(FORMS["table.json"], dataset=homes),
        TextFormat(
            dataset=homes,
            columns=(Moment("time", "yyyy-MM-dd HH:mm"), TextValue("wh", "energy")),
            interval_s=1800,
            meter_from_name="house_([a-z]+)",
        ),
    )
    (tmp_path / "house_x.csv").write_text("time,wh\n2026-03-01 00:00,5\n")
    (tmp_path / "house_x-corrected.csv").write_text("time,wh\n2026-03-01 00:00,6\n")
    packed = tmp_path / "table.json.gz"
    packed.write_bytes(gzip.compress((EXAMPLES / "table.json").read_bytes()))
    shutil.copy(EXAMPLES / "readings.parquet", tmp_path / "readings.parquet")
    record = Record(homes.name, 1, "r", "published", NOW, NOW, None, {}, {})
    paths = [tmp_path / "readings.parquet", packed, tmp_path / "house_x.csv"]
    with registry.added(DataSet(declaration=homes, formats=forms)):
        source, scope = from_files(Scope(homes, ()), paths, None, record, [tmp_path / "house_x-corrected.csv"])
        source.fetch(tmp_path)
        source.read(connection)
    result = connection.execute(
        "SELECT meter_id, count(*), max(revision) FROM readings GROUP BY 1 ORDER BY 1"
    ).fetchall()
    expected = Counter(
        row[0] for name in ("readings.parquet", "table.json") for row in of_reader(FORMS[name], example(name))
    )
    assert result == sorted([*((meter, count, 0) for meter, count in expected.items()), ("x", 2, 1)])
    assert set(scope.meters) == {*expected, "x"}
    assert "Parquet (decoded apart from load), JSON table (decoded apart from load), raw text" in source.title


def example(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()
