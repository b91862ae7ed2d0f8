"""Half-hourly readings of one amount in both layers, on the real servers: half-hours, hours, local days and months."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import layers_samples as layers
import pytest
import stream_samples as samples

from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request
from cli import merged_views
from engines import cassandra, topics, trino
from engines import spark as engine
from meterlake import merged, timegrid, wire
from meterlake.clock import system_clock
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.grains import Grain
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State, merge_all
from serving_layer.explain import explain
from serving_layer.merged.layers import Window
from serving_layer.merged.merge import merged_rows
from serving_layer.publish.history import Record
from serving_layer.sql import query
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATASET = MeterSeries(
    name=f"half{uuid.uuid4().hex[:8]}",
    time_zone="Australia/Lord_Howe",  # half an hour off, and its clocks change by half an hour
    intervals=("30 min",),
    measures=(Amount("energy", "kWh", "0.001", between=per_hour(0, 100)),),
    views=(View("30 min"), View("hour"), View("day"), View("month")),
    lateness=timedelta(hours=60),  # what is sent below at once has been on its way for so long
)
NOW = system_clock()
LATEST = int(NOW.timestamp()) // 1800 * 1800
METERS = ("a", "b")
HALF_HOURS = 100


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings under which a data set of this module's own runs; removed from all servers afterwards."""
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "half-hours", streaming.options(small)):
        yield small
        layers.forget(small, DATASET)
    gc.collect()


def reading(meter: str, ts: int, kwh: float | None) -> Reading:
    return Reading(meter, ts, 1800, (kwh,))


def readings() -> list[Reading]:
    """Return every half-hour up to the present one but each seventh, and some that no meter can have measured."""
    result = []
    for number, ts in enumerate(range(LATEST - 1800 * (HALF_HOURS - 1), LATEST + 1, 1800)):
        if number % 7 or ts == LATEST:
            result += [reading(meter, ts, 0.001 * (number + 1000 * place)) for place, meter in enumerate(METERS)]
        else:
            result += [reading(meter, ts, 50.001) for meter in METERS]  # more than 100 kWh an hour
    return result


def send(settings: Settings, sent: list[Reading]) -> None:
    messages = [(result.meter_id, wire.encode(DATASET, result)) for result in sent]
    samples.send(settings, DATASET.readings_topic, messages)
    run(settings, DATASET, Queries(archive=True, views=True, once=True), system_clock)


def in_kafka(settings: Settings) -> list[Reading]:
    return samples.decoded(DATASET, samples.arrived(settings, DATASET.readings_topic))[0]


def batch(settings: Settings, ahead: timedelta = timedelta(0)) -> Record:
    """Run batch when the speed layer waits for nothing before the end of the latest half-hour, or some time later."""
    clock = datetime.fromtimestamp(LATEST + 1790, UTC) + DATASET.lateness + ahead
    outcome = run_batch(settings, DATASET, Request(), lambda: clock)
    assert outcome.result == "published"
    assert outcome.record is not None
    return outcome.record


def truth(rows: list[Reading], grain: Grain) -> dict[tuple[str, Any], tuple[Any, ...]]:
    """Return a view by the core's states alone; local days and months by Python's own calendar."""
    groups: dict[tuple[str, Any], list[State]] = defaultdict(list)
    for (meter, ts), state in samples.expected(DATASET, rows).items():
        groups[meter, time_of(ts, grain)].append(state)
    return {key: layers.row_of(DATASET, merge_all(DATASET, states)) for key, states in groups.items()}


def time_of(ts: int, grain: Grain) -> datetime | date:
    day = datetime.fromtimestamp(ts, ZoneInfo(DATASET.time_zone)).date()
    lengths = {"half_hour": 1800, "hour": 3600}
    if grain in lengths:
        return datetime.fromtimestamp(ts - ts % lengths[grain], UTC).replace(tzinfo=None)
    return day if grain == "day" else day.replace(day=1)


def seen(settings: Settings, grain: Grain) -> Mapping[tuple[str, Any], tuple[Any, ...]]:
    """Return the rows of the merged view, each of which must be there once."""
    names = "readings, covered_s, flagged, energy_sum, energy_min, energy_max"
    rows = trino.rows(settings, f"SELECT meter_id, {grain}, {names} FROM {merged.merged_view(DATASET, grain)}")
    result = {(row[0], row[1]): tuple(row[2:]) for row in rows}
    assert len(result) == len(rows)
    return result


def check(settings: Settings) -> None:
    """Both layers together must have each row of each grain, equal to the last digit."""
    sent = in_kafka(settings)
    for view in DATASET.views:
        assert seen(settings, view.grain) == truth(sent, view.grain), view.grain


# The tests below are one story and run in this order.


def test_1_live_half_hours_are_seen_before_any_batch(live: Settings) -> None:
    topics.ensure(live, DATASET)
    tables.apply(live, DATASET)
    merged_views.prepare(live, DATASET, system_clock)
    assert seen(live, "half_hour") == {}
    send(live, readings())
    check(live)
    with cassandra.session(live) as session:
        rows = list(session.execute(f"SELECT half_hour, energy_sum FROM speed.{DATASET.name}_half_hour"))
    assert len(rows) == len(seen(live, "half_hour"))


def test_2_batch_takes_over_at_the_beginning_of_a_half_hour(live: Settings) -> None:
    record = batch(live)
    check(live)
    cutover = merged.cutover_at(DATASET, record.boundary)
    assert cutover.timestamp() % 1800 == 0
    sources = dict(trino.rows(live, f"SELECT half_hour, source FROM {merged.merged_view(DATASET, 'half_hour')}"))
    assert set(sources.values()) == {"batch", "speed"}  # the present half-hour is not over
    assert all((source == "batch") == (time < cutover.replace(tzinfo=None)) for time, source in sources.items())
    rejected = trino.rows(live, f"SELECT DISTINCT reason FROM hive.batch.{DATASET.name}_rejects")
    assert [tuple(row) for row in rejected] == [("energy_above_max",)]


def test_3_the_layers_agree_when_the_boundary_moves_on(live: Settings) -> None:
    missing = [result for result in readings() if result.values == (50.001,) and result.ts >= LATEST - 1800 * 20]
    corrected = [replace(result, values=(0.5,), revision=1) for result in missing]
    send(live, corrected)
    record = batch(live, ahead=timedelta(hours=1))
    check(live)
    compared = record.details["reconciliation"]
    assert compared["unexplained"] == 0
    assert compared["equal"] >= len(METERS)


def test_4_python_merges_to_the_same_rows(live: Settings) -> None:
    since, until = (datetime.fromtimestamp(ts, UTC) for ts in (LATEST - 1800 * 60, LATEST + 1800))
    zone = DATASET.time_zone
    for view in DATASET.views:
        window = Window(METERS, *(timegrid.row_time(moment, view.grain, zone) for moment in (since, until)))
        bounds = [f"CAST('{str(time)[:19]}' AS TIMESTAMP)" for time in (window.since, window.until)]
        wanted = query.run(
            live,
            "trino",
            f"SELECT * FROM {merged.merged_view(DATASET, view.grain)}"
            f" WHERE {view.grain} >= {bounds[0]} AND {view.grain} < {bounds[1]} ORDER BY 1, 2",
        ).records()
        assert merged_rows(live, DATASET, view.grain, window) == wanted


def test_5_explain_shows_what_stands_behind_a_half_hour(live: Settings) -> None:
    moment = datetime.fromtimestamp(LATEST - 1800 * 8 + 60 * 17, UTC)
    result = explain(live, DATASET, "a", moment)
    assert result.start == datetime.fromtimestamp(LATEST - 1800 * 8, UTC)
    assert result.layer == "batch"
    assert result.proved
    assert [judged.verdict for judged in result.judged].count("used") == 1
