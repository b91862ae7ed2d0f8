"""Does the speed query's state stay flat? An hour of event time at 2,000 readings a second, as fast as it goes.

The simulator writes the hour to a topic of this run's own; the query reads it in updates of the usual size, and what
Spark says of its state after each of them is kept, with the heap that is left after a collection every ten minutes of
event time.

    meterlake up kafka cassandra metastore
    python benchmarks/state.py --meters 2000 --minutes 60

Prints a line an update on the error stream and one JSON object. Exit code 1 if the state of the last half of the hour
is larger than that of the quarter before it: rows by more than 5 %, estimated memory by more than 20 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryListener

from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY
from engines import cassandra, hdfs, spark_runtime, topics
from engines import spark as engine
from engines.kafka import client_config
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.settings import ROOT, Settings, load_settings
from meterlake.timegrid import floor_minute
from producers.kafka_sink import KafkaSink
from producers.pace import FASTEST, Pace, schedule
from producers.simulate import Request, begun, script, simulate
from speed_layer import session as streaming
from speed_layer.checkpoint import FOLDER
from speed_layer.run import Queries, run
from stack.runtime.spark import runtime

ALLOWED = {"state_rows": 1.05, "state_mb": 1.2}
"""How much more at the end is no growth. Spark estimates memory by samples, and counts versions that it still keeps."""
_NEVER = "1970-01-01T00:00:00.000Z"
HEAP_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class Update:
    """What Spark says after an update. at: watermark. heap: megabytes left after a collection, or nothing."""

    at: datetime
    messages: int
    seconds: float
    rows: int
    megabytes: float
    heap: float | None


@dataclass
class Watch(StreamingQueryListener):  # type: ignore[misc]
    """Keeps what Spark says of each update."""

    spark: SparkSession
    updates: list[Update] = field(default_factory=list)
    phases: dict[str, int] = field(default_factory=dict)

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, N802 - Spark's
        """Take an update."""
        report = event.progress
        at = datetime.fromisoformat(report.eventTime.get("watermark", _NEVER))
        if not report.stateOperators or not report.numInputRows or at.year == 1970:
            return  # the first update has no watermark yet
        state = report.stateOperators[0]
        before = [each.at for each in self.updates if each.heap is not None]
        heap = self._heap() if not before or at - before[-1] >= HEAP_EVERY else None
        seconds, size = report.batchDuration / 1000, state.memoryUsedBytes / 1e6
        self.updates.append(Update(at, report.numInputRows, seconds, state.numRowsTotal, round(size, 1), heap))
        for phase, milliseconds in report.durationMs.items():
            self.phases[phase] = self.phases.get(phase, 0) + milliseconds
        print(self.updates[-1], file=sys.stderr, flush=True)

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""

    def _heap(self) -> float:
        java = self.spark._jvm.java.lang  # noqa: SLF001 - pyspark has no other way
        java.System.gc()
        runtime = java.Runtime.getRuntime()
        return round((runtime.totalMemory() - runtime.freeMemory()) / 1e6, 1)


def send(settings: Settings, dataset: MeterSeries, meters: int, minutes: int) -> int:
    """Write the readings of so many minutes before now to the data set's topic; return how many."""
    replay = replace(HOUSEHOLD_REPLAY, form=replace(HOUSEHOLD_REPLAY.form, dataset=dataset))
    start = floor_minute(system_clock()) - timedelta(minutes=minutes)
    request = Request(
        replay=replay, history=ROOT / replay.history, offset=replay.form.utc_offset, meter_id="m", meters=meters,
        seed=1, rebase=start, fill_gaps=True,
    )  # fmt: skip
    report, stop = script(request, settings.cache_dir), threading.Event()
    plan = schedule(system_clock(), 1, FASTEST, timedelta(minutes=minutes), start)
    totals = begun(report, plan)
    simulate(report, plan, {}, Pace(plan, system_clock, stop), KafkaSink(settings, dataset, totals, stop), totals)
    return totals.acknowledged


def remove(settings: Settings, dataset: MeterSeries) -> None:
    """Remove what this run has made."""
    admin = AdminClient(client_config(settings))
    for outcome in admin.delete_topics([dataset.readings_topic, dataset.rejected_topic]).values():
        outcome.exception(30)
    hdfs.client(settings).delete(f"{FOLDER}/{dataset.name}", recursive=True)
    with cassandra.session(settings) as session:
        for table in ("minute", "latest", "recent"):
            session.execute(f"DROP TABLE IF EXISTS speed.{dataset.name}_{table}", timeout=60)


def result(updates: list[Update], phases: dict[str, int], sent: int, seconds: float) -> dict[str, Any]:
    """Return the figures.

    State: the most rows, and mean megabytes, in the second quarter of event time and in the last half.
    """
    first, last = updates[0].at, updates[-1].at
    full = [each for each in updates if each.at >= first + (last - first) / 4]
    middle = first + (last - first) / 2
    early, late = ([each for each in full if (each.at >= middle) == half] for half in (False, True))
    return {
        "sent": sent,
        "updates": len(updates),
        "seconds": round(seconds),
        "readings_per_second": round(sum(each.messages for each in updates) / math.fsum(u.seconds for u in updates)),
        "state_rows": [max(each.rows for each in part) for part in (early, late)],
        "state_mb": [round(fmean(each.megabytes for each in part), 1) for part in (early, late)],
        "heap_mb": [each.heap for each in updates if each.heap is not None],
        "seconds_by_phase": {name: round(milliseconds / 1000, 1) for name, milliseconds in sorted(phases.items())},
        "load_after": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    """Return 1 if the state grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=60)
    options = parser.parse_args()
    settings, dataset = load_settings(), replace(HOUSEHOLD, name=f"state{uuid.uuid4().hex[:8]}")
    spark_runtime.provide(runtime)
    topics.ensure(settings, dataset)
    try:
        sent = send(settings, dataset, options.meters, options.minutes)
        with engine.session(settings, "stream", streaming.options(settings)) as spark:
            watch, begin = Watch(spark), time.monotonic()
            spark.streams.addListener(watch)
            run(settings, dataset, Queries(archive=False, views=True, once=True), system_clock)
            time.sleep(2)  # the listener is told a moment later
            measured = result(watch.updates, watch.phases, sent, time.monotonic() - begin)
            spark.streams.removeListener(watch)
        gc.collect()
    finally:
        remove(settings, dataset)
    print(json.dumps(measured))
    grows = any(measured[name][1] > most * measured[name][0] for name, most in ALLOWED.items())
    return 1 if grows else 0


if __name__ == "__main__":
    sys.exit(main())
