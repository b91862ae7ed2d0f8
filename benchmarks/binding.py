"""What it costs to make statements for Cassandra of readings: bound by the column, and by the driver row by row.

    python benchmarks/binding.py --rows 20000

Recent readings of a fleet, 25 of each meter, as an update of a backlog has them. Nothing is sent, no server is needed.
Prints one JSON object: CPU microseconds a row of each way, the median of turns that alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from cassandra import cqltypes
from cassandra.protocol import ColumnMetadata
from cassandra.query import PreparedStatement

from datasets.household.declaration import HOUSEHOLD
from engines import cassandra_values
from meterlake import ddl

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES: Final = {
    "TEXT": cqltypes.UTF8Type,
    "TIMESTAMP": cqltypes.TimestampType,
    "INT": cqltypes.Int32Type,
    "BIGINT": cqltypes.LongType,
    "DOUBLE": cqltypes.DoubleType,
}
PER_METER: Final = 25
NOW_MS: Final = 1_790_000_000_000


def statement() -> PreparedStatement:
    """Return the insert of recent readings, as Cassandra describes it."""
    columns = ddl.speed_tables(HOUSEHOLD)[f"{HOUSEHOLD.name}_recent"]
    kinds = [(column.name, TYPES[column.type.sql("cassandra")]) for column in columns]
    meta = [ColumnMetadata("speed", "recent", *kind) for kind in [*kinds, ("[timestamp]", cqltypes.LongType)]]
    return PreparedStatement(meta, b"0123456789abcdef", [0], "INSERT", "speed", 5, None, None)


def microseconds(work: Callable[[], Any], rows: int) -> float:
    """Return the CPU time that a piece of work takes for each row."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / rows * 1e6


def main() -> int:
    """Return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    insert, count = statement(), options.rows
    values = [(n % 97 + 0.5,) * len(HOUSEHOLD.measures) for n in range(count)]
    rows = [
        (f"m{n // PER_METER}", NOW_MS - n % PER_METER * 1000, 1, *values[n], NOW_MS * 1000 + n) for n in range(count)
    ]
    ways: dict[str, Callable[[], Any]] = {
        "by_column": lambda: cassandra_values.bound(insert, rows),
        "by_row": lambda: [insert.bind(row) for row in rows],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.turns):
        for name, work in ways.items():
            times[name].append(microseconds(work, count))
    medians = {name: round(statistics.median(each), 2) for name, each in times.items()}
    ratio = round(medians["by_row"] / medians["by_column"], 1)
    figures = {"rows": count, "us_a_row": medians, "ratio": ratio, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
