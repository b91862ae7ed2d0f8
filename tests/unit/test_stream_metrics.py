"""What a streaming process tells Prometheus, and how many tasks it runs at once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from meterlake.settings import Settings
from speed_layer import session
from speed_layer.metrics import Listener, Metrics

pytestmark = pytest.mark.unit
NOW = datetime(2026, 6, 1, 10, tzinfo=UTC)


def progress(**milliseconds: int) -> SimpleNamespace:
    """Return what Spark says of an update of a query with a state."""
    return SimpleNamespace(
        numInputRows=2000,
        batchDuration=sum(milliseconds.values()),
        durationMs=milliseconds,
        sources=[SimpleNamespace(endOffset='{"t": {"0": 5, "1": 7}}', latestOffset='{"t": {"0": 5, "1": 10}}')],
        stateOperators=[SimpleNamespace(numRowsTotal=28_000, memoryUsedBytes=115_000_000)],
        eventTime={"watermark": "2026-06-01T09:48:00.000Z"},
    )


def test_an_update_tells_how_long_it_took_and_where_the_time_went() -> None:
    metrics = Metrics("d", lambda: NOW)
    metrics.batch("views", progress(addBatch=700, walCommit=40))
    metrics.batch("views", progress(addBatch=500, walCommit=60, queryPlanning=90))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"meterlake_stream_{name}", {"dataset": "d"} | labels)

    assert value("phase_seconds_total", query="views", phase="addBatch") == pytest.approx(1.2)
    assert value("phase_seconds_total", query="views", phase="walCommit") == pytest.approx(0.1)
    assert value("phase_seconds_total", query="views", phase="queryPlanning") == pytest.approx(0.09)
    assert value("batch_duration_seconds_count", query="views") == 2
    assert value("messages_total", query="views") == 4000
    assert value("offsets_behind", query="views") == 3
    assert (value("state_rows"), value("state_bytes")) == (28_000, 115_000_000)
    assert value("watermark_delay_seconds") == 12 * 60


def test_a_query_with_nothing_to_do_is_not_down() -> None:
    metrics, other = Metrics("d", lambda: NOW), Metrics("d", lambda: NOW)
    tasks = {
        "d-views": SimpleNamespace(idle=lambda: metrics.idle("views")),
        "d-archive": SimpleNamespace(idle=lambda: other.idle("archive")),
    }
    listener = Listener(tasks)
    listener.onQueryStarted(SimpleNamespace(name="d-views", runId="1"))
    listener.onQueryStarted(SimpleNamespace(name=None, runId="2"))  # somebody else's
    for run in ("1", "2", "3"):
        listener.onQueryIdle(SimpleNamespace(runId=run))
    name, labels = "meterlake_stream_last_batch_timestamp_seconds", {"dataset": "d", "query": "views"}
    assert metrics.registry.get_sample_value(name, labels) == NOW.timestamp()
    assert other.registry.get_sample_value(name, labels | {"query": "archive"}) is None


@pytest.mark.parametrize(
    ("master", "wanted"),
    [("local[*]", f"local[{2 * (os.cpu_count() or 1)}]"), ("local[3]", "local[3]"), ("yarn", "yarn")],
)
def test_tasks_have_more_slots_than_cores_where_nobody_says_how_many(master: str, wanted: str) -> None:
    assert session.options(Settings(spark_master=master))["spark.master"] == wanted
