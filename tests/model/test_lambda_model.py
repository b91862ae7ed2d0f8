"""Random schedules of readings, faults, crashes, runs and roll-backs: at the end, and all the time, readers are right.

`METERLAKE_MODEL_SCHEDULES=10000` runs more schedules than a change must pass. As many again are fresh each time: their
seed stands in the head of pytest's report, and `METERLAKE_MODEL_SEED` runs them again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from model_batch import GRAINS, Batch, minute_name, row_key
from model_conf import SEED
from model_queries import ALL, Archive, Most, Speed
from model_readers import Reader, oracle, states
from model_world import DATASET, PARTITIONS, Append, Crash, World

from meterlake import rules, timegrid
from meterlake.errors import LeaseLost, RollbackLosesMinutes
from meterlake.lateness import watermark_delay
from meterlake.reading import Reading
from serving_layer.publish.errors import Overtaken
from speed_layer.errors import MessagesLost

SCHEDULES = int(os.environ.get("METERLAKE_MODEL_SCHEDULES", "100"))
"""So many that are always the same, and so many fresh ones."""

meters = st.sampled_from(["a", "b", "c"])
ages = st.one_of(
    st.integers(0, 60),  # live
    st.integers(60, 570),  # out of order, in time
    st.integers(600, 11_000),  # late
    st.sampled_from([86_400, 200_000]),  # days late
    st.integers(-50, 0),  # a clock that is a little ahead
    st.sampled_from([-600, -86_400]),  # from the future
)
revisions = st.sampled_from([0, 0, 0, 1, 2])
values = st.tuples(st.sampled_from([-0.5, 1.25, 3.14159, 201.0]), st.sampled_from([0.0, 0.0005, 1.5, 7.25]))
crashes = st.none() | st.integers(0, 12)
leaps = st.integers(-600, 600)
LIMITS = (
    timedelta(0),
    DATASET.lateness - timedelta(minutes=1),
    DATASET.lateness,
    DATASET.lateness + DATASET.clock_tolerance,
    watermark_delay(DATASET) - timedelta(minutes=1),
    watermark_delay(DATASET),
)
"""How long after the end of its minute a reading may come before something else becomes of it."""
beyond = st.one_of(st.sampled_from([-1000, -1, 0, 1, 1000]), st.integers(-60_000, 60_000))
amounts = st.tuples(*[st.sampled_from([0, 1, 7, 1000, 1000]) for _ in range(PARTITIONS)])


class Lambda(RuleBasedStateMachine):
    """Anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.archive, self.speed = Archive(self.world), Speed(self.world)
        self.batch, self.reader = Batch(self.world), Reader(self.world)
        self.last: Reading | None = None
        self.is_disturbed = False
        """Whether clocks have stepped or a query began again: then layers may differ unexplained."""

    # Producers

    @rule(
        meter=meters,
        age=ages,
        interval=st.sampled_from([10, 60]),
        value=values,
        revision=st.sampled_from([0, 0, 0, 1, 2]),
    )
    def send(self, meter: str, age: int, interval: int, value: tuple[float, float], revision: int) -> None:
        ts = int(self.world.now.timestamp()) - age
        self._send(meter, ts - ts % interval, interval, value, revision)

    @rule(
        meter=meters,
        limit=st.sampled_from(LIMITS),
        beyond=beyond,
        interval=st.sampled_from([10, 60]),
        value=values,
        revision=revisions,
    )
    def send_at_a_limit(
        self, meter: str, limit: timedelta, beyond: int, interval: int, value: tuple[float, float], revision: int
    ) -> None:
        """A reading that arrives just before, at or just after a limit of the lateness, to the millisecond."""
        wait = limit + timedelta(milliseconds=beyond)
        end = timegrid.floor_minute(self.world.now - wait) + timedelta(minutes=1)
        self.world.now = end + wait
        self._send(meter, int(end.timestamp()) - interval, interval, value, revision)

    @rule(meter=meters, limit=st.sampled_from(LIMITS), beyond=beyond, value=values)
    def speed_is_ahead_at_a_limit(self, meter: str, limit: timedelta, beyond: int, value: tuple[float, float]) -> None:
        """Two readings of a minute at one moment: the archive takes the first, speed both; then batch runs."""
        self.send_at_a_limit(meter, limit, beyond, 10, value, 0)
        assert self.last
        self._run_archive()
        self._send(meter, self.last.ts - 10, 10, value, 0)
        self._run_speed()
        self.readers_are_right()
        self.run_batch(full=False, crash=None, burst=False)

    @rule(meter=meters, interval=st.sampled_from([10, 60]), value=values, again=st.booleans())
    def withdraw_before_batch(self, meter: str, interval: int, value: tuple[float, float], again: bool) -> None:
        """A reading is taken back while its minute is open, or once more sent; then batch takes over."""
        self.send(meter, 0, interval, value, 0)
        self._run_speed()
        self.withdraw()
        if again:
            self.send_otherwise(value, 1)
        self._run_speed()
        self.world.now += DATASET.lateness + timedelta(minutes=2)
        self._run_archive()
        self.run_batch(full=False, crash=None, burst=False)

    @rule(minutes=st.integers(1, 12), value=values)
    def report_each_minute(self, minutes: int, value: tuple[float, float]) -> None:
        for _ in range(minutes):
            self.world.now += timedelta(minutes=1)
            ts = int(self.world.now.timestamp())
            for meter in ("a", "b"):
                self._send(meter, ts - ts % 60, 60, value, 0)

    @rule(minutes=st.integers(5, 40), archived=amounts, value=values)
    def live(self, minutes: int, archived: Most, value: tuple[float, float]) -> None:
        """All is well for a while, but for an archive that may be slow."""
        for _ in range(minutes):
            self.report_each_minute(1, value)
            self._run_speed()
        self._run_archive(archived)

    @precondition(lambda self: self.last is not None)
    @rule()
    def send_again(self) -> None:
        assert self.last
        self._send(self.last.meter_id, self.last.ts, self.last.interval_s, self.last.values, self.last.revision)

    @precondition(lambda self: self.last is not None)
    @rule(value=values, revision=st.integers(0, 1))
    def send_otherwise(self, value: tuple[float, float], revision: int) -> None:
        """A conflict, or a revision."""
        assert self.last
        self._send(self.last.meter_id, self.last.ts, self.last.interval_s, value, self.last.revision + revision)

    @precondition(lambda self: self.last is not None)
    @rule()
    def withdraw(self) -> None:
        assert self.last
        self._send(self.last.meter_id, self.last.ts, self.last.interval_s, (None, None), self.last.revision + 1)

    @rule(meter=meters, kind=st.sampled_from(["undecodable", "off_grid", "missing_measure"]))
    def send_bad(self, meter: str, kind: str) -> None:
        ts = int(self.world.now.timestamp()) // 60 * 60
        if kind == "undecodable":
            self.world.send(meter, lambda *_: None)
        else:
            self._send(meter, ts + 7 * (kind == "off_grid"), 60, (None if kind == "missing_measure" else 1.0, 2.0), 0)

    @rule(load=st.integers(0, 3), meter=meters, hours=st.integers(0, 30), value=values)
    def load_file(self, load: int, meter: str, hours: int, value: tuple[float, float]) -> None:
        """A file is loaded once, however often it is tried."""
        if load in self.world.loads:
            return
        begin = int(self.world.now.timestamp()) // 60 * 60 - hours * 3600
        rows = [
            Reading(meter, begin + 60 * line, 60, value, 0, self.world.host_clock(), f"file{load}", 0, line)
            for line in range(5)
        ]
        self.world.loads.add(load)
        self.world.appends.append(Append(tuple(rows)))

    # Time

    @rule()
    def drop_old_messages(self) -> None:
        """Kafka's retention."""
        self.world.drop_old()

    @rule(seconds=st.sampled_from([1, 30, 300, 3600, 9000, 90_000]))
    def wait(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule(broker=leaps, host=leaps)
    def step_clocks(self, broker: int, host: int) -> None:
        self.is_disturbed = self.world.has_stepped = True
        self.world.broker_skew, self.world.host_skew = timedelta(seconds=broker), timedelta(seconds=host)

    # Layers

    @rule(most=amounts, crash=st.sampled_from([None, None, "planned", "quarantined", "appended"]))
    def run_archive(self, most: Most, crash: Any) -> None:
        self._until_crash(lambda: self._run_archive(most, crash))

    @rule(most=amounts, crash=st.sampled_from([None, None, None, "planned", "written"]))
    def run_speed(self, most: Most, crash: Any) -> None:
        self._until_crash(lambda: self._run_speed(most, crash))

    @rule(full=st.booleans(), crash=crashes, burst=st.booleans())
    def run_batch(self, full: bool, crash: int | None, burst: bool) -> None:
        def meanwhile() -> None:
            if burst:
                self.report_each_minute(2, (3.0, 4.0))
                self._run_archive()

        self._publishing(crash, lambda step: self.batch.run(full=full, meanwhile=meanwhile, step=step))
        self._differences_are_explained()

    @precondition(lambda self: self.world.history.kept and self.world.history.begun is None)
    @rule(which=st.integers(0, 2), allow_gap=st.booleans(), crash=crashes)
    def roll_back(self, which: int, allow_gap: bool, crash: int | None) -> None:
        others = self.world.history.kept
        wanted = others[which % len(others)]

        def expecting_less(step: Callable[[str], None]) -> None:
            def first(name: str) -> None:
                if name == "rolling_back":
                    self.reader.forget(wanted, lost=allow_gap)
                step(name)

            self.batch.roll_back(wanted.run_id, allow_gap=allow_gap, step=first)

        try:
            self._publishing(crash, expecting_less)
        except RollbackLosesMinutes:
            assert not allow_gap

    @rule(at=st.integers(0, 40), sleeps_in_check=st.booleans(), hours=st.sampled_from([0, 1, 3]), back=st.booleans())
    def batch_sleeps_and_is_overtaken(self, at: int, sleeps_in_check: bool, hours: int, back: bool) -> None:
        """A laptop's lid: a run stops before or after the check of any step; another takes over and publishes."""
        moments = count()

        def stop() -> None:
            if next(moments) == at:
                self.world.between = lambda: None
                self.world.now += timedelta(minutes=5, hours=hours)
                self._run_archive()
                self.batch.run(step=self._look)
                kept = self.world.history.kept
                if back and kept:
                    self.reader.forget(kept[0], lost=True)
                    self.batch.roll_back(kept[0].run_id, allow_gap=True, step=self._look)

        def step(name: str) -> None:
            self._look(name)
            if not sleeps_in_check:
                stop()

        self.world.between = stop if sleeps_in_check else lambda: None
        try:
            with suppress(LeaseLost, Overtaken):
                self.batch.run(step=step)
        finally:
            self.world.between = lambda: None
        self._look("after it woke up")

    @rule(most=amounts)
    def replay_archive(self, most: Most) -> None:
        """The archive begins again: a new checkpoint goes on where the master data set ends."""
        self.archive = Archive(self.world, self.archive.query + 1)
        self._run_archive(most)

    @rule(most=amounts)
    def replay_speed(self, most: Most) -> None:
        """The speed views begin again: a new checkpoint reads the topic from what is its start now."""
        self.is_disturbed = True
        self.speed = Speed(self.world)
        self._run_speed(most)

    # What holds

    @invariant()
    def readers_are_right(self) -> None:
        if self.world.history.begun is None:
            self.reader.look()
            self.reader.remember()

    def _differences_are_explained(self) -> None:
        """Where the speed layer was not behind the archive, what differs from batch is late, revised or loaded.

        But for minutes of a partition that was left behind another, by more than the watermark allows for.
        """
        last = self.world.records[-1] if self.world.records else None
        if last is None or last.event != "published" or self.is_disturbed:
            return
        done = self.speed.checkpoint.reached()
        if all(done.get(partition, 0) == end for partition, end in self.world.ends().items()):
            outrun = {minute_name(*row_key(cell, "minute")) for cell in self.speed.outrun}
            outcomes = {
                minute: found
                for minute, found in last.details.get("reconciliation", {}).items()
                if minute not in outrun
            }
            assert "unexplained" not in outcomes.values(), outcomes

    def teardown(self) -> None:
        """Let everything settle: then readers see what all that was ever sent makes."""
        self.world.broker_skew = self.world.host_skew = timedelta(0)
        self.world.now = max(self.world.now, self.world.latest_clock) + timedelta(days=2)
        self._drain()
        self.batch.run(step=self._look)
        self.reader.look()
        every = self._everything()
        shown = {grain: states(self.world, grain) for grain in GRAINS}
        for grain in GRAINS:
            assert shown[grain] == oracle(every, grain)
        self._balance()
        self._drain()
        self.batch.run(full=True, step=self._look)
        assert shown == {grain: states(self.world, grain) for grain in GRAINS}, "doing it again changes something"

    def _balance(self) -> None:
        """Every message is once in the master data set, in quarantine, or among those that Kafka lost."""
        taken = Counter(message for append in self.world.appends for message in append.messages)
        taken.update([*self.world.quarantine, *self.world.lost])
        assert taken == Counter(message for messages in self.world.log.values() for message in messages)

    def _everything(self) -> list[Reading]:
        kept = [m for messages in self.world.log.values() for m in messages if m not in self.world.lost]
        sent = [message.reading for message in kept if message.reading]
        loaded = [reading for append in self.world.appends if not append.progress for reading in append.readings]
        return [reading for reading in (*sent, *loaded) if not rules.quarantine_reason(DATASET, reading)]

    def _drain(self) -> None:
        while self.archive.checkpoint.reached() != self.world.ends():
            self._run_archive()
        while self.speed.checkpoint.reached() != self.world.ends():
            self._run_speed()

    def _run_archive(self, most: Most = ALL, crash: Any = None) -> None:
        self._run(self.archive.run, most, crash)

    def _run_speed(self, most: Most = ALL, crash: Any = None) -> None:
        self._run(self.speed.run, most, crash)

    def _run(self, query: Callable[..., None], most: Most, crash: Any) -> None:
        """Run a micro-batch; a query stops where messages are lost, and somebody lets it go on behind the hole."""
        try:
            query(most, crash)
        except MessagesLost:
            self.is_disturbed = True
            query(most, crash, lossless=False)

    def _send(self, meter: str, ts: int, interval: int, value: tuple[float | None, ...], revision: int) -> None:
        def made(at: datetime, partition: int, offset: int) -> Reading:
            return Reading(meter, ts, interval, value, revision, at, DATASET.readings_topic, partition, offset)

        self.last = self.world.send(meter, made)

    def _until_crash(self, work: Callable[[], None]) -> None:
        with suppress(Crash):
            work()

    def _publishing(self, crash: int | None, work: Callable[[Callable[[str], None]], None]) -> None:
        """Do something step by step, readers looking before each, and crash before one of them."""
        steps: list[str] = []

        def step(name: str) -> None:
            self._look(name)
            steps.append(name)
            if crash is not None and len(steps) > crash:
                raise Crash

        self._until_crash(lambda: work(step))

    def _look(self, _: str) -> None:
        self.reader.look()


class Fresh(Lambda):
    """The same with other schedules each time; ``METERLAKE_MODEL_SEED`` repeats one run of them."""


OPTIONS = settings(
    stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, database=None
)
Lambda.TestCase.settings = settings(OPTIONS, max_examples=SCHEDULES, derandomize=True)
TestLambda = pytest.mark.model(Lambda.TestCase)
seed(SEED)(Fresh)
Fresh.TestCase.settings = settings(OPTIONS, max_examples=SCHEDULES)
TestFresh = pytest.mark.model(Fresh.TestCase)
