"""A comparison finds what differs, and says where; raw text."""

from __future__ import annotations

import gzip
import lzma
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
    found = duckdb.connect()
    yield found
    found.close()


def compared(connection: duckdb.DuckDBPyConnection, have: list[tuple[Any, ...]]) -> Any:
    for name, rows in (("want", SAME), ("have", have)):
        connection.execute(f"CREATE OR REPLACE TABLE {name} (k VARCHAR, t INT, a DECIMAL(18,3), q DOUBLE)")
        for row in rows:
            connection.execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", row)  # noqa: S608
    found = compare(connection, "minute", "files", ("want", "have"), SHAPE)
    figures = (found.rows, found.equal, found.missing, found.extra, found.different)
    return figures, [(x.key, x.column, x.expected, x.found) for x in found.examples]


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
    key, column, want, found = examples[0]
    assert (key, column) == example[:2]
    assert [None if value is None else str(value) for value in (want, found)] == [
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
    found = connection.execute("SELECT ts, voltage, sub_metering_3 FROM readings ORDER BY 1").fetchall()
    assert found == [
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
