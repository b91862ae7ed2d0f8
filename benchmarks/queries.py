"""How long readers' questions take over a long history: warm, and the first after a start.

Asked are the merged minutes of 24 hours of a meter, its hours of 30 days, and the fleet's totals of each hour of 30
days: of Trino, with the partition bounded by the reader and without; beside it Hive over the batch views (without what
is live), and the merge in Python, which needs no Trino.

    meterlake up && meterlake ddl --apply
    python benchmarks/queries.py --fill                                        # 10 years of 40 meters
    python benchmarks/queries.py --fill --meters 5000 --years 1 --live 240

The views of all years are made up: from readings a batch run would take hours. They are written as a run writes them
(its slices, files and order) and published as it publishes them; the speed rows of the last two days (``--live``, in
minutes) as the stream writes them. A stack whose data nobody needs: each number of meters and years is a data set of
its own, which stays. The boundary is 70 minutes ago when it is filled.

Prints one JSON object: milliseconds of each question, the first time, and the middle (p50) and the 95th of 100 (p95)
of the rounds after half as many that warm up; Trino's CPU time, which a busy machine changes less. Exit code 1 where an
answer does not have the rows that it must have.
"""

# Names come from the declaration.
# ruff: noqa: S608
from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import fleet_dashboards
import made_history

from datasets.household.declaration import HOUSEHOLD
from engines import hive, spark_runtime
from meterlake import merged
from meterlake.clock import system_clock
from meterlake.ddl import HIVE_DATABASE, view_table
from meterlake.settings import Settings, load_settings
from serving_layer.merged.layers import Window
from serving_layer.merged.merge import merged_rows
from stack import launcher, process
from stack.instance import Instance
from stack.runtime.spark import runtime
from stack.services import select

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

MEASURE: Final = HOUSEHOLD.measures[0].name
METER: Final = fleet_dashboards.name_of(7)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Question:
    """What is asked: the rows of a view in a range of times, of one meter or summed up over all.

    rows: how many there must be. readings: how many are in a row, or in a row of the whole fleet.
    """

    name: str
    grain: Grain
    since: datetime
    until: datetime
    rows: int
    readings: int
    of_fleet: bool = False

    def sql(self, view: str, partition: str | None) -> str:
        """Return the statement. partition: the column that the reader bounds, too."""
        since, until = (f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'" for moment in (self.since, self.until))
        where = [f"{self.grain} >= {since}", f"{self.grain} < {until}"]
        if partition:
            where += [f"{partition} BETWEEN '{self.since:%Y-%m}' AND '{self.until:%Y-%m}'"]
        if self.of_fleet:
            sums = f"SUM(readings), SUM({MEASURE}_sum)"
            return f"SELECT {self.grain}, {sums} FROM {view} WHERE {' AND '.join(where)} GROUP BY {self.grain}"
        where += [f"{HOUSEHOLD.key} = '{METER}'"]
        return f"SELECT {self.grain}, readings, {MEASURE}_sum FROM {view} WHERE {' AND '.join(where)}"


def questions(meters: int, end: datetime) -> list[Question]:
    """Return what is asked up to a whole minute."""
    hour = end.replace(minute=0)
    month = (hour - 30 * DAY, hour)
    return [
        Question("minutes of 24 h", "minute", end - DAY, end, 1440, 60),
        Question("hours of 30 days", "hour", *month, 720, 3600),
        Question("fleet per hour, 30 days", "hour", *month, 720, 3600 * meters, of_fleet=True),
    ]


def measured(ask: Callable[[], tuple[Sequence[Any], float]], rounds: int) -> tuple[dict[str, Any], Sequence[Any]]:
    """Ask once, half of the rounds to warm up, then the rounds that count; return milliseconds and the last answer."""
    took, cpu, rows = list[float](), list[float](), list[Any]()
    for _ in range(1 + rounds // 2 + rounds):
        begin = time.monotonic()
        answer, spent = ask()
        took.append((time.monotonic() - begin) * 1000)
        cpu.append(spent * 1000)
        rows = list(answer)
    warm = sorted(took[-rounds:])
    result: dict[str, Any] = {
        "first_ms": round(took[0]),
        "p50_ms": round(statistics.median(warm)),
        "p95_ms": round(warm[math.ceil(0.95 * len(warm)) - 1]),
        "rounds": rounds,
    }
    if any(cpu):
        result["trino_cpu_ms"] = round(statistics.median(cpu[-rounds:]))
    return result, rows


def through_trino(settings: Settings, dataset: MeterSeries, question: Question, *, bounded: bool) -> Any:  # noqa: ANN401
    """Return a call that asks Trino for the merged view."""
    partition = dataset.view(question.grain).partition if bounded else None
    statement = question.sql(merged.merged_view(dataset, question.grain), partition)
    return partial(fleet_dashboards.through_trino, settings, statement)


def through_hive(settings: Settings, dataset: MeterSeries, question: Question) -> Any:  # noqa: ANN401
    """Return a call that asks Hive for the batch view."""
    view = f"{HIVE_DATABASE}.{view_table(dataset, question.grain)}"
    statement = question.sql(view, dataset.view(question.grain).partition)
    return lambda: (hive.rows(settings, statement), 0.0)


def through_python(settings: Settings, dataset: MeterSeries, question: Question) -> Any:  # noqa: ANN401
    """Return a call that merges both layers in this process."""
    window = Window([METER], question.since, question.until)

    def ask() -> tuple[list[Any], float]:
        rows = merged_rows(settings, dataset, question.grain, window)
        return [(row[question.grain], row["readings"]) for row in rows], 0.0

    return ask


def is_whole(question: Question, rows: Sequence[Any]) -> bool:
    """Return whether an answer has all rows, each of all its readings."""
    return len(rows) == question.rows and all(row[1] == question.readings for row in rows)


def restart_trino(settings: Settings) -> float:
    """Stop Trino and start it; return the seconds until it has answered."""
    instance, begin = Instance(settings), time.monotonic()
    process.stop(process.running(instance).get("trino", []), launcher.GRACE_S)
    launcher.up(select(["trino"]), instance, lambda *_: None)
    return round(time.monotonic() - begin, 1)


def ask_all(settings: Settings, dataset: MeterSeries, asked: list[Question], rounds: int) -> tuple[dict[str, Any], int]:
    """Ask everything in every way; return the figures, and how many answers are not whole."""
    few = max(1, rounds // 4)
    figures: dict[str, Any] = {"trino": {}, "trino, partition bounded": {}, "hive, batch alone": {}, "python": {}}
    wrong = 0
    for question in asked:
        ways = {
            "trino": (through_trino(settings, dataset, question, bounded=False), rounds),
            "trino, partition bounded": (through_trino(settings, dataset, question, bounded=True), rounds),
            "hive, batch alone": (through_hive(settings, dataset, question), few),
        }
        if not question.of_fleet:  # it would hold a state of every row
            ways["python"] = (through_python(settings, dataset, question), few)
        for way, (ask, times) in ways.items():
            figures[way][question.name], rows = measured(ask, times)
            # Batch has no rows from the boundary on.
            good = 0 < len(rows) <= question.rows if way.startswith("hive") else is_whole(question, rows)
            wrong += not good
            print(f"{question.name}, {way}: {figures[way][question.name]}, whole: {good}", file=sys.stderr, flush=True)
    return figures, wrong


def main() -> int:
    """Return 1 where an answer is not whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=40)
    parser.add_argument("--years", type=float, default=10, help="of history")
    parser.add_argument(
        "--live", type=int, default=2880, help="minutes of speed rows of each meter: all since the boundary"
    )
    parser.add_argument("--rounds", type=int, default=20, help="of Trino; a quarter of them of the others")
    parser.add_argument("--fill", action="store_true", help="make the history first")
    options = parser.parse_args()
    settings, now = load_settings(), system_clock()
    days = round(365.25 * options.years)
    dataset = replace(HOUSEHOLD, name=f"queries_{options.meters}_{days}")
    spark_runtime.provide(runtime)
    result: dict[str, Any] = {**vars(options), "load_before": round(os.getloadavg()[0], 1)}
    if options.fill:
        boundary = (now - fleet_dashboards.BOUNDARY_AGE).replace(second=0, microsecond=0)
        begin = time.monotonic()
        since = (boundary - days * DAY).replace(hour=0, minute=0)
        result["rows"] = made_history.fill(settings, dataset, options.meters, since, boundary)
        result["history_s"] = round(time.monotonic() - begin)
    now, begin = system_clock(), time.monotonic()
    fleet_dashboards.fill_live(settings, dataset, options.meters, options.live, now)
    result["live_s"] = round(time.monotonic() - begin)
    asked = questions(options.meters, now.replace(second=0, microsecond=0))
    result["trino_start_s"] = restart_trino(settings)
    first, _ = measured(through_trino(settings, dataset, asked[0], bounded=False), 1)
    result["first_after_start_ms"] = first["first_ms"]
    result["answers"], wrong = ask_all(settings, dataset, asked, options.rounds)
    print(json.dumps({**result, "wrong": wrong, "load_after": round(os.getloadavg()[0], 1)}))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
