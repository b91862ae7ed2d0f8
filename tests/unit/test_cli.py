"""The command line: help that teaches, errors without tracebacks, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "METERLAKE_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words], capture_output=True, text=True, check=False, env=environment
    )


def test_help_names_every_command_of_the_stack(tmp_path: Path) -> None:
    done = run("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("up", "down", "status", "logs", "doctor", "demo"):
        assert f" {command} " in done.stdout


def test_an_unknown_service_is_wrong_usage(tmp_path: Path) -> None:
    done = run("up", "kafak", home=tmp_path)
    assert done.returncode == 2
    assert "error: Unknown service 'kafak'." in done.stderr
    assert "Did you mean 'kafka'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_logs_before_the_first_start_say_so(tmp_path: Path) -> None:
    done = run("logs", "kafka", home=tmp_path)
    assert done.returncode == 1
    assert "Kafka broker has no log yet" in done.stderr
    assert "meterlake up kafka" in done.stderr


def test_down_of_nothing_is_no_error(tmp_path: Path) -> None:
    done = run("down", home=tmp_path)
    assert done.returncode == 0
    assert "Nothing was running." in done.stderr


def test_status_of_nothing_is_json(tmp_path: Path) -> None:
    import json

    done = run("status", "--output", "json", home=tmp_path)
    assert done.returncode == 0
    assert {row["state"] for row in json.loads(done.stdout)} == {"stopped"}


HOLDING = """
import time, cli, cli.app as root
def app(**_):
    try:
        print("held", flush=True)
        time.sleep(120)
    finally:
        print("given back", flush=True)
root.app = app
cli.main()
"""


def test_sigterm_ends_a_command_in_order_what_it_holds_is_given_back() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "held\n"
        command.terminate()
        assert command.communicate(timeout=60)[0] == "given back\n"
    assert command.returncode == 128 + signal.SIGTERM
