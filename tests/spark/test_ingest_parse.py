"""Lines of a text file become readings, gap rows or quarantine, each under its number in the file."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from pyspark.sql import DataFrame, SparkSession

from batch_layer.ingest.lines import Lines
from batch_layer.ingest.parse import (
    Arrival,
    Day,
    days,
    decoded,
    numbered_lines,
    reading_lines,
    readings,
    rejected,
    with_places,
)
from datasets.household.text import HOUSEHOLD_TEXT as FORM
from engines.text_lines import line_tables, set_clock
from meterlake.jumps import DAY_S
from meterlake.schema import master_fields, quarantine_fields
from meterlake.textformat import PAYLOAD_BYTES
from meterlake.textlines import MAX_LINE_BYTES
from meterlake.textrows import LINES, rows_sql

pytestmark = pytest.mark.spark
GOOD = "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000"
GAP = "21/12/2006;11:23:00;?;?;?;?;?;?;"
ARRIVAL = Arrival("m1", datetime(2026, 11, 21, 12, 0, 0, 5, UTC), "file.txt", "load1")
HOUR = timedelta(hours=1)
PARIS = ZoneInfo("Europe/Paris")


def file_of(folder: Path, lines: Iterable[str | bytes], end: bytes = b"\r\n") -> Path:
    path = folder / "file.txt"
    every = [FORM.header, *lines]
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + end for line in every))
    return path


def lines_of(spark: SparkSession, path: Path, split: int = 1 << 25) -> DataFrame:
    seen = Lines(split)
    stored = seen.take(path.read_bytes()) + seen.rest()
    path.write_bytes(stored)
    return numbered_lines(spark, path.as_uri(), seen.first_lines, split)


def decode(spark: SparkSession, folder: Path, lines: Iterable[str | bytes]) -> DataFrame:
    return decoded(lines_of(spark, file_of(folder, lines)), FORM, HOUR, timedelta(0))


def reasons(rows: DataFrame) -> dict[int, str | None]:
    return {row.line: row.reason for row in rows.select("line", "reason").collect()}


def test_a_reading_and_a_gap_row_have_the_columns_of_the_master(spark: SparkSession, tmp_path: Path) -> None:
    with reading_lines(spark, 1 << 25):
        rows = readings(decode(spark, tmp_path, [GOOD, GAP]), FORM, ARRIVAL)
        assert {name: kind.upper() for name, kind in rows.dtypes} == {
            column.name: column.type.sql("spark") for column in master_fields(FORM.dataset)
        }
        reading, gap = (row.asDict() for row in rows.orderBy("origin_offset").collect())
    assert reading == {
        "meter_id": "m1",
        "ts": datetime(2006, 12, 16, 16, 24),  # noqa: DTZ001
        "interval_s": 60,
        "global_active_power": 4.216,
        "global_reactive_power": 0.418,
        "voltage": 234.84,
        "global_intensity": 18.4,
        "sub_metering_1": 0.0,
        "sub_metering_2": 1.0,
        "sub_metering_3": 17.0,
        "revision": 0,
        "received_at": ARRIVAL.received_at.replace(tzinfo=None),
        "origin": "file.txt",
        "origin_partition": 0,
        "origin_offset": 2,
        "load_id": "load1",
    }
    assert [gap[name] for name in FORM.measures] == [None] * 7
    assert gap["ts"] == datetime(2006, 12, 21, 10, 23)  # noqa: DTZ001


def changed(field: int, text: str) -> str:
    fields = GOOD.split(";")
    fields[field] = text
    return ";".join(fields)


BAD: list[tuple[str | bytes, str]] = [
    (b"x" * (MAX_LINE_BYTES + 1), "line_too_long"),
    (GOOD + ";" + "x" * MAX_LINE_BYTES, "line_too_long"),
    (GOOD.replace("4.216", "4.\x00216"), "nul_byte"),
    (GOOD.encode().replace(b"4.216", b"4.\xff16"), "not_utf8"),
    ("", "empty_line"),
    (FORM.header, "header_again"),
    (GOOD.rpartition(";")[0], "missing_column"),
    ("one word", "missing_column"),
    (GOOD.replace(";", ","), "missing_column"),
    (GOOD + ";1.000", "extra_column"),
    (GOOD + ";", "extra_column"),
    (changed(0, "30/2/2007"), "bad_time"),
    (changed(0, "12/16/2006"), "bad_time"),
    (changed(0, "2006-12-16"), "bad_time"),
    (changed(0, "16/12/06"), "bad_time"),
    (changed(0, "16/12/1969"), "bad_time"),
    (changed(0, "16/12/2106"), "bad_time"),
    (changed(0, "16/12/99999"), "bad_time"),
    (changed(0, ""), "bad_time"),
    (changed(1, "24:00:00"), "bad_time"),
    (changed(1, "17:60:00"), "bad_time"),
    (changed(1, "17:24"), "bad_time"),
    (changed(1, "17:4:00"), "bad_time"),
    (changed(0, "016/12/2006"), "bad_time"),
    (changed(0, " 16/12/2006"), "bad_time"),
    (changed(0, "29/2/2007"), "bad_time"),
    (changed(1, "5:24:00 PM"), "bad_time"),
    (changed(2, "4,216"), "bad_value:global_active_power"),
    (changed(2, "1e400"), "not_finite:global_active_power"),
    (changed(2, "-1e400"), "not_finite:global_active_power"),
    (changed(3, "NaN"), "missing_measure"),
    (changed(3, "-NaN"), "bad_value:global_reactive_power"),
    (changed(3, "nAn"), "bad_value:global_reactive_power"),
    (changed(3, "Infinity"), "bad_value:global_reactive_power"),
    (changed(4, "234.8d"), "bad_value:voltage"),
    (changed(4, "0x1p3"), "bad_value:voltage"),
    (changed(4, " 234.8"), "bad_value:voltage"),
    (changed(4, '"234.8'), "bad_value:voltage"),
    (changed(4, '"23;4.8"'), "extra_column"),
    (changed(4, "1_000"), "bad_value:voltage"),
    (changed(4, "e5"), "bad_value:voltage"),
    (changed(5, "1.2.3"), "bad_value:global_intensity"),
    (changed(5, "-"), "bad_value:global_intensity"),
    (changed(8, "١٧"), "bad_value:sub_metering_3"),
    (changed(1, "17:24:30"), "off_grid"),
    (changed(8, ""), "missing_measure"),
    (changed(2, "?"), "missing_measure"),
    (GAP.replace("?", "0", 1), "missing_measure"),
]


def test_every_bad_line_has_its_reason_and_the_others_are_untouched(spark: SparkSession, tmp_path: Path) -> None:
    lines: list[str | bytes] = []
    for bad, _ in BAD:
        lines += [GOOD, bad]
    with reading_lines(spark, 1 << 25):
        found = reasons(decode(spark, tmp_path, [*lines, GAP]))
    expected: dict[int, str | None] = dict.fromkeys(range(2, 2 * len(BAD) + 3))
    expected |= {3 + 2 * at: reason for at, (_, reason) in enumerate(BAD)}
    assert found == expected


def test_quarantine_keeps_the_line_or_the_bytes_of_what_is_no_text(spark: SparkSession, tmp_path: Path) -> None:
    lines: list[str | bytes] = [changed(2, "4,216"), b"\xff;", "a\0b", b"x" * (2 * MAX_LINE_BYTES)]
    with reading_lines(spark, 1 << 25):
        rows = rejected(decode(spark, tmp_path, lines), FORM, ARRIVAL)
        assert {name: kind.upper() for name, kind in rows.dtypes} == {
            column.name: column.type.sql("spark") for column in quarantine_fields(FORM.dataset)
        }
        found = {row.origin_offset: (row.reason, row.payload) for row in rows.collect()}
    assert found == {
        2: ("bad_value:global_active_power", lines[0]),
        3: ("not_utf8", base64.b64encode(b"\xff;").decode()),
        4: ("nul_byte", base64.b64encode(b"a\0b").decode()),
        5: ("line_too_long", base64.b64encode(b"x" * PAYLOAD_BYTES).decode()),
    }


def oracle(line: str) -> tuple[datetime, list[float | None]]:
    """Decode a good line with Python alone."""
    day, clock, *values = line.split(";")
    date, month, year = map(int, day.split("/"))
    moment = datetime(year, month, date, *map(int, clock.split(":")))  # type: ignore[misc,arg-type] # noqa: DTZ001
    return moment - HOUR, [None if value in ("?", "") else float(value) for value in values]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("split", [64, 65, 997, 1 << 25])
def test_line_numbers_are_exact_whatever_the_splits(
    spark: SparkSession, tmp_path: Path, split: int, end: bytes
) -> None:
    chance = random.Random(split)  # noqa: S311
    begin = datetime(2007, 3, 1)  # noqa: DTZ001
    lines: list[str] = []
    for minute in range(60):
        at = begin + timedelta(minutes=minute)
        values = [f"{chance.uniform(0, 300):.3f}" for _ in range(7)]
        gap = ["?"] * 6 + [""]
        lines.append(";".join([f"{at.day}/{at.month}/{at.year}", f"{at:%H:%M:%S}", *chance.choice([values, gap])]))
    with reading_lines(spark, split):
        frame = decoded(lines_of(spark, file_of(tmp_path, lines, end), split), FORM, HOUR, timedelta(0))
        rows = readings(frame, FORM, ARRIVAL).collect()
    found: dict[int, Any] = {row.origin_offset: (row.ts, [row[name] for name in FORM.measures]) for row in rows}
    assert found == {at + 2: oracle(line) for at, line in enumerate(lines)}


LETTERS = '0123456789;/:.?+-eE"nNaA x'


def mutated(chance: random.Random, line: str) -> str:
    """Return a line with up to two characters replaced, left out or put in."""
    for _ in range(chance.choice([0, 1, 1, 2])):
        at, letter = chance.randint(0, len(line)), chance.choice(LETTERS)
        line = line[:at] + chance.choice(["", letter, letter + line[at : at + 1]]) + line[at + 1 :]
    return line


@pytest.mark.parametrize("split", [997, 1 << 25])
def test_duckdb_decides_about_every_line_as_spark_does(spark: SparkSession, tmp_path: Path, split: int) -> None:
    chance = random.Random(split)  # noqa: S311
    names = [FORM.dataset.event_time, *(measure.name for measure in FORM.dataset.measures), "reason"]
    good = [GOOD, GAP, ";".join(f'"{field}"' for field in GOOD.split(";")), *(line for line, _ in BAD[2:])]
    lines = [mutated(chance, line) if isinstance(line, str) else line for line in chance.choices(good, k=3000)]
    path = tmp_path / "file.txt"
    content = FORM.header.encode() + b"\n"
    for line in [*lines, *(line for line, _ in BAD)]:
        content += (line.encode() if isinstance(line, str) else line) + chance.choice(
            [b"\n", b"\r", b"\r\n", b"\r\r\n"]
        )
    path.write_bytes(content.rstrip(b"\r\n"))
    with duckdb.connect() as connection, path.open("rb") as file:
        second = {}
        for table in line_tables(file.read):
            connection.register(LINES, table)
            found = connection.sql(rows_sql(FORM, HOUR)).select("line", *names).fetchall()
            second.update({line: row if row[-1] is None else row[-1:] for line, *row in found})
    with reading_lines(spark, split):
        rows = decoded(lines_of(spark, path, split), FORM, HOUR, timedelta(0)).select("line", *names).collect()
    first = {row.line: [*row][1:] if row.reason is None else [row.reason] for row in rows}
    assert first == second
    assert len({reason for *_, reason in first.values()}) > len(FORM.measures) + 8


def wall_clock(hours: int = 25) -> list[str]:
    """Return the day on which Paris has 25 hours, as the wall shows it: 3 kW in the second 02:00 to 02:59."""
    begin = datetime(2024, 10, 26, 22, tzinfo=UTC)
    lines = []
    for minute in range(hours * 60):
        at = (begin + timedelta(minutes=minute)).astimezone(PARIS)
        values = f"{3 if at.fold else 1}.000;0.110;241.20;4.1;0.000;0.000;1.000"
        lines.append(f"{at.day}/{at.month}/{at.year};{at:%H:%M:%S};{values}")
    return lines


@pytest.mark.parametrize("order", [1, -1], ids=["oldest-first", "newest-first"])
def test_a_clock_on_the_wall_is_read_by_zone_and_order(spark: SparkSession, tmp_path: Path, order: int) -> None:
    path = file_of(tmp_path, wall_clock()[::order])
    with reading_lines(spark, 997):
        lines = with_places(lines_of(spark, path, 997), FORM, PARIS)
        rows = readings(decoded(lines, FORM, PARIS, timedelta(0)), FORM, ARRIVAL).collect()
    begin = datetime(2024, 10, 26, 22)  # noqa: DTZ001
    assert sorted(row.ts for row in rows) == [begin + timedelta(minutes=n) for n in range(1500)]
    assert sum(row.global_active_power for row in rows) / 60 == pytest.approx(27.0)  # kWh
    assert {row.ts.hour for row in rows if row.global_active_power == 3} == {1}


def test_times_that_the_wall_clock_skips_or_shows_once_are_quarantined(spark: SparkSession, tmp_path: Path) -> None:
    skipped = changed(0, "31/3/2024").replace("17:24", "02:24")
    once = [line for line in wall_clock() if not line.split(";")[2].startswith("3")][119:181]
    path = file_of(tmp_path, [skipped, *once])
    with reading_lines(spark, 1 << 25):
        lines = with_places(lines_of(spark, path), FORM, PARIS)
        found = reasons(decoded(lines, FORM, PARIS, timedelta(0)))
    assert found == {2: "bad_time", 3: None, **dict.fromkeys(range(4, 64), "ambiguous_time"), 64: None}
    with duckdb.connect() as connection:
        set_clock(connection, FORM, PARIS, io.BytesIO(path.read_bytes()).read)
        (table,) = line_tables(io.BytesIO(path.read_bytes()).read)
        connection.register(LINES, table)
        assert dict(connection.sql(rows_sql(FORM, PARIS)).select("line", "reason").fetchall()) == found


def test_duckdb_reads_a_clock_on_the_wall_as_spark_does(spark: SparkSession, tmp_path: Path) -> None:
    path = file_of(tmp_path, wall_clock())
    with reading_lines(spark, 1 << 25):
        lines = with_places(lines_of(spark, path), FORM, PARIS)
        first = {row.line: row.ts for row in decoded(lines, FORM, PARIS, timedelta(0)).collect()}
    with duckdb.connect() as connection:
        set_clock(connection, FORM, PARIS, io.BytesIO(path.read_bytes()).read)
        (table,) = line_tables(io.BytesIO(path.read_bytes()).read)
        connection.register(LINES, table)
        assert dict(connection.sql(rows_sql(FORM, PARIS)).select("line", "ts").fetchall()) == first


def test_a_shift_moves_all_times_and_the_latest_is_found(spark: SparkSession, tmp_path: Path) -> None:
    week = timedelta(weeks=1)
    lines = [GAP, GOOD, changed(0, "16/12/2106"), "junk"]
    with reading_lines(spark, 1 << 25):
        read = lines_of(spark, file_of(tmp_path, lines))
        assert days(read, FORM, HOUR) == [
            Day(DAY_S * 13498, 1, oracle(GAP)[0] - timedelta(days=5) + timedelta(hours=6, minutes=1)),
            Day(DAY_S * 13503, 1, oracle(GAP)[0]),
        ]
        times = {row.line: row.ts for row in decoded(read, FORM, HOUR, week).where("reason IS NULL").collect()}
    assert times == {2: oracle(GAP)[0] + week, 3: oracle(GOOD)[0] + week}


def test_settings_of_the_session_are_put_back(spark: SparkSession) -> None:
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    with reading_lines(spark, 4096):
        assert spark.conf.get("spark.sql.files.maxPartitionBytes") == "4096"
    assert spark.conf.get("spark.sql.files.maxPartitionBytes") == before
