"""The notebooks on the real servers: no cell fails, all draw, and their figures are those of the source databases."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import ast
import base64
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import lake_servers
import pytest
from matplotlib.image import imread
from pyspark.sql import SparkSession

from datasets.utility.play import play
from engines import spark, trino
from lakehouse import lease
from lakehouse.frames import NothingToRead, opened
from lakehouse.landing import from_database
from lakehouse.prediction import train as training
from lakehouse.run import Run
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings
from stack.instance import Instance

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import utility_twin as twin
from utility_expected import EXPECTED, PRELUDE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

ROOT = Path(__file__).parents[2]
START, DAYS, MORE, CUSTOMERS, SEED = date(2025, 12, 1), 240, 20, 200, 11
CLOCK = datetime(2026, 10, 1, tzinfo=UTC)
ANOTHER = '''"""The utility under another name."""

from dataclasses import replace

from datasets.utility import DATASET as UTILITY

NAME = "{name}"


def renamed(records):
    return tuple(replace(item, topic=f"{{NAME}}.{{item.topic.partition('.')[2]}}") for item in records)


DATASET = replace(UTILITY, name=NAME, events=renamed(UTILITY.events), references=renamed(UTILITY.references))
'''


@dataclass
class World:
    """A utility under a name of its own, in databases and on the servers."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    folder: Path

    def go_on(self, request: Play) -> None:
        """Let days go by, land and run."""
        play(request)
        urls = twin.urls(self.folder)
        records = from_database.Request(self.lakehouse.name, self.lakehouse.records, urls, lambda: CLOCK)
        from_database.land(self.settings, records, Event())
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            run = Run(self.settings, self.session, self.lakehouse, held, system_clock, lambda _: None)
            record = run.execute()
        assert record is not None
        assert record.total["accepted"] + record.total["superseded"] == record.total["read"]

    def notebook(self, name: str, out: Path) -> tuple[list[dict[str, Any]], str]:
        """Run a notebook; return its cells with code, and what the command said where it failed."""
        command = [sys.executable, "notebooks", name, "--out", str(out), "--lakehouse", self.lakehouse.name]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
        cells = json.loads((out / f"{name}.ipynb").read_text())["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert (done.returncode == 0) == (not any(_errors(cell) for cell in code)), done.stderr
        return code, done.stderr if done.returncode else ""

    def truth(self) -> duckdb.DuckDBPyConnection:
        """Return the source databases, and the answers that were given about days that are over."""
        connection = duckdb.connect()
        twin.source_tables(connection, self.folder)
        path = f"lake.{self.lakehouse.namespace('gold')}.outage_predictions"
        sql = f"SELECT date_sk, feeder_id, is_predicted, probability FROM {path}"
        kinds = "date_sk VARCHAR, feeder_id VARCHAR, is_predicted BOOLEAN, probability DOUBLE"
        connection.execute(f"CREATE TABLE answers ({kinds})")
        connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", trino.rows(self.settings, sql))
        connection.execute(
            "CREATE TABLE outage_predictions AS SELECT * FROM answers WHERE date_sk <="
            " (SELECT strftime(max(day_start) + INTERVAL 5 HOUR, '%Y%m%d') FROM feeder_energy_days)"
        )
        for statement in PRELUDE.split(";"):
            connection.execute(statement)
        return connection


def _errors(cell: dict[str, Any]) -> list[str]:
    return [output["evalue"] for output in cell["outputs"] if output["output_type"] == "error"]


@pytest.fixture(scope="module")
def world(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    name, places = f"n{secrets.token_hex(4)}", tmp_path_factory.mktemp("places")
    (places / name).mkdir()
    (places / name / "__init__.py").write_text(ANOTHER.format(name=name))
    settings = stack.settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METERLAKE_HOME", str(settings.home.absolute()))
        patch.setenv("METERLAKE_PORT_OFFSET", str(settings.port_offset))
        patch.setenv("METERLAKE_DATASETS", str(places))
        declared = registry.required_lakehouse(name).declaration
        with lake_servers.running(stack), spark.session(settings, "notebooks") as session:
            yield World(settings, session, declared, tmp_path_factory.mktemp("sources"))


# The tests below are one story and run in this order.


def test_1_where_nothing_was_filled_the_first_cell_says_what_to_do(world: World) -> None:
    with pytest.raises(
        NothingToRead, match=f"has no table lake.{world.lakehouse.name}_gold.fact_complaint.*meterlake land"
    ):
        opened(world.lakehouse.name)


def test_2_without_a_model_its_notebook_says_what_to_do(world: World, tmp_path: Path) -> None:
    world.go_on(Play(twin.urls(world.folder), DAYS, START, CUSTOMERS, SEED))
    cells, said = world.notebook("model", tmp_path)
    assert "NothingToRead: There is no model" in said
    assert [bool(_errors(cell)) for cell in cells] == [True] + [False] * (len(cells) - 1)


def test_3_all_draw_and_their_figures_are_those_of_the_sources(world: World, tmp_path: Path) -> None:
    with lease.held(world.settings, world.lakehouse.name, "train") as held:
        (prediction,) = world.lakehouse.predictions
        model = training.train(world.settings, world.lakehouse, prediction, held, lambda: CLOCK)
    world.go_on(Play(twin.urls(world.folder), MORE))
    with world.truth() as truth:
        for name, pictures in (("outages", 5), ("billing", 4), ("model", 4)):
            cells, said = world.notebook(name, tmp_path)
            assert said == ""
            _assert_drawn(cells, pictures)
            shown = _figures(cells)
            for figure in shown.keys() & EXPECTED.keys():
                (wanted,) = truth.execute(EXPECTED[figure]).fetchone() or ()
                assert shown[figure] == pytest.approx(float(wanted), rel=1e-9), figure
            assert len(shown.keys() & EXPECTED.keys()) >= 5
            _assert_counts(truth, name, shown)
    assert shown["algorithm"] == model.algorithm


def _assert_drawn(cells: list[dict[str, Any]], pictures: int) -> None:
    """Each cell was run, and there are so many pictures with something on them."""
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    drawn = [
        imread(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
        for cell in cells
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == pictures
    for picture in drawn:
        grey = picture[..., :3].mean(axis=2)
        assert min(grey.shape) > 300
        assert 0.005 < (grey < 0.9).mean() < 0.9


def _figures(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the last cell shows."""
    (output,) = cells[-1]["outputs"]
    figures: dict[str, Any] = ast.literal_eval("".join(output["data"]["text/plain"]))
    return figures


def _assert_counts(truth: duckdb.DuckDBPyConnection, name: str, shown: dict[str, Any]) -> None:
    """Compare what is no figure of the declaration."""

    def counted(sql: str) -> dict[Any, int]:
        return dict(truth.execute(sql).fetchall())

    if name == "outages":
        assert shown["unplanned_by_cause"] == counted(
            "SELECT coalesce(cause, 'unknown'), count(*) FROM outages WHERE is_planned = false GROUP BY 1"
        )
    elif name == "billing":
        assert shown["estimates_in_a_row"] == counted(
            "SELECT estimates_in_a_row, count(*) FROM eabl WHERE estimates_in_a_row > 0 GROUP BY 1"
        )
    else:
        rows = truth.execute("SELECT count(*), avg((n > 0)::INT) FROM foretold").fetchone()
        assert (shown["answers"], shown["share_with_outage"]) == pytest.approx(rows)
        assert 7 * (MORE - 1) < shown["answers"] <= 8 * MORE
