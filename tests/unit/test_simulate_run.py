"""Runs of the simulator: pace, lines, what is shown, how it ends; and its command line."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from simulator import FIRST, told, write_history
from typer.testing import CliRunner

from cli import simulate_command
from cli.app import app
from cli.simulate_status import Status
from meterlake.errors import UsageError
from producers.errors import SinkFailed
from producers.faults import MEANINGS, Message
from producers.metrics import served
from producers.pace import FASTEST, Pace, schedule
from producers.simulate import begun, simulate
from producers.sinks import LineSink
from producers.totals import Totals

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Watch:
    """A clock that moves only where it is waited for."""

    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def stop(self, after: int = 10**9) -> Event:
        """Return an event that, waited for, moves the clock; it is set after so many waits."""
        watch = self

        class Moving(Event):
            def wait(self, timeout: float | None = None) -> bool:
                watch.now += timedelta(seconds=timeout or 0)
                watch.waits.append(timeout or 0)
                if len(watch.waits) >= after:
                    self.set()
                return self.is_set()

        return Moving()


# When


def test_in_real_time_a_reading_is_sent_at_its_own_second() -> None:
    plan = schedule(NOW, 1, 1, None, None)
    assert plan.start == int(NOW.timestamp()) + 1
    for ahead in (0, 1, 3600):
        assert plan.due(plan.start + ahead).timestamp() == plan.start + ahead


@pytest.mark.parametrize("speed", [1.0, 2.0, 60.0, 1000.0])
@pytest.mark.parametrize("interval_s", [1, 60, 1800])
def test_a_run_ends_at_now_and_is_never_ahead_of_the_clock(speed: float, interval_s: int) -> None:
    plan = schedule(NOW, interval_s, speed, HOUR, None)
    assert plan.end - plan.start == 3600
    last_s = interval_s - 1
    assert abs(plan.due(plan.end).timestamp() - plan.end - last_s) <= interval_s
    for ts in range(plan.start, plan.end, max(600, interval_s)):
        assert plan.due(ts).timestamp() >= ts + last_s - 1e-3
    now, fastest = NOW.timestamp(), schedule(NOW, interval_s, FASTEST, HOUR, None)
    assert now + 1 - interval_s <= fastest.end <= now + 1


def test_a_half_hour_is_sent_in_its_last_second() -> None:
    plan = schedule(NOW, 1800, 1, None, None)
    now = NOW.timestamp()
    assert now - 1799 <= plan.start <= now + 1
    for ahead in (0, 1800, 3600):
        assert plan.due(plan.start + ahead).timestamp() == plan.start + ahead + 1799


def test_a_given_start_is_kept_and_put_on_the_grid() -> None:
    plan = schedule(NOW, 10, 1, timedelta(seconds=65), FIRST + timedelta(seconds=7))
    assert (plan.start, plan.end) == (int(FIRST.timestamp()), int(FIRST.timestamp()) + 60)
    assert plan.begin == NOW


@pytest.mark.parametrize(
    ("speed", "duration", "start", "says"),
    [
        (60.0, None, None, "--for 1h"),
        (1.0, timedelta(0), None, "at least 1s"),
        (1.0, HOUR, datetime(2100, 1, 1, tzinfo=UTC), "1970 or 2100"),
        (FASTEST, timedelta(days=40_000), None, "1970 or 2100"),
    ],
)
def test_an_impossible_schedule_is_a_clear_error(
    speed: float, duration: timedelta | None, start: datetime | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        schedule(NOW, 1, speed, duration, start)


def paced(folder: Path, speed: float, stop_after: int = 10**9, minutes: int = 1) -> tuple[bytes, Totals, Watch]:
    watch = Watch()
    stop = watch.stop(stop_after)
    plan = schedule(NOW, 1, speed, timedelta(minutes=minutes), FIRST)
    script = told(folder)
    totals = begun(script, plan)
    path = folder / "out.tsv"
    with path.open("wb") as file:
        shares = {"out_of_order": 0.3, "duplicate": 0.3}
        simulate(script, plan, shares, Pace(plan, watch, stop), LineSink(file, "out", totals), totals)
    return path.read_bytes(), totals, watch


def test_pace_changes_when_but_not_what(tmp_path: Path) -> None:
    one, totals, watch = paced(tmp_path, 1)
    assert abs((watch.now - NOW).total_seconds() - 59) < 0.01
    quick, _, hurried = paced(tmp_path, 30)
    assert abs((hurried.now - NOW).total_seconds() - 59 / 30) < 0.01
    assert one == quick == paced(tmp_path, FASTEST)[0]
    assert totals.readings == 180


def test_a_stop_sends_what_is_under_way(tmp_path: Path) -> None:
    data, totals, _ = paced(tmp_path, 1, stop_after=30)
    assert 85 <= totals.readings <= 93
    assert len(data.splitlines()) == totals.sent == totals.readings + totals.faults["duplicate"]
    assert totals.acknowledged == totals.sent
    assert paced(tmp_path, 1)[0].startswith(data[: data.index(b"\n", len(data) // 2)])


# Where


def test_lines_keep_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    totals = Totals(1, 0, 1)
    with path.open("wb") as file:
        sink = LineSink(file, str(path), totals)
        assert sink.send([Message(b"a", b'{"x":\t1}'), Message(b"b", None), Message(b"c", b""), Message(b"d", b"\xff")])
        sink.flush()
    assert path.read_bytes() == b'a\t{"x":\t1}\nb\nc\t\nd\t\xff\n'
    assert totals.sent == totals.acknowledged == 4


def test_a_full_disk_is_a_clear_error() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(SinkFailed, match="No space left on device"):
        LineSink(file, "/dev/full", Totals(1, 0, 1)).send([Message(b"a", b"b")])


# What is shown


def test_the_status_says_rate_counts_faults_delay_and_trouble(tmp_path: Path) -> None:
    plan = schedule(NOW, 1, 1, HOUR, FIRST)
    pace = Pace(plan, lambda: NOW + timedelta(seconds=100), Event())
    pace.wait(plan.start)
    totals = Totals(1, plan.start, 1, sent=2000, acknowledged=1500, until=plan.start + 60)
    totals.faults["late"] = 7
    with (tmp_path / "x").open("wb") as file:
        sink = LineSink(file, "broker:9092", totals)
        sink.trouble = "all brokers are down"
        line = Status(totals, pace, sink).line().plain
    assert line == (
        "2007-02-01 00:01:00 · 0/s · sent 2,000 · acknowledged 1,500 · faults: late 7 · 100 s behind"
        " · waiting for broker:9092: all brokers are down"
    )


def test_metrics_show_the_totals() -> None:
    plan = schedule(NOW, 1, 1, HOUR, FIRST)
    totals = Totals(1, plan.start, 1, sent=5)
    totals.faults["late"] = 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(port, totals, Pace(plan, lambda: NOW, Event())):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with (
            pytest.raises(UsageError, match=f"Port {port} cannot be used"),
            served(port, totals, Pace(plan, lambda: NOW, Event())),
        ):
            pass
    assert "meterlake_simulator_sent_total 5.0" in text
    assert 'meterlake_simulator_faults_total{fault="late"} 2.0' in text


# The command


def command(folder: Path, *words: str) -> list[str]:
    history = folder / "small.txt"
    given = ["--history", str(history if history.exists() else write_history(history)), "--shift-days", "0"]
    return [sys.executable, "-m", "cli", "simulate", "household", *given, *words]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "METERLAKE_CACHE_DIR": str(folder / "cache"), "COLUMNS": "200", "NO_COLOR": "1"}


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words), capture_output=True, text=True, check=False, env=environment(folder), cwd=folder
    )


def test_two_runs_write_the_same_file_and_say_what_they_did(tmp_path: Path) -> None:
    digests, said = set(), []
    for name in ("one", "two"):
        done = call(
            tmp_path, "--start", "2007-02-01T00:00:00Z", "--for", "3m", "--speed", "max", "--meters", "5", "--faults",
            "late=0.1,corrupt=0.1", "--to", "file", "--out", name, "--oracle", f"{name}.jsonl", "--output", "json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        said.append(json.loads(done.stdout)[0])
    assert len(digests) == 1
    assert said[0]["readings"] == said[0]["sent"] == 900
    assert said[0]["from"] == "2007-02-01T00:00:00+00:00"
    told = [json.loads(line)["fault"] for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert {name: told.count(name) for name in set(told)} == said[0]["faults"]


def test_ctrl_c_ends_a_run_in_order(tmp_path: Path) -> None:
    words = command(tmp_path, "--to", "stdout", "--start", "2007-02-01T00:00:00Z", "--faults", "late=0.5", "-o", "json")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path)
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = [process.stdout.readline()]  # in real time: it comes at once
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines += rest.splitlines(keepends=True)
    said = json.loads(err)[0]
    assert said["readings"] == said["sent"] == len(lines) < 30
    times = sorted(json.loads(line.split(b"\t")[1])["ts"] for line in lines)
    assert times == [int(FIRST.timestamp()) + second for second in range(len(lines))]


def test_a_reader_that_has_enough_ends_the_run_quietly(tmp_path: Path) -> None:
    words = " ".join(command(tmp_path, "--to stdout --speed max --for 60m --meters 50 --start 2007-02-01"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | head -1"],
        capture_output=True, text=True, check=False, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--faults lateness=0.1", "Unknown fault 'lateness'"),
        ("--speed 0", "The speed '0' is not one."),
        ("--speed 60", "An accelerated run needs to know how long it is."),
        ("--for soon", "--for: 'soon' is no duration"),
        ("--start noon", "2026-11-21T12:00:00Z"),
        ("--to file", "--to file and --out belong together."),
        ("--out x", "--to file and --out belong together."),
        ("--to file --out no/x --for 1s", "no/x cannot be written: No such file or directory."),
        ("--meter-id \u200b --for 1s", "cannot be used. Use 1 to 128 characters"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_sent(tmp_path: Path, words: str, says: str) -> None:
    done = CliRunner().invoke(app, [*command(tmp_path)[3:], *words.split()])
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)


def test_help_and_list_name_every_fault() -> None:
    told = str(simulate_command.simulate.__doc__)
    listed = CliRunner().invoke(app, ["simulate", "household", "--faults", "list", "--output", "json"])
    assert [row["fault"] for row in json.loads(listed.stdout)] == list(MEANINGS)
    assert [name for name in MEANINGS if name not in told] == []
