"""Twenty starts and stops, five of them with a kill -9 in between: no orphan, no lock left, no data lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import cassandra, hdfs, kafka
from meterlake.settings import Settings
from stack import launcher, process
from stack.instance import Instance
from stack.launcher import State
from stack.services import SERVICES, select

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(5400)]

CYCLES = 20
KILL_A_SERVER = (3, 10, 17)
KILL_THE_LAUNCHER = (6, 13)
TOPIC = "cycles.kept"


def silent(*_: object) -> None:
    return None


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    result = Instance(Settings(home=tmp_path / "cycles", port_offset=18000))
    yield result
    launcher.down(result, silent)


def write(settings: Settings, cycle: int) -> None:
    """Leave one trace of ``cycle`` in each of the stores."""
    hdfs.write_bytes(settings, f"/cycles/{cycle}", str(cycle).encode())
    kafka.create_topic(settings, TOPIC, partitions=1)
    kafka.send_one(settings, TOPIC, str(cycle).encode())
    with cassandra.session(settings) as session:
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS cycles "
            "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.execute("CREATE TABLE IF NOT EXISTS cycles.t (id int PRIMARY KEY)")
        session.execute("INSERT INTO cycles.t (id) VALUES (%s)", (cycle,))


def check_all_kept(settings: Settings, cycles: list[int]) -> None:
    wanted = [str(cycle).encode() for cycle in cycles]
    assert [hdfs.read_bytes(settings, f"/cycles/{cycle}") for cycle in cycles] == wanted
    assert [kafka.read_one(settings, TOPIC, 0, offset) for offset in range(len(cycles))] == wanted
    with cassandra.session(settings) as session:
        assert sorted(row.id for row in session.execute("SELECT id FROM cycles.t")) == cycles


def up_and_kill_the_launcher(instance: Instance, after_s: float) -> None:
    environment = {
        **os.environ,
        "METERLAKE_HOME": str(instance.home),
        "METERLAKE_PORT_OFFSET": str(instance.settings.port_offset),
    }
    words = [sys.executable, "-m", "cli", "up"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as up:
        time.sleep(after_s)
        up.send_signal(signal.SIGKILL)


def test_twenty_cycles(instance: Instance) -> None:
    chance = random.Random(20261121)  # noqa: S311 - a fixed schedule, nothing secret
    for cycle in range(CYCLES):
        if cycle in KILL_THE_LAUNCHER:
            up_and_kill_the_launcher(instance, after_s=chance.uniform(2, 12))
        launcher.up(select([]), instance, silent)
        if cycle:
            check_all_kept(instance.settings, list(range(cycle)))
        write(instance.settings, cycle)
        if cycle in KILL_A_SERVER:
            victim = chance.choice(list(SERVICES))
            process.running(instance)[victim][0].kill()
            time.sleep(1)
            result = {status.service.name: status.state for status in launcher.status(instance, check=False)}
            assert result[victim] is State.CRASHED, victim
            launcher.up(select([]), instance, silent)
            check_all_kept(instance.settings, list(range(cycle + 1)))
        launcher.down(instance, silent)
        assert not process.running(instance), f"cycle {cycle} left processes"
        assert not list((instance.home / "run").glob("*.started"))
