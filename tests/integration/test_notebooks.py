"""The notebooks on the real servers: no cell fails, all draw, and their figures are those of the source databases.

What readers see is made by DuckDB and pyiceberg here, and the model as a run makes it: runs have tests of their own. On
the same tables Dremio's statements are asked of Trino, as far as it has their functions.
"""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import lake_servers
import pytest
from matplotlib.image import imread

from datasets.utility.play import play
from engines import trino
from lakehouse.dremio.views import FIGURES, views
from lakehouse.frames import NothingToRead, opened
from lakehouse.kpi import rows_of, statement
from lakehouse.layers import tables
from lakehouse.prediction import registry as registered
from lakehouse.prediction import rows as rows_module
from lakehouse.prediction import training
from lakehouse.prediction.registry import Model
from lakehouse.prediction.score import answered
from meterlake import registry
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
START, DAYS, MORE, CUSTOMERS, SEED = date(2025, 12, 1), 200, 20, 200, 11
CLOCK = datetime(2026, 10, 1)  # noqa: DTZ001 - UTC without zone
NOT_IN_TRINO = re.compile(r"PERCENTILE_DISC|DATEDIFF|TO_CHAR|TO_DATE")
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
    """A utility under a name of its own, in databases and on the servers. model: the latest, if there is one."""

    settings: Settings
    lakehouse: Lakehouse
    folder: Path
    model: Model | None = None

    def go_on(self, request: Play) -> None:
        """Let days go by, and show readers what a run would: answers of the model about the days since, too."""
        play(request)
        with self.twin() as connection:
            twin.gold(connection)
            (prediction,) = self.lakehouse.predictions
            answers: list[Any] = []
            if self.model:
                rows = self.features(connection)
                rows = rows.where(rows.days.astype(str) > self.model.last_sk)
                answers = answered(self.settings, prediction, self.model, rows, "run")
            kept = [tuple(self.model.__dict__.values())] if self.model else []
            for table, content in ((tables.prediction(prediction), answers), (tables.MODELS, kept)):
                kinds = {"STRING": "VARCHAR", "TIMESTAMP_NTZ": "TIMESTAMP"}
                columns = ", ".join(f"{name} {kinds.get(kind, kind)}" for name, kind in table.columns)
                connection.execute(f"CREATE OR REPLACE TABLE {table.name} ({columns})")
                for row in content:
                    connection.execute(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(row))})", row)
            gold = self.lakehouse.namespace("gold")
            names = (*twin.TABLES, tables.MODELS.name)
            twin.removed(self.settings, gold, *names)
            twin.published(connection, self.settings, gold, *names)

    def train(self) -> None:
        """Train on what the databases hold, and keep the model as a run would."""
        (prediction,) = self.lakehouse.predictions
        with self.twin() as connection:
            twin.gold(connection)
            trained = training.train(prediction, self.features(connection))
        self.model = registered.keep(self.settings, self.lakehouse, prediction, trained, CLOCK, "none")

    def features(self, connection: duckdb.DuckDBPyConnection) -> rows_module.Rows:
        (prediction,) = self.lakehouse.predictions
        sql = rows_of(self.lakehouse, prediction.view, prediction.columns, "duckdb", "")
        return rows_module.of(prediction, connection.execute(sql).fetchall())

    def twin(self) -> duckdb.DuckDBPyConnection:
        """Return the source databases."""
        connection = duckdb.connect()
        twin.source_tables(connection, self.folder)
        return connection

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
        connection = self.twin()
        path = f"lake.{self.lakehouse.namespace('gold')}.outage_predictions"
        sql = f"SELECT date_sk, feeder_id, is_predicted, probability FROM {path}"
        kinds = "date_sk VARCHAR, feeder_id VARCHAR, is_predicted BOOLEAN, probability DOUBLE"
        connection.execute(f"CREATE TABLE answers ({kinds})")
        connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", trino.rows(self.settings, sql))
        connection.execute(
            "CREATE TABLE outage_predictions AS SELECT * FROM answers WHERE date_sk <="
            " (SELECT strftime(max(day_start) + INTERVAL 5 HOUR, '%Y%m%d') FROM feeder_energy_days)"
        )
        for part in PRELUDE.split(";"):
            connection.execute(part)
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
        with lake_servers.running(stack):
            yield World(settings, declared, tmp_path_factory.mktemp("sources"))
            twin.removed(settings, declared.namespace("gold"), *twin.TABLES, tables.MODELS.name)


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
    world.train()
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
    assert world.model is not None
    assert shown["algorithm"] == world.model.algorithm


def _assert_drawn(cells: list[dict[str, Any]], pictures: int) -> None:
    """Each cell was run without a warning, and there are so many pictures with something on them."""
    assert [output for cell in cells for output in cell["outputs"] if output["output_type"] == "stream"] == []
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


def test_4_dremios_statements_give_the_same_figures_on_trino(world: World) -> None:
    """Those with functions that only Dremio has are left out: DuckDB runs all of them (tests/unit/test_dremio.py)."""
    name = world.lakehouse.name
    made = {view.path[1:]: view.sql for view in views(world.lakehouse).views}
    asked, wrong = 0, []
    for kpi in world.lakehouse.kpis:
        sql = made.get((FIGURES, kpi.name), "PERCENTILE_DISC")
        chain = _chain(made, name, sql)
        if any(NOT_IN_TRINO.search(text) for text in (sql, *chain.values())):
            continue
        withs = ", ".join(f'"{view}" AS ({text})' for view, text in chain.items())
        text = f"WITH {withs} {sql}" if withs else sql
        text = text.replace(f'"{name}".', "").replace("TIMESTAMPDIFF(SECOND, ", "date_diff('second', ")
        theirs = trino.rows(world.settings, text)
        ours = trino.rows(world.settings, statement(world.lakehouse, kpi.name, None, None, None)[0])
        asked += 1
        if not ours or _plain(theirs) != _plain(ours):
            wrong.append((kpi.name, ours[:2], theirs[:2]))
    assert wrong == []
    assert asked > 60


def _plain(rows: list[list[Any]]) -> dict[tuple[str, ...], Any]:
    return {
        tuple(map(str, row[:-1])): None if row[-1] is None else pytest.approx(float(row[-1]), rel=1e-9) for row in rows
    }


def _chain(made: dict[tuple[str, ...], str], name: str, sql: str) -> dict[str, str]:
    """Return the views that a statement reads, each after those that it reads itself."""
    chain: dict[str, str] = {}
    for view in re.findall(rf'"{name}"\."(\w+)"', sql):
        chain |= {**_chain(made, name, made[view,]), view: made[view,]}
    return chain
