"""What the commands of lakehouses print on terminals of 80 and of 200 columns: of topics, and of databases."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import lake_servers
import pytest
import screen_samples
from airflow_samples import telecom
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from screen_samples import Screens

from datasets.telecom.declaration import TELECOM
from engines import kafka, spark
from lakehouse import history
from meterlake.settings import ROOT, Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

UTILITY = """
from dataclasses import replace

from datasets.utility import DATASET as UTILITY


def renamed(records):
    return tuple(replace(one, topic="{name}." + one.topic.partition(".")[2]) for one in records)


DATASET = replace(
    UTILITY,
    name="{name}",
    events=renamed(UTILITY.events),
    references=renamed(UTILITY.references),
    sources="datasets.utility.play:SOURCES",
)
"""
TOPICS = (
    "simulate {name} --faults list",
    "simulate {name} --rate 20 --for 20s --users 100 --to file --out {folder} --oracle {folder}/account.json",
    "simulate {name} --rate 20 --for 20s --users 100 --start 2026-11-20T12:00:00Z",
    "land {name}",
    "batch {name}",
    "land {name} {folder}",
    "batch {name} --full",
    "runs {name}",
    "kpi {name} call_drop_rate",
    "kpi {name} call_drop_rate --by total",
    "verify {name}",
    "clickhouse {name}",
    "rollback {name} {first}",
    "stream {name} --once",
    "powerbi telecom",
)
DATABASES = (
    "simulate {name} --faults list",
    "generate {name} --meters 200 --start 2026-07-25 --days 62",
    "land {name}",
    "batch {name}",
    "simulate {name} --days 2",
    "simulate {name} --days 2 --to file --out {folder}/extracts",
    "land {name} {folder}/extracts",
    "batch {name} --full",
    "runs {name}",
    "kpi {name} saidi --by region",
    "kpi {name} cemi_3 --by total",
    "train {name}",
    "drift {name}",
    "verify {name}",
    "dremio utility",
    "superset {name} --out {folder}/utility.zip",
)


class _First:
    """The first run that readers have seen."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings, self._name = settings, name

    def __str__(self) -> str:
        return history.runs(self._settings, self._name)[0][0].run


@pytest.fixture(scope="module")
def servers(stack: Instance) -> Iterator[Instance]:
    with lake_servers.running(stack):
        yield stack


@contextmanager
def known(patch: pytest.MonkeyPatch, settings: Settings, folder: Path) -> Iterator[None]:
    """Let commands of this process find the servers of the tests, and the data sets of a folder."""
    patch.setenv("METERLAKE_HOME", str(settings.home))
    patch.setenv("METERLAKE_PORT_OFFSET", str(settings.port_offset))
    patch.setenv("METERLAKE_DATASETS", str(folder))
    with spark.session(settings, "screens"):
        yield


def without_topics(settings: Settings, names: Sequence[str]) -> None:
    """Remove topics that an earlier run of the tests has filled."""
    admin = AdminClient(kafka.client_config(settings))
    for removed in admin.delete_topics(list(names), operation_timeout=kafka.TIMEOUT_S).values():
        with suppress(KafkaException):  # it was not there
            removed.result(kafka.TIMEOUT_S)


def looked_at(screens: Screens, commands: tuple[str, ...], kind: str, name: str) -> None:
    for (command, width), text in screens.items():
        assert screen_samples.too_wide(text, width) == [], (command, width)
    screen_samples.assert_as_stored(screens, commands, kind, {name: "NAME"})


def test_screens_of_topics(servers: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, name = servers.settings, f"s{secrets.token_hex(4)}"
    telecom(tmp_path / "sets", name, "telecom")  # who simulates sends to these
    without_topics(settings, TELECOM.topics)
    names = {"name": name, "folder": tmp_path / "events", "first": _First(settings, name)}
    with known(monkeypatch, settings, tmp_path / "sets"):
        screens = screen_samples.taken(monkeypatch, TOPICS, names)
    looked_at(screens, TOPICS, "topics", name)


def test_screens_of_databases(servers: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, name = servers.settings, f"s{secrets.token_hex(4)}"
    folder = tmp_path / "sets" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(UTILITY.format(name=name))
    shutil.copy(ROOT / "datasets" / "utility" / "verification.sql", folder)
    with known(monkeypatch, settings, tmp_path / "sets"):
        screens = screen_samples.taken(monkeypatch, DATABASES, {"name": name, "folder": tmp_path})
    looked_at(screens, DATABASES, "databases", name)
