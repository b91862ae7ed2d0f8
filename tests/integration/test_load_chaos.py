"""Servers die in the middle of a load: a clear error, nothing half-visible, and the next try is whole."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch_layer.ingest import load as module
from batch_layer.ingest.load import Request, Result, load
from engines import trino
from engines.errors import EngineUnavailable
from meterlake.datasets.household_text import HOUSEHOLD_TEXT
from meterlake.settings import Settings
from meterlake.textformat import TextFormat
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINES = 1440 * 28


@pytest.fixture
def form() -> TextFormat:
    name = f"c{uuid.uuid4().hex[:12]}"
    return replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=name))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "month.txt"
    values = "4.216;0.418;234.840;18.400;0.000;1.000;17.000"
    with path.open("w") as out:
        out.write(HOUSEHOLD_TEXT.header + "\n")
        for n in range(LINES):
            out.write(f"{1 + n // 1440}/2/2007;{n // 60 % 24:02}:{n % 60:02}:00;{values}\n")
    return str(path)


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, brought back after the test."""
    yield stack
    launcher.up(select([]), stack, lambda *_: None)


def kill(stack: Instance, service: str) -> None:
    pid = {state.service.name: state.pid for state in launcher.status(stack, check=False)}[service]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)


def run(settings: Settings, form: TextFormat, file: str) -> Result:
    request = Request(form, file, "m1", form.utc_offset)
    return load(settings, request, lambda: NOW, lambda *_: None)


def count(settings: Settings, form: TextFormat) -> int:
    return int(trino.rows(settings, f"SELECT count(*) FROM iceberg.master.{form.dataset.name}")[0][0])  # noqa: S608


@pytest.mark.parametrize(
    ("service", "step", "says"),
    [
        ("metastore", "_stage", "metastore at .* does not answer"),
        ("metastore", "_check", "metastore at .* does not answer"),
        ("namenode", "_stage", "HDFS at .* does not answer"),
        ("datanode", "_stage", "HDFS at .* does not answer"),
    ],
)
@pytest.mark.timeout(600)
def test_a_server_dies_in_the_middle(
    settings: Settings,
    whole: Instance,
    form: TextFormat,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    step: str,
    says: str,
) -> None:
    original = getattr(module._Load, step)  # noqa: SLF001 - the moment at which it dies

    def dying(*given: object) -> object:
        kill(whole, service)
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(module._Load, step, dying)  # noqa: SLF001
        with pytest.raises(EngineUnavailable, match=says):
            run(settings, form, file)
    launcher.up(select([]), whole, lambda *_: None)
    assert count(settings, form) == 0
    assert run(settings, form, file).readings == LINES
    assert count(settings, form) == LINES
