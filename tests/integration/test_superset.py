"""Superset itself: it asks Trino for every figure of a lakehouse, and knows who may see which rows."""

from __future__ import annotations

import csv
import io
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import lake_servers
import pytest
import requests

from datasets.utility import DATASET
from engines import trino
from lakehouse.kpi import query
from lakehouse.superset import PARTS, bundle, clause, files, limited
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.model import Kpi
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings
from stack import extra
from stack.instance import Instance
from stack.services.superset import SUPERSET, bring, login
from stack.services.superset import trino as way_to_trino
from stack.superset_access import grant

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import utility_twin as twin

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def superset(stack: Instance) -> Iterator[Instance]:
    """Superset, up."""
    with lake_servers.running(stack):
        extra.up(SUPERSET, stack)
        try:
            yield stack
        finally:
            extra.down(SUPERSET, stack)


def test_the_administrator_asks_trino(superset: Instance) -> None:
    url = SUPERSET.url(superset)
    with login(superset) as session:
        result = session.get(f"{url}/api/v1/database/", timeout=60).json()["result"]
        assert [(one["database_name"], one["backend"]) for one in result] == [("Trino", "trino")]
        question = {
            "database_id": result[0]["id"],
            "sql": "SELECT catalog_name FROM system.metadata.catalogs"
            " WHERE catalog_name IN ('hive', 'lake') ORDER BY 1",
            "client_id": secrets.token_hex(5),  # of one query alone, also in a home that was used before
            "runAsync": False,
        }
        answer = session.post(f"{url}/api/v1/sqllab/execute/", json=question, timeout=120)
    assert answer.status_code == 200, answer.text
    assert [list(row.values()) for row in answer.json()["data"]] == [["hive"], ["lake"]]


@dataclass
class World:
    """A utility under a name of its own, whose dashboard has been brought."""

    instance: Instance
    lakehouse: Lakehouse
    session: requests.Session

    @property
    def url(self) -> str:
        return f"{SUPERSET.url(self.instance)}/api/v1"

    @property
    def schema(self) -> str:
        return self.lakehouse.namespace("gold")

    def kpi(self, name: str) -> Kpi:
        return next(kpi for kpi in self.lakehouse.kpis if kpi.name == name)

    def get(self, path: str, session: requests.Session | None = None) -> Any:
        answer = (session or self.session).get(f"{self.url}/{path}", timeout=300)
        assert answer.status_code == 200, f"{path}: {answer.text[:1000]}"
        return answer.json()

    def charts(self) -> dict[str, int]:
        """Return the charts of the dashboard: title -> number."""
        charts = self.get(f"dashboard/{self.lakehouse.name}/charts")["result"]
        return {chart["slice_name"]: chart["id"] for chart in charts}

    def dataset(self, name: str) -> int:
        condition = f"(filters:!((col:table_name,opr:eq,value:{self.lakehouse.name}_{name})))"
        (dataset,) = self.get(f"dataset/?q={condition}")["result"]
        return int(dataset["id"])

    def asked(self, session: requests.Session, kpi: Kpi, filters: dict[str, list[str]], kind: str = "json") -> Any:
        """Ask for a figure as its chart does while the dashboard is filtered."""
        asked = {
            "columns": list(kpi.grain),
            "metrics": [kpi.name],
            "orderby": [[name, True] for name in kpi.grain],
            "filters": [{"col": name, "op": "IN", "val": values} for name, values in filters.items()],
        }
        body = {
            "datasource": {"id": self.dataset(f"{kpi.fact}_{kpi.name}" if kpi.per else kpi.fact), "type": "table"},
            "queries": [asked],
            "result_format": kind,
            "result_type": "full",
        }
        return session.post(f"{self.url}/chart/data", json=body, timeout=300)

    def truth(self, kpi: Kpi, conditions: Sequence[str] = ()) -> dict[tuple[str, ...], float | None]:
        """Return a figure, as Trino has it."""
        rows = trino.rows(self.instance.settings, query(self.lakehouse, kpi, kpi.grain, conditions))
        return {tuple(map(str, row[:-1])): _number(row[-1]) for row in rows}


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _shown(kpi: Kpi, answer: Any) -> dict[tuple[str, ...], Any]:
    """Return what a chart gets: by the columns of its grain, nearly equal to what it should be."""
    (result,) = answer["result"]
    assert result["error"] is None
    shown = {tuple(str(row[name]) for name in kpi.grain): _number(row[kpi.name]) for row in result["data"]}
    return {key: value and pytest.approx(value, rel=1e-9, abs=1e-9) for key, value in shown.items()}


@pytest.fixture(scope="module")
def world(superset: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, lakehouse = tmp_path_factory.mktemp("sources"), replace(DATASET, name=f"s{secrets.token_hex(4)}")
    twin.made(folder, Play(twin.urls(folder), 100, date(2025, 11, 20), 200, 11))
    with duckdb.connect() as truth:
        twin.source_tables(truth, folder)
        twin.gold(truth)
        twin.published(truth, superset.settings, lakehouse.namespace("gold"))
    texts = files(lakehouse, way_to_trino(superset.settings, secret=False)["url"])
    older = {path: text.replace("SELECT * FROM", "SELECT 1 FROM") for path, text in texts.items()}
    for bundled in (older, texts):  # the second time replaces everything, and adds nothing
        for part in PARTS:
            bring(superset, lakehouse.name, part, bundle(bundled, lakehouse.name, part))
    with login(superset) as session:
        yield World(superset, lakehouse, session)


def test_each_chart_shows_its_figure(world: World) -> None:
    charts = world.charts()
    assert sorted(charts) == sorted(kpi.title for kpi in world.lakehouse.kpis)

    def wrong(kpi: Kpi) -> str:
        answer = world.get(f"chart/{charts[kpi.title]}/data/")
        answered, truth = _shown(kpi, answer), world.truth(kpi)
        return "" if truth and answered == truth else f"{kpi.name}: {answered} instead of {truth}"

    with ThreadPoolExecutor(3) as pool:
        assert [problem for problem in pool.map(wrong, world.lakehouse.kpis) if problem] == []


def test_the_dashboard_has_its_tabs_and_filters(world: World) -> None:
    dashboard = world.get(f"dashboard/{world.lakehouse.name}")["result"]
    position, settings = json.loads(dashboard["position_json"]), json.loads(dashboard["json_metadata"])
    titles = [position[tab]["meta"]["text"] for tab in position["TABS-0"]["children"]]
    assert titles == [page.title for page in world.lakehouse.pages]
    shown = {
        node["meta"]["chartId"] for node in position.values() if isinstance(node, dict) and node["type"] == "CHART"
    }
    assert shown == set(world.charts().values())
    filters = world.lakehouse.filters
    assert filters is not None
    targets = [one["targets"] for one in settings["native_filter_configuration"]]
    number = world.dataset("filters")
    assert targets == [[{"datasetId": number, "column": {"name": name}}] for name in filters.columns]


@pytest.mark.parametrize("name", ["saidi", "saidi_without_major", "billed_energy", "cemi_1", "feeder_peak"])
def test_a_filter_reaches_the_rows_of_a_figure(world: World, name: str) -> None:
    kpi = world.kpi(name)
    region = _regions(world)[0]
    answer = world.asked(world.session, kpi, {"region": [region]})
    assert answer.status_code == 200, answer.text
    filtered, whole = _shown(kpi, answer.json()), world.truth(kpi)
    assert filtered == world.truth(kpi, [f"region = '{region}'"])
    assert filtered != whole


def test_who_may_see_a_region_sees_its_figures_and_no_others(world: World) -> None:
    regions = _regions(world)
    role, kpi = f"{world.lakehouse.name} limited", world.kpi("saidi_without_major")
    for seen in (regions[:1], regions[1:]):  # the second time replaces what was granted
        limits = {"region": seen}
        grant(world.instance, world.schema, role, limited(world.lakehouse, limits), clause(limits))
        with _login(world, role) as session:
            assert _shown(kpi, world.asked(session, kpi, {}).json()) == world.truth(kpi, [clause(limits)])
            assert _shown(kpi, world.asked(session, kpi, {"region": regions}).json()) == world.truth(
                kpi, [clause(limits)]
            )
            exported = world.asked(session, kpi, {}, "csv")
            rows = list(csv.DictReader(io.StringIO(exported.content.decode("utf-8-sig"))))
            assert len(rows) == len(world.truth(kpi, [clause(limits)]))
            assert _regions(world, session) == seen
            # Where rows cannot be limited, nothing is seen.
            assert world.asked(session, world.kpi("cemi_1"), {}).status_code == 403
            assert world.asked(session, world.kpi("t_med"), {}).status_code == 403
            dashboards = world.get("dashboard/", session)["result"]
            assert world.lakehouse.title in [one["dashboard_title"] for one in dashboards]
    grant(world.instance, world.schema, role, limited(world.lakehouse, ()), "")
    with _login(world, role) as session:
        for name in ("saidi_without_major", "cemi_1"):
            kpi = world.kpi(name)
            assert _shown(kpi, world.asked(session, kpi, {}).json()) == world.truth(kpi)
    grant(world.instance, world.schema, role, limited(world.lakehouse, limits), clause(limits))
    with _login(world, role) as session:
        assert world.asked(session, world.kpi("cemi_1"), {}).status_code == 403


def _regions(world: World, session: requests.Session | None = None) -> list[str]:
    """Return what the filter of regions offers."""
    body = {
        "datasource": {"id": world.dataset("filters"), "type": "table"},
        "queries": [{"columns": ["region"], "metrics": [], "orderby": [["region", True]]}],
        "result_format": "json",
        "result_type": "full",
    }
    answer = (session or world.session).post(f"{world.url}/chart/data", json=body, timeout=300)
    assert answer.status_code == 200, answer.text
    return [row["region"] for row in answer.json()["result"][0]["data"]]


def _login(world: World, role: str) -> requests.Session:
    """Return a session of somebody new, who has a role and Superset's own one of readers."""
    name = secrets.token_hex(4)
    roles = world.get("security/roles/?q=(page_size:100)")["result"]
    person = {
        "username": name,
        "password": name,
        "first_name": "A",
        "last_name": "Reader",
        "email": f"{name}@localhost",
        "active": True,
        "roles": [one["id"] for one in roles if one["name"] in ("Gamma", role)],
    }
    answer = world.session.post(f"{world.url}/security/users/", json=person, timeout=60)
    assert answer.status_code == 201, answer.text
    settings = {**world.instance.settings.model_dump(), "superset_user": name, "superset_password": name}
    return login(Instance(Settings(**settings)))


def test_a_second_start_keeps_what_is_there_and_takes_another_password(superset: Instance) -> None:
    wrapper = extra.running(SUPERSET, superset)
    assert extra.up(SUPERSET, superset) == SUPERSET.url(superset)
    assert extra.running(SUPERSET, superset) == wrapper
    assert extra.down(SUPERSET, superset)
    assert not extra.healthy(SUPERSET, superset)
    changed = Settings(**{**superset.settings.model_dump(), "superset_password": "another one"})
    again = Instance(changed)
    extra.up(SUPERSET, again)
    assert not extra.healthy(SUPERSET, superset)  # the password of before is not right any more
    with login(again) as session:
        result = session.get(f"{SUPERSET.url(again)}/api/v1/database/", timeout=60).json()
    assert [one["database_name"] for one in result["result"]] == ["Trino"]
