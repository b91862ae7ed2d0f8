"""Runs of a lakehouse that are killed, and servers that die under them: readers keep what they had, nothing is lost."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import lake_servers
import pytest
from lakehouse_samples import recharges
from pyspark.sql import SparkSession
from small_disk import small_disk

from engines import kafka, lake, nessie, spark, trino
from engines.errors import EngineFails, EngineUnavailable
from lakehouse import history, lease
from lakehouse.landing import from_files, from_kafka, objects
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.errors import RunUnderWay
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.settings import Settings
from stack import launcher, process
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BEFORE = ("tables", "bronze", "silver", "gold", "audit", "merge", "merged")
"""What readers do not see yet when a run is killed here."""
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone


@dataclass
class World:
    """A lakehouse of this file. sent: recharges that have been landed."""

    stack: Instance
    session: SparkSession
    lakehouse: Lakehouse
    folder: Path
    sent: int = 0

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def land(self) -> None:
        """Land one recharge more, of 10.25."""
        self.sent += 1
        name = f"{self.lakehouse.name}.recharges"
        (self.folder / f"{name}.jsonl").write_bytes(recharge(self.sent))
        landed = from_files.land(self.settings, self.lakehouse.name, self.lakehouse.topics, [self.folder], NOON)
        assert landed.total() == 1

    @property
    def whole(self) -> list[list[Any]]:
        """What readers see when all that was landed has been read."""
        return [[self.sent, f"{self.sent * 1025 / 100:.2f}"]]

    def seen(self) -> list[list[Any]]:
        """Return how many recharges readers see, and their sum."""
        table = f"lake.{self.lakehouse.namespace('gold')}.fact_recharge"
        rows = trino.rows(self.settings, f"SELECT count(*), sum(amount) FROM {table}")  # noqa: S608
        return [[count, str(total)] for count, total in rows]

    def run(self, fault: tuple[str, str] | None = None) -> history.Record | None:
        """Run it here; fault: the step before which a server is killed."""

        def report(step: str) -> None:
            if fault is not None and step == fault[0]:
                self.kill(fault[1])

        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            return Run(self.settings, self.session, self.lakehouse, held, system_clock, report).execute()

    def run_and_die(self, place: str, wanted: int = -signal.SIGKILL) -> str:
        """Run it in a process of its own, which is killed at a place; return what it says."""
        env = {
            **os.environ,
            "METERLAKE_HOME": str(self.settings.home),
            "METERLAKE_PORT_OFFSET": str(self.settings.port_offset),
        }
        log, program = self.folder / "run.log", Path(__file__).with_name("lakehouse_process.py")
        words = [sys.executable, str(program), self.lakehouse.name, place]
        with log.open("w") as file:
            code = subprocess.run(words, env=env, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        assert code == wanted, (place, log.read_text())
        return log.read_text()

    def lease_ends(self) -> None:
        """Be two minutes later: nobody renews the lease of who is dead."""
        with pytest.raises(RunUnderWay, match="test by process"):
            self.run()
        lake.delete(self.settings, f"lease/{self.lakehouse.name}.json")

    def branches(self) -> list[str]:
        refs = nessie.refs(self.settings)
        return [ref.name for ref in refs if ref.type == "BRANCH" and ref.name.startswith(self.lakehouse.name)]

    def runs(self) -> list[str]:
        return [status for _, status in history.runs(self.settings, self.lakehouse.name)]

    def kill(self, service: str) -> None:
        processes = process.running(self.stack)[service]
        assert processes
        for one in processes:
            one.kill()
            one.wait(60)

    def start(self) -> None:
        """Start what was killed."""
        launcher.up(select(["lakehouse"]), self.stack, lambda *_: None)


def recharge(number: int) -> bytes:
    row = {
        "transaction_id": f"R{number}",
        "event_type": "recharge",
        "customer": "+201000000001",
        "phone_number": "+201000000001",
        "balance_before": 1,
        "amount": 10.25,
        "balance_after": 11.25,
        "currency": "EGP",
        "payment_method": "cash",
        # Half an hour past midnight, or more, in Cairo: the day after.
        "timestamp": f"2026-11-{1 + number % 20:02}T22:30:00Z",
    }
    return json.dumps(row).encode()


@pytest.fixture(scope="module")
def world(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    lakehouse = recharges(f"c{secrets.token_hex(4)}")
    with lake_servers.running(stack), spark.session(stack.settings, "lakehouse-chaos") as session:
        world = World(stack, session, lakehouse, tmp_path_factory.mktemp("landed"))
        world.land()
        assert world.run() is not None
        assert world.seen() == world.whole
        yield world


def test_a_run_that_is_killed_at_any_step_changes_nothing_and_the_next_completes_it(world: World) -> None:
    for count, place in enumerate(BEFORE, 1):
        before, main = world.whole, nessie.main(world.settings)
        world.land()
        world.run_and_die(place)
        assert (world.seen(), nessie.main(world.settings)) == (before, main), place
        assert len(world.branches()) == 1, place
        world.lease_ends()
        assert world.run() is not None
        assert world.seen() == world.whole, place
        assert world.runs() == ["kept"] * count + ["current"], place
        assert world.branches() == [], place
    days = sorted({f"202611{2 + number % 20:02}" for number in range(1, world.sent + 1)})
    gold = f"lake.{world.lakehouse.namespace('gold')}"
    rows = trino.rows(world.settings, f"SELECT count(*), min(date_sk), max(date_sk) FROM {gold}.dim_date")  # noqa: S608
    assert rows == [[len(days), days[0], days[-1]]]


def test_a_run_that_is_killed_after_readers_saw_it_is_one_of_the_runs(world: World) -> None:
    for place in ("tagged", "branch deleted"):
        count = len(world.runs())
        world.land()
        world.run_and_die(place)
        assert world.seen() == world.whole, place
        world.lease_ends()
        # Nothing is new, but what was left is put right.
        assert world.run() is None
        assert world.runs() == ["kept"] * count + ["current"], place
        assert world.branches() == [], place
        assert world.seen() == world.whole, place


def test_who_puts_it_right_may_be_killed_too(world: World) -> None:
    count = len(world.runs())
    world.land()
    world.run_and_die("tagged")
    for place in ("tagged", "branch deleted"):
        world.lease_ends()
        world.run_and_die(place)
        assert world.seen() == world.whole, place
    world.lease_ends()
    world.land()
    assert world.run() is not None
    assert world.runs() == ["kept"] * (count + 1) + ["current"]
    assert (world.branches(), world.seen()) == ([], world.whole)


def test_a_run_whose_java_process_is_killed_says_so_and_the_same_process_runs_again(world: World) -> None:
    count = len(world.runs())
    world.land()
    assert "Spark's Java process has ended while lakehouse was under way." in world.run_and_die("java", 0)
    assert world.seen() == world.whole
    assert world.runs() == ["kept"] * count + ["current"]
    assert world.branches() == []


@pytest.mark.parametrize(
    ("step", "service", "name"),
    [("silver", "s3", "S3"), ("gold", "nessie", "Nessie"), ("merge", "nessie", "Nessie"), ("merge", "s3", "S3")],
)
def test_a_server_that_is_killed_under_a_run_is_named_and_the_next_run_completes_it(
    world: World, step: str, service: str, name: str
) -> None:
    before, count = world.whole, len(world.runs())
    world.land()
    with pytest.raises(EngineUnavailable, match=name):
        world.run((step, service))
    world.start()
    assert world.seen() == before
    lake.delete(world.settings, f"lease/{world.lakehouse.name}.json")
    assert world.run() is not None
    assert world.seen() == world.whole
    assert world.runs() == ["kept"] * count + ["current"]
    assert world.branches() == []


def test_a_manifest_whose_answer_got_lost_is_not_taken_for_that_of_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends again what it has no answer to."""
    create, settings = lake.create, world.settings
    monkeypatch.setattr(lake, "create", lambda *words: create(*words) and create(*words))
    source = objects.Source(f"{world.lakehouse.name}-lost", "calls", "00000")
    manifest = objects.write(settings, source, [objects.Landed(0, NOON, None, b"{}")], range(1))
    assert manifest is not None
    assert objects.records(settings, manifest) == [b"{}"]
    assert objects.write(settings, source, [objects.Landed(0, NOON, None, b"{}")], range(1)) is None
    assert objects.records(settings, manifest) == [b"{}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_an_object_store_without_room_is_named_and_nothing_is_lost(world: World) -> None:
    """It answers no more than that something is wrong inside."""
    settings, lakehouse = world.settings, world.lakehouse
    before = world.whole
    with small_disk(world.stack, "s3") as disk:
        for topic in lakehouse.topics:
            kafka.create_topic(settings, topic, 1)
        world.sent += 1
        kafka.send_one(settings, f"{lakehouse.name}.recharges", recharge(world.sent))
        request = from_kafka.Request(lakehouse.name, lakehouse.topics)
        disk.fill()
        with pytest.raises(EngineFails, match=r"S3 at .* fails: write landing"):
            from_kafka.land(settings, request, Event())
        disk.free()
        assert from_kafka.land(settings, request, Event()).total() == 1

        def report(step: str) -> None:
            if step == "silver":
                disk.fill()

        with lease.held(settings, lakehouse.name, "test") as held, pytest.raises(EngineFails, match=r"S3 at .* fails"):
            Run(settings, world.session, lakehouse, held, system_clock, report).execute()
        disk.free()
        assert world.seen() == before
        lake.delete(settings, f"lease/{lakehouse.name}.json")
        assert world.run() is not None
        assert world.seen() == world.whole
