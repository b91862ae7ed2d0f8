"""Servers and commands are killed and stopped while sensors send: nothing is lost, nothing doubled, all of it recovers.

After each fault the merged minutes equal what the core makes of all messages in Kafka, every message is accounted for,
and the layers have agreed at every move of the boundary. The tests run in any order. The table at the end of the
run says how long each took, from the fault until everything sent before the recovery was processed.
"""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from zlib import crc32

import pytest
from chaos_world import QUERIES, TABLE, Outcome, World, world
from commands import age_lease
from small_disk import small_disk

from engines import hdfs
from meterlake.settings import Settings
from speed_layer.checkpoint import Checkpoint
from stack import launcher
from stack.instance import Instance
from stack.services import SERVICES, select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SERVERS = ("kafka", "cassandra", "namenode", "datanode", "metastore", "hiveserver2", "trino")
SHORT = ("kafka", "cassandra", "namenode")
LOAD_S = 25
PAUSE_S = 30
FULL_S = 20


def short(name: str) -> object:
    """Mark a case of the short form."""
    return pytest.param(name, marks=pytest.mark.short)


@pytest.fixture(scope="module")
def system(stack: Instance, settings: Settings) -> Iterator[World]:
    with world(settings, stack, f"c{uuid.uuid4().hex[:8]}") as result:
        yield result


def endure(system: World, fault: str, strike: Callable[[], None], load_s: int = LOAD_S) -> None:
    """Put a fault in under load, wait until all is processed, and compare. strike: ends when the fault is over."""
    seed = crc32(fault.encode())
    system.revive()
    with system.load(load_s, seed=seed):
        time.sleep(random.Random(seed).uniform(4, 9))  # noqa: S311 - repeatable, not secret
        begin = time.monotonic()
        strike()
        ends = system.ends()
        for query in QUERIES.values():
            system.wait_until_processed(query, ends)
        seconds = time.monotonic() - begin
    system.wait_until_caught_up()
    system.all_run()
    TABLE.append(Outcome(fault, seconds, system.check()))


def test_every_server_is_among_those_that_die() -> None:
    assert set(SERVERS) == set(SERVICES)


@pytest.mark.parametrize("server", [short(name) if name in SHORT else name for name in SERVERS])
def test_a_server_is_killed(system: World, server: str) -> None:
    def strike() -> None:
        os.kill(system.pid(server), signal.SIGKILL)
        time.sleep(3)
        launcher.up(select([server]), system.stack, lambda *_: None)

    endure(system, f"kill -9 of {server}", strike)


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_stands_still(system: World, server: str) -> None:
    def strike() -> None:
        pid = system.pid(server)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(PAUSE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        launcher.up(select([server]), system.stack, lambda *_: None)  # waits until it works again

    endure(system, f"pause of {server} for {PAUSE_S} s", strike, LOAD_S + PAUSE_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("server", ["kafka", "cassandra", "datanode"])
def test_the_disk_of_a_server_is_full(system: World, server: str) -> None:
    """Commands wait until there is room again, and until somebody has started what has ended."""
    with small_disk(system.stack, server) as disk:

        def strike() -> None:
            disk.fill()
            time.sleep(FULL_S)
            disk.free()
            launcher.up(select([]), system.stack, lambda *_: None)

        endure(system, f"disk of {server} full for {FULL_S} s", strike, LOAD_S + FULL_S)


@pytest.mark.parametrize("name", [short("archive"), short("stream")])
def test_a_query_is_killed(system: World, name: str) -> None:
    def strike() -> None:
        system.kill(name)
        system.begin(name)

    endure(system, f"kill -9 of {name}", strike)


@pytest.mark.parametrize("moment", range(4))
def test_batch_is_killed(system: World, moment: int) -> None:
    """Somewhere in a run; each step on purpose is in test_batch_chaos and test_merged_chaos."""

    def strike() -> None:
        time.sleep(random.Random(moment).uniform(0, 20))  # noqa: S311 - repeatable, not secret
        system.kill("batch")
        age_lease(system.settings, system.dataset.name)
        system.begin("batch")

    endure(system, f"kill -9 of batch ({moment + 1})", strike, LOAD_S + 20)


def test_the_sensors_are_killed(system: World) -> None:
    """What the broker had of them counts; what they had not sent, nobody knows."""
    system.revive()
    with system.load(LOAD_S, seed=900) as sensors:
        time.sleep(8)
        sensors.kill()
    begin = time.monotonic()
    system.wait_until_caught_up()
    TABLE.append(Outcome("kill -9 of simulate", time.monotonic() - begin, system.check()))


@pytest.mark.parametrize("name", list(QUERIES))
def test_the_last_commit_of_a_checkpoint_is_lost(system: World, name: str) -> None:
    """The micro-batch is done again under its own number, and must change nothing."""

    def strike() -> None:
        system.stop(name)
        client = hdfs.client(system.settings)
        folder = f"{Checkpoint(system.settings, system.dataset, QUERIES[name]).path}/commits"
        last = max(int(entry) for entry in client.list(folder) if entry.isdigit())
        assert client.delete(f"{folder}/{last}")
        system.begin(name)

    endure(system, f"last commit of {name} deleted", strike)


@pytest.mark.parametrize("name", list(QUERIES))
def test_the_topic_is_replayed_from_its_start(system: World, name: str) -> None:
    def strike() -> None:
        system.stop(name)
        path = Checkpoint(system.settings, system.dataset, QUERIES[name]).path
        assert hdfs.client(system.settings).delete(path, recursive=True)
        system.begin(name)

    endure(system, f"topic replayed by {name}", strike)


@pytest.mark.short
def test_without_a_fault_every_message_is_accounted_for_and_batch_takes_over(system: World) -> None:
    system.revive()
    with system.load(LOAD_S, seed=901):
        pass
    system.wait_until_caught_up()
    before = system.published()
    system.wait("a run of batch to be published", lambda: system.published() > before)
    assert system.check() > 0
    assert system.acknowledged > 0
