"""Half-hourly smart meters by the commands, on the real servers: files and a database in, Delta tables in Trino out."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import layers_samples as layers
import pytest
from commands import Command
from half_hourly_truth import COLUMNS, Truth, good_files

from batch_layer.presentation import shapes
from engines import hdfs, metastore, trino
from engines import spark as engine
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.dataset import DataSet
from meterlake.fileformats.records import JsonTable
from meterlake.generator import Made
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OURS = registry.entry("half_hourly")
SERIES = replace(OURS.declaration, name=f"hh{uuid.uuid4().hex[:8]}")
PRESENTATION = OURS.presentation()
START, DAYS, METERS = date(2021, 3, 27), 3, 13  # clocks go forward on the second day
LAST = START + timedelta(days=DAYS - 1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half-hourly")
    OURS.generator().write(Made(folder, METERS, START, DAYS, seed=3))
    return folder


@pytest.fixture(scope="module")
def truth(sample: Path) -> Truth:
    return Truth(good_files(sample / "readings"), sample / "reference.db")


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings, and a session that is held open, so that every command finds it open."""
    with engine.session(settings, "half-hourly"):
        yield settings
        layers.forget(settings, SERIES)
        forget(settings)
    gc.collect()


def forget(settings: Settings) -> None:
    wanted = [shapes.reference(SERIES, one) for one in PRESENTATION.references]
    wanted += [shapes.table(SERIES, one) for one in PRESENTATION.tables]
    with metastore.client(settings) as client:
        for shape in (*wanted, shapes.staging(SERIES, PRESENTATION), shapes.runs(SERIES)):
            metastore.drop_table(client, shape.database, shape.name)
            hdfs.client(settings).delete(f"/meterlake/delta/{shape.database}/{shape.name}", recursive=True)


@pytest.fixture(autouse=True)
def known(live: Settings) -> Iterator[None]:
    (form,) = OURS.data_set.formats
    assert isinstance(form, JsonTable)
    parts = DataSet(declaration=SERIES, formats=(replace(form, dataset=SERIES),), presentation=PRESENTATION)
    with registry.added(parts):
        yield


def check(settings: Settings, truth: Truth, as_of: date = LAST) -> None:
    """Every table must hold, as Trino reads it, what the files say, and nothing else."""
    for name, wanted in truth.tables(as_of).items():
        rows = trino.rows(settings, f"SELECT {COLUMNS[name]} FROM delta.presentation.{SERIES.name}_{name}")
        assert sorted((tuple(row) for row in rows), key=repr) == wanted, name


def answer(said: str) -> list[dict[str, Any]]:
    """Return what a command has answered as JSON, whatever it said before."""
    found: list[dict[str, Any]] = json.loads(said[said.index("[\n") if "[\n" in said else said.index("[") :])
    return found


# The tests below are one story and run in this order.


def test_1_bad_files_are_named_and_stop_no_other(
    settings: Settings, meterlake: Command, sample: Path, truth: Truth
) -> None:
    code, said = meterlake("load", SERIES.name, str(sample / "readings"), "--skip-bad-files")
    assert code == 1, said
    for name in ("a_page.json", "cut_off.json"):
        assert name in said, said
    rows = trino.rows(settings, f"SELECT count(DISTINCT (meter_id, ts)) FROM iceberg.master.{SERIES.name}")
    assert rows == [[len(truth.readings())]]


def test_2_a_batch_says_what_is_missing_and_publishes_its_views(meterlake: Command) -> None:
    code, said = meterlake("batch", SERIES.name)
    assert code == 0, said
    assert "Nothing has been loaded into agreement, product, meterpoint" in said


def test_3_reference_tables_and_all_that_is_made_with_them(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    code, said = meterlake("reference", SERIES.name, str(sample / "reference.db"), "--output", "json")
    assert code == 0, said
    code, said = meterlake("batch", SERIES.name)
    assert code == 0, said
    assert "nothing has changed" in said
    check(live, truth)
    code, said = meterlake("present", SERIES.name, "--as-of", str(START))
    assert code == 0, said
    check(live, truth, as_of=START)


def test_4_a_correction_reaches_every_table_and_the_past_can_be_asked_for(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    then = system_clock()
    moved = START + timedelta(days=2)
    with sqlite3.connect(sample / "reference.db") as connection:
        connection.execute("UPDATE agreement SET agreement_valid_from = ? WHERE agreement_id = 2", [moved.isoformat()])
        connection.execute("DELETE FROM meterpoint WHERE meterpoint_id = (SELECT min(meterpoint_id) FROM meterpoint)")
    connection.close()
    truth.references(sample / "reference.db")
    for words in (("reference", SERIES.name, str(sample / "reference.db")), ("present", SERIES.name)):
        code, said = meterlake(*words)
        assert code == 0, said
    check(live, truth)
    sql = f"SELECT count(*) AS rows FROM delta.reference.{SERIES.name}_agreement"
    now, before = ({}, {"--as-of": f"{then:%Y-%m-%dT%H:%M:%S}"})
    counts = []
    for options in (now, before):
        code, said = meterlake("query", sql, "--output", "json", *(word for pair in options.items() for word in pair))
        assert code == 0, said
        counts.append(answer(said)[0]["rows"])
    assert counts[0] == counts[1] + 1


@pytest.mark.slow
def test_5_upkeep_changes_no_row(meterlake: Command, live: Settings, truth: Truth) -> None:
    code, said = meterlake("maintain", SERIES.name, "--output", "json")
    assert code == 0, said
    kept = {row["table"]: row for row in answer(said)}
    assert kept[f"delta.staging.{SERIES.name}"]["files_before"] >= kept[f"delta.staging.{SERIES.name}"]["files_after"]
    check(live, truth)
    code, said = meterlake("present", SERIES.name, "--output", "json")
    assert code == 0, said
    assert all(row["inserted"] + row["updated"] + row["deleted"] == 0 for row in answer(said))


def test_6_what_cannot_be_read_changes_nothing(meterlake: Command, tmp_path: Path) -> None:
    for source, says in [
        (str(tmp_path / "none.db"), "is no file"),
        ("postgres9://host/base", "cannot be opened"),
        (str(Path(__file__)), "file is not a database"),
    ]:
        code, said = meterlake("reference", SERIES.name, source)
        assert (code, says in said) == (1, True), said
