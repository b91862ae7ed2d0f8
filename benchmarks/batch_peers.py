"""How long a batch run takes beside DuckDB and plain Spark, on the same files in the same minutes.

Live readings of a fleet arrive (0.1 % of them twice, 0.1 % revised); a run brings the views up to date: what is new is
judged, minutes, hours, days and gaps are written, and all of it is audited. The peers read the files that have arrived
since, keep the reading of the highest revision, and write exact minutes, hours and days of them: no gaps, no audit, no
views to bring up to date, nothing that survives a crash.

    python benchmarks/batch_peers.py --meters 2000 --seconds 300 --rounds 5

Batch alone: an Iceberg table and views in a folder, no server; Spark is warm, what its start takes is said. Prints one
JSON object: seconds of each round, medians, and how many times those of each peer ours are. Exit code 1 if a minute
differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

import duckdb
from batch_growth import START, World, in_folder

from batch_layer.views import tables
from datasets.household.declaration import HOUSEHOLD
from engines import spark as engine
from engines import spark_runtime
from meterlake.settings import load_settings
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import DataFrame, SparkSession

# Names come from the declaration.
# ruff: noqa: S608
DATASET: Final = replace(HOUSEHOLD, name="peers")
KEY: Final = f"{DATASET.key}, {DATASET.event_time}, {DATASET.interval}"
IS_DOUBLE: Final = "pmod(xxhash64(meter, second), 1000) = 1"
IS_REVISED: Final = "pmod(xxhash64(meter, second), 1000) = 2"


class Fleet(World):
    """A fleet whose readings come in time; some of them twice, some with a revision."""

    def arrive(self, begin: datetime, end: datetime, interval_s: int) -> None:
        """Append a time's readings, those that come twice, and the revisions."""
        readings = self._readings(begin, end, interval_s)
        self._append(readings, end)
        self._append(readings.where(IS_DOUBLE), end + timedelta(seconds=1))
        self._append(readings.where(IS_REVISED), end + timedelta(seconds=1), revision=1)

    def files(self) -> set[str]:
        """Return the paths of the master's data files."""
        rows = self.spark.sql(f"SELECT file_path FROM {engine.CATALOG}.master.{self.dataset.name}.files").collect()
        return {urlparse(row.file_path).path for row in rows}


def chosen_sql(source: str) -> str:
    """Return the readings that count of a table: of each, the highest revision."""
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {KEY} ORDER BY revision DESC) AS place FROM {source}"
    return f"SELECT * FROM ({numbered}) AS numbered WHERE place = 1"


def minutes_sql(source: str) -> str:
    """Return exact minutes of readings, in SQL that DuckDB and Spark understand."""
    states = []
    for measure in DATASET.measures:
        value = f"CAST({measure.name} AS DECIMAL(18,{measure.scale}))"
        amount = f"{value} * {DATASET.interval}" if measure.kind == "level" else value
        total = f"CAST(sum({amount}) AS DECIMAL(18,{measure.scale}))"
        states += [
            f"{total} AS {measure.name}_sum",
            f"min({value}) AS {measure.name}_min",
            f"max({value}) AS {measure.name}_max",
        ]
    return (
        f"SELECT {DATASET.key}, date_trunc('minute', {DATASET.event_time}) AS minute, count(*) AS readings,"
        f" CAST(sum({DATASET.interval}) AS BIGINT) AS covered_s, {', '.join(states)}"
        f" FROM ({chosen_sql(source)}) AS chosen GROUP BY 1, 2"
    )


def coarser_sql(source: str, finer: str, grain: str) -> str:
    """Return hours or (UTC) days of a finer view."""
    states = ["CAST(sum(readings) AS BIGINT) AS readings", "CAST(sum(covered_s) AS BIGINT) AS covered_s"]
    for measure in DATASET.measures:
        states += [f"CAST(sum({measure.name}_sum) AS DECIMAL(18,{measure.scale})) AS {measure.name}_sum"]
        states += [f"{name}({measure.name}_{name}) AS {measure.name}_{name}" for name in ("min", "max")]
    grouped = f"{DATASET.key}, date_trunc('{grain}', {finer}) AS {grain}"
    return f"SELECT {grouped}, {', '.join(states)} FROM {source} GROUP BY 1, 2"


def with_duckdb(files: Sequence[str], out: Path) -> None:
    """Write minutes, hours and days of the files."""
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {os.cpu_count()}")
        connection.execute(f"CREATE TABLE minutes AS {minutes_sql(f'read_parquet({list(files)})')}")
        connection.execute(f"CREATE TABLE hours AS {coarser_sql('minutes', 'minute', 'hour')}")
        connection.execute(f"CREATE TABLE days AS {coarser_sql('hours', 'hour', 'day')}")
        for table in ("minutes", "hours", "days"):
            order = f"SELECT * FROM {table} ORDER BY 1, 2"
            connection.execute(f"COPY ({order}) TO '{out / table}.parquet' (COMPRESSION zstd)")


def with_spark(spark: SparkSession, files: Sequence[str], out: Path) -> None:
    """Write minutes, hours and days of the files, as a pipeline of Spark's is usually written."""
    spark.read.parquet(*(f"file:{file}" for file in files)).createOrReplaceTempView("arrived")
    steps = {
        "minutes": minutes_sql("arrived"),
        "hours": coarser_sql("minutes", "minute", "hour"),
        "days": coarser_sql("hours", "hour", "day"),
    }
    for table, sql in steps.items():
        _dated(spark.sql(sql)).write.partitionBy("month").parquet((out / table).as_uri())
        spark.read.parquet((out / table).as_uri()).createOrReplaceTempView(table)


def _dated(rows: DataFrame) -> DataFrame:
    return rows.selectExpr("*", f"date_format({rows.columns[1]}, 'yyyy-MM') AS month")


def differing(world: World, theirs: str) -> int:
    """Return how many of the peer's minutes our view has otherwise."""
    assert world.current is not None  # noqa: S101 - a run has been
    table = tables.view_table(DATASET, "minute")
    folders = [urlparse(folder).path for folder in world.current.tables[table.name].values()]
    names = ", ".join(column.name for column in table.columns if column.name != "flagged")
    ours = f"read_parquet({[f'{folder}/*.parquet' for folder in folders]}, hive_partitioning = false)"
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM (SELECT {names} FROM {theirs} EXCEPT ALL SELECT {names} FROM {ours})"
        return int(connection.execute(query).fetchall()[0][0])


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a piece of work takes."""
    begin = time.monotonic()
    work()
    return round(time.monotonic() - begin, 2)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=300, help="of event time a round, whole minutes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    settings, wrong = load_settings(), 0
    spark_runtime.provide(runtime)
    settings.home.mkdir(parents=True, exist_ok=True)
    times: dict[str, list[float]] = {"ours": [], "duckdb": [], "spark": []}
    length = timedelta(seconds=options.seconds // 60 * 60)
    with tempfile.TemporaryDirectory(dir=settings.home) as name:
        folder, begin = Path(name), time.monotonic()
        with engine.session(settings, "peers", in_folder(folder)) as spark:
            start = round(time.monotonic() - begin, 1)
            world = Fleet(spark, settings, DATASET, folder, options.meters, length)
            until = START
            for number in range(options.rounds + 1):  # the first run makes the views, and is not counted
                known, until = world.files() if number else set[str](), until + length
                world.arrive(until - length, until, 1)
                files = sorted(world.files() - known)
                now, out = until + timedelta(minutes=5), folder / "peer"
                rounds: dict[str, Callable[[], Any]] = {
                    "ours": partial(world.batch, now),
                    "duckdb": partial(with_duckdb, files, out),
                    "spark": partial(with_spark, spark, files, out),
                }
                out.mkdir()
                for who, work in rounds.items():
                    took = seconds(work)
                    if number:
                        times[who].append(took)
                wrong += differing(world, f"'{out / 'minutes.parquet'}'")
                shutil.rmtree(out)
    middle = {who: median(took) for who, took in times.items()}
    result = {
        "readings": options.meters * int(length.total_seconds()),
        "spark_start": start,
        "seconds": times,
        "median": middle,
        "times_duckdb": round(middle["ours"] / middle["duckdb"], 1),
        "times_spark": round(middle["ours"] / middle["spark"], 1),
        "wrong_minutes": wrong,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
