"""Dashboards as code: what is checked in is what the code gives, names are stable, and every query is bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from grafana_foundation_sdk.models.common import DataSourceRef

from meterlake import registry
from meterlake.dashboard_specs import Board, boards, check_board
from meterlake.errors import DeclarationError, PermanentError
from serving_layer.dashboards import alerts, asked, catalogue, cql, macros, sql
from serving_layer.dashboards.check import columns_missing
from serving_layer.dashboards.queries import CassandraQuery, PrometheusQuery, TrinoQuery

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "grafana" / "provisioning"
HOUSEHOLD = registry.declaration("household")
SHOWN = catalogue.all_boards()
NAMES = ("half_hourly", "household")
ASKED = list(asked.queries(SHOWN, catalogue.whole().rules()))
CHOSEN = macros.Dashboard(
    datetime(2026, 11, 20, 22, 30, tzinfo=UTC),
    datetime(2026, 11, 21, 10, tzinfo=UTC),
    {
        "meter": ["a", "it's"],
        "shown": ["a", "it's"],
        "search": "",
        "layer": "merged",
        "grain": "auto",
        "today": "2026-11-21",
        "yesterday": "2026-11-20",
    },
)


def panels() -> list[tuple[str, dict[str, Any]]]:
    """Panels with data; not the headings and notes between them."""
    listed = [(board.uid, panel) for board in SHOWN for panel in json.loads(board.text())["panels"]]
    return [(uid, panel) for uid, panel in listed if panel["type"] not in {"row", "text"}]


def panel_of(uid: str, title: str) -> dict[str, Any]:
    return next(panel for board, panel in panels() if board == f"meterlake-{uid}" and panel["title"] == title)


def test_checked_in_files_are_what_the_code_gives() -> None:
    assert catalogue.drift(catalogue.ours()) == []


def test_drift_names_changed_missing_and_foreign_files(tmp_path: Path) -> None:
    part = replace(catalogue.ours(), root=tmp_path)
    written = catalogue.write(part)
    assert sorted(written) == sorted(tmp_path / path for path in part.files())
    changed, missing, *_ = (path for path in written if path.suffix == ".json")
    changed.write_text("{}")
    missing.unlink()
    foreign = tmp_path / catalogue.FOLDER / "by-hand.json"
    foreign.write_text("{}")
    assert set(catalogue.drift(part)) == {changed, missing, foreign}
    catalogue.write(part)
    assert catalogue.drift(part) == []
    assert not foreign.exists()


def test_names_are_stable_and_ids_are_grafanas() -> None:
    assert [board.uid for board in SHOWN] == [
        *(f"meterlake-half_hourly-{kind}" for kind in ("live", "history", "merged", "tables")),
        *(f"meterlake-household-{kind}" for kind in ("live", "history", "merged")),
        "meterlake-health",
    ]
    for board in SHOWN:
        plain = board.json()
        assert plain["id"] is None
        assert plain["editable"] is False
        assert len(board.uid) <= 40
        numbers = [panel["id"] for panel in json.loads(board.text())["panels"]]
        assert numbers == list(range(1, len(numbers) + 1))


def test_panels_do_not_overlap_and_fit_the_grid() -> None:
    for board in SHOWN:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(board.text())["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert place["x"] + place["w"] <= 24, panel["title"]
            assert not cells & taken, panel["title"]
            taken |= cells


def test_every_panel_says_what_it_shows_and_shows_a_gap_as_a_gap() -> None:
    for uid, panel in panels():
        assert panel["title"], uid
        assert panel["description"].endswith((".", ")")), (uid, panel["title"])
        if panel["type"] != "heatmap":
            assert panel["fieldConfig"]["defaults"]["noValue"] in {"no data", "No metrics"}, panel["title"]
        if panel["type"] == "timeseries":
            custom = panel["fieldConfig"]["defaults"]["custom"]
            assert custom["spanNulls"] is False, panel["title"]
            assert panel["options"]["legend"]["showLegend"], panel["title"]
        if panel["type"] in {"timeseries", "stat", "bargauge"}:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_lines_from_trino_and_cassandra_have_a_gap_where_rows_are_missing() -> None:
    """Grafana leaves out a null, but not a row that is not there: one of both must make the null."""
    seen = 0
    for uid, panel in panels():
        prometheus = panel["datasource"]["type"] == "prometheus"  # its answers say how far apart points are
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if panel["type"] == "timeseries" and not prometheus and custom.get("drawStyle") != "bars":
            seen += 1
            queries = [target.get("rawSQL", "") for target in panel["targets"]]
            assert custom.get("insertNulls") or all("lead(time)" in text for text in queries), (uid, panel["title"])
    assert seen >= 10


def test_names_of_properties_that_no_type_checks_are_grafanas() -> None:
    """Overrides name properties in text, which the SDK cannot check: compared with the fields of its types."""
    from grafana_foundation_sdk.models.common import GraphFieldConfig, TableFieldOptions
    from grafana_foundation_sdk.models.dashboard import FieldConfig

    known = {"display_name", *vars(FieldConfig())}
    customs = {
        "timeseries": vars(GraphFieldConfig()),
        "trend": vars(GraphFieldConfig()),
        "table": vars(TableFieldOptions()),
    }
    seen = 0
    for uid, panel in panels():
        for override in panel["fieldConfig"].get("overrides", []):
            for given in override["properties"]:
                scope, _, name = given["id"].rpartition(".")
                names = customs[panel["type"]] if scope == "custom" else known
                assert _snake(name) in names, (uid, panel["title"], given["id"])
                seen += 1
    assert seen > 50


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_all_stands_for_a_bounded_number_of_meters() -> None:
    limits = {}
    for board in SHOWN:
        for variable in json.loads(board.text()).get("templating", {}).get("list", []):
            if variable.get("includeAll"):
                limits[board.uid, variable["name"]] = int(variable["query"]["query"].rpartition("LIMIT ")[2])
    wanted = {
        ("live", "meter"): cql.MOST_NAMES,  # narrowed by the next one, which panels ask for
        ("live", "shown"): cql.MOST_SHOWN,
        ("history", "meter"): sql.MOST_METERS,
        ("merged", "meter"): sql.MOST_METERS,
    }
    assert limits == {
        (f"meterlake-{name}-{kind}", variable): most for (kind, variable), most in wanted.items() for name in NAMES
    }
    for asks in ASKED:
        if isinstance(asks.query, CassandraQuery) and "variable" not in asks.where:
            assert "${meter:" not in asks.query.text, asks.where


def test_every_dashboard_marks_what_it_can_know() -> None:
    """Live has none: it asks Cassandra alone, and works while all else is down."""
    marks = {board.uid: {mark["name"] for mark in board.json()["annotations"].get("list", [])} for board in SHOWN}  # type: ignore[attr-defined]
    for name in NAMES:
        assert marks[f"meterlake-{name}-live"] == set()
        assert marks[f"meterlake-{name}-history"] == marks[f"meterlake-{name}-merged"]
        assert marks[f"meterlake-{name}-merged"] == {"Boundary", "Layers disagree", "Gaps", "Batch runs"}
    assert marks["meterlake-health"] == {
        text
        for name in NAMES
        for text in (f"Batch runs of {name}", f"Boundary of {name}", f"Layers of {name} disagree")
    }


def test_data_sources_are_the_provisioned_ones_by_uid() -> None:
    document = yaml.safe_load((PROVISIONING / "datasources/meterlake.yaml").read_text())
    assert {source["uid"]: source["type"] for source in document["datasources"]} == asked.SOURCES
    assert [problem for board in SHOWN for problem in asked.problems(board)] == []
    for board in SHOWN:
        assert '"type": "datasource"' not in board.text()


def test_a_foreign_data_source_is_found() -> None:
    board = catalogue.all_boards()[0]
    panel = (board.dashboard.panels or [])[1]  # the first is a heading
    panel.datasource = DataSourceRef("trino-datasource", "by-hand")  # type: ignore[union-attr]
    assert len(asked.problems(board)) == 2


def test_all_meters_are_an_explicit_list() -> None:
    result = 0
    for board in SHOWN:
        for variable in json.loads(board.text()).get("templating", {}).get("list", []):
            if variable.get("includeAll"):
                result += 1
                assert "allValue" not in variable, variable["name"]
                assert variable["multi"], variable["name"]
    assert result == 4 * len(NAMES)


@pytest.mark.parametrize("asks", ASKED, ids=lambda asks: asks.where)
def test_every_query_is_bounded_and_filled_in(asks: asked.Asked) -> None:
    assert not asked.unbounded(asks)
    if isinstance(asks.query, TrinoQuery):
        text = macros.trino(asks.query, CHOSEN)
        assert "$" not in text.replace("'$.", "")  # a path into JSON begins with a dollar
        sqlglot.parse_one(text, dialect="trino")
    elif isinstance(asks.query, CassandraQuery):
        assert "$" not in macros.cassandra(asks.query, CHOSEN)


@pytest.mark.parametrize(
    "query",
    [
        TrinoQuery("SELECT * FROM hive.merged.household_minute WHERE meter_id IN ($meter)"),
        CassandraQuery("SELECT * FROM speed.household_recent"),
        CassandraQuery("SELECT * FROM speed.household_minute WHERE meter_id IN (${meter:sqlstring})"),
    ],
)
def test_an_unbounded_query_is_found(query: TrinoQuery | CassandraQuery) -> None:
    assert asked.unbounded(asked.Asked("here", query))


def test_macros_are_filled_in_as_the_plugins_do() -> None:
    text = (
        "$__timeFilter(hour) AND meter_id IN ($meter) AND '$grain' = 'x' AND $__dateFilter(day)"
        " AND $__timeFrom() < $__timeTo() "
    )
    assert macros.trino(TrinoQuery(text), CHOSEN) == (
        "hour BETWEEN TIMESTAMP '2026-11-20 22:30:00' AND TIMESTAMP '2026-11-21 10:00:00' AND meter_id IN ('a','it''s')"
        " AND 'auto' = 'x' AND day BETWEEN date '2026-11-20' AND date '2026-11-21'"
        " AND TIMESTAMP '2026-11-20 22:30:00' < TIMESTAMP '2026-11-21 10:00:00' "
    )
    text = "x IN (${meter:sqlstring}) AND day IN ('$today') AND t >= $__timeFrom AND t <= $__timeTo"
    assert macros.cassandra(CassandraQuery(text), CHOSEN) == (
        "x IN ('a','it''s') AND day IN ('2026-11-21') AND t >= 1795213800000 AND t <= 1795255200000"
    )


@pytest.mark.parametrize("text", ["$__timeGroups(a) ", "$unknown", "($__timeFilter(hour))"])
def test_what_no_plugin_fills_in_is_refused(text: str) -> None:
    with pytest.raises(PermanentError):
        macros.trino(TrinoQuery(text), CHOSEN)


def test_cql_has_the_declared_formulas() -> None:
    """Computed here from units as Cassandra holds them, and by the declaration from physical values."""
    import math

    result = cql.values(HOUSEHOLD)
    units = {
        "global_active_power_sum": 1234,
        "global_reactive_power_sum": 400,
        "covered_s": 60,
        "voltage_sum": 1_380_000,
    }
    units |= {f"sub_metering_{number}_sum": number * 1000 for number in (1, 2, 3)}

    def value(name: str) -> float:
        text = result[name]
        for column, number in units.items():
            text = text.replace(f"CAST({column} AS double)", repr(float(number)))
        return float(eval(text.lower(), {"exp": math.exp, "log": math.log}))  # noqa: S307 - arithmetic of ours

    assert value("voltage_avg") == 230.0
    assert value("energy_wh") == pytest.approx(1.234 / 3.6)
    assert value("power_factor") == pytest.approx(1.234 / math.hypot(1.234, 0.4), rel=1e-12)
    assert value("other_devices_wh") == pytest.approx(1.234 / 3.6 - 6)


def test_answers_are_compared_with_what_a_panel_needs() -> None:
    query = TrinoQuery("", {"time": "time", "kwh": "number"})
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert columns_missing(query, ["time", "kwh"], [[now, 1.5], [now, None]]) == ""
    assert "'kwh' is missing" in columns_missing(query, ["time"], [])
    assert "Decimal" in columns_missing(query, ["time", "kwh"], [[now, Decimal("1.5")]])
    assert "str" in columns_missing(query, ["time", "kwh"], [["2026", 1.5]])


def test_rules_have_a_page_a_severity_and_a_query_of_ours() -> None:
    document = yaml.safe_load((PROVISIONING / "alerting/rules.yaml").read_text())
    rules = document["groups"][0]["rules"]
    assert len({rule["uid"] for rule in rules}) == len(rules) == len(catalogue.whole().rules()) == 11
    for rule in rules:
        assert (ROOT / rule["annotations"]["runbook"]).is_file(), rule["title"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["data"][0]["datasourceUid"] in asked.SOURCES
        assert rule["condition"] == rule["data"][-1]["refId"]
        # A single dollar would be filled in from Grafana's environment; but it fills in nothing of annotations.
        assert "$$" not in json.dumps(rule.pop("annotations"))
        assert "$" not in json.dumps(rule).replace("$$", "")


def test_alerts_link_to_their_page_under_the_address_that_is_set() -> None:
    document = yaml.safe_load(alerts.rules_text(catalogue.whole().rules(), "https://wiki.example.org/runbooks/"))
    links = {rule["uid"]: rule["annotations"]["runbook_url"] for rule in document["groups"][0]["rules"]}
    assert links["meterlake-stream-down"] == "https://wiki.example.org/runbooks/stream-down.md"
    assert all(link.startswith("https://wiki.example.org/runbooks/") for link in links.values())


def test_every_metric_that_is_asked_for_is_one_that_we_serve() -> None:
    import re

    from cli import batch_metrics
    from meterlake.clock import system_clock
    from speed_layer.metrics import Metrics

    served = {family.name for family in Metrics("x", system_clock).registry.collect()}
    served |= {family.name for family in batch_metrics._REGISTRY.collect()}  # noqa: SLF001 - the names alone
    for asks in ASKED:
        if isinstance(asks.query, PrometheusQuery):
            for name in re.findall(r"meterlake_\w+", asks.query.text):
                assert re.sub(r"_(total|bucket)$", "", name) in served, asks.where


def test_links_between_dashboards_lead_to_one_that_is_there() -> None:
    import re

    known = {board.uid for board in SHOWN}
    led = {uid for board in SHOWN for uid in re.findall(r'"/d/([\w-]+)', board.text())}
    assert led == {f"meterlake-{name}-{kind}" for name in NAMES for kind in ("history", "merged")}
    assert led <= known
    for board in SHOWN:
        assert board.json()["links"][0]["tags"] == ["meterlake"]  # type: ignore[index]
        assert board.json()["tags"] == ["meterlake"]


def test_check_and_push_do_not_go_together() -> None:
    from typer.testing import CliRunner

    from cli.app import app
    from meterlake.errors import UsageError

    result = CliRunner().invoke(app, ["dashboards", "--check", "--push", "http://localhost"])
    assert isinstance(result.exception, UsageError)


def test_a_board_names_what_its_declaration_has() -> None:
    for dataset, board in boards():
        check_board(dataset, board)
    with pytest.raises(DeclarationError, match="its main 'power' is not declared"):
        check_board(HOUSEHOLD, Board(main="power"))
    with pytest.raises(DeclarationError, match="its total 'voltage' is not declared as such"):
        check_board(HOUSEHOLD, Board(main="global_active_power", total="voltage"))
    with pytest.raises(DeclarationError, match="is no regular expression"):
        Board(main="global_active_power", group="(")
    with pytest.raises(DeclarationError, match="has 2 groups"):
        Board(main="global_active_power", group="(a)(b)")
