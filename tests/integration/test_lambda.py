"""Both layers at once on the real servers: what a viewer sees before and after batch, and how the layers compare.

Nothing depends on how long a test takes: what is late follows from the broker's own times, and batch gets its clock.
"""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

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
from meterlake.declaration import MeterSeries
from meterlake.lateness import is_late
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.timegrid import floor_minute
from serving_layer.explain import NothingKnown, explain
from serving_layer.publish.history import Record
from serving_layer.verify.verify import published
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME: Final = f"l{uuid.uuid4().hex[:8]}"
MARGIN_S: Final = 12
"""So long before the limit of a minute what is on time is sent."""
GONE: Final = (None,) * len(HOUSEHOLD.measures)
PICK = random.Random(7)  # noqa: S311 - repeatable, not secret


@dataclass(frozen=True)
class Story:
    """A data set of this module's own. limit: from when on readings of the minute ``edge`` are late."""

    settings: Settings
    dataset: MeterSeries
    edge: int
    limit: datetime

    def send(self, readings: list[Reading]) -> None:
        messages = [(each.meter_id, wire.encode(self.dataset, each)) for each in readings]
        samples.send(self.settings, self.dataset.readings_topic, messages)

    def stream(self) -> None:
        run(self.settings, self.dataset, Queries(archive=True, views=True, once=True), system_clock)

    def in_kafka(self) -> list[Reading]:
        return samples.decoded(self.dataset, samples.arrived(self.settings, self.dataset.readings_topic))[0]

    def on_time(self) -> list[Reading]:
        return [each for each in self.in_kafka() if not is_late(self.dataset, each)]

    def truth(self, readings: list[Reading]) -> Rows:
        return layers.truth(self.dataset, readings)

    def seen(self) -> Rows:
        return layers.merged_minutes(self.settings, self.dataset)

    def batch(self, at: datetime) -> tuple[str, Record]:
        """Run batch by a clock that shows a time when it begins."""
        ahead = at - system_clock()
        outcome = run_batch(self.settings, self.dataset, Request(), lambda: system_clock() + ahead)
        assert outcome.record is not None
        return outcome.result, outcome.record


@pytest.fixture(scope="module")
def story(stack: Instance, settings: Settings) -> Iterator[Story]:
    """The data set with its topic and tables, and a minute whose limit is near; removed from all servers afterwards."""
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "lambda", streaming.options(small)):
        named = replace(HOUSEHOLD, name=NAME)
        topics.ensure(small, named)
        tables.apply(small, named)
        merged_views.prepare(small, named, system_clock)
        assert layers.merged_minutes(small, named) == {}
        limit = system_clock().replace(microsecond=0) + timedelta(seconds=MARGIN_S)
        lateness = timedelta(minutes=20, seconds=limit.second)
        edge = int((limit - lateness).timestamp()) - 60
        yield Story(small, replace(named, lateness=lateness), edge, limit)
        forget(small, named)
    gc.collect()


# The tests below are one story and run in this order.


def test_1_what_is_on_time_is_seen_before_any_batch_and_what_is_late_is_not(story: Story) -> None:
    edge, now = story.edge, int(story.limit.timestamp())
    seconds = [samples.reading("c", edge + second, 1, PICK) for second in range(10)]
    minutes = [samples.reading(meter, edge, 60, PICK) for meter in ("revised", "withdrawn", "back", "twice")]
    plain = [samples.reading("a", edge + second, 1, PICK) for second in range(10)]
    story.send([*seconds, *plain, *minutes])
    revised, withdrawn, back, twice = minutes
    story.send([replace(back, values=GONE, revision=1), replace(back, values=(1.0, *back.values[1:]), revision=2)])
    story.send([replace(samples.reading("never", edge, 60, PICK), revision=n, values=GONE) for n in range(2)])
    samples.send(story.settings, story.dataset.readings_topic, samples.script(story.dataset, now - 480, 7, seed=3))
    assert not [each for each in story.in_kafka() if each.ts // 60 == edge // 60 and is_late(story.dataset, each)]
    while system_clock() <= story.limit:  # the broker's clock is this machine's
        time.sleep(0.1)
    late = [
        samples.reading("c", edge + 30, 1, PICK),
        replace(revised, values=(7.0, *revised.values[1:]), revision=5),
        replace(withdrawn, values=GONE, revision=1),
        twice,
        samples.reading("late", edge, 60, PICK),
    ]
    story.send(late)
    story.stream()
    assert len(story.in_kafka()) == len(story.on_time()) + len(late)
    assert story.seen() == story.truth(story.on_time()) != story.truth(story.in_kafka())


def test_2_a_minute_that_is_withdrawn_on_time_is_not_seen_any_more(story: Story) -> None:
    minute = int(floor_minute(system_clock()).timestamp()) - 120
    only, pair = samples.reading("gone", minute, 60, PICK), [samples.reading("pair", minute, 60, PICK)]
    story.send([only, *pair])
    story.stream()
    assert ("gone", minute) in story.seen()
    story.send(
        [replace(only, values=GONE, revision=1), replace(pair[0], values=(3.0, *pair[0].values[1:]), revision=1)]
    )
    story.stream()
    assert ("gone", minute) not in story.seen()
    assert story.seen() == story.truth(story.on_time())
    with cassandra.session(story.settings) as session:
        day = f"{datetime.fromtimestamp(minute, UTC):%Y-%m-%d}"
        statement = f"SELECT minute FROM speed.{NAME}_minute WHERE meter_id = 'gone' AND day = '{day}'"
        assert list(session.execute(statement)) == []
    story.send([replace(only, values=(4.0, *only.values[1:]), revision=2)])
    story.stream()
    assert story.seen()["gone", minute] == story.truth(story.on_time())["gone", minute]
    story.send([replace(only, values=GONE, revision=3)])
    story.stream()
    assert ("gone", minute) not in story.seen()


def test_3_batch_brings_what_was_late_and_says_how_the_layers_compare(story: Story) -> None:
    before, whole = story.seen(), story.truth(story.in_kafka())
    result, record = story.batch(story.limit + timedelta(minutes=10))  # what was sent as it was measured lies beyond
    assert result == "published"
    assert story.edge + 600 <= record.boundary.timestamp() <= story.edge + 660
    compared = record.details["reconciliation"]
    behind = [key for key in whole | before if key[1] < record.boundary.timestamp()]
    assert {key for key in behind if whole.get(key) != before.get(key)} == {
        (meter, story.edge) for meter in ("c", "revised", "withdrawn", "late")
    }
    counts = {name: compared[name] for name in ("late", "revised", "withdrawn", "loaded", "arrived_since")}
    assert counts == {"late": 2, "revised": 1, "withdrawn": 1, "loaded": 0, "arrived_since": 0}
    assert (compared["unexplained"], compared["unexamined"]) == (0, 0)
    assert compared["equal"] == len(behind) - 4
    assert story.seen() == whole


def test_4_explain_shows_what_stands_behind_a_minute(story: Story) -> None:
    edge = datetime.fromtimestamp(story.edge, UTC)
    result = explain(story.settings, story.dataset, "c", edge)
    readings = [each for each in story.in_kafka() if each.meter_id == "c" and each.ts // 60 == story.edge // 60]
    assert {(item.reading.origin_partition, item.reading.origin_offset) for item in result.judged} == {
        (reading.origin_partition, reading.origin_offset) for reading in readings
    }
    assert (result.layer, result.comparison, result.proved, result.later) == ("batch", "late", True, [])
    assert result.batch is not None
    assert result.speed is not None
    assert result.batch.readings == result.speed.readings + 1
    revised = explain(story.settings, story.dataset, "revised", edge)
    assert revised.comparison == "revised"
    assert "superseded" in {item.verdict for item in revised.judged}
    assert explain(story.settings, story.dataset, "withdrawn", edge).comparison == "withdrawn"
    with pytest.raises(NothingKnown, match="nobody"):
        explain(story.settings, story.dataset, "nobody", edge)


def test_5_without_news_the_boundary_still_moves_on(story: Story) -> None:
    whole, first = story.truth(story.in_kafka()), published(story.settings, story.dataset).record.boundary
    at = story.limit + story.dataset.lateness
    result, record = story.batch(at)
    assert result == "boundary moved"
    passed = [key for key in whole if first.timestamp() <= key[1] < record.boundary.timestamp()]
    assert record.details["reconciliation"]["equal"] == len(passed) > 15
    assert record.details["reconciliation"]["unexplained"] == 0
    assert story.seen() == whole
    assert story.batch(at)[0] == "nothing has changed"
    meter, minute = max(passed, key=lambda key: key[1])
    newest = explain(story.settings, story.dataset, meter, datetime.fromtimestamp(minute, UTC))
    assert newest.comparison == "equal"


def test_6_a_speed_row_that_its_readings_do_not_make_is_reported(story: Story) -> None:
    minute = floor_minute(system_clock())
    story.send([samples.reading("a", int(minute.timestamp()), 60, PICK)])
    story.stream()
    with cassandra.session(story.settings) as session:
        session.execute(
            f"UPDATE speed.{NAME}_minute USING TIMESTAMP {2**60} SET readings = 2"
            f" WHERE meter_id = 'a' AND day = '{minute:%Y-%m-%d}' AND minute = {int(minute.timestamp()) * 1000}"
        )
    _, record = story.batch(minute + story.dataset.lateness + timedelta(minutes=3))
    assert record.details["reconciliation"]["unexplained"] == 1
    assert record.details["reconciliation"]["examples"] == [
        {"meter_id": "a", "minute": minute.isoformat(), "batch_readings": 1, "speed_readings": 2}
    ]
