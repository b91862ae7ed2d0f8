"""What reading the record of runs costs after a month of runs every five minutes, against an empty history.

Needs a stack whose records nobody needs (`meterlake up && meterlake ddl --apply`): the month is of household, while
half_hourly has no run. It is 8,640 runs, two records each, with as many partitions as a year of hours and days makes.
They are written in bulk, 50 records a commit, as 17,280 commits of their own would take a day; but the last in a commit
each, as many as there can be when upkeep (``records.tidy``) is due. Timed are reading alone (``records.load``, which
every command does first) and a command, `meterlake runs`, which also reads and shows the last 20 runs. Prints one
JSON object; ends with 1 if the command takes more than 1.2 times as long as with the empty history.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engines import metastore, spark, spark_runtime, trino
from meterlake.clock import system_clock
from meterlake.settings import Settings, load_settings
from serving_layer.publish import packing, records
from serving_layer.publish.folders import difference
from serving_layer.publish.history import History, Record
from stack.runtime.spark import runtime

EMPTY: Final = "half_hourly"
MONTH: Final = "household"
TABLES: Final = ("minute", "hour", "day", "gaps", "rejects")
BEGIN: Final = datetime(2026, 11, 1, tzinfo=UTC)
LIMIT: Final = 1.2
WARM: Final = 5


def rows(runs: int) -> Iterator[tuple[History, dict[str, Any]]]:
    """Yield the records of so many runs, a new hour's partition in each twelfth: the history so far, and a row."""
    history = History()
    for number in range(runs):
        at = BEGIN + timedelta(minutes=5 * number)
        run_id, name = f"{at:%Y%m%dT%H%M%S}-bench", f"month={at:%Y-%m}/slice={at:%Y-%m-%dT%H}"
        after = {table: {**history.tables.get(table, {}), name: f"/b/{table}/{name}/run={run_id}"} for table in TABLES}
        details = {"mode": "incremental", "read_snapshot": number, "speed": True, "balance": {"read": 600_000}}
        begun = Record(
            MONTH, history.seq + 1, run_id, "publishing", at, at, number, difference(history.tables, after), details
        )
        for record in (begun, replace(begun, seq=begun.seq + 1, event="published")):
            history = history.after(record)
            yield history, packing.values(record, history if record.is_finished else None)


def fill(settings: Settings, runs: int) -> None:
    """Write the records of a month."""
    kinds = {name: kind.replace("TIMESTAMP_NTZ", "STRING") for name, kind in packing.COLUMNS.items()}
    schema = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    chosen = [f"CAST({name} AS {kind}) AS {name}" for name, kind in packing.COLUMNS.items()]
    alone = 2 * runs - (records.TIDY_EVERY - 2)  # from then on a commit has one record, as it is written for real
    with spark.session(settings, "run-records") as session:
        some: list[tuple[Any, ...]] = []
        for history, row in rows(runs):
            some.append(tuple(row[name] for name in packing.COLUMNS))
            if history.seq % records.TIDY_EVERY == 0 or history.seq >= alone:
                commit = session.createDataFrame(some, schema).coalesce(1).selectExpr(*chosen)
                commit.writeTo(records.FULL_NAME).append()
                some = []
            if history.seq % (20 * records.TIDY_EVERY) == 0 or history.seq == alone:
                records.tidy(session, settings, history, system_clock() + timedelta(hours=1))
                print(history.seq, "records", file=sys.stderr, flush=True)
    records.note_state(settings, MONTH, 2 * runs)


def clear(settings: Settings) -> None:
    """Remove the records of an earlier benchmark."""
    with spark.session(settings, "run-records") as session:
        records.create(session, settings)
        session.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset IN ('{EMPTY}', '{MONTH}')")  # noqa: S608 - ours
        records.tidy(session, settings, History(), system_clock() + timedelta(hours=1))
    records.note_state(settings, MONTH, 0)


def timed(action: Callable[[str], object], times: int) -> tuple[float, float]:
    """Return the median seconds of an action with the empty history and with the month, in turns."""
    taken: dict[str, list[float]] = {EMPTY: [], MONTH: []}
    for _ in range(times + WARM):
        for dataset, seconds in taken.items():
            begin = time.monotonic()
            action(dataset)
            seconds.append(time.monotonic() - begin)
    return statistics.median(taken[EMPTY][WARM:]), statistics.median(taken[MONTH][WARM:])


def command(dataset: str) -> None:
    """Show the last runs of a data set, as a user does."""
    program = Path(sys.executable).parent / "meterlake"
    subprocess.run([program, "runs", dataset], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours


def main() -> int:
    """Return 1 if the month takes too long."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=30 * 24 * 12)
    options.add_argument("--times", type=int, default=30)
    asked = options.parse_args()
    spark_runtime.provide(runtime)
    settings = load_settings()
    clear(settings)
    fill(settings, asked.runs)
    read = timed(lambda dataset: records.load(settings, dataset), asked.times)
    whole = timed(command, asked.times)
    history = records.load(settings, MONTH)
    with metastore.client(settings) as client:
        pointer = metastore.database_properties(client, records.DATABASE)[f"meterlake.state.{MONTH}"]
    counted = f"SELECT count(*) FROM {records.FULL_NAME} WHERE dataset = ? AND seq >= ?"  # noqa: S608 - a constant
    print(
        json.dumps(
            {
                "runs": asked.runs,
                "records": history.seq,
                "rows_read": trino.rows(settings, counted, [MONTH, int(pointer)])[0][0],
                "partitions": sum(map(len, history.tables.values())),
                "read_seconds": [round(seconds, 3) for seconds in read],
                "command_seconds": [round(seconds, 3) for seconds in whole],
                "ratio": round(whole[1] / whole[0], 2),
            }
        )
    )
    return 0 if whole[1] <= LIMIT * whole[0] else 1


if __name__ == "__main__":
    sys.exit(main())
