"""The real servers, started once for all integration tests, beside and apart from a developer's own stack.

Every server runs in a time zone that is not UTC: whatever depended on it would show in any of these tests.
Several processes of pytest may use one stack (`pytest -n 2 --dist loadfile`): the first starts it, the last stops it. A
test that needs the servers for itself is marked `alone`.
METERLAKE_TEST_KEEP_STACK=1 leaves the stack up for the next run. METERLAKE_TEST_HOME and METERLAKE_TEST_PORT_OFFSET
move it, so that two runs of the tests do not meet; METERLAKE_TEST_SERVICES names the few that a test needs.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from commands import Command

import cli
from cli import output
from engines import spark_runtime
from meterlake.settings import Settings
from stack import launcher
from stack.instance import Instance
from stack.runtime.spark import runtime
from stack.services import select

ROOT = Path(__file__).parents[2]
TEST_PORT_OFFSET = 11000
spark_runtime.provide(runtime)
# Small data, many starts: compiling Java well costs more than it gains. The quick compiler alone has 48 MB for what it
# has made, by default: Spark fills them, and nothing more is compiled. All processes of the tests inherit it.
os.environ.setdefault("METERLAKE_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each fault of test_chaos took to recover from."""
    from chaos_world import TABLE

    if TABLE:
        terminalreporter.section("recovered: seconds until all that had been sent was processed; minutes compared")
        for outcome in TABLE:
            terminalreporter.write_line(f"{outcome.fault:<40} {outcome.seconds:7.1f} s {outcome.minutes:7,} minutes")


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(
        home=Path(os.environ.get("METERLAKE_TEST_HOME", ROOT / ".meterlake" / "test")),
        port_offset=int(os.environ.get("METERLAKE_TEST_PORT_OFFSET", TEST_PORT_OFFSET)),
        server_time_zone="Asia/Kolkata",
    )


@pytest.fixture(scope="session")
def at_start() -> list[launcher.Status]:
    """What the services were before any test used them, unless the stack was kept from a run before."""
    return []


@pytest.fixture(scope="session")
def stack(settings: Settings, at_start: list[launcher.Status]) -> Iterator[Instance]:
    """All services of the core profile, healthy."""
    instance = Instance(settings)
    wanted = select(os.environ.get("METERLAKE_TEST_SERVICES", "").split())
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "turn.lock").open("w") as turn, (settings.home / "users.lock").open("w") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        launcher.up(wanted, instance, lambda *_: None)
        at_start.extend(launcher.status(instance))
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield instance
        fcntl.flock(turn, fcntl.LOCK_EX)
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.environ.get("METERLAKE_TEST_KEEP_STACK"):
                launcher.down(instance, lambda *_: None)


@pytest.fixture
def surroundings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run in this process find the servers of the tests."""
    monkeypatch.setenv("METERLAKE_HOME", str(settings.home))
    monkeypatch.setenv("METERLAKE_PORT_OFFSET", str(settings.port_offset))


@pytest.fixture
def meterlake(
    surroundings: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Return what runs a command in this process, as ``main`` does, on a terminal that is wide."""
    monkeypatch.setattr(output.console, "width", 200)
    monkeypatch.setattr(output.progress_console, "width", 200)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["meterlake", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)
