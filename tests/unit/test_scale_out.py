"""Two turns of a benchmark: what one has and the other has not is counted, row by row."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from meterlake.settings import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # benchmarks are programs, and no package
from scale_out import differing
from standalone import PROPERTIES

from engines.spark import _properties

pytestmark = pytest.mark.unit


def view(folder: Path, name: str, *parts: list[int]) -> list[str]:
    """Write rows of a view, a file a part; return the files."""
    files = [folder / f"{name}{number}.parquet" for number in range(len(parts))]
    for file, rows in zip(files, parts, strict=True):
        pq.write_table(pa.table({"meter": rows, "sum": [2 * row for row in rows]}), file)
    return list(map(str, files))


def test_the_same_rows_in_other_files_and_order_are_the_same(tmp_path: Path) -> None:
    one, other = view(tmp_path, "one", [1, 2], [3, 3]), view(tmp_path, "other", [3, 2, 3, 1])
    assert differing({"hour": one, "gap": []}, {"hour": other, "gap": []}) == 0


@pytest.mark.parametrize(("rows", "wanted"), [([1, 2, 3], 1), ([1, 2, 3, 3, 3], 1), ([1, 2, 3, 4], 2)])
def test_missing_repeated_and_other_rows_are_counted(tmp_path: Path, rows: list[int], wanted: int) -> None:
    assert differing({"hour": view(tmp_path, "a", [1, 2, 3, 3])}, {"hour": view(tmp_path, "b", rows)}) == wanted


def test_a_table_that_is_empty_or_not_there_differs(tmp_path: Path) -> None:
    files = view(tmp_path, "a", [1, 2])
    assert differing({"hour": files}, {"hour": []}) == 1
    assert differing({"hour": files}, {"hour": files, "day": files}) == 1


def test_rows_of_cassandra_are_compared_as_they_are() -> None:
    assert differing({"minute": {("m1", 1), ("m2", 1)}}, {"minute": {("m1", 1), ("m2", 2)}}) == 2


def test_the_properties_of_a_turn_are_what_spark_reads(tmp_path: Path) -> None:
    file = tmp_path / "executors2.conf"
    file.write_text(PROPERTIES.format(executors=2), encoding="utf-8")
    assert _properties(file)["spark.cores.max"] == "2"
    assert _properties(file)["spark.executor.cores"] == "1"
