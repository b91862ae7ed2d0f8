"""What an interval can hold depends on its length: both layers reject the same impossible amounts."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import layers_samples as layers
import pytest
import stream_samples as samples

from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request
from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, topics, trino
from engines import spark as engine
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.timegrid import floor_seconds
from speed_layer import session as streaming
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DATASET = replace(HOUSEHOLD, name=f"limits{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings under which a data set of this module's own runs; removed from all servers afterwards."""
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "limits", streaming.options(small)):
        yield small
        layers.forget(small, DATASET)
    gc.collect()


def reading(ts: int, interval_s: int, kitchen_wh: float) -> Reading:
    return Reading("m", ts, interval_s, (96.0, 0.0, 230.0, 418.0, kitchen_wh, 0.0, 0.0))


def test_an_amount_that_no_fuse_lets_through_is_rejected_by_both_layers(live: Settings) -> None:
    start = floor_seconds(int(system_clock().timestamp()), 60) - 240
    sent = [
        *(reading(start + second, 1, 0.5) for second in range(5)),
        reading(start + 5, 1, 8400.0),  # 8.4 kWh in one second
        reading(start + 60, 60, 1600.0),  # 96 kW for a minute
        reading(start + 120, 60, 24_000.0),  # the day's total, sent again after a restart
    ]
    topics.ensure(live, DATASET)
    samples.send(live, DATASET.readings_topic, [("m", wire.encode(DATASET, one)) for one in sent])
    run(live, DATASET, Queries(archive=True, views=True, once=True), system_clock)
    outcome = run_batch(live, DATASET, Request(), lambda: system_clock() + timedelta(hours=1))
    assert outcome.record is not None
    balance = outcome.record.details["balance"]
    assert (balance["read"], balance["used"], balance["rejected"]) == (8, 6, 2)

    rejected = trino.rows(live, f"SELECT ts, reason FROM hive.batch.{DATASET.name}_rejects ORDER BY ts")  # noqa: S608
    at = datetime.fromtimestamp(start, UTC).replace(tzinfo=None)
    assert rejected == [
        [at + timedelta(seconds=5), "sub_metering_1_above_max"],
        [at + timedelta(minutes=2), "sub_metering_1_above_max"],
    ]
    minutes = [(at, 5), (at + timedelta(minutes=1), 1)]
    batch = trino.rows(live, f"SELECT minute, readings FROM hive.batch.{DATASET.name}_minute ORDER BY 1")  # noqa: S608
    assert [tuple(row) for row in batch] == minutes
    with cassandra.session(live) as connected:
        rows = connected.execute(f"SELECT minute, readings FROM speed.{DATASET.name}_minute")  # noqa: S608
        assert sorted((row.minute, row.readings) for row in rows if row.readings) == minutes
