"""Dremio's views mean what the declaration says, and are brought as Dremio's API reference has it.

Nobody here has run Dremio. Its SQL is run on DuckDB instead, which has most of Dremio's functions, with macros for
those that it lacks, as Dremio's reference defines them. Its REST API is a server that answers as the reference says
and refuses what that does not know.
"""

# Names in statements are ours.
# ruff: noqa: S608

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import duckdb
import pytest
import utility_twin as twin
from pydantic import SecretStr
from typer.testing import CliRunner

from cli import dremio_command
from cli.app import app
from engines.dremio import Dremio
from engines.errors import EngineUnavailable, QueryFailed
from lakehouse.dremio.apply import apply
from lakehouse.dremio.dialect import NotInDremio, expression
from lakehouse.dremio.views import FIGURES, Place, source, views
from lakehouse.kpi import statement
from meterlake import generated, registry
from meterlake.errors import PermanentError, UsageError
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

ENTRY = registry.required_lakehouse("utility")
UTILITY = ENTRY.declaration
VIEWS = views(UTILITY)
FEW = tuple(
    view
    for view in VIEWS.views
    if view.path[-1] in ("interruptions", "supply", "major_days", "reliability", "saifi", "saidi")
)
PLACE = Place("http://nessie:19120", "http://s3:9878", "lake", "meterlake")
FUNCTIONS = """
CREATE MACRO memory.main.timestampdiff_seconds(a, b) AS date_diff('second', a, b);
CREATE MACRO memory.main.days_between(a, b) AS date_diff('day', b, a);
CREATE MACRO memory.main.date_sk(x) AS strftime(x, '%Y%m%d');
CREATE MACRO memory.main.day_of(x) AS strptime(x, '%Y%m%d');
"""


def _on_duckdb(statement: str) -> str:
    """Return a statement with those of Dremio's functions that DuckDB reads otherwise by the names of macros."""
    statement = re.sub(rf'"utility"\."(?!{FIGURES}")', '"utility"."main"."', statement)
    statement = statement.replace("TIMESTAMPDIFF(SECOND, ", "memory.main.timestampdiff_seconds(")
    statement = statement.replace("DATEDIFF(", "memory.main.days_between(")
    statement = re.sub(r"TO_CHAR\(([^()]+), 'YYYYMMDD'\)", r"memory.main.date_sk(\1)", statement)
    return re.sub(r"TO_DATE\(([^()]+), 'YYYYMMDD'\)", r"memory.main.day_of(\1)", statement)


@pytest.fixture(scope="module")
def dremio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The source, the space and its views, as the files that are checked in make them; and gold for our own figures."""
    folder = tmp_path_factory.mktemp("sources")
    twin.made(folder, Play(twin.urls(folder), 100, date(2025, 11, 20), 200, 11))
    with duckdb.connect() as connection:
        twin.source_tables(connection, folder)
        twin.gold(connection)
        connection.execute("ATTACH ':memory:' AS lake; CREATE SCHEMA lake.utility_gold; ATTACH ':memory:' AS utility;")
        for table in twin.TABLES:
            connection.execute(f"CREATE TABLE lake.utility_gold.{table} AS SELECT * FROM {table}")
        connection.execute(f"CREATE SCHEMA utility.{FIGURES}; {FUNCTIONS}")
        for name in ("views.sql", "figures.sql"):
            text = (dremio_command.ROOT / "dremio/utility" / name).read_text()
            connection.execute(_on_duckdb(text))
        yield connection


def test_files_are_what_the_declaration_gives() -> None:
    wanted = dremio_command.files(ENTRY)
    assert generated.drift(wanted) == [], "run `make generate`"
    assert {path.name for path in wanted} == {"views.sql", "figures.sql", "source.json"}


def test_each_figure_in_dremio_is_that_of_the_declaration(dremio: duckdb.DuckDBPyConnection) -> None:
    wrong = []
    for kpi in UTILITY.kpis:
        if kpi.name in VIEWS.left_out:
            continue
        ours = dremio.execute(statement(UTILITY, kpi.name, None, None, None, "duckdb")[0]).fetchall()
        theirs = dremio.execute(f"SELECT * FROM utility.{FIGURES}.{kpi.name}").fetchall()
        if not ours or _plain(ours) != _plain(theirs):
            wrong.append((kpi.name, ours[:2], theirs[:2]))
    assert wrong == []


def _plain(rows: list[tuple[Any, ...]]) -> dict[tuple[str, ...], Any]:
    return {
        tuple(map(str, row[:-1])): None if row[-1] is None else pytest.approx(float(row[-1]), rel=1e-9) for row in rows
    }


def test_what_dremio_cannot_compute_is_named() -> None:
    assert VIEWS.left_out == dict.fromkeys(
        ("complaints_open", "age_of_open", "days_sales_outstanding"), "Dremio has no MAX_BY"
    )
    figures = {view.path[-1] for view in VIEWS.views if FIGURES in view.path}
    assert figures | VIEWS.left_out.keys() == {kpi.name for kpi in UTILITY.kpis}


def test_a_view_comes_after_those_that_it_reads() -> None:
    known = set[str]()
    for view in VIEWS.views:
        read = set(re.findall(r'"utility"\."(\w+)"', view.sql))
        assert read <= known, view.path
        known.add(view.path[-1])


@pytest.mark.parametrize(
    ("spark", "dremio"),
    [
        ("TIMESTAMPDIFF(SECOND, a, b)", 'TIMESTAMPDIFF(SECOND, "a", "b")'),
        ("COUNT_IF(NOT x)", 'COUNT(CASE WHEN NOT "x" THEN 1 END)'),
        ("DATE_FORMAT(a, 'yyyyMMdd')", "TO_CHAR(\"a\", 'YYYYMMDD')"),
        ("DATEDIFF(a, b)", 'DATEDIFF(CAST("a" AS DATE), CAST("b" AS DATE))'),
        ("CAST(a AS DECIMAL(18, 3))", 'CAST("a" AS DECIMAL(18, 3))'),
        ("a + INTERVAL '29' HOUR", "\"a\" + INTERVAL '29' HOUR"),
        (
            "ELEMENT_AT(ARRAY_SORT(COLLECT_LIST(v)), CAST(CEIL(0.95 * COUNT(v)) AS INT))",
            'PERCENTILE_DISC(0.95) WITHIN GROUP (ORDER BY "v")',
        ),
    ],
)
def test_functions_are_dremios_own(spark: str, dremio: str) -> None:
    assert expression(spark) == dremio


@pytest.mark.parametrize("sql", ["MAX_BY(a, b)", "DATE_FORMAT(a, 'yyyy-MM')", "a[1]"])
def test_what_has_no_counterpart_is_refused(sql: str) -> None:
    with pytest.raises(NotInDremio):
        expression(sql)


class _Server(ThreadingHTTPServer):
    """Dremio as its API reference describes it: a catalogue, and jobs that take a while."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.catalog: dict[tuple[str, ...], dict[str, Any]] = {}
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.refuse = ""
        self.busy = ["PLANNING", "RUNNING"]
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, path: tuple[str, ...], entity: dict[str, Any]) -> dict[str, Any]:
        number = len(self.catalog) + 1
        known = self.catalog.get(path, {"id": f"id-{number}"})
        self.catalog[path] = {**entity, "id": known["id"], "tag": f"tag-{len(self.seen)}"}
        return self.catalog[path]

    def run(self, sql: str) -> str:
        match = re.fullmatch(r"CREATE OR REPLACE VIEW ([^\n]+?) AS\n(.*)", sql, re.DOTALL)
        assert match, sql
        path = tuple(re.findall(r'"(\w+)"', match[1]))
        job = f"job-{len(self.jobs)}"
        if self.refuse and self.refuse == path[-1]:
            end = {"jobState": "FAILED", "errorMessage": f"VALIDATION ERROR: no {path[-1]}", "rowCount": 0}
        else:
            assert path[:-1] in self.catalog, "the folder of a view must be there"
            self.put(path, {"entityType": "dataset", "type": "VIRTUAL_DATASET", "path": list(path), "sql": match[2]})
            end = {"jobState": "COMPLETED", "rowCount": 1, "errorMessage": ""}
        self.jobs[job] = [*({"jobState": state} for state in self.busy), end]
        return job


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *words: Any) -> None:
        pass

    def _body(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/json"
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self.server.seen.append(f"{self.command} {self.path} {status}")
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _known(self) -> bool:
        if self.headers["Authorization"] == "_dremioabc123":
            return True
        self._answer(401, {"errorMessage": "HTTP 401 Unauthorized", "moreInfo": ""})
        return False

    def do_GET(self) -> None:
        if not self._known():
            return
        if self.path.startswith("/api/v3/job/"):
            states = self.server.jobs[self.path.rpartition("/")[2]]
            self._answer(200, states.pop(0) if len(states) > 1 else states[0])
            return
        assert self.path.startswith("/api/v3/catalog/by-path/")
        path = tuple(map(unquote, self.path.removeprefix("/api/v3/catalog/by-path/").split("/")))
        there = self.server.catalog.get(path)
        if there is None:
            self._answer(404, {"errorMessage": f"Could not find entity with path [{list(path)}]", "moreInfo": ""})
        else:
            self._answer(200, _shown(there))

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/apiv2/login":
            good = body == {"userName": "ann", "password": "secret"}
            self._answer(200 if good else 401, {"token": "abc123"} if good else {"errorMessage": "Login failed"})
        elif not self._known():
            return
        elif self.path == "/api/v3/sql":
            assert body.keys() <= {"sql", "context", "references"}
            self._answer(200, {"id": self.server.run(body["sql"])})
        else:
            assert self.path == "/api/v3/catalog"
            path = _path_of(body)
            if path in self.server.catalog:
                self._answer(409, {"errorMessage": "An entity with that name already exists", "moreInfo": ""})
            else:
                self._answer(200, _shown(self.server.put(path, body)))

    def do_PUT(self) -> None:
        body = self._body()
        if self._known():
            path = _path_of(body)
            there = self.server.catalog[path]
            assert self.path == f"/api/v3/catalog/{there['id']}"
            if body["tag"] != there["tag"]:
                self._answer(409, {"errorMessage": "The source has been changed since", "moreInfo": ""})
            else:
                self._answer(200, _shown(self.server.put(path, body)))


def _path_of(entity: dict[str, Any]) -> tuple[str, ...]:
    """Check what is written as the reference has it, and return where it goes."""
    needed = {"source": {"name", "type", "config"}, "space": {"name"}, "folder": {"path"}}[entity["entityType"]]
    assert needed <= entity.keys() <= needed | {"entityType", "id", "tag"}
    if entity["entityType"] == "source":
        assert entity["type"] == "NESSIE"
        assert entity["config"]["nessieEndpoint"].endswith("/api/v2")
        assert {"nessieAuthType", "credentialType", "awsAccessKey", "awsAccessSecret", "awsRootPath"} <= entity[
            "config"
        ].keys()
    return tuple(entity.get("path") or [entity["name"]])


def _shown(entity: dict[str, Any]) -> dict[str, Any]:
    """Return what Dremio shows: no secret, and settings that nobody gave."""
    if entity["entityType"] != "source":
        return entity
    config = {"asyncEnabled": True, **entity["config"], "awsAccessSecret": "$DREMIO_EXISTING_VALUE$"}
    return {**entity, "config": config}


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as result:
        thread = Thread(target=result.serve_forever, args=(0.01,))
        thread.start()
        yield result
        result.shutdown()
        thread.join()


def _settings(server: _Server, **more: Any) -> Settings:
    given = {"dremio_url": server.url, "dremio_user": "ann", "dremio_password": SecretStr("secret")}
    return Settings(**{**given, **more})


def _apply(server: _Server, place: Place = PLACE) -> dict[str, int]:
    outcomes: list[str] = []
    client = Dremio(_settings(server), pause=lambda _: None)
    apply(client, "utility", source(place), "key", FEW, lambda _, outcome: outcomes.append(outcome))
    client.close()
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}


def test_all_is_brought_once_and_what_differs_again(server: _Server) -> None:
    count = len(FEW) + 3
    assert _apply(server) == {"created": count}
    assert server.catalog["lake",]["config"]["awsAccessSecret"] == "key"
    assert {path for path in server.catalog if len(path) > 1} == {
        ("utility", FIGURES), *(view.path for view in FEW),
    }  # fmt: skip
    written = len([line for line in server.seen if not line.startswith("GET")])
    assert _apply(server) == {"unchanged": count}
    assert len([line for line in server.seen if not line.startswith("GET")]) == written + 1  # the login
    server.catalog["utility", "supply"]["sql"] = "SELECT 1"
    del server.catalog["utility", FIGURES, "saidi"]
    elsewhere = Place("http://nessie:19120", "https://s3.example.org", "lake", "meterlake")
    assert _apply(server, elsewhere) == {"changed": 2, "created": 1, "unchanged": count - 3}
    config = server.catalog["lake",]["config"]
    assert (config["secure"], config["asyncEnabled"], config["awsAccessSecret"]) == (True, True, "key")


def test_a_view_that_dremio_refuses_is_named_and_the_next_time_goes_on(server: _Server) -> None:
    server.refuse = "reliability"
    with pytest.raises(QueryFailed, match=r'VALIDATION ERROR: no reliability.*VIEW "utility"."reliability"'):
        _apply(server)
    before = len(server.catalog)
    assert ("utility", "supply") in server.catalog
    server.refuse = ""
    assert _apply(server) == {"created": len(FEW) + 3 - before, "unchanged": before}


def test_who_is_not_known_and_what_is_no_dremio(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="does not know ann, or not with this password"):
        Dremio(_settings(server, dremio_password=SecretStr("guess")))
    with pytest.raises(UsageError, match="METERLAKE_DREMIO_URL"):
        Dremio(_settings(server, dremio_url=""))
    with pytest.raises(EngineUnavailable, match=r"Dremio at http://127\.0\.0\.1:9 does not answer"):
        Dremio(_settings(server, dremio_url="http://127.0.0.1:9"))


def test_the_command_brings_what_the_settings_say(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.busy = []
    for name, value in (
        ("DREMIO_URL", server.url), ("DREMIO_USER", "ann"), ("DREMIO_PASSWORD", "secret"), ("NESSIE_URL", "http://n:1"),
        ("LAKE_S3_ENDPOINT", "http://s:2"), ("LAKE_ACCESS_KEY", "a"), ("LAKE_SECRET_KEY", "b"),
    ):  # fmt: skip
        monkeypatch.setenv(f"METERLAKE_{name}", value)
    done = CliRunner().invoke(app, ["dremio", "utility", "--apply"])
    assert done.exit_code == 0, done.output
    assert f"{len(VIEWS.views) + 3} created" in done.output
    assert "Not in Dremio: days_sales_outstanding: Dremio has no MAX_BY" in done.output
    config = server.catalog["lake",]["config"]
    assert (config["nessieEndpoint"], config["awsAccessKey"], config["awsAccessSecret"]) == (
        "http://n:1/api/v2",
        "a",
        "b",
    )
    assert {"name": "fs.s3a.endpoint", "value": "s:2"} in config["propertyList"]
    done = CliRunner().invoke(app, ["dremio", "utility", "--apply", "--output", "json"])
    assert {row["outcome"] for row in json.loads(done.stdout)} == {"unchanged"}
