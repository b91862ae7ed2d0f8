"""A comparison finds what differs, and says where; raw text."""

from __future__ import annotations

import gzip
import lzma
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from datasets.household.text import HOUSEHOLD_TEXT
from serving_layer.verify.compare import Shape, compare
from serving_layer.verify.errors import UnreadableFile
from serving_layer.verify.raw_text import RawText

pytestmark = pytest.mark.unit

SHAPE = Shape(["k", "t"], ["a"], ["q"])
SAME = [("m", 1, 5, 0.1), ("m", 2, None, None), ("n", 1, 7, 3.0)]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    result = duckdb.connect()
    yield result
    result.close()


def compared(connection: duckdb.DuckDBPyConnection, have: list[tuple[Any, ...]]) -> Any:
    for name, rows in (("want", SAME), ("have", have)):
        connection.execute(f"CREATE OR REPLACE TABLE {name} (k VARCHAR, t INT, a DECIMAL(18,3), q DOUBLE)")
        for row in rows:
            connection.execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", row)  # noqa: S608
    result = compare(connection, "minute", "files", ("want", "have"), SHAPE)
    figures = (result.rows, result.equal, result.missing, result.extra, result.different)
    return figures, [(x.key, x.column, x.expected, x.found) for x in result.examples]


def test_equal_rows_in_another_order(connection: duckdb.DuckDBPyConnection) -> None:
    assert compared(connection, SAME[::-1]) == ((3, 3, 0, 0, 0), [])


def test_a_quotient_needs_only_be_near(connection: duckdb.DuckDBPyConnection) -> None:
    assert compared(connection, [*SAME[:2], ("n", 1, 7, 3.0 * (1 + 9e-13))])[0] == (3, 3, 0, 0, 0)
    figures, examples = compared(connection, [*SAME[:2], ("n", 1, 7, 3.0 * (1 + 3e-12))])
    assert figures == (3, 2, 0, 0, 1)
    assert [example[:2] for example in examples] == [("n 1", "q")]


@pytest.mark.parametrize(
    ("have", "figures", "example"),
    [
        ([*SAME[:2], ("n", 1, 7.001, 3.0)], (3, 2, 0, 0, 1), ("n 1", "a", 7, 7.001)),
        ([SAME[0], ("m", 2, 0, None), SAME[2]], (3, 2, 0, 0, 1), ("m 2", "a", None, 0)),
        (SAME[:2], (3, 2, 1, 0, 0), ("n 1", "*", "a row", None)),
        ([*SAME, ("n", 2, 7, 3.0)], (3, 3, 0, 1, 0), ("n 2", "*", None, "a row")),
        ([*SAME, SAME[0]], (3, 3, 0, 1, 0), ("m 1", "*", None, "a row")),  # a row twice
        ([], (3, 0, 3, 0, 0), ("m 1", "*", "a row", None)),
    ],
)
def test_whatever_differs_is_found(
    connection: duckdb.DuckDBPyConnection, have: list[Any], figures: tuple[int, ...], example: tuple[Any, ...]
) -> None:
    counts, examples = compared(connection, have)
    assert counts == figures
    key, column, want, result = examples[0]
    assert (key, column) == example[:2]
    assert [None if value is None else str(value) for value in (want, result)] == [
        None if value is None else value if isinstance(value, str) else f"{value:.3f}" for value in example[2:]
    ]


HEAD = HOUSEHOLD_TEXT.header
GOOD = "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000"
LINES = [
    GOOD,
    "1/1/2007;0:00:00;?;?;?;?;?;?;",
    "30/2/2007;00:00:00;1;1;1;1;1;1;1",
    "1/1/2007;24:00:00;1;1;1;1;1;1;1",
    "1/1/2007;00:01:00;1;1;1;1;1;1",
    "1/1/2007;00:02:00;1;1;1;1;1;1;1;1",
    "1/1/2007;00:03:00;1,5;1;1;1;1;1;1",
    "1/1/2007;00:04:00;1e400;1;1;1;1;1;1",
    "1/1/2007;00:05:30;1;1;1;1;1;1;1",
    "1/1/2007;00:06:00;?;1;1;1;1;1;1",
    "1/1/2007;00:07:00;nan;1;1;1;1;1;1",
    HEAD,
    "",
    "1/1/2007;00:08:00;1;1;1;1;1;1;1",
]


def pack(path: Path, text: bytes) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", text)
    else:
        path.write_bytes({".xz": lzma.compress, ".gz": gzip.compress}.get(path.suffix, bytes)(text))
    return path


@pytest.mark.parametrize("suffix", [".txt", ".xz", ".gz", ".zip"])
def test_raw_text_keeps_readings_and_gap_rows(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str
) -> None:
    path = pack(tmp_path / f"a{suffix}", "\r\n".join([HEAD, *LINES, ""]).encode())
    raw = RawText(HOUSEHOLD_TEXT, [path], "sceaux", timedelta(hours=1), NOW)
    raw.fetch(tmp_path)
    raw.read(connection)
    result = connection.execute("SELECT ts, voltage, sub_metering_3 FROM readings ORDER BY 1").fetchall()
    assert result == [
        (datetime(2006, 12, 16, 16, 24), 234.84, 17.0),  # noqa: DTZ001
        (datetime(2006, 12, 31, 23, 0), None, None),  # noqa: DTZ001
        (datetime(2006, 12, 31, 23, 8), 1.0, 1.0),  # noqa: DTZ001
    ]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.xz", "\n".join([HEAD, *[GOOD] * 1000]).encode())
    whole.write_bytes(whole.read_bytes()[:-20])
    other = pack(tmp_path / "b.txt", b"x;y\n1;2\n")
    for path, why in ((whole, "damaged"), (other, "first line"), (tmp_path / "none", "exist"), (tmp_path, "directory")):
        with pytest.raises(UnreadableFile, match=why):
            RawText(HOUSEHOLD_TEXT, [path], "m", timedelta(0), NOW).fetch(tmp_path)


def read_files(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, *files: list[str], **more: Any
) -> list[tuple[Any, ...]]:
    """Return the readings of files of lines: time, active power and revision."""
    paths = [pack(tmp_path / f"{n}.txt", "\n".join([HEAD, *lines]).encode()) for n, lines in enumerate(files)]
    corrections = [paths.pop() for _ in range(more.pop("corrections", 0))][::-1]
    clock = more.pop("clock", timedelta(hours=1))
    source = RawText(HOUSEHOLD_TEXT, paths, "m", clock, NOW, corrections)
    source.fetch(tmp_path)
    source.read(connection)
    return connection.execute("SELECT ts, global_active_power, revision FROM readings ORDER BY ts, revision").fetchall()


def test_corrections_have_rising_revisions(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = [[GOOD], [GOOD.replace("4.216", "2.500")], [GOOD.replace("4.216", "1.500")]]
    result = read_files(tmp_path, connection, *files, corrections=2)
    assert [(power, revision) for _, power, revision in result] == [(4.216, 0), (2.5, 1), (1.5, 2)]


def test_readings_far_from_all_others_are_left_out_as_load_does(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    day = [f"16/12/2006;{n // 60:02}:{n % 60:02}:00;1;1;1;1;1;1;1" for n in range(1440)]
    result = read_files(
        tmp_path, connection, ["5/5/2012;00:00:00;1;1;1;1;1;1;1", *day, "1/1/2070;00:00:00;1;1;1;1;1;1;1"]
    )
    assert len(result) == 1440
    assert {ts.year for ts, *_ in result} == {2006}


def test_a_clock_on_the_wall_is_read_by_zone(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    paris = ZoneInfo("Europe/Paris")
    begin = datetime(2024, 10, 26, 22, tzinfo=UTC)
    times = [(begin + timedelta(minutes=n)).astimezone(paris) for n in range(1500)]
    lines = [f"{at:%d/%m/%Y;%H:%M:%S};{3 if at.fold else 1};1;1;1;1;1;1" for at in times]
    result = read_files(tmp_path, connection, lines, clock=paris)
    assert [ts for ts, *_ in result] == [(begin + timedelta(minutes=n)).replace(tzinfo=None) for n in range(1500)]
    assert sum(power for _, power, _ in result) / 60 == pytest.approx(27.0)
