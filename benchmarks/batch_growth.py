"""Does a batch run cost what is new, or what is already there?

Two questions, on batch alone: Iceberg tables and views in a folder, no server. Time is that of events, as fast as it
goes.

    python benchmarks/batch_growth.py day --meters 2000          # a day of a fleet at 1 Hz, a run every 5 minutes
    python benchmarks/batch_growth.py years --meters 40          # the same runs after 1, 3 and 10 years of minutes

``day`` compares the runs of the last hour with those of the second; the hours between are one run each, which leaves
the same slices. ``years`` compares the runs after each history with those after the shortest. Readings arrive as the
archive writes them: a commit a minute, some of them late. Prints a line a run on the error stream, and one JSON object;
exit code 1 where time, CPU time, bytes read or bytes written grow by more than is allowed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from batch_layer.views import files, plan, tables
from batch_layer.views import run as work
from batch_layer.views.context import Run
from datasets.household.declaration import HOUSEHOLD
from engines import spark as engine
from engines import spark_runtime
from engines.table_format_iceberg import IcebergTable
from engines.table_layout import Layout
from meterlake.schema import master_fields
from meterlake.settings import load_settings
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

ALLOWED: Final = {"day": 1.25, "years": 1.2}
FIGURES: Final = ("seconds", "cpu", "read", "written")
START: Final = datetime(2026, 11, 2, tzinfo=UTC)
DELAY: Final = timedelta(minutes=5)
IS_LATE: Final = "pmod(xxhash64(meter, second), 500) = 0"
"""One of 500 readings arrives five minutes late."""


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds, of them CPU time, and bytes of the files that it read and wrote.

    until: end of its event time. cpu: seconds of CPU time of the JVM, which other work on the machine changes little.
    """

    until: str
    seconds: float
    cpu: float
    readings: int
    read: int
    written: int


class FolderTable(IcebergTable):
    """An Iceberg table in a folder: nothing but this process writes to it, so no lock is left behind."""

    def _release_stale_locks(self) -> None:
        """Do nothing: there is no metastore."""


class World:
    """A master data set that grows, and the views that follow it."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        dataset: MeterSeries,
        folder: Path,
        meters: int,
        commit: timedelta,
    ) -> None:
        layout = Layout(master_fields(dataset), dataset.event_time, dataset.key, dataset.finest.partition)
        self.master = FolderTable(spark, settings, "master", dataset.name, layout)
        self.master.create()
        self.spark, self.dataset, self.meters, self.commit = spark, dataset, meters, commit
        self.base = (folder / "batch").as_uri()
        files.make_folder(spark, tables.empty(self.base))
        self.current: plan.Current | None = None

    def arrive(self, begin: datetime, end: datetime, interval_s: int) -> None:
        """Append a time's readings in one commit: without those that come late, and with the late ones from before."""
        late = self._readings(begin - DELAY, end - DELAY, interval_s).where(IS_LATE)
        on_time = self._readings(begin, end, interval_s).where(f"NOT ({IS_LATE})")
        self._append(on_time.unionByName(late), end)

    def load(self, begin: datetime, end: datetime, interval_s: int = 60) -> None:
        """Append a history, of minutes by default, a commit a year."""
        for after in steps(begin, end, timedelta(days=365)):
            self._append(self._readings(begin, after, interval_s), after)
            begin = after

    def _readings(self, begin: datetime, end: datetime, interval_s: int) -> DataFrame:
        """Return (meter, second) of every meter's readings of a time, in order."""
        first, count = int(begin.timestamp()), int((end - begin).total_seconds()) // interval_s
        rows = self.spark.range(0, self.meters * count, numPartitions=2)
        second = f"{first} + pmod(id, {count}) * {interval_s} AS second"
        return rows.selectExpr(f"id div {count} AS meter", second, f"{interval_s} AS {self.dataset.interval}")

    def _append(self, rows: DataFrame, arrived: datetime, *, revision: int = 0) -> None:
        measures = (
            f"CAST(1 + pmod(meter * 31 + second * {step + 3}, 1000) / 1000 AS DOUBLE) AS {measure.name}"
            for step, measure in enumerate(self.dataset.measures)
        )
        readings = rows.selectExpr(
            f"concat('m', lpad(CAST(meter AS STRING), 6, '0')) AS {self.dataset.key}",
            f"CAST(timestamp_seconds(second) AS TIMESTAMP_NTZ) AS {self.dataset.event_time}",
            self.dataset.interval,
            *measures,
            f"{revision} AS revision",
            f"TIMESTAMP_NTZ '{arrived:%Y-%m-%d %H:%M:%S}' AS received_at",
            f"'{self.dataset.readings_topic}' AS origin",
            "CAST(pmod(meter, 3) AS INT) AS origin_partition",
            "second * 1000000 + meter AS origin_offset",
            "'benchmark' AS load_id",
        )
        self.master.append(readings, {})

    def batch(self, now: datetime) -> Cost:
        """Run once, as the batch layer does, and publish."""
        begin, cpu = time.monotonic(), self.cpu()
        planned = plan.make(self.dataset, plan.Request(), self.current, self.master, now)
        done = work.compute(Run(self.spark, self.dataset, self.master, self.current, planned, self.base, now))
        seconds, cpu = time.monotonic() - begin, self.cpu() - cpu
        after = done.tables(self.current.tables if self.current else {})
        self.current = plan.Current(planned.run_id, planned.snapshot, after)
        figures = done.figures
        copied = sum(each.get("bytes_copied_from", 0) for each in figures.values())
        cost = Cost(
            f"{now:%Y-%m-%d %H:%M}",
            round(seconds, 2),
            round(cpu, 2),
            done.balance.read,
            figures["master"]["bytes_read"] + copied,
            sum(each.get("bytes_written", 0) for each in figures.values()),
        )
        print(cost, file=sys.stderr, flush=True)
        return cost

    def cpu(self) -> float:
        """Return the seconds of CPU time that the JVM has taken."""
        return float(self._jvm().info().totalCpuDuration().get().toMillis() / 1000)

    def pid(self) -> int:
        """Return the number of the JVM's process."""
        return int(self._jvm().pid())

    def _jvm(self) -> Any:  # noqa: ANN401 - Java has no types here
        context: Any = self.spark.sparkContext
        return context._jvm.java.lang.ProcessHandle.current()  # noqa: SLF001 - the way to Java that PySpark has

    def hour(self, begin: datetime, every: timedelta, interval_s: int) -> list[Cost]:
        """Let an hour's readings arrive, with a run every so often."""
        costs, until = [], begin
        for end in steps(begin, begin + timedelta(hours=1), every):
            for commit in steps(until, end, min(self.commit, every)):
                self.arrive(until, commit, interval_s)
                until = commit
            costs.append(self.batch(end))
        return costs


def steps(begin: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    """Return the ends of steps from one moment to another."""
    while begin < end:
        begin = min(begin + step, end)
        yield begin


def day(world: World, hours: int, every: timedelta, interval_s: int) -> dict[str, list[Cost]]:
    """Return the runs of the second and of the last hour of a day."""
    hour = timedelta(hours=1)
    world.hour(START, every, interval_s)
    second = world.hour(START + hour, every, interval_s)
    for number in range(2, hours - 1):
        world.hour(START + number * hour, hour, interval_s)
    return {"second hour": second, "last hour": world.hour(START + (hours - 1) * hour, every, interval_s)}


def after_years(world: World, years: int, every: timedelta, interval_s: int) -> list[Cost]:
    """Return the runs of the second hour after some years of minutes."""
    world.load(START - timedelta(days=365 * years), START)
    world.batch(START)
    world.hour(START, every, interval_s)
    return world.hour(START + timedelta(hours=1), every, interval_s)


def grown(costs: dict[str, list[Cost]]) -> dict[str, dict[str, float]]:
    """Return the middle run of each group, and how much more it takes than that of the first."""
    middle = {
        name: {figure: median(getattr(c, figure) for c in runs) for figure in FIGURES} for name, runs in costs.items()
    }
    first = next(iter(middle.values()))
    times = {f"times_{figure}": (figure, first[figure]) for figure in FIGURES}
    return {
        name: {**result, **{label: round(result[figure] / of, 3) for label, (figure, of) in times.items()}}
        for name, result in middle.items()
    }


def measure(
    spark: SparkSession, settings: Settings, folder: Path, question: str, options: argparse.Namespace
) -> dict[str, list[Cost]]:
    """Answer a question in a folder."""
    every, commit = timedelta(minutes=options.every), timedelta(minutes=options.commit)
    if question == "day":
        world = World(spark, settings, replace(HOUSEHOLD, name="growth_day"), folder, options.meters, commit)
        return day(world, options.hours, every, options.interval)
    result = {}
    for years in options.years:
        dataset = replace(HOUSEHOLD, name=f"growth_{years}")
        world = World(spark, settings, dataset, folder / str(years), options.meters, commit)
        result[f"{years} years"] = after_years(world, years, every, options.interval)
    return result


def main() -> int:
    """Measure, and say whether a run's cost has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=ALLOWED)
    parser.add_argument("--meters", type=int, default=200)
    parser.add_argument("--hours", type=int, default=24, help="day: hours of event time")
    parser.add_argument("--every", type=int, default=5, help="minutes of event time between runs")
    parser.add_argument("--commit", type=int, default=1, help="minutes of event time in a commit")
    parser.add_argument(
        "--interval", type=int, default=1, choices=HOUSEHOLD.intervals, help="seconds of a live reading"
    )
    parser.add_argument("--years", type=int, nargs="+", default=[1, 3, 10], help="years: lengths of the histories")
    options = parser.parse_args()
    settings = load_settings()
    spark_runtime.provide(runtime)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home) as name:
        folder = Path(name)
        with engine.session(settings, "growth", in_folder(folder)) as spark:
            costs = measure(spark, settings, folder, options.question, options)
    result = grown(costs)
    worst = max(each[f"times_{figure}"] for each in result.values() for figure in FIGURES)
    runs = {group: [asdict(cost) for cost in each] for group, each in costs.items()}
    print(json.dumps({**vars(options), "runs": runs, "result": result, "worst": worst}, indent=2))
    return int(worst > ALLOWED[options.question])


def in_folder(folder: Path) -> dict[str, str]:
    """Return the options of a session whose Iceberg tables lie in a folder."""
    catalog = f"spark.sql.catalog.{engine.CATALOG}"
    return {f"{catalog}.type": "hadoop", f"{catalog}.warehouse": (folder / "iceberg").as_uri()}


if __name__ == "__main__":
    sys.exit(main())
