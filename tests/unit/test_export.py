"""Exported files hold what the view holds: read back by other libraries, and by our own reader of NEM12."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
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


def nem(**values: dict[int, str]) -> str:
    """Return NEM12 of a meter whose half hours, counted from midnight UTC+10, have values."""
    by_meter: dict[str, list[tuple[Any, ...]]] = {
        meter: [
            (START - timedelta(hours=10) + timedelta(minutes=30 * at), Decimal(value), Decimal("0.5"))
            for at, value in some.items()
        ]
        for meter, some in values.items()
    }
    file = io.StringIO(newline="")
    layout = nem12.Layout(nem12.channels(BOTH, "half_hour"), 30, datetime(2026, 3, 9, tzinfo=UTC))
    count = nem12.write(file, layout, by_meter, lambda meter: by_meter[meter])
    assert count == sum(map(len, values.values()))
    return file.getvalue()


def test_nem12_is_read_back_by_our_reader_and_by_the_public_one() -> None:
    whole = {at: f"{at}.5" for at in range(48)}
    holey = {50: "1.0", 51: "2.0", 96 * 30: "7.0"}  # the next day, and in April
    text = nem(M1=whole, M2=holey)
    form = Nem12(dataset=BOTH, channels=(Channel("E1", "energy"), Channel("E2", "feed_in")))
    found = [row for row in rows(form, text.encode()) if row[3] is not None]
    assert [row[1:] for row in found[:48]] == [
        ("M1", f"{START - timedelta(hours=10) + timedelta(minutes=30 * at):%Y-%m-%d %H:%M}", at + 0.5, 0.5)
        for at in range(48)
    ]
    assert [(row[2], row[3]) for row in found[48:]] == [
        ("2026-03-01 15:00", 1.0),
        ("2026-03-01 15:30", 2.0),
        ("2026-04-29 14:00", 7.0),
    ]
    theirs = NEMFile("export.nem12").parse_nem_file(text.splitlines()).readings
    assert sorted(theirs) == ["M1", "M2"]
    assert [reading.read_value for reading in theirs["M1"]["E1"]] == [at + 0.5 for at in range(48)]
    assert sum(reading.read_value for reading in theirs["M2"]["E1"]) == 10.0


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
    pieces = list(_months(Request(HOMES, "half_hour"), Extent(first, last, 1, 9)))
    assert [f"{since:%m-%d %H:%M}" for since, _ in pieces] == ["01-30 23:30", "02-01 00:00", "03-01 00:00"]
    assert [until for _, until in pieces[:-1]] == [since for since, _ in pieces[1:]]
    assert pieces[-1][1] > last.replace(tzinfo=UTC)
