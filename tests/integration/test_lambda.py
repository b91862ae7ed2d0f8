"""Both layers at once on the real servers: what a viewer sees before and after batch, and how the layers compare."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import layers_samples as layers
import pytest
import stream_samples as samples
from layers_samples import Rows, forget

from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request
from cli import merged_views
from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, topics
from engines import spark as engine
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.declaration import Dataset
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.timegrid import floor_minute
from serving_layer.explain import NothingKnown, explain
from serving_layer.publish.history import Record
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATASET: Dataset = replace(HOUSEHOLD, name=f"l{uuid.uuid4().hex[:8]}")
START = int((system_clock() - timedelta(minutes=30)).timestamp()) // 60 * 60
MINUTES = 30
LATE = START + 5 * 60 + 30
REVISED = START + 8 * 60
PICK = random.Random(7)  # noqa: S311 - repeatable, not secret


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings under which a data set of this module's own runs; removed from all servers afterwards."""
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "lambda", streaming.options(small)):
        yield small
        forget(small, DATASET)
    gc.collect()


def send(settings: Settings, readings: list[Reading]) -> None:
    messages = [(found.meter_id, wire.encode(DATASET, found)) for found in readings]
    samples.send(settings, DATASET.readings_topic, messages)
    run(settings, DATASET, Queries(archive=True, views=True, once=True), system_clock)


def in_kafka(settings: Settings) -> list[Reading]:
    return samples.decoded(DATASET, samples.arrived(settings, DATASET.readings_topic))[0]


def truth(readings: list[Reading]) -> Rows:
    return layers.truth(DATASET, readings)


def seen(settings: Settings) -> Rows:
    return layers.merged_minutes(settings, DATASET)


def batch(settings: Settings, ahead: timedelta = timedelta(0)) -> tuple[str, Record]:
    outcome = run_batch(settings, DATASET, Request(), lambda: system_clock() + ahead)
    assert outcome.record is not None
    return outcome.result, outcome.record


# The tests below are one story and run in this order.


def test_1_live_readings_are_seen_before_any_batch(live: Settings) -> None:
    topics.ensure(live, DATASET)
    tables.apply(live, DATASET)
    merged_views.prepare(live, DATASET, system_clock)
    assert seen(live) == {}
    script = samples.script(DATASET, START, MINUTES, seed=3)
    samples.send(live, DATASET.readings_topic, script)
    run(live, DATASET, Queries(archive=True, views=True, once=True), system_clock)
    assert seen(live) == truth(in_kafka(live))


def test_2_a_late_reading_a_revision_and_a_conflict_wait_for_batch(live: Settings) -> None:
    # Spark lets a watermark drop readings from the second update after it was reached.
    send(live, [samples.reading("d", START + 60 * (MINUTES - 1), 60, PICK)])
    before = in_kafka(live)
    shown = seen(live)
    known = {
        found.ts: found for found in before if found.meter_id == "c" and found.interval_s == 1 and not found.is_gap
    }
    revised = next(found for ts, found in sorted(known.items()) if ts >= REVISED)
    free = next(ts for ts in range(LATE, LATE + 60) if ts not in known)
    late = samples.reading("c", free, 1, PICK)
    again = next(found for ts, found in sorted(known.items()) if ts >= REVISED + 600)
    send(live, [late, replace(revised, values=(7.0, *revised.values[1:]), revision=5), again])
    assert len(in_kafka(live)) == len(before) + 3
    assert seen(live) == shown != truth(in_kafka(live))


def test_3_batch_brings_them_and_tells_how_the_layers_compare(live: Settings) -> None:
    result, record = batch(live)
    assert result == "published"
    assert seen(live) == truth(in_kafka(live))
    compared = record.details["reconciliation"]
    behind = [key for key in truth(in_kafka(live)) if key[1] < record.boundary.timestamp()]
    assert compared["late"] == compared["revised"] == 1
    assert compared["unexplained"] == compared["loaded"] == compared["unexamined"] == 0
    assert compared["equal"] == len(behind) - 2
    assert record.boundary > datetime.fromtimestamp(START + 15 * 60, UTC)


def test_4_explain_shows_what_stands_behind_a_minute(live: Settings) -> None:
    late = datetime.fromtimestamp(LATE, UTC)
    found = explain(live, DATASET, "c", late)
    readings = [reading for reading in in_kafka(live) if reading.meter_id == "c" and reading.ts // 60 == LATE // 60]
    assert {(item.reading.origin_partition, item.reading.origin_offset) for item in found.judged} == {
        (reading.origin_partition, reading.origin_offset) for reading in readings
    }
    assert (found.layer, found.comparison, found.proved, found.later) == ("batch", "late", True, [])
    assert found.batch is not None
    assert found.speed is not None
    assert found.batch.readings == found.speed.readings + 1
    revised = explain(live, DATASET, "c", datetime.fromtimestamp(REVISED, UTC))
    assert revised.comparison == "revised"
    assert "superseded" in {item.verdict for item in revised.judged}
    with pytest.raises(NothingKnown, match="nobody"):
        explain(live, DATASET, "nobody", late)


def test_5_without_news_the_boundary_still_moves_on(live: Settings) -> None:
    result, record = batch(live, ahead=timedelta(minutes=8))
    assert result == "boundary moved"
    assert seen(live) == truth(in_kafka(live))
    assert record.details["reconciliation"]["unexplained"] == 0
    assert record.details["reconciliation"]["equal"] > 0
    assert batch(live)[0] == "nothing has changed"
    newest = explain(live, DATASET, "d", datetime.fromtimestamp(START + 60 * (MINUTES - 1), UTC))
    assert newest.comparison == "equal"


def test_6_a_speed_row_that_its_readings_do_not_make_is_reported(live: Settings) -> None:
    minute = floor_minute(system_clock())
    send(live, [samples.reading("a", int(minute.timestamp()), 60, PICK)])
    with cassandra.session(live) as session:
        session.execute(
            f"UPDATE speed.{DATASET.name}_minute USING TIMESTAMP {2**60} SET readings = 2"
            f" WHERE meter_id = 'a' AND day = '{minute:%Y-%m-%d}' AND minute = {int(minute.timestamp()) * 1000}"
        )
    _, record = batch(live, ahead=timedelta(minutes=40))
    assert record.details["reconciliation"]["unexplained"] == 1
    assert record.details["reconciliation"]["examples"] == [
        {"meter_id": "a", "minute": minute.isoformat(), "batch_readings": 1, "speed_readings": 2}
    ]
