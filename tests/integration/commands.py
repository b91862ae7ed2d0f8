"""Commands run as a user runs them, in processes of their own; and servers that die under them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from batch_layer import lease
from engines import hdfs
from meterlake.clock import Clock, system_clock
from meterlake.settings import Settings
from stack import launcher
from stack.instance import Instance

Command = Callable[..., tuple[int, str]]
"""Runs a command in this process; returns its exit code and all it said."""
PROGRAM = Path(__file__).with_name("command_process.py")
ROOT = Path(__file__).parents[2]


def environment(settings: Settings) -> dict[str, str]:
    """Return what lets a command of its own process find the servers of the tests, and write lines that can be read."""
    home = {"METERLAKE_HOME": str(settings.home), "METERLAKE_PORT_OFFSET": str(settings.port_offset)}
    return {**os.environ, **home, "COLUMNS": "200", "NO_COLOR": "1"}


@contextmanager
def command(settings: Settings, dataset: str, *words: str, die: str = "-") -> Iterator[subprocess.Popen[str]]:
    """Start ``meterlake WORDS`` with a data set of the tests; output and errors come in one stream, line by line."""
    program = [sys.executable, "-u", str(PROGRAM), dataset, die, *words]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment(settings)
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(settings: Settings, dataset: str, *words: str, die: str = "-") -> tuple[int, str]:
    """Run a command to its end; return its exit code and all it said. Also its JVM has ended then."""
    with command(settings, dataset, *words, die=die) as process:
        said = process.communicate(timeout=900)[0]
    return process.returncode, said


def said_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what a command says up to the line with ``words``; return it. Fails where the command ends before."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"The command ended without a line of {words!r}:\n{said}")


def kill(process: subprocess.Popen[str]) -> str:
    """End a command as ``kill -9`` does, and wait for its JVM, which ends with it; return what else was said."""
    process.send_signal(signal.SIGKILL)
    said = process.communicate(timeout=900)[0]
    assert process.returncode == -signal.SIGKILL
    return said


def end_all(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Stop commands in order; what does not stop is killed."""
    running = list(processes)
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(900)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kill_server(stack: Instance, service: str) -> None:
    pid = {state.service.name: state.pid for state in launcher.status(stack, check=False)}[service]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)


def age_lease(settings: Settings, dataset: str, clock: Clock = system_clock) -> None:
    """Let the term of a lease be over, if there is one: as if nobody had renewed it for so long."""
    client, path = hdfs.client(settings), f"{lease.FOLDER}/{dataset}.json"
    if client.status(path, strict=False) is not None:
        old = clock() - lease.TERM - timedelta(seconds=1)
        client.set_times(path, modification_time=int(old.timestamp() * 1000))
