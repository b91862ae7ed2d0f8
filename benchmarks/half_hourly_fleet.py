"""How fast do half-hourly readings of a fleet become views and tables, and what does one more day of them cost?

Batch views, staging and all tables of the presentation, on Iceberg and Delta tables in a folder; no server. The same is
made by DuckDB from the same Parquet files of the master data set, with as much memory and as many threads; both must
come to the same numbers of rows and the same energy in each table.

    python benchmarks/half_hourly_fleet.py --meters 100000 --days 30 --memory 3g

Then days are added, one by one: each must cost at most 5 % of the whole. Prints a line a step on the error stream, and
one JSON object; exit code 1 where a day costs more, or the two differ.
"""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import duckdb
from batch_growth import World, in_folder

from batch_layer.presentation import references, shapes
from batch_layer.presentation.run import Asked, Work, open_references, present
from batch_layer.views.tables import view_table
from datasets.half_hourly.declaration import HALF_HOURLY
from datasets.half_hourly.generator import REGIONS
from datasets.half_hourly.tables import PRESENTATION
from datasets.half_hourly.verification import COLUMNS, QUERIES, local
from engines import curated, spark_runtime
from engines import spark as engine
from meterlake.settings import load_settings
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from meterlake.settings import Settings

    Rows = dict[str, list[tuple[Any, ...]]]

SERIES: Final = replace(HALF_HOURLY, name="fleet")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # London's days are those of UTC
DAY: Final = timedelta(days=1)
PRODUCTS: Final = 63
ALLOWED: Final = 0.05


@dataclass(frozen=True)
class Cost:
    """What a step took. cpu: seconds of CPU time, of all threads."""

    what: str
    seconds: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        """Return both as one step."""
        return Cost(
            f"{self.what}, {other.what}", round(self.seconds + other.seconds, 1), round(self.cpu + other.cpu, 1)
        )


def timed(what: str, cpu: Callable[[], float], call: Callable[[], object]) -> Cost:
    """Do something, and return what it took."""
    begin, before = time.monotonic(), cpu()
    call()
    cost = Cost(what, round(time.monotonic() - begin, 1), round(cpu() - before, 1))
    print(cost, file=sys.stderr, flush=True)
    return cost


def reference_rows(meters: int, days: int) -> Rows:
    """Return products, meterpoints, and an agreement a meter or, with a handover amid the time, two."""
    products = [(f"p{number:02}", 100 + number, f"Tariff {number % 27 + 1}", number % 2) for number in range(PRODUCTS)]
    names = [f"m{number:06}" for number in range(meters)]
    points = [(meter, REGIONS[number % len(REGIONS)]) for number, meter in enumerate(names)]
    handover, agreements = START.date() + days // 2 * DAY, []
    for number, meter in enumerate(names):
        first, second = products[number % PRODUCTS][0], products[(number * 7 + 1) % PRODUCTS][0]
        ends = handover if number % 3 == 0 else None
        agreements.append((2 * number, date(2025, 1, 1), ends, first, meter, f"a{number}"))
        if ends:
            agreements.append((2 * number + 1, handover, None, second, meter, f"a{number}"))
    return {"agreement": agreements, "product": products, "meterpoint": points}


class Fleet:
    """Our side: the master data set, its views, and the tables that are made of them."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path, meters: int) -> None:
        self.world = World(spark, settings, SERIES, folder, meters, DAY)
        self.spark, self.base, self.runs = spark, (folder / "delta").as_uri(), 0

    def refer(self, rows: Rows) -> None:
        """Load the reference tables."""
        opened = open_references(self.spark, SERIES, PRESENTATION, self.base)
        for declared in PRESENTATION.references:
            references.load(self.spark, opened[declared.name], declared, rows[declared.name], START)

    def catch_up(self, now: datetime) -> Cost:
        """Bring views and tables up to date with what has arrived."""
        views = timed("views", self.world.cpu, lambda: self.world.batch(now))
        return views + timed("tables", self.world.cpu, self.present)

    def present(self) -> None:
        """Run the presentation once."""
        self.runs += 1
        current = self.world.current
        assert current is not None  # noqa: S101 - narrows the type
        folders = current.tables[view_table(SERIES, SERIES.finest.grain).name]
        now = START + timedelta(minutes=self.runs)
        name = f"run-{self.runs}"
        present(Work(self.spark, SERIES, PRESENTATION, self.base, folders, "batch", name, now, lambda _: None), Asked())

    def totals(self) -> dict[str, tuple[Any, ...]]:
        """Return table -> its rows, and their energy or mean energy."""
        totals = {}
        for declared in PRESENTATION.tables:
            if declared.name in QUERIES:
                rows = curated.open_table(self.spark, self.base, shapes.table(SERIES, declared)).read()
                (row,) = rows.selectExpr("count(*)", f"coalesce(sum({energy(declared.name)}), 0)").collect()
                totals[declared.name] = (row[0], round(float(row[1]), 3))
        return totals


class Duck:
    """DuckDB's side: the same from the master's own files, into Parquet files."""

    def __init__(self, folder: Path, memory: str, rows: Rows) -> None:
        self.master, self.out = str(folder / "iceberg" / "master" / SERIES.name / "data"), folder / "duck"
        self.out.mkdir()
        self.base = duckdb.connect(str(folder / "duck.db"))
        self.base.execute(f"SET memory_limit = '{memory}b'; SET threads = 2; SET preserve_insertion_order = false")
        self.base.execute(f"SET temp_directory = '{folder / 'spill'}'")
        for name, values in rows.items():
            declared = PRESENTATION.reference(name)
            columns = ", ".join(f"{column.name} {column.type.sql('duckdb')}" for column in declared.columns)
            self.base.execute(f"CREATE TABLE {name} ({columns})")
            frame = [dict(zip((column.name for column in declared.columns), value, strict=True)) for value in values]
            path = self.out / f"{name}.json"
            path.write_text("\n".join(json.dumps(one, default=str) for one in frame))
            self.base.execute(f"INSERT INTO {name} SELECT * FROM read_json('{path}')")

    def make(self) -> None:
        """Make views, staging and tables."""
        run = self.base.execute
        run("CREATE TABLE calendar (start TIMESTAMP, day DATE, period INT)")
        files = f"read_parquet('{self.master}/**/*.parquet', hive_partitioning = false)"
        starts = [row[0] for row in run(f"SELECT DISTINCT ts FROM {files}").fetchall()]
        self.base.executemany("INSERT INTO calendar VALUES (?, ?, ?)", [(start, *local(start)) for start in starts])
        run(
            "CREATE TABLE half_hour AS SELECT meter_id AS meter, ts AS start, arg_min(consumption, (-revision,"
            f" received_at, origin, origin_partition, origin_offset))::DECIMAL(18, 3) AS kwh FROM {files} GROUP BY 1, 2"
        )
        sums = "sum(kwh) AS kwh, min(kwh) AS least, max(kwh) AS most, count(*) AS readings"
        self._write("half_hour", "SELECT * FROM half_hour")
        grains = {"hour": "date_trunc('hour', start)", "day": "day", "month": "date_trunc('month', day)"}
        for name, start in grains.items():
            self._write(name, f"SELECT meter, {start}, {sums} FROM half_hour JOIN calendar USING (start) GROUP BY 1, 2")
        following = "lead(start) OVER (PARTITION BY meter ORDER BY start) AS following"
        gaps = f"SELECT meter, start, {following} FROM half_hour"
        self._write("gaps", f"SELECT * FROM ({gaps}) WHERE following > start + INTERVAL 30 MINUTE")
        run(
            "CREATE TABLE joined AS SELECT r.meter, r.start, c.day, c.period, r.kwh, a.agreement_id, a.product_id,"
            " p.display_name, m.region, (a.agreement_id IS NOT NULL)::INT AS valid FROM half_hour r"
            " JOIN calendar c USING (start) LEFT JOIN agreement a ON a.meterpoint_id = r.meter"
            " AND a.agreement_valid_from <= c.day AND (a.agreement_valid_to IS NULL OR c.day < a.agreement_valid_to)"
            " LEFT JOIN product p USING (product_id) LEFT JOIN meterpoint m ON m.meterpoint_id = r.meter"
        )
        self._write("staging", "SELECT * FROM joined", "PARTITION_BY (day)")
        for name, query in QUERIES.items():
            # As in our own tables: a meter has one reading a half hour.
            self._write(name, query.replace("count(DISTINCT meter)", "count(*)") if "start" in query else query)

    def _write(self, name: str, query: str, how: str = "PER_THREAD_OUTPUT") -> None:
        self.base.execute(f"COPY ({query}) TO '{self.out / name}' (FORMAT parquet, {how})")

    def totals(self) -> dict[str, tuple[Any, ...]]:
        """Return table -> its rows, and their energy or mean energy."""
        totals = {}
        for name, query in QUERIES.items():
            named = f"({query}) AS result({COLUMNS[name]})"
            row = self.base.execute(f"SELECT count(*), coalesce(sum({energy(name)}), 0) FROM {named}").fetchone()
            assert row is not None  # noqa: S101 - narrows the type
            totals[name] = (row[0], round(float(row[1]), 3))
        return totals


def energy(table: str) -> str:
    """Return the column of a table that is summed up to compare it."""
    return "total_kwh" if "total_kwh" in COLUMNS[table] else "avg_kwh"


def own_cpu() -> float:
    """Return the seconds of CPU time that this process has taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak(pid: int) -> int:
    """Return the most memory that a process has had, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def main() -> int:
    """Measure both, and say whether they agree and a day is cheap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--more", type=int, default=2, help="days that are added, one by one")
    parser.add_argument("--memory", default="3g", help="heap of the driver, and memory of DuckDB")
    options = parser.parse_args()
    settings = load_settings().model_copy(update={"spark_driver_memory": options.memory, "spark_master": "local[2]"})
    spark_runtime.provide(runtime)
    settings.home.mkdir(parents=True, exist_ok=True)
    rows, until = reference_rows(options.meters, options.days), START + options.days * DAY
    with tempfile.TemporaryDirectory(dir=settings.home) as name:
        folder = Path(name)
        with engine.session(settings, "fleet", in_folder(folder)) as spark:
            fleet = Fleet(spark, settings, folder, options.meters)
            fleet.refer(rows)
            timed("arrive", fleet.world.cpu, lambda: fleet.world.load(START, until, 1800))
            ours = fleet.catch_up(until)
            after = fleet.totals()
            duck = Duck(folder, options.memory, rows)
            theirs = timed("DuckDB", own_cpu, duck.make)
            same = after == duck.totals()
            if not same:
                print(after, duck.totals(), sep="\n", file=sys.stderr)
            duck.base.close()
            shutil.rmtree(duck.out)
            (folder / "duck.db").unlink()
            more = []
            for end in (until + DAY * number for number in range(1, options.more + 1)):
                fleet.world.load(end - DAY, end, 1800)
                more.append(fleet.catch_up(end))
            memory = peak(fleet.world.pid())
    half_hours = options.meters * options.days * 48
    shares = {
        figure: median(getattr(day, figure) for day in more) / getattr(ours, figure) for figure in ("seconds", "cpu")
    }
    result = {
        **vars(options),
        "half_hours": half_hours,
        "ours": vars(ours) | {"rows_s": round(half_hours / ours.seconds), "rows_cpu_s": round(half_hours / ours.cpu)},
        "duckdb": vars(theirs) | {"rows_s": round(half_hours / theirs.seconds)},
        "times_as_long": round(ours.seconds / theirs.seconds, 2),
        "added_days": [vars(day) for day in more],
        "share_of_a_day": {figure: round(share, 4) for figure, share in shares.items()},
        "jvm_peak_mb": memory,
        "same": same,
    }
    print(json.dumps(result, indent=2))
    return int(not same or shares["cpu"] > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
