"""Readings at every lateness on the real servers: what readers have seen stays, whatever the boundary passes.

Each round sends readings of minutes that ended 0 to 30 minutes ago, and some just before, at and just after the moment
from which on one of them is late; in one round the stream is ahead of the archive. The broker's own times say what is
late.
"""

from __future__ import annotations

import gc
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import layers_samples as layers
import pytest
import stream_samples as samples
from layers_samples import Rows, forget

from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request
from cli import merged_views
from datasets.household.declaration import HOUSEHOLD
from engines import spark as engine
from engines import topics
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.lateness import is_late
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.timegrid import floor_minute
from serving_layer.publish.history import Record
from serving_layer.verify.scope import Scope
from serving_layer.verify.verify import MasterInput, published, verify
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATASET: MeterSeries = replace(HOUSEHOLD, name=f"t{uuid.uuid4().hex[:8]}")
METERS: Final = ("a", "b", "c", "d")
MINUTES: Final = 31
PICK = random.Random(5)  # noqa: S311 - repeatable, not secret


@dataclass
class Readers:
    """Readers of the merged view, who remember how many readings each minute had."""

    settings: Settings
    seen: Rows

    def look(self) -> Rows:
        """Return what is shown now; no minute has lost a reading. Nothing is revised here."""
        now = layers.merged_minutes(self.settings, DATASET)
        lost = {key: (row, now.get(key)) for key, row in self.seen.items() if (now.get(key) or (0,))[0] < row[0]}
        assert not lost
        self.seen = now
        return now


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings under which a data set of this module's own runs; removed from all servers afterwards."""
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "lateness", streaming.options(small)):
        yield small
        forget(small, DATASET)
    gc.collect()


def send(settings: Settings, number: int) -> None:
    """Send readings of every meter: around the next moment at which a minute becomes late, then of each minute."""
    limit = floor_minute(system_clock() + timedelta(seconds=63))  # the lateness is whole minutes
    edge = int((limit - DATASET.lateness).timestamp()) - 60
    for second in range(20 * number, 20 * (number + 1)):
        while system_clock() < limit + timedelta(seconds=(second - 20 * number) / 5 - 2.5):
            time.sleep(0.02)
        _send(settings, [samples.reading(meter, edge + second, 1, PICK) for meter in METERS])
    newest = int(floor_minute(system_clock()).timestamp()) - 60
    starts = range(newest - 60 * (MINUTES - 1), newest + 60, 60)
    _send(settings, [samples.reading(meter, start + 59 - number, 1, PICK) for start in starts for meter in METERS])


def _send(settings: Settings, readings: list[Reading]) -> None:
    samples.send(settings, DATASET.readings_topic, [(each.meter_id, wire.encode(DATASET, each)) for each in readings])


def stream(settings: Settings, *, archive: bool) -> None:
    run(settings, DATASET, Queries(archive=archive, views=True, once=True), system_clock)


def batch(settings: Settings, ahead: timedelta = timedelta(0)) -> Record:
    record = run_batch(settings, DATASET, Request(), lambda: system_clock() + ahead).record
    assert record is not None
    compared = record.details.get("reconciliation", {})
    assert compared.get("unexplained", 0) == compared.get("unexamined", 0) == 0, compared
    return record


def in_kafka(settings: Settings) -> list[Reading]:
    return samples.decoded(DATASET, samples.arrived(settings, DATASET.readings_topic))[0]


def test_no_minute_loses_a_reading_that_readers_have_seen(live: Settings) -> None:
    topics.ensure(live, DATASET)
    tables.apply(live, DATASET)
    merged_views.prepare(live, DATASET, system_clock)
    readers = Readers(live, {})
    boundaries: list[datetime] = []
    for number, archive in enumerate((True, False)):
        send(live, number)
        stream(live, archive=archive)
        on_time = [each for each in in_kafka(live) if not is_late(DATASET, each)]
        shown = readers.look()
        for key, row in layers.truth(DATASET, on_time).items():
            assert shown[key][0] >= row[0]  # batch may have brought more
        boundaries.append(batch(live).boundary)
        readers.look()
    assert boundaries == sorted(boundaries)
    readings = in_kafka(live)
    assert 0 < sum(is_late(DATASET, each) for each in readings) < len(readings)
    stream(live, archive=True)
    last = batch(live, ahead=DATASET.lateness + timedelta(minutes=3))
    assert last.boundary.timestamp() > max(each.ts for each in readings)
    assert readers.look() == layers.truth(DATASET, readings)


def test_a_second_engine_finds_nothing_but_what_was_late(live: Settings) -> None:
    present = published(live, DATASET)
    source = MasterInput(live, DATASET, present)
    report = verify(live, Scope(DATASET), present.record, source, lambda _: None)
    assert [comparison for comparison in report.comparisons if comparison.wrong] == []
    (speed,) = (comparison for comparison in report.comparisons if comparison.view == "speed")
    assert {row.reason for row in speed.listed} == {"late"}
    readings = in_kafka(live)
    on_time = [each for each in readings if not is_late(DATASET, each)]
    whole, seen = layers.truth(DATASET, readings), layers.truth(DATASET, on_time)
    assert speed.explained == sum(whole.get(key) != seen.get(key) for key in whole)
