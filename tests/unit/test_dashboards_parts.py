"""Dashboards of data sets that are not ours: panels that apply, units and times of the declaration, nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlglot
import yaml

from datasets.household.declaration import HOUSEHOLD
from meterlake import registry
from meterlake.alert_specs import Alert, check_alerts
from meterlake.dashboard_specs import Band, Board, board_of, plain_board, rate, total
from meterlake.declaration import Amount, Derived, Level, MeterSeries, View, per_hour
from meterlake.errors import DeclarationError
from meterlake.expressions import parse_expression
from meterlake.report_specs import Limits
from serving_layer.dashboards import alerts, asked, catalogue, cql, macros
from serving_layer.dashboards.alerts import rules_of
from serving_layer.dashboards.health import health
from serving_layer.dashboards.history import history
from serving_layer.dashboards.live import live
from serving_layer.dashboards.merged import merged
from serving_layer.dashboards.queries import CassandraQuery, TrinoQuery
from serving_layer.dashboards.timing import Timing, silent_s

pytestmark = pytest.mark.unit

HALF_HOURLY = MeterSeries(
    name="london",
    title="Smart meters",
    intervals=(1800,),
    lateness=timedelta(hours=1),
    time_zone="Europe/London",
    measures=(Amount("energy", "kWh", "0.001", between=(0, 100), title="Energy"),),
    views=(View("hour", "month"), View("day", "year")),
)
PLUGS = MeterSeries(
    name="plugs",
    title="Plugs",
    intervals=(1,),
    time_zone="Europe/Berlin",
    measures=(Level("load", "W", "0.1", between=(0, 5000), title="Load"),),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
WATER = MeterSeries(
    name="water",
    title="Water",
    intervals=(3600,),
    lateness=timedelta(hours=2),
    time_zone="Asia/Kathmandu",
    measures=(Amount("drawn", "m3", "0.001", between=(0, 10), title="Water"),),
    views=(View("hour", "month"),),
)
CLIMATE = MeterSeries(
    name="climate",
    title="Climate",
    intervals=(60,),
    time_zone="UTC",
    measures=(Level("indoor", "°C", "0.1", between=(-50, 100), title="Indoors"),),
    views=(View("minute", "month"), View("day", "year")),
)
OTHERS = (HALF_HOURLY, PLUGS, WATER, CLIMATE)
CHOSEN = macros.Dashboard(
    datetime(2026, 11, 20, 22, tzinfo=UTC),
    datetime(2026, 11, 21, 10, tzinfo=UTC),
    {
        "meter": ["a"],
        "shown": ["a"],
        "search": "",
        "layer": "merged",
        "grain": "auto",
        "today": "2026-11-21",
        "yesterday": "2026-11-20",
    },
)


def boards(dataset: MeterSeries, board: Board | None = None) -> list[catalogue.Board]:
    spec = board or plain_board(dataset)
    made = [catalogue.Board(catalogue.CONSUMPTION, make(dataset, spec).build()) for make in (live, history, merged)]
    return [*made, catalogue.Board(catalogue.OPERATION, health([(dataset, spec)]).build())]


def panels(dataset: MeterSeries, board: Board | None = None) -> list[dict[str, Any]]:
    return [panel for shown in boards(dataset, board) for panel in json.loads(shown.text())["panels"]]


def titles(dataset: MeterSeries, board: Board | None = None) -> str:
    return "; ".join(panel.get("title", "") for panel in panels(dataset, board))


def queries(dataset: MeterSeries) -> list[asked.Asked]:
    alarms = [asked.Asked(rule.title, rule.query) for rule in rules_of(dataset, plain_board(dataset))]
    own = list(asked.queries(boards(dataset), []))
    return own + alarms


@pytest.mark.parametrize("dataset", OTHERS, ids=lambda dataset: dataset.name)
def test_every_data_set_has_four_dashboards_and_alerts_whose_queries_are_bounded(dataset: MeterSeries) -> None:
    assert [board.uid for board in boards(dataset)] == [
        f"meterlake-{dataset.name}-live",
        f"meterlake-{dataset.name}-history",
        f"meterlake-{dataset.name}-merged",
        "meterlake-health",
    ]
    for one in queries(dataset):
        assert not asked.unbounded(one), one.where
        if isinstance(one.query, TrinoQuery):
            text = macros.trino(one.query, CHOSEN)
            sqlglot.parse_one(text, dialect="trino")
            named = set(re.findall(rf"{dataset.name}_(minute|hour|day)\b", text))
            assert named <= {view.grain for view in dataset.views}, one.where
        elif isinstance(one.query, CassandraQuery):
            macros.cassandra(one.query, CHOSEN)
    assert [rule.uid for rule in rules_of(dataset, plain_board(dataset))] == [
        f"{dataset.name}-meter-silent",
        f"{dataset.name}-meters-silent",
    ]


def test_a_data_set_with_one_amount_has_what_applies_and_no_more() -> None:
    shown = titles(HALF_HOURLY)
    for word in ("Voltage", "Current", "factor", "sub-meter", "Where the energy went", "reading by reading"):
        assert word not in shown, word
    for word in ("Energy per $grain", "This time, a week and a year before", "Energy today so far", "Data sets"):
        assert word in shown, word
    value = total(HALF_HOURLY, plain_board(HALF_HOURLY))
    assert value is not None
    assert (value.unit, value.expression.text) == ("kWh", "energy_sum")
    power = rate(HALF_HOURLY, plain_board(HALF_HOURLY))
    # 0.6 kWh in half an hour are 1.2 kW.
    assert (power.unit, power.expression.text) == ("kW", "energy_sum * 3600 / covered_s")


def test_a_level_without_a_declared_total_has_the_one_that_its_unit_makes() -> None:
    value = total(PLUGS, plain_board(PLUGS))
    assert value is not None
    assert (value.title, value.unit, value.expression.text) == ("Energy", "Wh", "load_sum / 3600")
    assert "Energy per $grain" in titles(PLUGS)


def test_a_level_that_makes_nothing_has_no_totals() -> None:
    assert total(CLIMATE, plain_board(CLIMATE)) is None
    shown = titles(CLIMATE)
    assert "per $grain" not in shown
    assert "today so far" not in shown
    assert "Indoors" in shown


@pytest.mark.parametrize(
    ("dataset", "units"),
    [
        (HALF_HOURLY, {"kwatth", "kwatt", "s", "none"}),
        (PLUGS, {"watth", "watt", "s", "none"}),
        (WATER, {"m3", "suffix:m³/h", "s", "none"}),
        (CLIMATE, {"celsius", "s", "none"}),
    ],
    ids=lambda value: value.name if isinstance(value, MeterSeries) else "",
)
def test_units_are_those_of_the_declaration(dataset: MeterSeries, units: set[str]) -> None:
    consumption = [json.loads(board.text()) for board in boards(dataset)[:3]]
    result = {
        panel["fieldConfig"]["defaults"].get("unit")
        for board in consumption
        for panel in board["panels"]
        if "fieldConfig" in panel
    }
    assert {unit for unit in result if unit} <= units
    assert result >= units - {"s", "none"}


def test_times_follow_the_interval() -> None:
    assert Timing.of(PLUGS).live_range == "15m"
    assert Timing.of(PLUGS).has_seconds
    assert Timing.of(PLUGS).live_refresh == "5s"
    assert Timing.of(HALF_HOURLY).live_range == "24h"
    assert not Timing.of(HALF_HOURLY).has_seconds
    # A half-hourly reading is an hour old when the next one comes: it is silent when that is missing, too.
    assert [silent_s(interval) for interval in (1, 60, 1800)] == [303, 480, 5700]
    rule = rules_of(HALF_HOURLY, plain_board(HALF_HOURLY))[0]
    assert "> (300 + 3 * interval_s)" in rule.query.text


def test_a_plain_board_leads_with_power_before_what_is_declared_first() -> None:
    household = registry.declaration("household")
    shuffled = replace(household, name="other", measures=household.measures[::-1])
    board = plain_board(shuffled)
    assert board.main == "global_active_power"
    assert board.total == "energy_wh"
    assert board.ratios == ("power_factor",)
    assert {band.level for band in board.bands} == {"global_reactive_power", "voltage", "global_intensity"}


def test_parts_that_are_named_have_their_panels() -> None:
    dataset = replace(
        HALF_HOURLY,
        measures=(*HALF_HOURLY.measures, Level("voltage", "V", "0.1", between=(0, 500), title="Voltage")),
        derived=(Derived("doubled", "1", "energy_sum * 2", title="Twice"),),
    )
    limited = Board(main="energy", bands=(Band("voltage", Limits(207, 253, "230 V")),), ratios=("doubled",))
    shown = titles(dataset, limited)
    assert shown.count("Voltage") == 3
    assert "Twice" in shown
    assert [rule.uid for rule in rules_of(dataset, limited)][2:] == ["london-voltage", "london-voltage-many"]
    assert "voltage < 207" in rules_of(dataset, limited)[2].query.text


def test_a_data_set_declares_alerts_of_its_own() -> None:
    heavy = Alert(
        name="heavy", measure="energy", high=25, title="Heavy use", lasting=timedelta(seconds=90), severity="critical",
        runbook="https://wiki.example.org/heavy",
    )  # fmt: skip
    idle = Alert(name="idle", measure="energy", low=0.01)
    rules = rules_of(HALF_HOURLY, plain_board(HALF_HOURLY), (heavy, idle))[2:]
    assert [rule.uid for rule in rules] == ["london-heavy", "london-heavy-many", "london-idle", "london-idle-many"]
    written = yaml.safe_load(alerts.rules_text(rules, "https://wiki.example.org/runbooks"))["groups"][0]["rules"]
    assert [rule["data"][1]["model"]["conditions"][0]["evaluator"] for rule in written] == [
        {"type": "gt", "params": [25]},
        {"type": "gt", "params": [0]},
        {"type": "lt", "params": [0.01]},
        {"type": "gt", "params": [0]},
    ]
    assert [(rule["for"], rule["labels"]["severity"]) for rule in written[1:3]] == [
        ("90s", "critical"),
        ("5m", "warning"),
    ]
    assert [rule["annotations"]["runbook_url"].rpartition("/")[2] for rule in written[::2]] == [
        "heavy", "outside-limits.md"
    ]  # fmt: skip
    assert "energy > 25)" in rules[0].query.text
    assert "limits: at least 0.01." in rules[2].summary


def test_an_alert_named_as_a_level_is_in_the_place_of_ours() -> None:
    declared = Alert(name="voltage", measure="voltage", low=200, high=260)
    usual, other = (rules_of(HOUSEHOLD, board_of(HOUSEHOLD), some) for some in ((), (declared,)))
    assert [rule.uid for rule in usual] == [rule.uid for rule in other]
    assert "voltage < 200" in other[2].query.text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"name": "Heavy use", "measure": "energy", "high": 1}, "its name is none"),
        ({"name": "meter-silent", "measure": "energy", "high": 1}, "its name is none"),
        ({"name": "heavy", "measure": "energy"}, "it has no bound"),
        ({"name": "heavy", "measure": "energy", "low": 2, "high": 1}, "low=2 is not below high=1"),
        ({"name": "heavy", "measure": "energy", "high": 1, "lasting": timedelta(seconds=-1)}, "lasting=.* is none"),
        ({"name": "heavy", "measure": "enrgy", "high": 1}, "no measure 'enrgy'"),
    ],
)
def test_an_alert_that_cannot_be_is_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        check_alerts(HALF_HOURLY, (Alert(**wrong),))


def test_two_alerts_of_one_name_are_refused() -> None:
    one = Alert(name="heavy", measure="energy", high=1)
    with pytest.raises(DeclarationError, match="there are two of that name"):
        check_alerts(HALF_HOURLY, (one, one))


def test_the_health_dashboard_has_a_row_for_each_data_set() -> None:
    text = catalogue.Board(catalogue.OPERATION, health([(one, plain_board(one)) for one in OTHERS]).build()).text()
    for dataset in OTHERS:
        assert f"FROM cassandra.speed.{dataset.name}_latest" in text
        assert f"Quarantine of {dataset.name}" in text


def test_groups_of_meters_are_told_by_the_pattern_that_is_declared() -> None:
    board = replace(plain_board(PLUGS), group="^([a-z]+)'?-")
    text = rules_of(PLUGS, board)[1].query.text
    assert "regexp_extract(meter_id, '^([a-z]+)''?-', 1)" in text
    assert "regexp_extract" not in rules_of(PLUGS, plain_board(PLUGS))[1].query.text
    assert alerts.FEW == 10


@pytest.mark.parametrize(
    ("zone", "grain"), [("Europe/Paris", "hour"), ("Asia/Kolkata", "half_hour"), ("Asia/Kathmandu", "minute")]
)
def test_hours_of_the_day_are_made_of_rows_that_the_zone_does_not_cut(zone: str, grain: str) -> None:
    views = (View("minute"), View("30 min"), View("hour"), View("day"))
    there = replace(PLUGS, time_zone=zone, views=views)
    about = ("by day and hour", "today so far", "Today against")
    texts = [
        one.query.text
        for one in queries(there)
        if isinstance(one.query, TrinoQuery) and any(a in one.where for a in about)
    ]
    assert len(texts) == 3
    for text in texts:
        assert set(re.findall(r"\.plugs_(\w+)", text)) == {grain}


def test_a_total_that_is_a_column_stands_in_no_parentheses() -> None:
    """Cassandra cannot infer the type of a whole expression in parentheses."""
    energy = Amount("energy", "kWh", "0.001", between=per_hour(0, 100))
    homes = MeterSeries(name="homes", intervals=(1800,), measures=(energy,), views=(View("30 min"), View("hour")))
    assert cql.expression(homes, parse_expression("energy_sum")) == "CAST(energy_sum AS double) / 1000E0"
    assert cql.expression(homes, parse_expression("energy_sum / 2")) == "(CAST(energy_sum AS double) / 1000E0) / 2E0"
