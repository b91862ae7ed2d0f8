"""Exported files hold what the view holds: read back by other libraries, and by our own reader of NEM12."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from nemreader import NEMFile
from reader_samples import BOTH, HOMES, rows

from meterlake.errors import UnknownName, UsageError
from meterlake.fileformats.nem import Channel, Nem12
from meterlake.views import published_columns
from serving_layer.export import nem12, writers
from serving_layer.export.rows import Extent, Request, _months

pytestmark = pytest.mark.unit
COLUMNS = published_columns(HOMES, "half_hour")
START = datetime(2026, 3, 1)  # noqa: DTZ001 - UTC wall clock, as the view has it
ROW = ("house 1", START, 1, 1800, 0, Decimal("0.3"), Decimal("0.3"), Decimal("0.3"), "batch")
NULL = ("café;2", START + timedelta(minutes=30), 0, 0, 0, Decimal("12345678901234567.8"), None, None, "speed")
BATCHES = [[ROW], [NULL, ROW]]


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert writers.write_csv(path, COLUMNS, BATCHES) == 3
    assert path.read_text(encoding="utf-8").splitlines() == [
        "meter_id,half_hour,readings,covered_s,flagged,energy_sum,energy_min,energy_max,source",
        "house 1,2026-03-01T00:00:00Z,1,1800,0,0.3,0.3,0.3,batch",
        "café;2,2026-03-01T00:30:00Z,0,0,0,12345678901234567.8,,,speed",
        "house 1,2026-03-01T00:00:00Z,1,1800,0,0.3,0.3,0.3,batch",
    ]


def test_parquet_has_the_types_of_the_view(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert writers.write_parquet(path, COLUMNS, BATCHES) == 3
    table = pq.read_table(path)
    assert table.num_rows == 3
    assert str(table.schema.field("energy_sum").type) == "decimal128(18, 1)"
    second = table.to_pylist()[1]
    assert second["half_hour"] == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    assert (second["energy_sum"], second["energy_min"]) == (Decimal("12345678901234567.8"), None)


def test_a_workbook_goes_on_in_another_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MOST_ROWS", 3)  # a header and two rows
    path = tmp_path / "rows.xlsx"
    assert writers.write_xlsx(path, COLUMNS, BATCHES) == 3
    sheets = [list(sheet.iter_rows(values_only=True)) for sheet in openpyxl.load_workbook(path).worksheets]
    assert [len(sheet) for sheet in sheets] == [3, 2]
    assert sheets[0][0][:3] == ("meter_id", "half_hour (UTC)", "readings")
    assert sheets[1][1] == ("house 1", START, 1, 1800, 0, 0.3, 0.3, 0.3, "batch")


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old")

    def fill(target: Path) -> None:
        with writers.replaced(target) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fill(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("rows.csv", "old")]
    with pytest.raises(writers.UnwritableFile, match="cannot be written"):
        fill(tmp_path / "no" / "rows.csv")


MIDNIGHT = datetime(2026, 3, 1)  # noqa: DTZ001 - by the clock of the file, UTC+10
MONTHS = {
    "M1": {MIDNIGHT + timedelta(minutes=30 * at): Decimal(f"{at}.5") for at in (*range(96), *range(1440, 1632))},
    "M2": {MIDNIGHT + timedelta(minutes=30 * at): Decimal(at) for at in (50, 51, 30 * 48, 31 * 48 - 1, 31 * 48)},
}
"""Half hours of two months; the second meter lacks most."""


def test_nem12_is_read_back_by_our_reader_and_by_the_public_one() -> None:
    result = [
        (meter, at - timedelta(hours=10), value, value / 2)
        for meter, some in MONTHS.items()
        for at, value in some.items()
    ]
    result.sort(key=lambda row: (row[1] + timedelta(hours=10) >= datetime(2026, 4, 1), row[:2]))  # noqa: DTZ001
    file = io.StringIO(newline="")
    layout = nem12.Layout(nem12.channels(BOTH, "half_hour"), 30, datetime(2026, 3, 9, tzinfo=UTC))
    assert nem12.write(file, layout, result) == len(result)
    text = file.getvalue()

    form = Nem12(dataset=BOTH, channels=(Channel("E1", "energy"), Channel("E2", "feed_in")))
    ours = [row[1:] for row in rows(form, text.encode()) if row[3] is not None]
    assert ours == [(meter, f"{at:%Y-%m-%d %H:%M}", float(one), float(two)) for meter, at, one, two in result]

    theirs = NEMFile("export.nem12").parse_nem_file(text.splitlines()).readings
    for channel, share in (("E1", 1), ("E2", 2)):
        assert {
            (meter, reading.t_start): reading.read_value
            for meter, channels in theirs.items()
            for reading in channels[channel]
            if reading.quality_method != "N"
        } == {(meter, at): float(value / share) for meter, some in MONTHS.items() for at, value in some.items()}


@pytest.mark.parametrize(("grain", "says"), [("hour", "5, 15 or 30 minutes"), ("half_hour", "no amount of energy")])
def test_nem12_says_what_it_cannot_hold(grain: Any, says: str) -> None:
    from meterlake.declaration import Level, MeterSeries, View

    warmth = Level("warmth", "°C", "0.1", between=(-50, 50))
    dataset = MeterSeries(name="air", intervals=(1800,), measures=(warmth,), views=(View("30 min"), View("hour")))
    with pytest.raises(UsageError, match=says):
        nem12.channels(dataset, grain)


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownName, match=r"'energie'. Did you mean 'energy_min'"):
        _ = Request(HOMES, "half_hour", columns=("energie",)).chosen
    assert [column.name for column in Request(HOMES, "half_hour", columns=("source",)).chosen] == [
        "meter_id",
        "half_hour",
        "source",
    ]


def test_a_range_is_asked_for_month_by_month() -> None:
    first, last = datetime(2026, 1, 30, 23, 30), datetime(2026, 3, 2)  # noqa: DTZ001
    pieces = list(_months(Request(HOMES, "half_hour"), Extent(first, last, 1, 9), UTC))
    assert [f"{since:%m-%d %H:%M}" for since, _ in pieces] == ["01-30 23:30", "02-01 00:00", "03-01 00:00"]
    assert [until for _, until in pieces[:-1]] == [since for since, _ in pieces[1:]]
    assert pieces[-1][1] > last.replace(tzinfo=UTC)


def test_months_are_those_of_the_clock_that_is_asked_for() -> None:
    first, last = datetime(2026, 1, 31, 13, 30), datetime(2026, 2, 1)  # noqa: DTZ001
    pieces = list(_months(Request(HOMES, "half_hour"), Extent(first, last, 1, 9), timezone(timedelta(hours=10))))
    assert [f"{since.astimezone(UTC):%m-%d %H:%M}" for since, _ in pieces] == ["01-31 13:30", "01-31 14:00"]


def test_parquet_has_few_and_large_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROW_GROUP", 4)
    path = tmp_path / "rows.parquet"
    assert writers.write_parquet(path, COLUMNS, [[ROW], [NULL, ROW], [ROW, NULL], [ROW]]) == 6
    described = pq.ParquetFile(path).metadata
    assert [described.row_group(at).num_rows for at in range(described.num_row_groups)] == [5, 1]


def test_a_meter_whose_name_looks_like_a_formula_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    writers.write_xlsx(path, COLUMNS, [[("=1+1", *ROW[1:])]])
    cell = openpyxl.load_workbook(path).worksheets[0]["A2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")


BATCHES_OF_MANY, ROWS_OF_A_BATCH = 80, 250


@pytest.mark.parametrize("form", [*writers.WRITERS, "nem12"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """What Python and Arrow hold is looked at whenever a batch is asked for: 20,000 rows are some 10 MB."""
    monkeypatch.setattr(writers, "ROW_GROUP", 1000)
    held: list[int] = []

    def batches() -> Iterator[list[tuple[Any, ...]]]:
        for number in range(BATCHES_OF_MANY):
            held.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
            starts = [START + timedelta(minutes=30 * (number * ROWS_OF_A_BATCH + at)) for at in range(ROWS_OF_A_BATCH)]
            if form == "nem12":
                yield [("house 1", start, Decimal(at), Decimal(number)) for at, start in enumerate(starts)]
            else:
                yield [("house 1", start, *ROW[2:5], Decimal(at), *ROW[6:]) for at, start in enumerate(starts)]

    tracemalloc.start()
    try:
        if form == "nem12":
            layout = nem12.Layout(nem12.channels(BOTH, "half_hour"), 30, datetime(2026, 3, 9, tzinfo=UTC))
            with (tmp_path / "rows").open("w", newline="") as file:
                assert nem12.write(file, layout, chain.from_iterable(batches())) == BATCHES_OF_MANY * ROWS_OF_A_BATCH
        else:
            assert writers.WRITERS[form](tmp_path / "rows", COLUMNS, batches()) == BATCHES_OF_MANY * ROWS_OF_A_BATCH
    finally:
        tracemalloc.stop()
    half = BATCHES_OF_MANY // 2
    assert max(held[half:]) < max(held[:half]) + 3_000_000
