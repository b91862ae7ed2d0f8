"""The bundle for Superset: every figure is a metric and a chart on one tab, by the statements of `kpi`."""

# Names in statements are ours.
# ruff: noqa: S608
from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import yaml
from jinja2 import Environment

from cli import superset_command
from lakehouse import superset
from lakehouse.kpi import query, statement
from meterlake import registry
from meterlake.errors import DeclarationError, PermanentError, UsageError
from meterlake.lakehouse.model import Filters, Page
from stack.instance import templates

pytestmark = pytest.mark.unit

UTILITY = registry.required_lakehouse("utility").declaration
URL = "trino://somebody@localhost:8080/lake"


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return {path: yaml.safe_load(text) for path, text in superset.files(UTILITY, URL).items()}


def test_each_figure_is_a_metric_of_its_rows_and_a_chart(made: dict[str, dict[str, Any]]) -> None:
    for kpi in UTILITY.kpis:
        data = made[f"datasets/Trino/utility_{f'{kpi.fact}_{kpi.name}' if kpi.per else kpi.fact}.yaml"]
        chart = made[f"charts/utility_{kpi.name}.yaml"]
        (metric,) = (one for one in data["metrics"] if one["metric_name"] == kpi.name)
        columns = [column["column_name"] for column in data["columns"]]
        whole, _ = statement(UTILITY, kpi.name, None, None, None)
        if kpi.per:
            assert columns == [*kpi.grain, kpi.name]
            assert metric["expression"] == f'MAX("{kpi.name}")'
        else:
            view = UTILITY.view(kpi.fact)
            assert view is not None
            assert columns == list(view.dimensions)
            grain = ", ".join(f'"{name}"' for name in kpi.grain)
            # Superset groups the rows; what it then asks is what `kpi` asks.
            rows = data["sql"].removesuffix(f"SELECT * FROM {kpi.fact}")
            figure = f"SELECT {grain}, {metric['expression']} AS {kpi.name} FROM {kpi.fact}"
            assert f"{rows}{figure} GROUP BY {grain} ORDER BY {grain}" == whole
        assert (data["catalog"], data["schema"]) == ("lake", "utility_gold")
        assert chart["dataset_uuid"] == data["uuid"]
        (asked,) = json.loads(chart["query_context"])["queries"]
        assert (asked["columns"], asked["metrics"]) == (list(kpi.grain), [kpi.name])
        assert chart["slice_name"] == kpi.title
        assert chart["viz_type"] == ("echarts_timeseries_bar" if len(kpi.grain) == 1 else "table")
    rows = {kpi.fact for kpi in UTILITY.kpis if not kpi.per}
    summed = {f"{kpi.fact}_{kpi.name}" for kpi in UTILITY.kpis if kpi.per}
    assert {path for path in made if path.startswith("datasets/")} == {
        f"datasets/Trino/utility_{name}.yaml" for name in (*rows, *summed, "filters")
    }
    identities = [one["uuid"] for one in made.values() if "uuid" in one]
    assert len(set(identities)) == len(identities) == len(made)


def _rendered(sql: str, **values: list[str]) -> str:
    """Return a statement as Superset writes it while these filters have values."""

    def filter_values(name: str, *, remove_filter: bool = False) -> list[str]:
        del remove_filter  # it is Superset's own
        return values.get(name, [])

    written = Environment(autoescape=False)  # noqa: S701 - it is SQL
    written.filters["where_in"] = lambda values: "(" + ", ".join(f"'{one}'" for one in values) + ")"
    return written.from_string(sql).render(filter_values=filter_values)


def test_a_figure_over_sums_filters_its_rows_before_they_are_summed_up(made: dict[str, dict[str, Any]]) -> None:
    sql, (kpi,) = (
        made["datasets/Trino/utility_reliability_cemi_3.yaml"]["sql"],
        (k for k in UTILITY.kpis if k.name == "cemi_3"),
    )
    wanted = ["\"year\" IN ('2026')", "TRUE", "\"region\" IN ('North', 'South')", "TRUE", "TRUE", "TRUE"]
    assert _rendered(sql, year=["2026"], region=["North", "South"]) == query(UTILITY, kpi, kpi.grain, wanted)
    assert _rendered(sql) == query(UTILITY, kpi, kpi.grain, ["TRUE"] * 6)


def test_each_filter_offers_what_those_before_it_leave(made: dict[str, dict[str, Any]]) -> None:
    filters = made["dashboards/utility.yaml"]["metadata"]["native_filter_configuration"]
    names = ["year", "month", "region", "district", "grid_station", "feeder_id"]
    offered = made["datasets/Trino/utility_filters.yaml"]
    assert [one["targets"] for one in filters] == [
        [{"datasetUuid": offered["uuid"], "column": {"name": name}}] for name in names
    ]
    assert [one["cascadeParentIds"] for one in filters] == [
        [one["id"] for one in filters[:number]] for number in range(len(names))
    ]
    assert [column["column_name"] for column in offered["columns"]] == names
    assert offered["sql"].endswith(
        'SELECT "year", "month", "region", "district", "grid_station", "feeder_id" FROM supply'
    )


def test_rows_may_be_limited_where_they_have_the_column() -> None:
    names = superset.limited(UTILITY, ["region", "year"])
    rows = {kpi.fact for kpi in UTILITY.kpis if not kpi.per}
    assert names == sorted(f"utility_{name}" for name in (rows - {"major_days"}) | {"filters"})
    assert len(superset.limited(UTILITY, [])) == len(rows) + sum(bool(kpi.per) for kpi in UTILITY.kpis) + 1
    assert superset.limited(UTILITY, ["channel"]) == ["utility_complaint_rows", "utility_payment_rows"]
    assert superset.clause({"region": ["North", "O'Hara"], "year": ["2026"]}) == (
        "\"region\" IN ('North', 'O''Hara') AND \"year\" IN ('2026')"
    )


def test_what_is_personal_is_no_column_to_group_by() -> None:
    telecom = registry.required_lakehouse("telecom").declaration
    data = yaml.safe_load(superset.files(telecom, URL)["datasets/Trino/telecom_fact_calls.yaml"])
    columns = [column["column_name"] for column in data["columns"]]
    assert {"date_sk", "status", "from_cell_site"} <= set(columns)
    assert not {"from_phone_number", "to_phone_number", "from_imei", "to_imei"} & set(columns)


def test_the_database_is_the_one_that_a_start_of_superset_makes(made: dict[str, dict[str, Any]]) -> None:
    database = made["databases/Trino.yaml"]
    assert database["uuid"] == str(uuid5(NAMESPACE_URL, "meterlake/database/Trino"))
    assert database["sqlalchemy_uri"] == URL
    assert {one["database_uuid"] for path, one in made.items() if path.startswith("datasets/")} == {database["uuid"]}
    (source, *_) = templates().loader.get_source(templates(), "superset/prepare.py.j2")  # type: ignore[union-attr]
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
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert set(opened.namelist()) == {f"utility/{path}" for path in (*texts, "metadata.yaml")}
        assert yaml.safe_load(opened.read("utility/metadata.yaml"))["type"] == "Dashboard"
    with zipfile.ZipFile(io.BytesIO(superset.bundle(texts, "utility", "dataset"))) as opened:
        assert {path.split("/")[1] for path in opened.namelist()} == {"metadata.yaml", "databases", "datasets"}
        assert yaml.safe_load(opened.read("utility/metadata.yaml"))["type"] == "SqlaTable"


def test_a_page_with_an_unknown_figure_is_refused() -> None:
    with pytest.raises(DeclarationError, match="the page 'All' shows the figure 'saidy'"):
        replace(UTILITY, pages=(Page("All", ("saidi", "saidy")),))


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        (Filters("supplied", ("year",)), "the filters are of the view 'supplied'"),
        (Filters("supply", ("year", "cause")), "a filter is 'cause'"),
    ],
)
def test_filters_of_what_is_not_there_are_refused(filters: Filters, problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(UTILITY, filters=filters)


@pytest.mark.parametrize(
    ("role", "rows", "problem"),
    [
        ("", None, "Neither --out nor --push nor --role is given"),
        ("", ["region=North"], "--rows is of a role"),
        ("north", ["region"], "--rows region has no values"),
        ("north", ["region=North,"], "--rows region=North, has no values"),
        ("north", ["cause=storm"], "filter of utility"),
    ],
)
def test_what_a_role_may_see_is_checked_before_superset_is_asked(
    role: str, rows: list[str] | None, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        superset_command.superset("utility", None, False, role, rows)
