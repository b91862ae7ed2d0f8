"""Fifty meters for half an hour with all that can go wrong: both layers equal the core's own truth, to the last bit.

They are sent at once: what was measured longer ago than the lateness is late, is missing from speed, listed, and there
after the next batch.
"""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import layers_samples as layers
import pytest
import stream_samples as samples
from layers_samples import Rows, forget

from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request as BatchRequest
from cli import merged_views
from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY
from engines import cassandra, topics, trino
from engines import spark as engine
from meterlake import rules
from meterlake.clock import system_clock
from meterlake.lateness import is_late
from meterlake.reading import Reading
from meterlake.settings import ROOT, Settings
from meterlake.timegrid import floor_minute
from producers import faults
from producers.injection import Oracle
from producers.kafka_sink import KafkaSink
from producers.pace import FASTEST, Pace, schedule
from producers.simulate import Request, begun, script, simulate
from producers.sinks import LineSink
from producers.totals import Totals
from serving_layer.verify.messages import Messages
from serving_layer.verify.scope import Scope
from serving_layer.verify.verify import Input, MasterInput, Report, published, verify
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATASET = replace(HOUSEHOLD, name=f"f{uuid.uuid4().hex[:8]}")
REPLAY = replace(HOUSEHOLD_REPLAY, form=replace(HOUSEHOLD_REPLAY.form, dataset=DATASET))
METERS, MINUTES = 50, 30
SHARES = faults.parse(
    "late=0.01,out_of_order=0.01,duplicate=0.01,conflict=0.01,revision=0.01,withdraw=0.01,corrupt=0.1,missing=0.01,"
    "future=0.002,clock_skew=0.04"
)
# Everything is complete for a batch whose clock stands behind the lateness of the last minute.
AHEAD = DATASET.lateness + timedelta(minutes=3)


@cache
def start() -> datetime:
    """When the half hour begins that is sent: taken when it is sent, since the tests before may take an hour."""
    return floor_minute(system_clock() - timedelta(minutes=MINUTES + 2))


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings under which a data set of this module's own runs; removed from all servers afterwards.

    Updates are small: a watermark moves on only between them, and what is late must meet one that has.
    """
    small = settings.model_copy(update={"spark_master": "local[2]", "stream_max_offsets": 9000})
    with engine.session(small, "faults", streaming.options(small)):
        yield small
        forget(small, DATASET)
    gc.collect()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


def simulated(settings: Settings, folder: Path, *, to_file: bool) -> Totals:
    """Send half an hour to Kafka, or write the very same messages to a file, with an oracle of what is wrong."""
    request = Request(
        replay=REPLAY, history=ROOT / REPLAY.history, offset=REPLAY.form.utc_offset, meter_id="m", meters=METERS,
        seed=5, rebase=start(), fill_gaps=True, shares=SHARES,
    )  # fmt: skip
    told = script(request, settings.cache_dir)
    plan = schedule(system_clock(), 1, FASTEST, timedelta(minutes=MINUTES), start())
    totals, stop = begun(told, plan), threading.Event()
    with (folder / "messages.tsv").open("ab") as lines, (folder / "oracle.jsonl").open("wb") as truth:
        target = LineSink(lines, "lines", totals) if to_file else KafkaSink(settings, DATASET, totals, stop)
        simulate(told, plan, SHARES, Pace(plan, system_clock, stop), target, totals, Oracle(truth, "oracle"))
    return totals


def truth(readings: list[Reading]) -> Rows:
    return layers.truth(DATASET, readings)


def seen(settings: Settings) -> Rows:
    return layers.merged_minutes(settings, DATASET)


def verified(settings: Settings, source: Input, end: datetime | None = None) -> Report:
    record = published(settings, DATASET).record
    return verify(settings, Scope(DATASET, end=end), record, source, lambda _: None, lambda: system_clock() + AHEAD)


def listed(report: Report) -> dict[str, set[tuple[str, int]]]:
    """Return the rows of speed that differ for a reason, by reason."""
    result: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for each in next(comparison for comparison in report.comparisons if comparison.view == "speed").listed:
        result[each.reason].add((each.meter, int(datetime.fromisoformat(f"{each.time}+00:00").timestamp())))
    return result


# The tests below are one story and run in this order.


def test_1_speed_has_every_minute_but_for_what_came_late(live: Settings, folder: Path) -> None:
    topics.ensure(live, DATASET)
    tables.apply(live, DATASET)
    merged_views.prepare(live, DATASET, system_clock)
    sent = simulated(live, folder, to_file=False)
    assert simulated(live, folder, to_file=True).sent == sent.acknowledged > METERS * MINUTES * 50
    assert all(sent.faults[name] for name in SHARES)
    run(live, DATASET, Queries(archive=True, views=True, once=True), system_clock)
    arrived = samples.arrived(live, DATASET.readings_topic)
    assert len(arrived) == sent.sent
    readings, reasons = samples.decoded(DATASET, arrived)
    told = [json.loads(line) for line in (folder / "oracle.jsonl").read_text().splitlines()]
    assert len(reasons) == sum(fault["fault"] == "corrupt" for fault in told)
    whole, shown = truth(readings), seen(live)
    differing = {key for key in whole.keys() | shown.keys() if whole.get(key) != shown.get(key)}
    late = {(each.meter_id, each.ts // 60 * 60) for each in readings if is_late(DATASET, each)}
    assert differing <= late
    assert shown == truth([each for each in readings if not is_late(DATASET, each)])
    assert 0 < len(differing) < len(whole)


def test_2_after_batch_the_merged_view_is_the_truth(live: Settings) -> None:
    readings, _ = samples.decoded(DATASET, samples.arrived(live, DATASET.readings_topic))
    whole, before = truth(readings), seen(live)
    differing = {key for key in whole.keys() | before.keys() if whole.get(key) != before.get(key)}
    outcome = run_batch(live, DATASET, BatchRequest(), lambda: system_clock() + AHEAD)
    record = outcome.record
    assert outcome.result == "published"
    assert seen(live) == whole
    assert record is not None
    compared = record.details["reconciliation"]
    assert record.boundary > start() + timedelta(minutes=MINUTES)
    assert compared["unexplained"] == compared["arrived_since"] == compared["loaded"] == compared["unexamined"] == 0
    assert compared["late"] + compared["revised"] + compared["withdrawn"] == len(differing)
    assert compared["equal"] == len(whole.keys() | before.keys()) - len(differing)


def test_3_the_second_engine_agrees_and_lists_what_is_late(live: Settings, folder: Path) -> None:
    present = published(live, DATASET)
    record = present.record
    from_master = verified(live, MasterInput(live, DATASET, present))
    from_file = verified(live, Messages(DATASET, [folder / "messages.tsv"], record.at), record.boundary)
    views = {"minute", "hour", "day", "gaps", "merged minute", "merged hour", "merged day"}
    for report, compared_views in ((from_master, views | {"speed"}), (from_file, views)):
        assert [comparison for comparison in report.comparisons if comparison.wrong] == []
        assert {comparison.view for comparison in report.comparisons} == compared_views
    compared = record.details["reconciliation"]
    reasons = listed(from_master)
    assert {reason: len(rows) for reason, rows in reasons.items()} == {
        reason: compared[reason] for reason in ("late", "revised", "withdrawn") if compared[reason]
    }


def test_4_every_message_that_does_not_count_is_kept_with_its_reason_and_offset(live: Settings, folder: Path) -> None:
    readings, reasons = samples.decoded(DATASET, samples.arrived(live, DATASET.readings_topic))
    where = "origin_partition, origin_offset"
    master = trino.rows(live, f"SELECT {where} FROM iceberg.master.{DATASET.name}")
    kept = trino.rows(live, f"SELECT {where}, reason FROM iceberg.master.{DATASET.name}_quarantine")
    refused = trino.rows(live, f"SELECT {where}, reason, verdict FROM hive.batch.{DATASET.name}_rejects")
    assert {(partition, offset): reason for partition, offset, reason in kept} == reasons
    assert len(master) + len(kept) == len(readings) + len(reasons)
    assert {tuple(row) for row in master} == {(each.origin_partition, each.origin_offset) for each in readings}
    rejected = {(p, offset): reason for p, offset, reason, verdict in refused if verdict == "rejected"}
    assert rejected == {
        (each.origin_partition, each.origin_offset): reason
        for each in readings
        if (reason := rules.reject_reason(DATASET, each))
    }
    told = [json.loads(line) for line in (folder / "oracle.jsonl").read_text().splitlines()]
    ahead = {fault["meter_id"] for fault in told if fault["fault"] == faults.CLOCK_SKEW}
    assert set(rejected.values()) == {rules.RECEIVED_BEFORE_EVENT}
    assert ahead
    assert len(rejected) > sum(fault["fault"] == "future" for fault in told) > 0
    assert not ahead & {meter for meter, _ in seen(live)}
    assert 0.08 < len(reasons) / (len(reasons) + len(readings)) < 0.12


def test_5_a_wrong_row_of_speed_is_found_and_named(live: Settings) -> None:
    readings, _ = samples.decoded(DATASET, samples.arrived(live, DATASET.readings_topic))
    late = {(each.meter_id, each.ts // 60 * 60) for each in readings if is_late(DATASET, each)}
    meter, minute = min(seen(live).keys() - late)  # a row that differs in nothing else
    at = datetime.fromtimestamp(minute, UTC)
    with cassandra.session(live) as session:
        session.execute(
            f"UPDATE speed.{DATASET.name}_minute USING TIMESTAMP {2**60} SET voltage_sum = 7"
            f" WHERE meter_id = '{meter}' AND day = '{at:%Y-%m-%d}' AND minute = {minute * 1000}"
        )
    report = verified(live, MasterInput(live, DATASET, published(live, DATASET)))
    assert [(wrong.view, wrong.different) for wrong in report.wrong] == [("speed", 1)]
    assert report.wrong[0].examples[0].key == f"{meter} {at:%Y-%m-%d %H:%M:%S}"
    assert report.wrong[0].examples[0].column == "voltage_sum"
