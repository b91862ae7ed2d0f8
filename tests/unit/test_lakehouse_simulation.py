"""Simulated telecom people are plausible and repeatable; the account of faults is what DuckDB finds in the records."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from datasets.telecom.simulation import SIMULATION
from meterlake import registry
from meterlake.errors import UnknownName, UsageError
from meterlake.lakehouse.simulation import Request
from producers.lakehouse.faults import Account, parse
from producers.lakehouse.simulate import simulate
from producers.lakehouse.sinks import FileSink

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENTS = ("calls", "sms", "payments", "recharges", "support")


def lived(folder: Path, faults: str = "", seed: int = 5) -> Account:
    request = Request(users=400, rate=100, start=START, duration=timedelta(seconds=40), seed=seed)
    with FileSink(folder) as sink:
        return simulate(SIMULATION, request, parse(faults, SIMULATION), sink, Event())


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"telecom.{name}.jsonl").read_bytes().splitlines()]


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    faults = "late=0.05,duplicate=0.05,corrupt=0.05"
    lived(tmp_path / "a", faults)
    lived(tmp_path / "b", faults)
    lived(tmp_path / "c", faults, seed=6)
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()
    assert (tmp_path / "c" / "telecom.calls.jsonl").read_bytes() != (
        tmp_path / "a" / "telecom.calls.jsonl"
    ).read_bytes()


def test_people_are_plausible(tmp_path: Path) -> None:
    account = lived(tmp_path)
    assert account.sent == 4_000 + 100 + 6 + 50 + 400 + len(rows(tmp_path, "users")) - 400
    users = {row["phone_number"] for row in rows(tmp_path, "users")}
    cells = {row["cell_id"] for row in rows(tmp_path, "cell_sites")}
    device: dict[str, set[str]] = {}
    for row in rows(tmp_path, "calls") + rows(tmp_path, "sms"):
        for end in ("from", "to"):
            device.setdefault(row[f"{end}_phone_number"], set()).add(row[f"{end}_imei"])
            assert row[f"{end}_cell_site"] in cells
            assert row[f"{end}_imei"].startswith(row[f"{end}_tac"])
    # Whoever calls or is called is somebody, with the same device at both ends of whatever happens.
    assert device.keys() <= users
    assert {len(imeis) for imeis in device.values()} == {1}
    shares = [len(rows(tmp_path, name)) / 4_000 for name in EVENTS]
    assert shares == pytest.approx([0.30, 0.25, 0.15, 0.20, 0.10], abs=0.02)
    for name in EVENTS:
        times = [row["timestamp"] for row in rows(tmp_path, name)]
        assert times == sorted(times)
        assert times[0] >= "2026-11-20T12:00:00"
        assert times[-1] < "2026-11-20T12:00:40"


def test_the_account_of_faults_is_what_another_engine_finds(tmp_path: Path) -> None:
    """The SQL of ``verify`` judges the files: of every event as many records of each verdict as the account says."""
    account = lived(tmp_path, ",".join(f"{name}=0.02" for name in SIMULATION.faults))
    assert account.faults.keys() == SIMULATION.faults.keys()
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE landed (record VARCHAR, source_partition VARCHAR, source_offset BIGINT, arrived_at TIMESTAMP,"
            " value BLOB)"
        )
        for file in sorted(tmp_path.iterdir()):
            name = file.name.split(".")[1]
            lines = file.read_bytes().splitlines()
            values = [(name, "f", number, START.replace(tzinfo=None), line) for number, line in enumerate(lines)]
            connection.executemany("INSERT INTO landed VALUES (?, ?, ?, ?, ?)", values)
        connection.execute(registry.required_lakehouse("telecom").verification())
        result = connection.execute("FROM verdicts").fetchall()
        names = [column[0] for column in connection.description or ()]
        local = connection.execute("SELECT DISTINCT date_sk, time_sk // 60 FROM fact_calls").fetchall()
    for row in result:
        verdicts = Counter(dict(zip(names[1:], row[1:], strict=True)))
        assert verdicts == account.topics[f"telecom.{row[0]}"], row[0]
    assert [row[0] for row in result] == list(EVENTS)
    assert local == [("20261120", 14 * 60)]


def test_wrong_faults_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'late'"):
        parse("lat=0.1", SIMULATION)
    with pytest.raises(UsageError, match="'late=much' has no share"):
        parse("late=much", SIMULATION)
    with pytest.raises(UsageError, match=r"add up to 1\.1"):
        parse("late=0.6,duplicate=0.5", SIMULATION)


def test_who_lives_now_sends_each_second_what_happened_in_it() -> None:
    second = timedelta(seconds=1)
    request = Request(users=50, rate=3, start=START, duration=20 * second, seed=5, step=second)
    stretches = list(SIMULATION.world(request).events())
    assert len(stretches) == 20
    assert sum(len(batch.rows) for batches in stretches for batch in batches if batch.topic != "telecom.users") == 60
    for number, batches in enumerate(stretches):
        for row in (row for batch in batches for row in batch.rows):
            at = datetime.fromisoformat(row.get("timestamp") or row["valid_from"])
            assert START + number * second <= at <= START + (number + 1) * second
