"""The bundle for Superset: every figure is a data set and a chart on one tab, by statements of `kpi`."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import yaml

from lakehouse import superset
from lakehouse.kpi import statement
from meterlake import registry
from meterlake.errors import DeclarationError, PermanentError
from meterlake.lakehouse.model import Page
from stack.instance import TEMPLATES

pytestmark = pytest.mark.unit

UTILITY = registry.required_lakehouse("utility").declaration
URL = "trino://somebody@localhost:8080/lake"


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return {path: yaml.safe_load(text) for path, text in superset.files(UTILITY, URL).items()}


def test_each_figure_is_a_data_set_with_its_statement_and_a_chart(made: dict[str, dict[str, Any]]) -> None:
    for kpi in UTILITY.kpis:
        data = made[f"datasets/Trino/utility_{kpi.name}.yaml"]
        chart = made[f"charts/utility_{kpi.name}.yaml"]
        assert data["sql"] == statement(UTILITY, kpi.name, None, None, None)[0]
        assert [column["column_name"] for column in data["columns"]] == [*kpi.grain, kpi.name]
        assert [(one["metric_name"], one["expression"]) for one in data["metrics"]] == [
            (kpi.name, f'MAX("{kpi.name}")')
        ]
        assert (data["catalog"], data["schema"]) == ("lake", "utility_gold")
        assert chart["dataset_uuid"] == data["uuid"]
        (query,) = json.loads(chart["query_context"])["queries"]
        assert (query["columns"], query["metrics"]) == (list(kpi.grain), [kpi.name])
        assert chart["slice_name"] == kpi.title
        assert chart["viz_type"] == ("echarts_timeseries_bar" if len(kpi.grain) == 1 else "table")
    assert len(made) == 3 + 2 * len(UTILITY.kpis)
    identities = [one["uuid"] for one in made.values() if "uuid" in one]
    assert len(set(identities)) == len(identities) == len(made) - 1


def test_the_database_is_the_one_that_a_start_of_superset_makes(made: dict[str, dict[str, Any]]) -> None:
    database = made["databases/Trino.yaml"]
    assert database["uuid"] == str(uuid5(NAMESPACE_URL, "meterlake/database/Trino"))
    assert database["sqlalchemy_uri"] == URL
    assert {one["database_uuid"] for path, one in made.items() if path.startswith("datasets/")} == {database["uuid"]}
    (source, *_) = TEMPLATES.loader.get_source(TEMPLATES, "superset/prepare.py.j2")  # type: ignore[union-attr]
    assert 'uuid5(NAMESPACE_URL, "meterlake/database/Trino")' in source
    assert 'database_name="Trino"' in source


def test_each_figure_is_on_one_tab_in_rows_of_three(made: dict[str, dict[str, Any]]) -> None:
    position = made["dashboards/utility.yaml"]["position"]
    tabs = [position[tab] for tab in position["TABS-0"]["children"]]
    assert [tab["meta"]["text"] for tab in tabs] == [page.title for page in UTILITY.pages] == [
        "Reliability", "Outages", "Customer service", "Billing", "Collection and losses", "Network and load",
        "Predicted outages",
    ]  # fmt: skip
    shown = []
    for tab, page in zip(tabs, UTILITY.pages, strict=True):
        rows = [position[row] for row in tab["children"]]
        charts = [position[chart] for row in rows for chart in row["children"]]
        assert all(len(row["children"]) == 3 for row in rows[:-1])
        wanted = [made[f"charts/utility_{name}.yaml"]["uuid"] for name in page.kpis]
        assert [chart["meta"]["uuid"] for chart in charts] == wanted
        shown += page.kpis
    assert sorted(shown) == sorted(kpi.name for kpi in UTILITY.kpis)
    nodes = {name: node for name, node in position.items() if name != "DASHBOARD_VERSION_KEY"}
    for name, node in nodes.items():
        assert all(nodes[child]["parents"] == [*node.get("parents", []), name] for child in node["children"])


def test_without_pages_all_figures_are_on_one_tab() -> None:
    telecom = registry.required_lakehouse("telecom").declaration
    position = yaml.safe_load(superset.files(telecom, URL)["dashboards/telecom.yaml"])["position"]
    assert [position[tab]["meta"]["text"] for tab in position["TABS-0"]["children"]] == ["Figures"]
    with pytest.raises(PermanentError, match="Lakehouse 'telecom' has no figures"):
        superset.files(replace(telecom, kpis=()), URL)


def test_the_same_declaration_makes_the_same_bytes() -> None:
    texts = superset.files(UTILITY, URL)
    archive = superset.bundle(texts, "utility")
    assert archive == superset.bundle(dict(reversed(texts.items())), "utility")
    with zipfile.ZipFile(io.BytesIO(archive)) as result:
        assert set(result.namelist()) == {f"utility/{path}" for path in texts}


def test_a_page_with_an_unknown_figure_is_refused() -> None:
    with pytest.raises(DeclarationError, match="the page 'All' shows the figure 'saidy'"):
        replace(UTILITY, pages=(Page("All", ("saidi", "saidy")),))
