"""Airflow itself: DAGs made of declarations run by its scheduler, and leave what our commands leave."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import lake_servers
import psutil
import pytest
from airflow_samples import Airflow, alerts, half_hourly, interval, telecom

from datasets.half_hourly.verification import COLUMNS
from datasets.telecom.declaration import TELECOM
from datasets.telecom.simulation import SIMULATION
from engines import trino
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.simulation import Request
from meterlake.settings import ROOT, Settings, load_settings
from producers.lakehouse.faults import Message, parse
from producers.lakehouse.simulate import simulate
from producers.lakehouse.sinks import KafkaSink
from stack import extra
from stack.instance import Instance
from stack.services.airflow import AIRFLOW

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

WORD = secrets.token_hex(3)
OURS, TWIN, PLAIN = f"a{WORD}", f"b{WORD}", f"c{WORD}"
LAKE, LAKE_TWIN = f"t{WORD}", f"u{WORD}"
COMPARED = {f"delta.presentation.{{name}}_{table}": columns for table, columns in COLUMNS.items()} | {
    "delta.presentation.{name}_cost": "*",
    "delta.vee.{name}_findings": "*",
    "delta.vee.{name}_estimates": "*",
    "hive.batch.{name}_day": "meter_id, day, readings, covered_s, consumption_sum",
}


@dataclass
class World:
    """What the tests of this file share."""

    airflow: Airflow
    instance: Instance
    settings: Settings
    alerts: list[dict[str, Any]]
    readings: str
    reference: str


@pytest.fixture(scope="module")
def world(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Airflow with data sets of these tests, of which it runs some and this process the others."""
    folder, sample = tmp_path_factory.mktemp("datasets"), tmp_path_factory.mktemp("sample")
    for name in (OURS, TWIN, PLAIN):
        half_hourly(folder, name, whole=name != PLAIN)
    for name in (LAKE, LAKE_TWIN):
        telecom(folder, name, LAKE)
    readings, reference = str(sample / "readings"), str(sample / "reference.db")
    with pytest.MonkeyPatch.context() as patch, alerts() as (address, come):
        patch.setenv("METERLAKE_HOME", str(stack.settings.home))
        patch.setenv("METERLAKE_PORT_OFFSET", str(stack.settings.port_offset))
        patch.setenv("METERLAKE_DATASETS", str(folder))
        patch.setenv("METERLAKE_ALERT_URL", address)
        for name in (OURS, PLAIN):
            patch.setenv(f"AIRFLOW_VAR_{name.upper()}_FILES", readings)
            patch.setenv(f"AIRFLOW_VAR_{name.upper()}_REFERENCE", reference)
        meterlake("generate", "half_hourly", "--out", str(sample), "--meters", "6", "--days", "2", "--clean")
        instance = Instance(load_settings())
        shutil.rmtree(instance.data("airflow"), ignore_errors=True)
        extra.up(AIRFLOW, instance)
        try:
            yield World(Airflow(instance), instance, instance.settings, come, readings, reference)
        finally:
            extra.down(AIRFLOW, instance)


def meterlake(*words: str) -> str:
    """Run a command as a person does; it must succeed."""
    command = [sys.executable, "-m", "cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_all_dags_are_read_and_a_second_up_changes_nothing(world: World) -> None:
    lakehouses, parts = (LAKE, LAKE_TWIN, "telecom", "utility"), ("ingest", "transform", "model")
    wanted = {OURS, TWIN, PLAIN, "half_hourly", "household"}
    wanted |= {f"{name}_{part}" for name in lakehouses for part in parts}

    def read() -> set[str]:
        result = {dag["dag_id"] for dag in world.airflow.ask("GET", "dags?limit=100")["dags"]}
        return result if len(result) >= len(wanted) else set()

    assert world.airflow.until(read) == wanted
    assert world.airflow.ask("GET", "importErrors")["import_errors"] == []
    wrapper = extra.running(AIRFLOW, world.instance)
    extra.up(AIRFLOW, world.instance)
    assert extra.running(AIRFLOW, world.instance) == wrapper
    # Nothing of it listens on another address than loopback.
    assert wrapper is not None
    ours = {process.pid for process in (wrapper, *wrapper.children(recursive=True))}
    listening = [one.laddr.ip for one in psutil.net_connections("inet") if one.pid in ours and one.status == "LISTEN"]
    assert set(listening) == {"127.0.0.1"}


def test_half_hourly_by_airflow_is_half_hourly_by_commands(world: World) -> None:
    begin = system_clock()
    world.airflow.switch_on(OURS)
    (run,) = world.airflow.ended(OURS, "scheduled")
    tasks = world.airflow.tasks(run)
    steps = ("load", "reference", "stage", "vee", "present", "cost", "maintain")
    assert (run["state"], tasks) == ("success", dict.fromkeys(steps, ("success", 1)))
    # Its interval is the local day before.
    first, last = (moment.astimezone(ZoneInfo("Europe/London")) for moment in interval(run))
    assert (first.time(), last.time()) == (datetime.min.time(), datetime.min.time())
    assert last.date() - first.date() == timedelta(days=1)
    assert last <= begin + timedelta(days=1)

    meterlake("load", TWIN, world.readings)
    meterlake("reference", TWIN, world.reference)
    meterlake("batch", TWIN)
    assert_equal(world.settings)


def assert_equal(settings: Settings) -> None:
    """What Airflow's tasks and what the commands have left must be equal, row by row."""
    for table, columns in COMPARED.items():
        mine, theirs = (
            sorted(map(repr, trino.rows(settings, f"SELECT {columns} FROM {table.format(name=name)}")))
            for name in (OURS, TWIN)
        )
        assert mine == theirs, table
        assert mine or "readings_to_look_at" in table or "vee" in table, table


def test_a_run_that_passes_its_deadline_is_reported(world: World) -> None:
    """The one of the test before took longer than the five seconds that are declared."""
    late = world.airflow.until(lambda: [one for one in world.alerts if one["event"] == "late" and one["dag"] == OURS])
    assert late[0]["deadline_s"] == 5
    assert late[0]["run"].startswith("scheduled__")


def test_a_backfill_of_two_days_computes_these_days_again(world: World) -> None:
    body = {"dag_id": OURS, "from_date": "2021-01-01T00:00:00Z", "to_date": "2021-01-02T00:00:00Z"}
    assert world.airflow.ask("POST", "backfills", {**body, "max_active_runs": 1})
    runs = world.airflow.ended(OURS, "backfill", 2)
    assert [run["state"] for run in runs] == ["success", "success"]
    days = [interval(run)[0].date().isoformat() for run in runs]
    assert days == ["2021-01-01", "2021-01-02"]
    for run, day, after in zip(runs, days, ("2021-01-02", "2021-01-03"), strict=True):
        log = world.airflow.log(run, "stage")
        assert f"meterlake batch {OURS} --views-only --since {day} --until {after}" in log
        assert f"meterlake present {OURS} --since {day} --until {day}" in world.airflow.log(run, "present")
    assert_equal(world.settings)


def test_what_cannot_be_loaded_is_tried_again_and_reported_and_the_rest_is_computed(world: World) -> None:
    world.airflow.switch_on(PLAIN)
    (first,) = world.airflow.ended(PLAIN, "scheduled")
    steps = ("load", "stage", "maintain")
    assert (first["state"], world.airflow.tasks(first)) == ("success", dict.fromkeys(steps, ("success", 1)))
    asked = world.airflow.trigger(PLAIN, **{f"{PLAIN}_files": "/no/such/folder"})
    (run,) = world.airflow.ended(PLAIN, "manual")
    assert run["dag_run_id"] == asked["dag_run_id"]
    tasks = world.airflow.tasks(run)
    assert run["state"] == "failed"
    assert (tasks["load"], tasks["stage"]) == (("failed", 2), ("success", 1))
    assert tasks["maintain"][0] == "upstream_failed"
    failed = world.airflow.until(lambda: [one for one in world.alerts if one["event"] == "failed"])
    wanted = {"event": "failed", "dag": PLAIN, "task": "load", "run": run["dag_run_id"], "tries": 2}
    assert failed == [wanted]  # once, and not after the first try
    assert "/no/such/folder" in world.airflow.log(run, "load")


class Renamed(KafkaSink):
    """Topics of these tests alone."""

    def __init__(self, sink: KafkaSink, name: str) -> None:
        self.__dict__ |= sink.__dict__
        self._name = name

    def send(self, topic: str, messages: list[Message]) -> None:
        super().send(topic.replace("telecom.", f"{self._name}."), messages)


def test_three_dags_of_telecom_begin_each_other_and_leave_what_commands_leave(world: World, stack: Instance) -> None:
    topics = registry.required_lakehouse(LAKE).declaration.topics
    start, length = datetime(2026, 11, 20, 21, 30, tzinfo=UTC), timedelta(seconds=20)
    asked = Request(users=200, rate=40, start=start, duration=length, seed=7)
    with lake_servers.running(stack):
        with Renamed(KafkaSink(world.settings, topics), LAKE) as sink:
            sent = simulate(SIMULATION, asked, parse("duplicate=0.01,missing=0.01", SIMULATION), sink, Event()).sent
        for part in ("model", "transform", "ingest"):
            world.airflow.switch_on(f"{LAKE}_{part}")
        (ingest,) = world.airflow.ended(f"{LAKE}_ingest", "scheduled")
        (transform, *_) = world.airflow.ended(f"{LAKE}_transform", "asset_triggered")
        (model, *_) = world.airflow.ended(f"{LAKE}_model", "asset_triggered")
        assert [run["state"] for run in (ingest, transform, model)] == ["success"] * 3
        steps = ("verify", "clickhouse", "maintain")
        assert world.airflow.tasks(model) == dict.fromkeys(steps, ("success", 1))

        meterlake("land", LAKE_TWIN)
        meterlake("batch", LAKE_TWIN)
        tables = [item.name for items in (TELECOM.facts, TELECOM.dimensions) for item in items]
        for table in tables:
            mine, theirs = (
                sorted(map(repr, trino.rows(world.settings, f"SELECT * FROM lake.{name}_gold.{table}")))
                for name in (LAKE, LAKE_TWIN)
            )
            assert mine == theirs, table
            assert mine, table
        runs = json.loads(meterlake("runs", LAKE, "--all", "--output", "json"))
        assert sum(run[verdict] for run in runs for verdict in ("accepted", "rejected", "duplicate")) == sent


def test_down_ends_all_of_it(world: World) -> None:
    wrapper = extra.running(AIRFLOW, world.instance)
    assert wrapper is not None
    processes = [wrapper, *wrapper.children(recursive=True)]
    assert len(processes) > 5
    assert extra.down(AIRFLOW, world.instance)
    assert not [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not extra.healthy(AIRFLOW, world.instance)
