"""The loader or a server dies in the middle: a clear error, nothing half-visible, and the next try is whole."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import commands
import pytest

from batch_layer.ingest import load as module
from batch_layer.ingest.load import load
from batch_layer.ingest.raw_store import RAW
from batch_layer.ingest.request import Progress, Request, Result
from datasets.household.text import HOUSEHOLD_TEXT
from engines import hdfs, trino
from engines.errors import EngineUnavailable
from meterlake.settings import Settings
from meterlake.text.format import TextFormat
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
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
        out.write("no reading\n")
        for n in range(LINES):
            out.write(f"{1 + n // 1440}/2/2007;{n // 60 % 24:02}:{n % 60:02}:00;{values}\n")
    return str(path)


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, brought back after the test."""
    yield stack
    launcher.up(select([]), stack, lambda *_: None)


def quiet(progress: Progress) -> None:
    """Take the progress of an upload."""


def run(settings: Settings, form: TextFormat, file: str, on_progress: Callable[[Progress], None] = quiet) -> Result:
    return load(settings, Request((form,), (file,), "m1", form.utc_offset), lambda: NOW, on_progress)


def count(settings: Settings, form: TextFormat) -> int:
    """Return the rows that readers see; none where the table is not there yet."""
    name = form.dataset.name
    known = "SELECT count(*) FROM iceberg.information_schema.tables WHERE table_schema = 'master' AND table_name = ?"
    if trino.rows(settings, known, [name]) == [[0]]:
        return 0
    return int(trino.rows(settings, f"SELECT count(*) FROM iceberg.master.{name}")[0][0])  # noqa: S608


def leftovers(settings: Settings, form: TextFormat) -> list[str]:
    """Return the uploads that were cut off."""
    client, folder = hdfs.client(settings), f"{RAW}/{form.dataset.name}"
    there = client.status(folder, strict=False) is not None
    return [name for name in client.list(folder) if name.startswith(".partial")] if there else []


LOADER = "batch_layer.ingest.load"


@pytest.mark.parametrize(
    "place",
    [
        "before:batch_layer.ingest.raw_store:_settle",
        f"during:{LOADER}:_Load._stage",
        f"before:{LOADER}:_Load._check",
        "before:engines.table_format_iceberg:IcebergTable.publish",
    ],
)
@pytest.mark.timeout(1800)
def test_a_killed_loader_leaves_nothing_half_visible_and_can_be_run_again(
    stack: Instance, settings: Settings, form: TextFormat, file: str, place: str
) -> None:
    name = form.dataset.name
    words = ("load", name, file, "--meter-id", "m1", "--output", "json")
    code, said = commands.run(settings, name, *words, die=place)
    assert code == -signal.SIGKILL, said
    assert count(settings, form) == 0
    code, said = commands.run(settings, name, *words)
    assert code == 0, said
    (result,) = json.loads(said)
    assert (result["already_loaded"], result["readings"], result["quarantined"]) == (
        False,
        LINES,
        {"missing_column": 1},
    )
    assert count(settings, form) == LINES
    assert trino.rows(settings, f"SELECT count(*) FROM iceberg.master.{name}_quarantine") == [[1]]  # noqa: S608
    assert len(leftovers(settings, form)) == ("_settle" in place)  # upkeep removes it a day later


@pytest.mark.timeout(1800)
def test_a_loader_killed_after_its_commit_is_done(
    stack: Instance, settings: Settings, form: TextFormat, file: str
) -> None:
    name = form.dataset.name
    code, said = commands.run(settings, name, "load", name, file, die=f"before:{LOADER}:_Load._extent")
    assert code == -signal.SIGKILL, said
    assert count(settings, form) == LINES
    code, said = commands.run(settings, name, "load", name, file)
    assert (code, "nothing to do: this file is loaded already" in said) == (0, True), said
    assert count(settings, form) == LINES


@pytest.mark.parametrize(
    ("service", "step", "says"),
    [
        ("metastore", "_stage", "metastore at .* does not answer"),
        ("metastore", "_check", "metastore at .* does not answer"),
        ("namenode", "upload", "HDFS at .* does not answer"),
        ("namenode", "_stage", "HDFS at .* does not answer"),
        ("datanode", "_stage", "HDFS at .* does not answer"),
    ],
)
@pytest.mark.timeout(1800)
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
    killed: list[str] = []

    def die() -> None:
        if not killed:
            killed.append(service)
            commands.kill_server(whole, service)

    def dying(*given: object) -> object:
        die()
        return original(*given)

    with monkeypatch.context() as patch:
        if step != "upload":
            original = getattr(module._Load, step)  # noqa: SLF001 - the moment at which it dies
            patch.setattr(module._Load, step, dying)  # noqa: SLF001
        with pytest.raises(EngineUnavailable, match=says):
            run(settings, form, file, (lambda *_: die()) if step == "upload" else quiet)
    launcher.up(select([]), whole, lambda *_: None)
    assert count(settings, form) == 0
    assert run(settings, form, file).readings == LINES
    assert count(settings, form) == LINES
