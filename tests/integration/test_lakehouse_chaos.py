"""A lakehouse whose run is killed at any step, or whose object store is full: readers keep what they had."""

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
from lakehouse_samples import renamed
from small_disk import Disk, small_disk

from engines import kafka, lake, nessie, spark, trino
from engines.errors import StorageFull
from lakehouse import history, lease
from lakehouse.landing import from_files, from_kafka
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STEPS = ("tables", "bronze", "silver", "gold", "audit", "merge")
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone


@dataclass
class World:
    """A lakehouse of this file. sent: recharges that have been landed."""

    settings: Settings
    lakehouse: Lakehouse
    folder: Path
    sent: int = 0

    def land(self) -> None:
        """Land a recharge more, of 10.25."""
        self.sent += 1
        name = f"{self.lakehouse.name}.recharges"
        (self.folder / f"{name}.jsonl").write_bytes(recharge(self.sent))
        from_files.land(self.settings, self.lakehouse.name, self.lakehouse.topics, [self.folder], NOON)

    def seen(self) -> list[list[Any]]:
        """Return how many recharges readers see, and their sum."""
        table = f"lake.{self.lakehouse.namespace('gold')}.fact_recharge"
        rows = trino.rows(self.settings, f"SELECT count(*), sum(amount) FROM {table}")  # noqa: S608
        return [[count, str(total)] for count, total in rows]

    def run(self, die: str = "-") -> int:
        """Run it in a process of its own; return its exit code."""
        env = {
            **os.environ,
            "METERLAKE_HOME": str(self.settings.home),
            "METERLAKE_PORT_OFFSET": str(self.settings.port_offset),
        }
        words = [sys.executable, str(Path(__file__).with_name("lakehouse_process.py")), self.lakehouse.name, die]
        with (self.folder / "run.log").open("w") as log:
            return subprocess.run(words, env=env, stdout=log, stderr=subprocess.STDOUT, check=False).returncode

    @property
    def expected(self) -> list[list[Any]]:
        return [[self.sent, f"{self.sent * 10}.{self.sent * 25:02}"]]


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
        "timestamp": "2026-11-21T11:00:00Z",
    }
    return json.dumps(row).encode()


@pytest.fixture(scope="module")
def servers(stack: Instance) -> Iterator[Instance]:
    with lake_servers.running(stack):
        yield stack


@pytest.fixture(scope="module")
def world(servers: Instance, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(servers.settings, renamed(f"t{secrets.token_hex(4)}"), tmp_path_factory.mktemp("lakehouse"))
    world.land()
    assert world.run() == 0, (world.folder / "run.log").read_text()
    assert world.seen() == world.expected
    return world


def test_a_run_that_is_killed_at_any_step_changes_nothing_and_the_next_completes_it(world: World) -> None:
    settings, name = world.settings, world.lakehouse.name
    for step in STEPS:
        before, main = world.expected, nessie.main(settings)
        world.land()
        assert world.run(step) == -signal.SIGKILL, (step, (world.folder / "run.log").read_text())
        assert (world.seen(), nessie.main(settings)) == (before, main), step
        # As if two minutes had gone by: nobody renews the lease of who is dead.
        lake.delete(settings, f"lease/{name}.json")
        if step == STEPS[-1]:
            assert world.run() == 0, (world.folder / "run.log").read_text()
            assert world.seen() == world.expected
    assert [status for _, status in history.runs(settings, name)] == ["kept", "current"]
    world.land()
    assert world.run("tag") == -signal.SIGKILL
    assert world.seen() == world.expected
    lake.delete(settings, f"lease/{name}.json")
    assert world.run() == 0, (world.folder / "run.log").read_text()
    assert [status for _, status in history.runs(settings, name)] == ["kept", "kept", "current"]
    left = [ref.name for ref in nessie.refs(settings) if ref.type == "BRANCH" and ref.name.startswith(name)]
    assert left == []


@pytest.fixture
def disk(servers: Instance) -> Iterator[Disk]:
    with small_disk(servers, "s3") as found:
        yield found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_object_store_is_said_and_nothing_is_lost(world: World, disk: Disk) -> None:
    settings, lakehouse = world.settings, world.lakehouse
    for topic in lakehouse.topics:
        kafka.create_topic(settings, topic, 1)
    world.sent += 1
    kafka.send_one(settings, f"{lakehouse.name}.recharges", recharge(world.sent))
    request = from_kafka.Request(lakehouse.name, lakehouse.topics)
    disk.fill()
    with pytest.raises(StorageFull, match="S3"):
        from_kafka.land(settings, request, Event())
    disk.free()
    assert from_kafka.land(settings, request, Event()).total() == 1
    before = nessie.main(settings)
    with spark.session(settings, "lakehouse") as session:

        def report(step: str) -> None:
            if step == "silver":
                disk.fill()

        with lease.held(settings, lakehouse.name, "test") as held, pytest.raises(StorageFull, match="S3"):
            Run(settings, session, lakehouse, held, system_clock, report).execute()
        disk.free()
        assert nessie.main(settings) == before
        with lease.held(settings, lakehouse.name, "test") as held:
            assert Run(settings, session, lakehouse, held, system_clock, lambda _: None).execute() is not None
    assert world.seen() == world.expected
