"""What is slow is waited for as long as it makes progress; what stands still is not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from meterlake.settings import Settings
from stack import extra
from stack.errors import StartFailed
from stack.extra import Extra
from stack.instance import Instance
from stack.services import EXTRAS
from stack.watch import Progress, Signs, Stalled, Watch, signs_of

pytestmark = pytest.mark.unit

STALL = timedelta(seconds=10)
SERVE = "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()"
SLOW = f"""#!{sys.executable}
import http.server, sys, time
for step in range(8):
    print("step", step, flush=True)
    time.sleep(0.5)
{SERVE}
"""
STILL = f"""#!{sys.executable}
import time
print("waiting for a disk that never comes", flush=True)
time.sleep(600)
"""


def first_verdict(signs: list[Signs], longest: timedelta = timedelta(minutes=15)) -> tuple[int, str] | None:
    """Show one of ``signs`` a second; return the second in which waiting was over, and why."""
    progress = Progress(0.0, STALL, longest)
    for second, seen in enumerate(signs, start=1):
        if why := progress.see(seen, float(second)):
            return second, why
    return None


def test_nothing_seen_is_standing_still() -> None:
    assert first_verdict([Signs(5, 1.0, 100, "no answer")] * 60) == (11, "has shown no progress for 10 s")


@pytest.mark.parametrize(
    ("sign", "grows"),
    [
        ("log_bytes", lambda second: second // 9),
        ("memory", lambda second: second // 9 * 2**20),
        ("answer", lambda second: f"step {second // 9}"),
        ("cpu_s", lambda second: second * 0.06),
    ],
)
def test_each_sign_alone_is_progress(sign: str, grows: object) -> None:
    assert callable(grows)
    assert first_verdict([replace(Signs(), **{sign: grows(second)}) for second in range(300)]) is None


def test_what_an_idle_server_does_is_no_progress() -> None:
    # 3 % of a core, and memory that goes up and down by 20 MB.
    idle = [Signs(5, second * 0.03, (100 + second % 2 * 20) * 2**20) for second in range(60)]
    assert first_verdict(idle) == (12, "has shown no progress for 10 s")


def test_an_end_of_all_progress_counts_from_there() -> None:
    busy = [Signs(second) for second in range(50)]
    assert first_verdict(busy + [busy[-1]] * 50) == (60, "has shown no progress for 10 s")


def test_progress_for_ever_is_not_waited_for() -> None:
    busy = [Signs(second) for second in range(100)]
    assert first_verdict(busy, timedelta(seconds=40)) == (40, "has taken longer than 40 s")


def test_a_watcher_that_was_stopped_itself_looks_again() -> None:
    progress, same = Progress(0.0, STALL), Signs(5)
    assert not progress.see(same, 1.0)
    assert not progress.see(same, 500.0), "the watcher was away, not the process"
    assert not progress.see(Signs(6), 501.0)


def test_signs_come_from_a_process_and_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1234")
    burn = "while True: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], start_new_session=True) as process:
        try:
            watch = Watch("It", process.pid, log, STALL)
            watch.until(lambda: signs_of(process.pid, log).cpu_s > 0.5)
            seen = signs_of(process.pid, log, "an answer")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert (seen.log_bytes, seen.answer) == (4, "an answer")
    assert seen.memory > 2**20
    assert signs_of(process.pid, log) == Signs(4)


def test_until_fails_with_the_name_of_what_stands_still(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        watch = Watch("The sleeper", process.pid, tmp_path / "log", timedelta(seconds=1))
        with pytest.raises(Stalled, match="The sleeper has shown no progress for 1 s"):
            watch.until(lambda: False)
        process.kill()


@contextmanager
def stand_in(tmp_path: Path, text: str) -> Iterator[tuple[Extra, Instance]]:
    """A server that this text is the program of."""
    program = tmp_path / "bin" / "stand-in"
    program.parent.mkdir()
    program.write_text(text)
    program.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(home=tmp_path / "home", port_grafana=port, port_offset=0, stall_timeout=timedelta(seconds=2))
    server = replace(
        EXTRAS["grafana"],
        name="stand-in",
        title="The stand-in",
        programs=(program.name,),
        home=lambda _: tmp_path,
        prepare=lambda _: None,
        arguments=lambda at, _: [str(at.settings.port_grafana)],
        env=lambda _: {},
        probe="/",
    )
    instance = Instance(settings)
    try:
        yield server, instance
    finally:
        extra.down(server, instance)


def test_a_server_that_starts_for_longer_than_the_limit_but_moves_on_is_waited_for(tmp_path: Path) -> None:
    with stand_in(tmp_path, SLOW) as (server, instance):
        begin = time.monotonic()
        extra.up(server, instance)
        assert time.monotonic() - begin > 4 > instance.settings.stall_timeout.total_seconds()
        assert extra.healthy(server, instance)


def test_a_server_that_stands_still_fails_with_its_last_words(tmp_path: Path) -> None:
    with stand_in(tmp_path, STILL) as (server, instance):
        with pytest.raises(StartFailed) as caught:
            extra.up(server, instance)
        assert "The stand-in has shown no progress for 2 s." in caught.value.what
        assert "waiting for a disk that never comes" in caught.value.what
