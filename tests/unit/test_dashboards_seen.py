"""What was wrong when people looked at the dashboards in a real Grafana, or with a fleet: each as a test."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import duckdb
import pytest
import sqlglot

from meterlake import registry
from meterlake.dashboard_specs import Board, board_of
from serving_layer.dashboards import alerts, catalogue, cql, sql
from serving_layer.dashboards.alerts import Rule, rules_of

pytestmark = pytest.mark.unit

HOUSEHOLD = registry.declaration("household")
SHOWN = {board.uid.removeprefix("meterlake-household-"): json.loads(board.text()) for board in catalogue.all_boards()}


def panel(board: str, title: str) -> dict[str, Any]:
    return next(result for result in SHOWN[board]["panels"] if result.get("title") == title)


def overrides(panel: dict[str, Any]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for override in panel["fieldConfig"]["overrides"]:
        properties = {given["id"]: given["value"] for given in override["properties"]}
        merged.setdefault(override["matcher"]["options"], {}).update(properties)
    return merged


def test_shares_have_names_beside_their_per_cents() -> None:
    options = panel("history", "Where the energy went")["options"]
    assert options["displayLabels"] == ["name", "percent"]
    assert options["legend"]["showLegend"]
    assert options["legend"]["displayMode"] == "table"
    assert options["legend"]["values"] == ["percent", "value"]


def test_the_comparison_of_a_year_is_drawn_by_weeks() -> None:
    text = panel("history", "This time, a week and a year before")["targets"][0]["rawSQL"]
    text = text.replace("date_diff('second', $__timeFrom() , $__timeTo() )", "s")
    steps = re.findall(r"(\d+) AS step_s, 'This time'.*?\nFROM (\S+)\nWHERE (s [^(]*) AND \(card", text)
    assert steps == [
        ("3600", "hive.published.household_hour", "s <= 691200"),
        ("86400", "hive.published.household_day", "s > 691200 AND s <= 17280000"),
        ("604800", "hive.published.household_day", "s > 17280000"),
    ]
    assert "lead(time)" in text


def test_the_hours_of_today_have_their_places_from_the_first_on() -> None:
    result = panel("merged", "Today against the same weekday")
    assert result["type"] == "barchart"
    assert result["options"]["xField"] == "hour"
    assert "timeFrom" not in result
    assert "UNNEST(sequence(0, 23))" in result["targets"][0]["rawSQL"]


def test_names_of_sub_meters_say_whose_they_are() -> None:
    result = panel("live", "Energy by sub-meter")
    names = [target["alias"] for target in result["targets"]]
    assert names[0] == "{{ meter_id }}: Kitchen"
    assert all(name.startswith("{{ meter_id }}: ") for name in names)
    colours = {name: given["color"]["fixedColor"] for name, given in overrides(result).items() if "color" in given}
    assert len({colours[f"/{title}$/"] for title in ("Kitchen", "Laundry", r"Other\ devices")}) == 3


def test_a_critical_figure_without_data_is_not_green() -> None:
    """Grafana takes the first threshold's colour for no data, unless a special value is mapped."""
    stats = [result for result in SHOWN["meterlake-health"]["panels"] if result["type"] == "stat"]
    assert len(stats) == 6
    for result in [*stats, panel("live", "Meters"), panel("merged", "Energy today so far")]:
        mapping = result["fieldConfig"]["defaults"]["mappings"][0]
        assert mapping["type"] == "special"
        assert mapping["options"]["match"] == "null+nan"
        assert mapping["options"]["result"] == {"text": "no data", "color": "#FF9830"}, result["title"]


def test_titles_of_columns_begin_with_a_capital() -> None:
    seen = 0
    for board in SHOWN.values():
        for result in board["panels"]:
            if result["type"] != "table":
                continue
            titles = [given["displayName"] for given in overrides(result).values() if "displayName" in given]
            organized = (
                [step for step in result["transformations"] if step["id"] == "organize"]
                if "transformations" in result
                else []
            )
            titles += [title for step in organized for title in step["options"]["renameByName"].values()]
            text = "".join(target.get("rawSQL", "") or target.get("target", "") for target in result["targets"])
            assert titles, result["title"]
            assert all(title[0].isupper() for title in titles), titles
            columns = re.findall(r" AS \"?(\w+)\"?(?:,|\nFROM)", text.partition("\nFROM")[0] + "\nFROM")
            named = set(overrides(result)) | {name for step in organized for name in step["options"]["renameByName"]}
            assert set(columns) <= named, (result["title"], set(columns) - named)
            seen += len(titles)
    assert seen > 30


def test_a_board_says_how_many_of_how_many_meters_it_shows() -> None:
    headings = [result["title"] for result in SHOWN["live"]["panels"] if result["type"] == "row"]
    assert headings == ["All meters: ${meter_count}", "Single meters: ${shown_count} of ${meter_count} shown"]
    for board in ("history", "merged"):
        note = next(result for result in SHOWN[board]["panels"] if result["type"] == "text")
        assert "The list holds $listed meters." in note["options"]["content"]
        names = [variable["name"] for variable in SHOWN[board]["templating"]["list"]]
        assert names[:3] == ["search", "meter", "listed"]
        kinds = {variable["name"]: variable["type"] for variable in SHOWN[board]["templating"]["list"]}
        assert kinds["search"] == "textbox"


def test_live_panels_of_single_meters_never_ask_for_more_than_can_be_read() -> None:
    variables = {variable["name"]: variable for variable in SHOWN["live"]["templating"]["list"]}
    assert variables["shown"]["query"]["query"].endswith(f"LIMIT {cql.MOST_SHOWN}")
    assert variables["shown"]["hide"] == 2
    assert variables["meter"]["regex"] == "/.*${search}.*/"


def test_no_panel_of_a_fleet_asks_the_merged_views_without_names() -> None:
    """Without names they would scan Cassandra: the layer is the merged one for as many meters as are asked by name."""
    layer = next(variable for variable in SHOWN["merged"]["templating"]["list"] if variable["name"] == "layer")
    assert layer["query"]["query"] == f"SELECT IF({sql.MANY}, 'published', 'merged') AS layer"
    seen = 0
    for result in SHOWN["merged"]["panels"]:
        for target in result.get("targets", []):
            tree = sqlglot.parse_one(_plain(target["rawSQL"]), dialect="trino")
            for select in tree.find_all(sqlglot.exp.Select):
                source = select.args.get("from_") or select.args.get("from")
                if source is not None and source.this.sql().startswith("hive."):
                    where = select.args["where"].sql()
                    assert source.this.sql().startswith("hive.merged."), result["title"]
                    assert re.search(r"< 200 AND meter_id IN \('a'\) OR .* >= 200 AND ", where), result["title"]
                    seen += 1
    assert seen >= 10


def _plain(text: str) -> str:
    filled = (
        text.replace("${layer}", "merged").replace("$meter", "'a'").replace("$grain", "auto").replace("$search", "")
    )
    return re.sub(r"\$__time(From|To)\(\)", "TIMESTAMP '2026-11-21 10:00:00'", filled).replace(
        "$__timeFilter(boundary)", "true"
    )


def firing(rule: Rule, silent: list[str], meters: list[str]) -> list[tuple[Any, ...]]:
    """Return the rows of a rule's query over a table of latest readings, of which some are an hour old."""
    with duckdb.connect() as engine:
        engine.execute("ATTACH ':memory:' AS cassandra; CREATE SCHEMA cassandra.speed")
        engine.execute(
            "CREATE TABLE cassandra.speed.household_latest AS SELECT unnest(?) AS meter_id,"
            " current_timestamp AS ts, 1 AS interval_s, 230.0 AS voltage",
            [meters],
        )
        engine.execute(
            "UPDATE cassandra.speed.household_latest SET ts = ts - INTERVAL 1 HOUR, voltage = 190"
            " WHERE meter_id IN (SELECT unnest(?))",
            [silent],
        )
        text = sqlglot.transpile(rule.query.text, read="trino", write="duckdb")[0]
        return engine.execute(text).fetchall()


FLEET = [f"{place}-{number:04d}" for place in ("north", "south") for number in range(1000)]


def silence(board: Board) -> tuple[Rule, Rule]:
    single, many, *_ = rules_of(HOUSEHOLD, board)
    return single, many


def test_a_thousand_silent_meters_raise_one_alert() -> None:
    single, many = silence(board_of(HOUSEHOLD))
    assert firing(single, FLEET[:1000], FLEET) == []
    assert firing(many, FLEET[:1000], FLEET) == [("all meters of household", 0.5)]


def test_few_silent_meters_are_named_each() -> None:
    single, many = silence(board_of(HOUSEHOLD))
    rows = firing(single, FLEET[: alerts.FEW], FLEET)
    assert sorted(row[0] for row in rows) == FLEET[: alerts.FEW]
    assert all(3590 <= row[1] <= 3610 for row in rows)
    assert firing(many, FLEET[: alerts.FEW], FLEET) == []
    assert len(firing(single, FLEET[: alerts.FEW + 1], FLEET)) == 0
    assert firing(many, FLEET[: alerts.FEW + 1], FLEET) == [("all meters of household", 11 / 2000)]


def test_no_silent_meter_raises_nothing() -> None:
    for rule in silence(board_of(HOUSEHOLD)):
        assert firing(rule, [], FLEET) == []
        assert firing(rule, [], []) == []


def test_silence_is_told_by_group_where_groups_are_declared() -> None:
    _, many = silence(replace(board_of(HOUSEHOLD), group="^([a-z]+)-"))
    assert firing(many, FLEET[:1000], FLEET) == [("group north", 1.0)]
    assert sorted(firing(many, FLEET[500:1500], FLEET)) == [("group north", 0.5), ("group south", 0.5)]
    streets = [f"{chr(97 + street)}-{number}" for street in range(20) for number in range(10)]
    assert (
        firing(many, streets[:100], streets) == [(f"group {chr(97 + street)}", 1.0) for street in range(10)]
        or len(firing(many, streets[:100], streets)) == 10
    )
    # More groups than can be named: one alert of all.
    assert firing(many, streets, streets) == [("all meters of household", 1.0)]


def test_a_voltage_that_many_meters_see_raises_one_alert() -> None:
    voltage, many = rules_of(HOUSEHOLD, board_of(HOUSEHOLD))[2:]
    with duckdb.connect() as engine:
        engine.execute("ATTACH ':memory:' AS cassandra; CREATE SCHEMA cassandra.speed")
        engine.execute(
            "CREATE TABLE cassandra.speed.household_latest AS SELECT unnest(?) AS meter_id,"
            " current_timestamp AS ts, 1 AS interval_s, 190.5 AS voltage",
            [FLEET],
        )
        ask = [sqlglot.transpile(rule.query.text, read="trino", write="duckdb")[0] for rule in (voltage, many)]
        assert [engine.execute(text).fetchall() for text in ask] == [[], [("all meters of household", 1.0)]]
    assert sql.MOST_LINES == 50


def test_bands_are_filled_down_to_a_series_that_is_called_so() -> None:
    """Grafana looks the series up by the name that is shown: no title may be put over it."""
    seen = 0
    for board in SHOWN.values():
        for result in board["panels"]:
            if "fieldConfig" not in result:
                continue
            given = overrides(result)
            for name, properties in given.items():
                if below := properties.get("custom.fillBelowTo"):
                    assert "displayName" not in properties
                    assert "displayName" not in given[below]
                    assert f'AS "{below}"' in result["targets"][0]["rawSQL"], result["title"]
                    assert f'AS "{name}"' in result["targets"][0]["rawSQL"], result["title"]
                    seen += 1
    assert seen == 6


def test_the_figures_of_a_spread_are_told_apart() -> None:
    result = panel("live", "Of a meter: 10 %, median, 90 %")
    assert result["options"]["reduceOptions"]["calcs"] == ["p10", "p50", "p90"]
    assert result["fieldConfig"]["defaults"]["displayName"] == "${__calc}"
