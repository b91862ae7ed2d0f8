"""Files of records: Parquet, JSON and workbooks give the readings that stand in them, and a row for all else."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_samples import BOTH, COUNTED, ENERGY, HOMES, payloads, rows, tables

from engines.readers.port import Options, row_schema
from engines.readers.registry import reader_of
from meterlake.errors import DeclarationError
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.records import (
    Exchange,
    JsonLines,
    JsonList,
    JsonTable,
    Parquet,
    Register,
    Time,
    Value,
    Workbook,
)

pytestmark = pytest.mark.unit

POC = [path for parent in Path(__file__).parents for path in parent.glob("shared/data/smart_meter_poc/data/readings")]


EXCHANGE = Exchange("a", "energy", datetime(2026, 3, 1, 3, 10, tzinfo=UTC), final="0.7", first="6.9")


def given(**more: Any) -> dict[str, Any]:
    return {
        "dataset": HOMES,
        "meter": "id",
        "time": Time("at"),
        "values": (Value("kwh", "energy", unit="kWh"),),
        "interval_s": 1800,
        **more,
    }


def lines(*records: object) -> bytes:
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n" for record in records
    )


def test_json_lines() -> None:
    form = JsonLines(**given())
    data = lines(
        {"id": "a", "at": "2026-03-01T00:00:00Z", "kwh": 0.1234},
        {"id": 7, "at": "2026-03-01T01:00:00+01:00", "kwh": "1e-1"},
        {"id": "a", "at": "2026-03-01 00:30:00", "kwh": None},
        {"id": "a", "at": "2026-03-01 00:30:00"},
        {"id": "a", "at": "2026-03-01 00:31", "kwh": 1},
        {"id": "a", "at": "2026-02-30", "kwh": 1},
        {"id": "a", "at": "2026-03-01", "kwh": "much"},
        {"id": "a", "at": "2026-03-01", "kwh": True},
        {"id": "a", "at": "2026-03-01", "kwh": "1e400"},
        {"id": "a\tb", "at": "2026-03-01", "kwh": 1},
        {"id": None, "at": "2026-03-01", "kwh": 1},
        {"id": "a", "at": "2126-03-01", "kwh": 1},
        b'{"id": "a", ',
        b"[1]",
        b"",
        b"\xff",
        b'{"id": "a", "at": "2026-03-01", "kwh": NaN}',
    )
    assert rows(form, data) == [
        (1, "a", "2026-03-01 00:00", 123.4),
        (2, "7", "2026-03-01 00:00", 100.0),
        (3, "a", "2026-03-01 00:30", None),
        (4, "missing_field:kwh"),
        (5, "off_grid"),
        (6, "bad_time"),
        (7, "bad_value:energy"),
        (8, "bad_value:energy"),
        (9, "not_finite:energy"),
        (10, "bad_meter"),
        (11, "bad_meter"),
        (12, "bad_time"),
        (13, "not_json"),
        (14, "not_object"),
        (15, "empty_line"),
        (16, "not_utf8"),
        (17, "not_json"),
    ]
    assert payloads(form, data)[13] == '{"id": "a", '
    assert tables(form, data)[0]["interval_s"] == 1800


def test_fields_in_objects_and_a_meter_that_the_command_says() -> None:
    form = JsonLines(
        **given(meter="", meter_id="x", time=Time("t.ms", "epoch_ms"), values=(Value("sensor.energy", "energy"),))
    )
    data = lines(
        {"t": {"ms": 1772323200000}, "sensor": {"energy": 5}},
        {"t": {"ms": 1772323200500}, "sensor": {"energy": 5}},
        {"t": 3, "sensor": {"energy": 5}},
        {"t.ms": "1772323200000", "sensor.energy": 6},
        {"t": {"ms": 1772323200000}, "sensor": {"energy": [5]}},
    )
    assert rows(form, data, meter_id="y") == [
        (1, "y", "2026-03-01 00:00", 5.0),
        (2, "bad_time"),
        (3, "missing_field:t.ms"),
        (4, "y", "2026-03-01 00:00", 6.0),
        (5, "bad_value:energy"),
    ]


def test_a_reading_with_one_of_two_measures_is_none() -> None:
    form = JsonLines(**given(dataset=BOTH, values=(Value("out", "feed_in"), Value("in", "energy"))))
    data = lines(
        {"id": "a", "at": "2026-03-01", "in": 1, "out": 2},
        {"id": "a", "at": "2026-03-01", "in": 1, "out": None},
        {"id": "a", "at": "2026-03-01", "in": None, "out": ""},
    )
    assert rows(form, data) == [
        (1, "a", "2026-03-01 00:00", 1.0, 2.0),
        (2, "missing_measure"),
        (3, "a", "2026-03-01 00:00", None, None),
    ]


def test_json_table_as_the_smart_meter_poc_writes_it() -> None:
    form = JsonTable(
        **given(
            meter="meterpoint_id",
            time=Time("interval_start", "yyyy-MM-dd HH:mm:ss"),
            values=(Value("consumption_delta", "energy", unit="kWh"),),
        )
    )
    columns = ["interval_start", "consumption_delta", "meterpoint_id"]
    good = [["2021-01-01 00:30:00", 0.186, "04ab"], ["2021-01-01 01:00:00", 0.183, "04ab"]]
    data = [*good, ["2021-01-01 01:30:00", 0.19], "x", ["2021-01-01", 1, "a"], [None, 1, "a"]]
    expected = [
        (1, "04ab", "2021-01-01 00:30", 186.0),
        (2, "04ab", "2021-01-01 01:00", 183.0),
        (3, "missing_column"),
        (4, "not_list"),
        (5, "bad_time"),
        (6, "bad_time"),
    ]
    assert rows(form, json.dumps({"columns": columns, "data": data}).encode()) == expected
    assert rows(form, json.dumps({"data": data, "columns": columns}, indent=1).encode()) == expected
    with pytest.raises(WrongFile, match="has no column meterpoint_id; it has interval_start, x"):
        rows(form, json.dumps({"columns": ["interval_start", "x", "consumption_delta"], "data": []}).encode())
    with pytest.raises(WrongFile, match="no list of names at 'columns'"):
        rows(form, b'{"a": 1}')
    with pytest.raises(WrongFile, match="no rows at 'data'"):
        rows(form, json.dumps({"columns": columns}).encode())
    with pytest.raises(WrongFile, match="damaged JSON"):
        rows(form, json.dumps({"columns": columns, "data": data}).encode()[:-30])


@pytest.mark.skipif(not POC, reason="the public POC's files are not here")
def test_the_files_of_the_smart_meter_poc() -> None:
    form = JsonTable(
        **given(
            meter="meterpoint_id",
            time=Time("interval_start", "yyyy-MM-dd HH:mm:ss"),
            values=(Value("consumption_delta", "energy", unit="kWh"),),
        )
    )
    result = [row for path in sorted(POC[0].glob("*.json")) for row in rows(form, path.read_bytes())]
    assert (len(result), len({row[1] for row in result}), result[0]) == (
        14_300,
        100,
        (1, "0432df65f7", "2021-01-01 00:30", 186.0),
    )


def test_json_list() -> None:
    form = JsonList(**given())
    good = {"id": "a", "at": "2026-03-01", "kwh": 1}
    data = json.dumps([good, 3, {**good, "kwh": "-"}]).encode()
    expected = [(1, "a", "2026-03-01 00:00", 1000.0), (2, "not_object"), (3, "bad_value:energy")]
    assert rows(form, b"\n " + data) == expected
    assert rows(replace(form, at="result.readings"), b'{"result": {"readings": ' + data + b"}}") == expected
    with pytest.raises(WrongFile, match="no JSON list at 'x', or an empty one"):
        rows(replace(form, at="x"), data)
    with pytest.raises(WrongFile, match="damaged JSON"):
        rows(form, data[:-1])


def test_json_numbers_are_taken_as_they_are_written() -> None:
    data = b'[{"id": "a", "at": "2026-03-01", "kwh": 0.30000000000000001}]'
    assert rows(JsonList(**given()), data) == [(1, "a", "2026-03-01 00:00", 300.0)]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_parquet() -> None:
    times = [datetime(2026, 3, 1, 0, 30 * (n % 2)) for n in range(4)]  # noqa: DTZ001
    table = pa.table(
        {
            "id": pa.array(["a", "a", "b", "b"]).dictionary_encode(),
            "at": pa.array(times, pa.timestamp("ns")),
            "zoned": pa.array(times, pa.timestamp("us", "Europe/Paris")),
            "kwh": pa.array([0.25, None, float("nan"), 3.0]),
            "other": [[1]] * 4,
            "meter": [{"kwh": 0.1}, None, {"kwh": None}, {"kwh": 2}],
        }
    )
    data = parquet(table, row_group_size=2)
    expected = [
        (1, "a", "2026-03-01 00:00", 250.0),
        (2, "a", "2026-03-01 00:30", None),
        (3, "not_finite:energy"),
        (4, "b", "2026-03-01 00:30", 3000.0),
    ]
    assert rows(Parquet(**given()), data) == expected
    assert rows(Parquet(**given(utc_offset=timedelta(hours=1))), data)[0] == (1, "a", "2026-02-28 23:00", 250.0)
    assert rows(Parquet(**given(time=Time("zoned"), utc_offset=timedelta(hours=1))), data) == expected
    assert rows(Parquet(**given(values=(Value("meter.kwh", "energy", unit="kWh"),))), data) == [
        (1, "a", "2026-03-01 00:00", 100.0),
        (2, "missing_field:meter.kwh"),
        (3, "b", "2026-03-01 00:00", None),
        (4, "b", "2026-03-01 00:30", 2000.0),
    ]
    with pytest.raises(WrongFile, match="has no column wh; it has id, at, zoned, kwh, other, meter"):
        rows(Parquet(**given(values=(Value("wh", "energy"),))), data)
    with pytest.raises(WrongFile, match="is damaged, or no Parquet file"):
        rows(Parquet(**given()), data[:-9])


def test_many_rows_come_in_several_tables() -> None:
    form = Parquet(**given())
    at = pa.array([datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(50_000)])
    table = pa.table({"id": ["a"] * 50_000, "at": at, "kwh": pa.array(range(50_000))})
    result = list(reader_of(form)(io.BytesIO(parquet(table)), Options("", timedelta(0))))
    assert [len(one) for one in result] == [50_000]
    assert result[0].schema == row_schema(HOMES)
    odd = pa.table({"id": ["a"] * 50_000, "at": at, "kwh": pa.array([None, float("nan"), *range(49_998)])})
    lines = list(reader_of(form)(io.BytesIO(parquet(odd)), Options("", timedelta(0))))
    assert [len(one) for one in lines] == [20_000, 20_000, 10_000]
    assert lines[0]["reason"].to_pylist()[:3] == [None, "not_finite:energy", None]
    assert sum(value for one in result for value in one["energy"].to_pylist()) == 50_000 * 49_999 / 2 * 1000


def test_times_of_parquet_that_no_reading_can_have() -> None:
    form = Parquet(**given())
    for kind, numbers in (
        (pa.timestamp("us"), [0, 2**62, -1, None]),
        (pa.timestamp("s", "UTC"), [0, 2**50, -(2**50), None]),
        (pa.date32(), [0, 2**31 - 1, -1, None]),
        (pa.timestamp("ns"), [999, 2**62, -(10**9), None]),
    ):
        column = pa.array(numbers, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
        table = pa.table({"id": ["a"] * 4, "at": column, "kwh": [1] * 4})
        expected = [(1, "a", "1970-01-01 00:00", 1000.0), (2, "bad_time"), (3, "bad_time"), (4, "bad_time")]
        assert rows(form, parquet(table)) == expected


@pytest.mark.parametrize(
    "change", [{}, {"marks": "end"}, {"utc_offset": timedelta(hours=-3)}, {"meter": "", "meter_id": "m"}]
)
def test_columns_give_what_rows_give(change: dict[str, Any]) -> None:
    """A batch is decoded by columns, unless a row of it is odd: then all of it row by row, with the same rows."""
    count = 3000
    form = Parquet(
        **given(**{"dataset": BOTH, "values": (Value("out", "feed_in"), Value("kwh", "energy", unit="kWh")), **change})
    )
    at = [datetime(2026, 3, 1) + timedelta(minutes=30 * n) for n in range(count)]  # noqa: DTZ001
    kwh = [None if n % 97 == 0 else n % 1000 / 1000 for n in range(count)]
    out = [None if n % 97 == 0 else n % 7 for n in range(count)]
    table = pa.table(
        {
            "id": [f" {'ab'[n % 2]}" for n in range(count)],
            "at": pa.array(at, pa.timestamp("ms")),
            "kwh": kwh,
            "out": out,
        }
    )
    odd = table.slice(0, 1).set_column(0, "id", pa.array(["\t"]))
    if not form.meter:
        odd = odd.set_column(1, "at", pa.array([datetime(2026, 3, 1, 0, 1)], pa.timestamp("ms")))  # noqa: DTZ001
    by_columns = rows(form, parquet(table))
    by_rows = rows(form, parquet(pa.concat_tables([table, odd])))
    assert by_columns == by_rows[:-1]
    assert len(by_rows[-1]) == 2
    assert (by_columns[1][3], by_columns[0][3]) == (1.0, None)


def workbook(*cells: list[Any], title: str = "Data") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in cells:
        sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def test_workbook() -> None:
    form = Workbook(**given(time=Time("at", "d/M/yyyy H:mm")))
    data = workbook(
        ["at", "id", None, "kwh "],
        [datetime(2026, 3, 1, 0, 0), "a", "note", 0.25],  # noqa: DTZ001
        ["1/3/2026 0:30", 12, None, "0.5"],
        [None, None, None, None],
        [datetime(2026, 3, 1, 1, 0), "a", None, "#N/A"],  # noqa: DTZ001
        ["2026-03-01", "a", None, 1],
        [datetime(2026, 3, 1, 1, 30), "a", None, None],  # noqa: DTZ001
        [datetime(2026, 3, 1, 2, 0), "a", None, "=1+1"],  # noqa: DTZ001
    )
    assert rows(form, data) == [
        (2, "a", "2026-03-01 00:00", 250.0),
        (3, "12", "2026-03-01 00:30", 500.0),
        (5, "bad_value:energy"),
        (6, "bad_time"),
        (7, "a", "2026-03-01 01:30", None),
        # Nobody has computed the formula yet.
        (8, "a", "2026-03-01 02:00", None),
    ]
    assert '"kwh":"#N/A"' in payloads(form, data)[5]
    assert rows(replace(form, sheet="Data"), data) == rows(form, data)
    with pytest.raises(WrongFile, match="has no sheet 'March'; it has Data"):
        rows(replace(form, sheet="March"), data)
    with pytest.raises(WrongFile, match="has no column kwh in its first row; it has at, id"):
        rows(form, workbook(["at", "id"]))
    with pytest.raises(WrongFile, match="is a damaged workbook"):
        rows(form, data[:-100])


def test_a_formula_gives_the_value_that_excel_computed() -> None:
    data, sink = workbook(["id", "at", "kwh"], ["a", datetime(2026, 3, 1), "=1+1"]), io.BytesIO()  # noqa: DTZ001
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(sink, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("sheet1.xml"):
                assert text.count(b"<f>1+1</f><v></v>") + text.count(b"<f>1+1</f><v />") == 1
                text = text.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>")
                text = text.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
            new.writestr(name, text)
    assert rows(Workbook(**given()), sink.getvalue()) == [(2, "a", "2026-03-01 00:00", 2000.0)]


def test_excel_days() -> None:
    form = JsonLines(**given(time=Time("at", "excel_days")))
    data = lines(
        {"id": "a", "at": 46082.020833333336, "kwh": 1},
        {"id": "a", "at": "46082", "kwh": 1},
        {"id": "a", "at": 46082.0208, "kwh": 1},
        {"id": "a", "at": -1, "kwh": 1},
    )
    assert rows(form, data) == [
        (1, "a", "2026-03-01 00:30", 1000.0),
        (2, "a", "2026-03-01 00:00", 1000.0),
        (3, "bad_time"),
        (4, "bad_time"),
    ]


def test_the_end_of_an_interval() -> None:
    data = lines({"id": "a", "at": "2026-03-01T00:30Z", "kwh": 1})
    assert rows(JsonLines(**given(marks="end")), data) == [(1, "a", "2026-03-01 00:00", 1000.0)]


def test_a_clock_on_the_wall() -> None:
    """Two meters, interleaved, on the day on which the hour from two to three comes twice, and that without it."""
    form = JsonLines(**given(time_zone="Europe/Paris"))
    local = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    data = lines(
        *({"id": meter, "at": f"2026-10-25 {at}", "kwh": 1} for at in local for meter in "ab"),
        {"id": "a", "at": "2026-03-29 02:30", "kwh": 1},
        {"id": "c", "at": "2026-10-25 02:30", "kwh": 1},
    )
    result = rows(form, data)
    utc = ["2026-10-24 23:30", *(f"2026-10-25 {at}" for at in ("00:00", "00:30", "01:00", "01:30", "02:00"))]
    assert [row[2] for row in result[:12] if row[1] == "a"] == utc
    assert [row[2] for row in result[:12] if row[1] == "b"] == utc
    assert result[12:] == [(13, "no_such_local_time"), (14, "ambiguous_time")]


def test_a_field_may_hold_a_cumulative_register() -> None:
    form = JsonLines(
        **given(
            dataset=COUNTED,
            estimated="estimated",
            serial="sn",
            register=Register(digits=5, across_gap="spread"),
        )
    )
    shown = [("03:00", 0.5, "A"), ("02:00", 99999.5, "A"), ("00:30", 99998.9, "A"), ("00:00", "99998.75", "A")]
    shown += [("03:30", 7, "B"), ("04:00", 7.25, "B")]
    data = lines(*({"id": "a", "at": f"2026-03-01 {at}", "kwh": value, "sn": sn} for at, value, sn in shown))
    assert rows(form, data) == [
        (4, "first_reading"),
        (5, "meter_exchange"),
        (3, "a", "2026-03-01 00:00", 150.0, 0.0),
        (2, "a", "2026-03-01 00:30", 200.0, 1.0),
        (2, "a", "2026-03-01 01:00", 200.0, 1.0),
        (2, "a", "2026-03-01 01:30", 200.0, 1.0),
        (1, "a", "2026-03-01 02:00", 500.0, 1.0),
        (1, "a", "2026-03-01 02:30", 500.0, 1.0),
        (6, "a", "2026-03-01 03:30", 250.0, 0.0),
    ]
    known = replace(form, register=Register(digits=5, across_gap="spread", exchanges=(EXCHANGE,)))
    assert rows(known, data)[-2:] == [
        (5, "a", "2026-03-01 03:00", 300.0, 0.0),
        (6, "a", "2026-03-01 03:30", 250.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"values": ()}, r"it gives the measures \[\]"),
        ({"values": (Value("kw", "energy", unit="kW"),)}, r"kW \(power\) cannot be turned into Wh"),
        ({"time": Time("at", "yy")}, "it says no day"),
        ({"interval_s": 60}, "its interval of 60 s is not one of the data set's"),
        ({"meter_id": "a"}, "names a meter, and the file does, too"),
        ({"meter": ""}, "nothing says the meter"),
        ({"time_zone": "Mars/Base"}, "there is no time zone 'Mars/Base'"),
        ({"time_zone": "Europe/Paris", "utc_offset": timedelta(hours=1)}, "has an offset and a time zone"),
        ({"estimated": "estimated", "dataset": COUNTED}, "only amounts of a register are estimated"),
        ({"register": Register(across_gap="spread")}, "nothing would tell them from measured ones"),
        ({"register": Register(exchanges=(replace(EXCHANGE, final="x"),))}, "from 'x' to '6.9' cannot be used"),
        ({"register": Register(exchanges=(replace(EXCHANGE, measure="x"),))}, "an exchange is of 'x'"),
        ({"register": Register(), "marks": "end"}, "is read at an instant"),
    ],
)
def test_a_contradiction_is_found_at_construction(change: dict[str, Any], problem: str) -> None:
    from meterlake.errors import UnknownName

    with pytest.raises((DeclarationError, UnknownName), match=problem):
        JsonLines(**given(**change))


def test_units_are_exact() -> None:
    from fractions import Fraction

    from meterlake.physical_units import exact_factor

    assert exact_factor("kWh", "Wh") == 1000
    assert exact_factor("MJ", "kWh") == Fraction(5, 18)
    assert exact_factor("l/min", "m³/h") == Fraction(3, 50)
    assert ENERGY.unit == "Wh"
