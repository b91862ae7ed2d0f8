"""Files of counters: OBIS text and Home Assistant's statistics."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from reader_samples import COUNTED, ENERGY, ESTIMATED, EXPORT, HOMES, epoch, payloads, rows, series

from meterlake.declaration import Level
from meterlake.errors import DeclarationError
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.homeassistant import HomeAssistantDatabase, HomeAssistantText, Statistic
from meterlake.fileformats.records import ObisText, Register, Time, Value

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "docs/formats/examples"
QUARTERS = series(ENERGY, EXPORT, ESTIMATED, intervals=("15 min",))
OBIS = ObisText(
    dataset=QUARTERS,
    meter="meter",
    serial="serial",
    time=Time("time", "dd.MM.yyyy HH:mm"),
    utc_offset=timedelta(hours=1),
    values=(Value("1-0:1.8.0", "energy", unit="kWh"), Value("2.8.0", "feed_in", unit="kWh")),
    interval_s=900,
    estimated="estimated",
    register=Register(digits=6, across_gap="spread"),
)


def obis(*lines: str, header: str = "id;at;1.8.0", **change: Any) -> list[tuple[Any, ...]]:
    form = ObisText(
        **{  # type: ignore[arg-type]
            "dataset": HOMES,
            "meter": "id",
            "time": Time("at"),
            "values": (Value("1-0:1.8.0", "energy", unit="kWh"),),
            "interval_s": 1800,
            "register": Register(),
            **change,
        }
    )
    return rows(form, "\n".join([header, *lines]).encode())


def test_obis_example() -> None:
    result = rows(OBIS, (EXAMPLES / "obis.csv").read_bytes())
    meter = "1EMH0012345678"
    assert result == [
        (3, "first_reading"),
        (7, "meter_exchange"),
        (4, meter, "2026-02-28 23:00", 250.0, 0.0, 0.0),
        (5, meter, "2026-02-28 23:15", 183.0, 125.0, 0.0),
        (6, meter, "2026-02-28 23:30", 300.0, 0.0, 1.0),
        (6, meter, "2026-02-28 23:45", 300.0, 0.0, 1.0),
        (8, meter, "2026-03-01 00:15", 250.0, 0.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("001.5*kWh", (3, "a", "2026-03-01 00:00", 500.0)),
        ("1500*Wh", (3, "a", "2026-03-01 00:00", 500.0)),
        ("1.5", (3, "a", "2026-03-01 00:00", 500.0)),
        ('"1.5*kWh"', (3, "a", "2026-03-01 00:00", 500.0)),
        ("5.4*MJ", (3, "a", "2026-03-01 00:00", 500.0)),
        ("1.5*m3", (3, "bad_unit:m3")),
        ("x*kWh", (3, "bad_value:energy")),
        ("1,5*kWh", (3, "bad_value:energy")),
        ("", (3, "missing_measure")),
        ("1.5;2", (3, "extra_column")),
        ('"1.5', (3, "bad_quotes")),
        ("1.5;", (3, "a", "2026-03-01 00:00", 500.0)),
    ],
)
def test_values_with_their_units(value: str, expected: tuple[Any, ...]) -> None:
    assert expected in obis("a;2026-03-01;1*kWh", f"a;2026-03-01T00:30;{value}")


@pytest.mark.parametrize(
    "header", ["id;at;1-0:1.8.0*255", "at;x;1-0:1.8.0.255 (kWh);id;y", "id;at;1.8.0", "Meters\n\nid;at;1-0:1.8.0 [kWh]"]
)
def test_columns_are_found_by_their_registers(header: str) -> None:
    names = header.rsplit("\n", maxsplit=1)[-1].split(";")
    result = [{"id": "a", "at": at, "x": "", "y": ""} for at in ("2026-03-01 00:00", "2026-03-01 00:30")]
    lines = [";".join(one.get(name, str(n)) for name in names) for n, one in enumerate(result)]
    assert obis(*lines, header=header)[-1][1:] == ("a", "2026-03-01 00:00", 1000.0)


def test_registers_that_are_not_there() -> None:
    with pytest.raises(WrongFile, match=r"has no header of its format\. Its first line is 'id;at;1.8.1'"):
        obis(header="id;at;1.8.1")
    with pytest.raises(WrongFile, match="has no header of its format"):
        obis(*["x"] * 60, "id;at;1.8.0", header="y")
    with pytest.raises(WrongFile, match=r"has several columns of 1-0:1\.8\.0: 1\.8\.0, 1-0:1\.8\.0\*255"):
        obis(header="id;at;1.8.0;1-0:1.8.0*255")
    assert obis(header="id;at;1-1:1.8.0;1-0:1.8.0*255") == []


def test_a_register_that_is_no_counter() -> None:
    result = obis(
        "a;2026-03-01;0,25",
        header="id;at;1.29.0",
        register=None,
        decimal=",",
        values=(Value("1.29.0", "energy", unit="kWh"),),
    )
    assert result == [(2, "a", "2026-03-01 00:00", 250.0)]


HOURS = series(ENERGY, EXPORT, ESTIMATED, intervals=("1 h",))
GRID, SOLAR = Statistic("sensor.grid_energy", "energy"), Statistic("sensor.solar_energy", "feed_in")
CSV = HomeAssistantText(
    dataset=HOURS,
    meter_id="home",
    statistics=(GRID, SOLAR),
    time=Time("start", "dd.MM.yyyy HH:mm"),
    decimal=",",
    time_zone="Europe/Berlin",
    estimated="estimated",
    register=Register(across_gap="one_interval"),
)
DATABASE = HomeAssistantDatabase(
    dataset=HOURS,
    meter_id="home",
    statistics=(GRID, SOLAR),
    estimated="estimated",
    register=Register(across_gap="one_interval"),
)


def test_csv_example() -> None:
    result = rows(CSV, (EXAMPLES / "home-assistant.csv").read_bytes())
    assert result == [
        (2, "first_reading"),
        (6, "first_reading"),
        (3, "home", "2026-03-01 00:00", 250.0, 0.0, 0.0),
        (4, "home", "2026-03-01 01:00", 250.0, 40.0, 0.0),
        (5, "home", "2026-03-01 04:00", 1500.0, 300.0, 1.0),
    ]


def test_the_hour_that_comes_twice() -> None:
    form = replace(CSV, dataset=HOURS, register=Register(across_gap="spread"))
    hours = ["01", "02", "02", "03"]
    lines = [f"{name},kWh,25.10.2026 {hour}:00,{n}" for name in (GRID.id, SOLAR.id) for n, hour in enumerate(hours)]
    result = rows(replace(form, decimal="."), "\n".join(["statistic_id,unit,start,sum", *lines]).encode())
    assert [row[2:] for row in result if len(row) > 2] == [
        (f"2026-10-25 {hour}:00", 1000.0, 1000.0, 0.0) for hour in ("00", "01", "02")
    ]


def test_odd_lines_of_csv() -> None:
    form = replace(CSV, decimal=".", time_zone="", dataset=HOURS)
    head = "start_ts\tsum\tunit_of_measurement\tstatistic_id"
    begin = epoch("2026-03-01")
    lines = [f"{begin}\t1\tkWh\t{GRID.id}", f"x\t1\tkWh\t{GRID.id}", f"{begin}\t\tkWh\t{GRID.id}"]
    lines += [f"{begin + 3600}\t2\t°C\t{GRID.id}", f"{begin + 3600}\t2\tkWh", f"{begin + 3600}\t-\tkWh\t{GRID.id}", ""]
    lines += [f"{begin + 3600}\t2\tMWh\t{GRID.id}"]
    data = "\n".join([head, *lines]).encode()
    assert rows(form, data) == [
        (3, "bad_time"),
        (4, "missing_value"),
        (5, "bad_unit:°C"),
        (6, "missing_column"),
        (7, "bad_value:energy"),
        (8, "empty_line"),
        (2, "first_reading"),
        # The other statistic has no such hour.
        (9, "missing_measure"),
    ]
    assert payloads(form, data)[5] == lines[3]
    with pytest.raises(WrongFile, match="Expected statistic_id, unit, start and sum"):
        rows(form, b"statistic_id,unit,start,mean\n")


def database(
    folder: Path, *values: tuple[Any, ...], time: str = "start_ts", short: Iterable[tuple[Any, ...]] = ()
) -> bytes:
    path = folder / "home-assistant_v2.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE statistics_meta (id INTEGER PRIMARY KEY, statistic_id, source, unit_of_measurement)"
    )
    metas = [(1, GRID.id, "kWh"), (2, SOLAR.id, "Wh"), (3, "sensor.power", "W"), (4, "sensor.other", None)]
    connection.executemany("INSERT INTO statistics_meta VALUES (?, ?, 'recorder', ?)", metas)
    for table, rows_ in (("statistics", values), ("statistics_short_term", short)):
        connection.execute(
            f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, metadata_id, {time}, mean, min, max, state, sum)"
        )
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, NULL, NULL, ?, ?)", rows_)  # noqa: S608
    connection.commit()
    connection.close()
    return path.read_bytes()


def test_database(tmp_path: Path) -> None:
    begin = epoch("2026-03-01")
    values = [
        (n, 1, begin + hour * 3600.0, None, 9, total)
        for n, (hour, total) in enumerate([(2, 21.0), (0, 20.5), (1, 20.75), (5, 22.5)])
    ]
    values += [
        (n + 9, 2, begin + hour * 3600.0, None, 9, total)
        for n, (hour, total) in enumerate([(0, 100), (1, 100), (2, 140), (5, 440)])
    ]
    values += [
        (20, 4, "x", "y", None, None),
        (21, 1, begin + 7200.5, None, None, 1),
        (22, 1, begin, None, None, "x"),
        (23, 1, None, None, None, 1),
    ]
    expected = [
        (23, "bad_time"),
        (22, "bad_value:energy"),
        (21, "bad_time"),
        (1, "first_reading"),
        (9, "first_reading"),
        (2, "home", "2026-03-01 01:00", 250.0, 0.0, 0.0),
        (0, "home", "2026-03-01 02:00", 250.0, 40.0, 0.0),
        (3, "home", "2026-03-01 05:00", 1500.0, 300.0, 1.0),
    ]
    assert rows(DATABASE, database(tmp_path, *values)) == expected


def test_a_database_from_before_2023_has_times_as_text(tmp_path: Path) -> None:
    values = [(n, 1, f"2026-03-01 0{n}:00:00.000000", None, None, n) for n in (1, 2)]
    form = replace(DATABASE, dataset=replace(HOURS, measures=(ENERGY, ESTIMATED)), statistics=(GRID,))
    assert rows(form, database(tmp_path, *values, time="start")) == [
        (1, "first_reading"),
        (2, "home", "2026-03-01 02:00", 1000.0, 0.0),
    ]


def test_a_level_of_the_short_term_statistics(tmp_path: Path) -> None:
    power = Level("power", "kW", "0.001")
    five = series(ENERGY, intervals=("5 min",))
    form = HomeAssistantDatabase(
        dataset=replace(five, measures=(power, ENERGY)),
        interval_s=300,
        statistics=(
            Statistic("sensor.power", "power", "mean", meter_id="a"),
            Statistic(GRID.id, "energy", "state", meter_id="a"),
        ),
        register=Register(resets=True),
    )
    begin = epoch("2026-03-01")
    shown = [7.0, 7.25, 0.125]
    short = [(n, 1, begin + 300 * n, None, value, 0) for n, value in enumerate(shown)]
    short += [(n + 3, 3, begin + 300 * n, 500.0 * n, None, None) for n in range(3)]
    assert rows(form, database(tmp_path, short=short)) == [
        (0, "first_reading"),
        (3, "missing_measure"),
        (4, "a", "2026-03-01 00:05", 0.5, 250.0),
        (5, "a", "2026-03-01 00:10", 1.0, 125.0),
    ]


def test_another_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match=r"has no statistic sensor\.x; it has sensor.grid_energy, sensor.other"):
        rows(replace(DATABASE, statistics=(Statistic("sensor.x", "energy"), SOLAR)), database(tmp_path))
    for data in (
        b"",
        b"no database",
        database(tmp_path)[:9000],
        database(tmp_path).replace(b"statistics_meta", b"statistics_mexa"),
    ):
        with pytest.raises(WrongFile, match="is damaged, or no database of Home Assistant"):
            rows(DATABASE, data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"statistics": (GRID,)}, r"it gives the measures \['energy', 'estimated'\]"),
        ({"statistics": (GRID, replace(GRID, measure="feed_in"))}, "the statistic 'sensor.grid_energy' occurs 2 times"),
        ({"meter_id": ""}, "'sensor.grid_energy' has no meter"),
        ({"statistics": (replace(GRID, meter_id="a"), SOLAR)}, "has two meters"),
        ({"statistics": (GRID, replace(SOLAR, column="sun"))}, "the column 'sun' is unknown"),
        ({"estimated": "", "dataset": COUNTED}, "it gives the measures"),
    ],
)
def test_contradictions(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(DATABASE, **change)
