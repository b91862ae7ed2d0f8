"""The streaming query without Kafka and Cassandra: messages in files, Spark's own state, the core as the judge."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from datasets.household.declaration import HOUSEHOLD
from engines import spark as engine
from engines.errors import EngineUnavailable
from meterlake import precedence, rules, timegrid, wire
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State, merge_all
from speed_layer import running
from speed_layer import session as streaming
from speed_layer.decode import UNDECODABLE, decoded
from speed_layer.views import transforms, writing
from speed_layer.views.rows import minute_writes

pytestmark = pytest.mark.spark
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
VALUES = (1.5, 0.25, 230.1, 6.0, 0.0, 0.1, 0.2)
KAFKA = "key BINARY, value BINARY, topic STRING, partition INT, offset LONG, timestamp TIMESTAMP_LTZ"
Sent = tuple[bytes | None, datetime]
"""Value and time of arrival."""


@pytest.fixture(scope="module")
def spark(spark_settings: Settings, quick_jvm: dict[str, str]) -> Iterator[SparkSession]:
    conf = {**streaming.options(spark_settings), **quick_jvm}
    with engine.session(spark_settings, "stream tests", conf) as session:
        yield session


class Feed:
    """A topic of one partition, as files; each ``update`` is a micro-batch over what was sent since the last."""

    def __init__(self, spark: SparkSession, folder: Path, dataset: MeterSeries = HOUSEHOLD) -> None:
        self.spark, self.folder, self.dataset = spark, folder, dataset
        self.sent: list[Sent] = []
        self.files = 0
        self.minutes: dict[tuple[str, int], dict[str, int]] = {}
        self.versions: dict[tuple[str, int], int] = {}
        self.new = 0
        self.progress: Any = None
        self.state_rows: list[int] = []
        (folder / "in").mkdir()

    def messages(self) -> DataFrame:
        schema = "value STRING, offset LONG, at LONG"
        lines = self.spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).json((self.folder / "in").as_uri())
        return lines.select(
            F.lit(b"k").alias("key"),
            F.unbase64("value").alias("value"),
            F.lit(self.dataset.readings_topic).alias("topic"),
            F.lit(0).alias("partition"),
            "offset",
            F.timestamp_millis("at").alias("timestamp"),
        )

    def send(self, *messages: Sent) -> None:
        """Write the messages of one micro-batch."""
        import base64

        lines = [
            json.dumps(
                {
                    "value": None if value is None else base64.b64encode(value).decode(),
                    "offset": len(self.sent) + n,
                    "at": int(at.timestamp() * 1000),
                }
            )
            for n, (value, at) in enumerate(messages)
        ]
        self.sent += messages
        file = self.folder / "in" / f"{self.files:06}.json"
        file.write_text("\n".join(lines) + "\n")
        self.files += 1
        # Spark takes files in the order of their times, which of two written within a millisecond says nothing.
        os.utime(file, (self.files, START.timestamp() + self.files))

    def update(self) -> None:
        """Run the query over all that is new, one file a micro-batch."""
        readings = transforms.accepted(decoded(self.messages(), self.dataset), self.dataset)
        query = (
            transforms.open_minutes(readings, self.dataset)
            .writeStream.outputMode("update")
            .foreachBatch(self._take)
            .option("checkpointLocation", (self.folder / "checkpoint").as_uri())
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        assert query.exception() is None
        self.progress = query.recentProgress
        self.state_rows += [each["stateOperators"][0]["numRowsTotal"] for each in self.progress]

    def _take(self, minutes: DataFrame, _batch_id: int) -> None:
        held = minutes.persist()
        self.new += transforms.new_readings(held, self.dataset, {}).count()
        rows = [
            row
            for kind in (False, True)
            for row in transforms.minute_rows(held, self.dataset, contended=kind).collect()
        ]
        for row in rows:
            values = row.asDict()
            cell = values.pop(self.dataset.key), values.pop(transforms.MINUTE) // 1000
            version = values.pop(transforms.VERSION)
            assert version > self.versions.get(cell, 0) or values == self.minutes[cell]
            self.minutes[cell], self.versions[cell] = values, version
        held.unpersist()

    def shown(self) -> dict[tuple[str, int], dict[str, int]]:
        """Return the minutes that readers see: those of which a reading counts."""
        return {cell: row for cell, row in self.minutes.items() if row["readings"]}

    def observed(self, name: str) -> int:
        return sum(each["observedMetrics"][transforms.MEASURED][name] for each in self.progress)


@pytest.fixture
def feed(spark: SparkSession, tmp_path: Path) -> Feed:
    return Feed(spark, tmp_path)


def message(second: int, meter: str = "m", interval: int = 1, late: float = 1, **more: Any) -> Sent:
    values = (more.pop("power", VALUES[0]), *VALUES[1:])
    start = START + timedelta(seconds=second)
    if more.pop("gap", False):
        values = (None,) * len(VALUES)
    reading = Reading(meter, int(start.timestamp()), interval, values, **more)
    return wire.encode(HOUSEHOLD, reading), start + timedelta(seconds=late)


def expected(dataset: MeterSeries, sent: list[Sent]) -> dict[tuple[str, int], dict[str, int | None]]:
    """Return what the core makes of messages."""
    outcomes = [wire.decode(dataset, v, received_at=at, origin_offset=n) for n, (v, at) in enumerate(sent)]
    readings = [r for r in outcomes if isinstance(r, Reading) and rules.reject_reason(dataset, r) is None]
    verdicts = precedence.resolve(dataset, readings)
    cells: dict[tuple[str, int], dict[int, list[Reading]]] = {}
    for r, verdict in zip(readings, verdicts, strict=True):
        if verdict == "used":
            cells.setdefault((r.meter_id, r.ts - r.ts % dataset.cell_s), {}).setdefault(r.interval_s, []).append(r)
    states = {}
    for cell, lengths in cells.items():
        length = timegrid.choose_interval({n: n * len(rows) for n, rows in lengths.items()})
        states[cell] = merge_all(dataset, (_state(dataset, r) for r in lengths[length])).row()
    return states


def _state(dataset: MeterSeries, r: Reading) -> State:
    units = [unit for unit in r.units(dataset) if unit is not None]
    return State.of_reading(dataset, r.interval_s, units, flagged=rules.is_flagged(dataset, r))


def test_minutes_equal_the_core_after_every_mixture(feed: Feed) -> None:
    pick = random.Random(5)  # noqa: S311
    for part in range(4):
        sent = []
        for second in range(part * 45, part * 45 + 60):
            for meter in ("a", "b"):
                sent.append(message(second, meter, power=pick.randrange(0, 9000) / 1000))
                if pick.random() < 0.1:
                    sent.append(sent[-1])
                if pick.random() < 0.1:
                    sent.append(message(second, meter, power=1.25, revision=pick.randrange(2)))
                if pick.random() < 0.05:
                    sent.append(message(second, meter, gap=True, revision=pick.randrange(2)))
                if second % 60 == 0:
                    sent.append(message(second, meter, interval=60))
        pick.shuffle(sent)
        feed.send(*sorted(sent, key=lambda each: each[1]) if part % 2 else sent)
    feed.update()
    assert feed.shown() == expected(HOUSEHOLD, feed.sent)


def test_a_minute_of_one_long_reading_gives_way_to_seconds_that_cover_as_much(feed: Feed) -> None:
    feed.send(message(0, interval=60, power=3.0), message(0, power=1.0))
    feed.update()
    cell = ("m", int(START.timestamp()))
    assert (feed.minutes[cell]["covered_s"], feed.minutes[cell]["readings"]) == (60, 1)
    feed.send(*(message(second, power=1.0) for second in range(1, 60)))
    feed.update()
    assert (feed.minutes[cell]["covered_s"], feed.minutes[cell]["readings"]) == (60, 60)
    assert feed.minutes == expected(HOUSEHOLD, feed.sent)


def test_a_clock_that_runs_ahead_harms_nobody_else(feed: Feed) -> None:
    feed.send(message(0), message(86_400, "ahead", late=-86_399), message(30, "slightly", late=-59))
    feed.update()
    feed.send(message(1))
    feed.update()
    assert set(feed.minutes) == {("m", int(START.timestamp())), ("slightly", int(START.timestamp()))}
    assert feed.minutes["m", int(START.timestamp())]["readings"] == 2


@pytest.mark.parametrize("others", [1, 0], ids=["with competing readings", "alone"])
def test_a_minute_that_is_withdrawn_gets_the_empty_state_until_it_is_sent_again(feed: Feed, others: int) -> None:
    cell, start = ("m", int(START.timestamp())), 0 if others else 30
    sent = [message(second, interval=1) for second in range(start, start + 1)]
    sent += [message(start, power=2.0, late=2)] * others
    feed.send(*sent)
    feed.update()
    assert feed.minutes[cell]["readings"] == 1
    feed.send(message(start, gap=True, revision=1, late=5))
    feed.update()
    empty = State.empty(HOUSEHOLD).row()
    assert feed.minutes[cell] == empty
    (write,) = minute_writes([(cell[0], cell[1] * 1000, *feed.minutes[cell].values(), feed.versions[cell])])
    assert write.values is None
    feed.send(message(start, power=4.0, revision=2, late=9))
    feed.update()
    assert feed.minutes == expected(HOUSEHOLD, feed.sent)
    assert feed.minutes[cell]["global_active_power_sum"] == 4000


def test_a_minute_of_gap_rows_alone_has_the_empty_state(feed: Feed) -> None:
    feed.send(*(message(second, gap=True) for second in range(3)), message(1, "n"))
    feed.update()
    assert feed.minutes["m", int(START.timestamp())] == State.empty(HOUSEHOLD).row()
    assert feed.shown() == expected(HOUSEHOLD, feed.sent)


LIMIT = 60 + HOUSEHOLD.lateness.total_seconds()
"""So long after the beginning of its minute a reading is late."""


def test_what_is_late_is_left_to_batch_by_the_reading_alone_to_the_millisecond(feed: Feed) -> None:
    """Whatever the watermark: here it never moves, as all readings are of one minute."""
    after = [LIMIT - 60, LIMIT - 1, LIMIT - 0.001, LIMIT, LIMIT + 0.001, LIMIT + 0.999, LIMIT + 60, LIMIT + 1200]
    for number, wait in enumerate(after):
        feed.send(*(message(second, f"{number}-{second}", late=wait - second) for second in (0, 59)))
        feed.update()
    assert set(feed.minutes) == {(f"{n}-{second}", int(START.timestamp())) for n in range(3) for second in (0, 59)}


def test_the_watermark_never_drops_what_is_on_time(feed: Feed) -> None:
    """Two partitions a minute apart, a clock that is ahead by all that is tolerated, several updates in between."""
    now = 3600
    ahead = message(now + 60 + 59, "ahead", late=-60)  # a minute ahead of its arrival, which is 59 s after `now`
    for meter in ("one", "two"):
        feed.send(ahead, message(now + 59, meter, late=0))
        feed.update()
    oldest = now - int(LIMIT) + 1
    oldest -= oldest % 60 - 60 * (oldest % 60 > 0)  # the first minute that is not late at `now`
    feed.send(*(message(second, f"at-{second}", late=now - second) for second in (oldest, oldest + 59)))
    feed.send(message(oldest - 1, "late", late=now - oldest + 1))
    feed.update()
    begin = int(START.timestamp())
    assert {f"at-{oldest}", f"at-{oldest + 59}"} <= {meter for meter, _ in feed.minutes}
    assert ("late", begin + (oldest - 1) // 60 * 60) not in feed.minutes
    assert feed.observed(transforms.LATE) == 1


def test_state_is_evicted(feed: Feed) -> None:
    for minute in range(0, 36, 4):
        feed.send(*(message(minute * 60 + second) for second in range(0, 60, 10)))
    feed.update()
    assert len(feed.minutes) == 9
    assert max(feed.state_rows) <= 5


def test_what_is_no_reading_is_counted_and_does_no_harm(feed: Feed) -> None:
    at = START + timedelta(seconds=2)
    odd: list[Sent] = [(value, at) for value in (None, b"", b"nonsense", b"\xff", b"[]", b'{"v":2}', b" " * 20_000)]
    feed.send(message(0), *odd, message(1, power=-1.0), message(2, power=1e9), message(0))
    feed.update()
    assert feed.observed(UNDECODABLE) == len(odd)
    assert feed.observed("rejected_global_active_power_below_min") == 1
    assert feed.observed("rejected_global_active_power_above_max") == 1
    assert feed.observed("repeated") == 1
    assert feed.observed(transforms.ACCEPTED) == 1
    assert [row["readings"] for row in feed.minutes.values()] == [1]


def test_every_message_is_decoded_as_the_core_does(spark: SparkSession, feed: Feed) -> None:
    pick = random.Random(6)  # noqa: S311
    good = json.loads(message(0)[0] or b"")
    odd = [None, True, "1", 1.5, -1, 10**400, float("nan"), float("inf"), [], {}, "a/b", "é", 7, 60, 2**63, 1e308]
    values: list[bytes | None] = [None, b"", b"\x00", b"{}", b"null", b"1", b'"', b"\xc3", b"{" * 500, b"[" * 3000]
    for _ in range(600):
        changed = dict(good)
        for name in pick.sample(sorted(good), pick.randrange(3)):
            changed[name] = pick.choice(odd)
        for name in pick.sample(sorted(changed), pick.choice([0, 0, 0, 1])):
            del changed[name]
        values.append(json.dumps(changed).encode())
    values += [wire.encode(HOUSEHOLD, replace(_reading(), revision=n)) for n in range(3)]
    rows = [(b"k", value, "t", 0, n, START) for n, value in enumerate(values)]
    result = (
        decoded(spark.createDataFrame(rows, KAFKA), HOUSEHOLD, keep_original=True).orderBy("origin_offset").collect()
    )
    assert len(result) == len(values)
    kinds = set()
    for row, value in zip(result, values, strict=True):
        outcome = wire.decode(HOUSEHOLD, value)
        if isinstance(outcome, wire.Undecodable):
            kinds.add(outcome.reason)
            assert (row[UNDECODABLE], row.payload, row.size) == (
                outcome.reason,
                _bytes(value),
                None if value is None else len(value),
            )
            assert row.key == b"k"
        else:
            assert row[UNDECODABLE] is None
            assert row.payload is None
            assert (row.meter_id, row.interval_s, row.revision) == (
                outcome.meter_id,
                outcome.interval_s,
                outcome.revision,
            )
            assert row.ts.replace(tzinfo=UTC).timestamp() == outcome.ts
            assert tuple(row[measure.name] for measure in HOUSEHOLD.measures) == outcome.values
    assert len(kinds) > 25


def _bytes(value: bytes | None) -> bytearray | None:
    return None if value is None else bytearray(value)


def _reading() -> Reading:
    return Reading("m", int(START.timestamp()), 1, VALUES)


def test_tasks_report_a_server_that_is_away_and_fail_none(spark: SparkSession, spark_settings: Settings) -> None:
    """Of several tasks, with more rows than one hands to Python at once; the next update begins as if nothing was."""
    away = spark_settings.model_copy(
        update={
            "cassandra_hosts": "127.0.0.1:1",
            "cassandra_user": "meterlake",
            "cassandra_password": SecretStr("s3cret"),
        }
    )
    start = int(START.timestamp() * 1000)
    new = (
        spark.range(12_000)
        .repartition(2)
        .select(
            F.concat(F.lit("m"), "id").alias("meter_id"),
            (F.lit(start) + F.col("id")).alias("ts"),
            F.lit(1).alias("interval_s"),
            *(F.lit(1.5).alias(measure.name) for measure in HOUSEHOLD.measures),
            F.lit(0).alias("origin_partition"),
            F.col("id").alias("origin_offset"),
            F.lit(False).alias(transforms.CONTENDED),
        )
    )
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match=r"Cassandra at 127\.0\.0\.1:1 does not answer: .*meterlake up"):
            writing.write_readings(new, away, HOUSEHOLD, 0)
    log = (spark_settings.home / "logs").glob("*")
    assert not any("s3cret" in file.read_text(errors="replace") for file in log)


def test_what_ends_a_query_is_told_with_its_classes(spark: SparkSession, tmp_path: Path) -> None:
    """Which server's client a broken connection belongs to is seen only in the stack trace."""
    rows = spark.readStream.format("rate").load().select(F.raise_error(F.lit("no such meter")).cast("string"))
    query = rows.writeStream.format("noop").option("checkpointLocation", (tmp_path / "checkpoint").as_uri()).start()
    while query.isActive:
        time.sleep(0.1)
    trace = running.java_trace(query)
    assert "no such meter" in trace.splitlines()[0]
    assert "\tat org.apache.spark.sql.execution.streaming." in trace
    assert "Caused by: org.apache.spark.SparkRuntimeException" in trace
