"""The utility's sources: the same at once and played forward, with late news, deletions and faults that are counted."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import utility_twin as twin

from cli import lakehouse_sources
from cli.output import Output
from datasets.utility import DATASET
from datasets.utility.play import play
from datasets.utility.world import World, day_number, fixed
from meterlake import registry
from meterlake.errors import DeclarationError, UnknownName, UsageError
from meterlake.lakehouse.sources import Extract, Play

pytestmark = pytest.mark.unit

START, SEED, CUSTOMERS = date(2026, 3, 1), 3, 200


def rows(folder: Path) -> dict[str, set[tuple[Any, ...]]]:
    result: dict[str, set[tuple[Any, ...]]] = {}
    for name in twin.DATABASES:
        with closing(sqlite3.connect(folder / f"{name}.db")) as base, base:
            for (table,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                listed = base.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
                result[table] = set(listed)
                assert len(listed) == len(result[table]), table
        base.close()
    return result


def test_sources_played_forward_are_those_made_at_once(tmp_path: Path) -> None:
    once, forward = tmp_path / "once", tmp_path / "forward"
    twin.made(once, Play(twin.urls(once), 45, START, CUSTOMERS, SEED))
    twin.made(forward, Play(twin.urls(forward), 28, START, CUSTOMERS, SEED))
    before = rows(forward)
    counted = {"new": 0, "changed": 0, "deleted": 0, "wrong": 0}
    for days in (1, 6, 10):
        for counts in play(Play(twin.urls(forward), days)).tables.values():
            counted = {name: counted[name] + counts[name] for name in counted}
    assert rows(forward) == rows(once)
    assert counted["wrong"] == 0
    assert min(counted["new"], counted["changed"], counted["deleted"]) > 0
    assert len(before["outages"] - rows(forward)["outages"]) > 0
    assert set(rows(forward)) == {
        *(record.extract.table for record in DATASET.records if record.extract),
        "sources_state",
    }


def test_a_seed_gives_the_same_rows_for_ever(tmp_path: Path) -> None:
    """What is read of a seed in documents, benchmarks and other tests stays so, however the sources are made."""
    twin.made(tmp_path, Play(twin.urls(tmp_path), 40, START, CUSTOMERS, SEED))
    play(Play(twin.urls(tmp_path), 3, faults={"missing": 0.02, "unknown_feeder": 0.02, "wrong_type": 0.02}))
    found = {}
    for name in twin.DATABASES:
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as base:
            tables = base.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            listed = [base.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall() for (table,) in tables]  # noqa: S608
        found[name] = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
    assert found == {"crm": "e290b755241556ff", "oms": "f5804f2acb23d724", "billing": "c33c066e5e78c52d"}


def test_nothing_is_known_before_it_happens(tmp_path: Path) -> None:
    twin.made(tmp_path, Play(twin.urls(tmp_path), 20, START, CUSTOMERS, SEED))
    ends = "2026-03-20 19:00:00"
    for record in DATASET.records:
        assert record.extract is not None
        with closing(sqlite3.connect(tmp_path / f"{record.extract.database}.db")) as base, base:
            (latest,) = base.execute(f"SELECT max(changed_at) FROM {record.extract.table}").fetchone() or ("",)  # noqa: S608
        base.close()
        assert latest is None or latest <= ends, record.name
    with closing(sqlite3.connect(tmp_path / "oms.db")) as base, base:
        outages = "SELECT count(*), sum(cause IS NULL), sum(cause IS NOT NULL AND cause_known_at IS NULL) FROM outages"
        total, unknown, foretold = base.execute(outages).fetchone()
        interrupted = base.execute(
            "SELECT count(*) FROM outages o WHERE customers_interrupted <>"
            " (SELECT count(*) FROM outage_customer_steps s WHERE s.outage_id = o.outage_id)"
        ).fetchone()
    base.close()
    assert total > 10
    assert unknown > 0
    assert foretold == interrupted[0] == 0


def test_more_outages_come_where_the_hazard_is_greater() -> None:
    world = World(1, 2000, day_number(START))
    days = range(day_number(START), day_number(START) + 200)
    hazard = np.array([world.hazard(day) for day in days])
    assert (hazard > 0).all()
    assert hazard.max() / hazard.min() > 10
    drawn = np.array([np.minimum(world.random(21, day).poisson(world.hazard(day)), 4) for day in days])
    high = hazard > np.quantile(hazard, 0.9)
    assert drawn[high].mean() == pytest.approx(hazard[high].mean(), rel=0.15)
    assert drawn[high].mean() > 2 * drawn[~high].mean()


def test_money_is_exact_as_text() -> None:
    assert fixed(np.array([5, -1234, 0, 10**15 + 1]), 2).tolist() == ["0.05", "-12.34", "0.00", "10000000000000.01"]


def test_faults_are_put_in_and_counted(tmp_path: Path) -> None:
    twin.made(
        tmp_path, Play(twin.urls(tmp_path), 10, START, CUSTOMERS, SEED, {"unknown_feeder": 0.1, "wrong_type": 0.1})
    )
    with closing(sqlite3.connect(tmp_path / "oms.db")) as base, base:
        strangers = base.execute("SELECT count(*) FROM feeder_energy_days WHERE feeder_id = 'F9999'").fetchone()[0]
        words = base.execute("SELECT count(*) FROM feeder_energy_days WHERE connected_kva = 'many'").fetchone()[0]
    base.close()
    folder = tmp_path / "again"
    counts = play_counts(folder, {"unknown_feeder": 0.1, "wrong_type": 0.1})
    assert min(strangers, words) > 0
    assert counts["feeder_days"]["wrong"] == strangers + words
    assert counts["feeders"]["wrong"] == 0


def play_counts(folder: Path, faults: dict[str, float]) -> dict[str, dict[str, int]]:
    folder.mkdir()
    return play(Play(twin.urls(folder), 10, START, CUSTOMERS, SEED, faults)).tables


def test_the_commands_make_them_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METERLAKE_HOME", str(tmp_path))
    entry = registry.required_lakehouse("utility")
    with pytest.raises(UsageError, match="There are no sources yet"):
        lakehouse_sources.play(entry, lakehouse_sources.Days(3), Output.JSON)
    (tmp_path / "sources").exists()
    lakehouse_sources.play(entry, lakehouse_sources.Days(3, START, CUSTOMERS, SEED), Output.JSON)
    capsys.readouterr()
    oracle = tmp_path / "account.json"
    lakehouse_sources.play(entry, lakehouse_sources.Days(2, faults="missing=0.05", oracle=oracle), Output.JSON)
    account = json.loads(oracle.read_text())
    assert account["until"] == "2026-03-06"
    shown = capsys.readouterr().out
    assert {row.pop("table"): row for row in json.loads(shown)} == account["tables"]
    assert account["tables"]["feeder_days"]["new"] == 16
    with pytest.raises(UnknownName, match="Known: missing, unknown_feeder, wrong_type"):
        lakehouse_sources.play(entry, lakehouse_sources.Days(2, faults="nothing=1"), Output.JSON)
    with pytest.raises(UsageError, match="--days is missing"):
        lakehouse_sources.play(entry, lakehouse_sources.Days(0), Output.JSON)


def test_a_table_that_contradicts_itself_is_named() -> None:
    with pytest.raises(DeclarationError, match="overlap=-1 day, 23:00:00 is none"):
        Extract(database="crm", table="t", key="k", overlap=timedelta(hours=-1))
