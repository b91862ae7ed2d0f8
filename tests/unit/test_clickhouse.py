"""ClickHouse by its engine in the process, and by HTTP: the same answers, and errors that say what is wrong.

No server can be had here: the engine in this process answers the requests of the HTTP client.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from pydantic import SecretStr

from datasets.telecom.declaration import TELECOM
from engines import clickhouse
from engines.errors import EngineUnavailable, QueryFailed
from lakehouse.clickhouse import shapes
from lakehouse.layers import tables
from lakehouse.powerbi.model import model
from meterlake.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    keys = {"lake_access_key": "someone", "lake_secret_key": SecretStr("s3cret-of-the-store")}
    return Settings(home=tmp_path_factory.mktemp("clickhouse"), **keys)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[clickhouse.ClickHouse]:
    with clickhouse.session(settings) as result:
        yield result


@pytest.fixture
def server(engine: clickhouse.ClickHouse, settings: Settings) -> Iterator[tuple[Settings, list[str]]]:
    """An HTTP front of the engine, as ClickHouse's own: the settings that lead to it, and the users who asked."""
    users: list[str] = []

    class Front(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
            users.append(base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode())
            options = parse_qs(urlparse(self.path).query)
            assert options["output_format_json_quote_decimals"] == ["1"]
            status, body = 200, b""
            try:
                if sql.startswith("BUSY"):
                    status, body = 503, b"too busy"
                elif sql.endswith(" FORMAT JSONCompact"):
                    body = self._select(sql.removesuffix(" FORMAT JSONCompact"))
                else:
                    engine.run(sql)
            except QueryFailed as error:
                status, body = 500, str(error).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _select(self, sql: str) -> bytes:
            import json

            names, rows = engine.select(sql)
            return json.dumps({"meta": [{"name": name} for name in names], "data": rows}).encode()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as front:
        thread = threading.Thread(target=front.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{front.server_address[1]}"
        login = {"clickhouse_url": url, "clickhouse_user": "ann", "clickhouse_password": SecretStr("pw")}
        yield settings.model_copy(update=login), users
        front.shutdown()
        thread.join()


EXACT = "SELECT toDecimal64('12345678901234.56', 2) AS money, toUInt64(18446744073709551615) AS n, NULL AS nothing"


def test_both_give_exact_values_as_text(engine: clickhouse.ClickHouse, server: tuple[Settings, list[str]]) -> None:
    wanted = (["money", "n", "nothing"], [["12345678901234.56", "18446744073709551615", None]])
    assert engine.select(EXACT) == wanted
    settings, users = server
    with clickhouse.session(settings) as result:
        assert result.select(EXACT) == wanted
        result.run("CREATE DATABASE IF NOT EXISTS one")
    assert users == ["ann:pw", "ann:pw"]
    assert engine.select("SELECT count() FROM system.databases WHERE name = 'one'")[1] == [["1"]]


def test_a_wrong_statement_is_named_without_secrets(
    engine: clickhouse.ClickHouse, server: tuple[Settings, list[str]]
) -> None:
    sql = "SELECT nope, 's3cret-of-the-store'"
    with pytest.raises(QueryFailed, match="nope") as failed:
        engine.run(sql)
    assert "s3cret" not in failed.value.what.split("Code:")[0]
    with clickhouse.session(server[0]) as result, pytest.raises(QueryFailed, match="nope"):
        result.select(sql)


def test_a_server_that_is_away_or_busy_is_said(server: tuple[Settings, list[str]]) -> None:
    with clickhouse.session(server[0]) as result, pytest.raises(EngineUnavailable, match="too busy"):
        result.run("BUSY")
    away = server[0].model_copy(update={"clickhouse_url": "http://127.0.0.1:9"})
    with clickhouse.session(away) as result, pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9"):
        result.run("SELECT 1")


COLUMNS = "SELECT table, name FROM system.columns WHERE database = 'telecom'"


def test_every_table_and_mart_of_a_declaration_can_be_made(engine: clickhouse.ClickHouse) -> None:
    engine.run("CREATE DATABASE telecom")
    for fact in TELECOM.facts:
        shape = shapes.fact(TELECOM, fact)
        engine.run(shape.create("telecom"))
        engine.run(f"CREATE TABLE telecom.stage AS telecom.{fact.name}")
        engine.run(f"ALTER TABLE telecom.{fact.name} DROP PARTITION '2026-11-20'")
        engine.run("DROP TABLE telecom.stage")
    calendars = [shapes.calendar(table) for table in (tables.DIM_DATE, tables.DIM_TIME)]
    for shape in (*(shapes.dimension(TELECOM, item) for item in TELECOM.dimensions), *calendars):
        engine.run(shape.create("telecom"))
        comment = f"SELECT comment FROM system.tables WHERE name = '{shape.name}'"  # noqa: S608
        assert engine.select(comment)[1] == [[shape.mark]]
    there = {(table, column) for table, column in engine.select(COLUMNS)[1]}
    for table in model(TELECOM).tables:
        assert {(table.source, column.name) for column in table.columns} <= there
    for mart in TELECOM.marts:
        select, group = shapes.mart_select(TELECOM, mart), shapes.mart_group(mart)
        names, rows = engine.select(f"{select} {group}")
        assert names == ["date_sk", *(name for name, _ in (*mart.by, *mart.figures))]
        assert rows == []


def test_a_second_process_is_told_who_has_the_folder(settings: Settings, engine: clickhouse.ClickHouse) -> None:
    import subprocess
    import sys

    code = (
        "from pathlib import Path\nfrom engines import clickhouse\nfrom meterlake.settings import Settings\n"
        f"with clickhouse.session(Settings(home=Path({str(settings.home)!r}))): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Another process works with ClickHouse's folder" in done.stderr
    assert (Path(settings.home) / "clickhouse").is_dir()
