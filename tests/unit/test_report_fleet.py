"""Reports about all meters: their statements, run by DuckDB over small tables, and the pictures made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
import sqlglot

from datasets.half_hourly.reports import FLEET
from meterlake import registry
from meterlake.report_specs import Fleet, report_of
from meterlake.settings import Settings
from serving_layer.dashboards import catalogue
from serving_layer.dashboards.check import NOT_YET
from serving_layer.reports import fleet_sql
from serving_layer.reports.errors import WrongOption
from serving_layer.reports.fleet import fleet, result
from serving_layer.reports.render import csv, picture
from serving_layer.reports.request import ReportOptions, Request

pytestmark = pytest.mark.unit

OURS = registry.declaration("half_hourly")
DAYS = (date(2021, 3, 27), date(2021, 3, 28))
BOTH = "time BETWEEN DATE '2021-03-27' AND DATE '2021-03-28'"
TABLES = """
ATTACH ':memory:' AS delta; ATTACH ':memory:' AS hive;
CREATE SCHEMA delta.presentation; CREATE SCHEMA delta.vee; CREATE SCHEMA hive.vee;
CREATE TABLE delta.presentation.half_hourly_consumption_per_product_per_day AS FROM (VALUES
  (DATE '2021-03-26', 'p1', 'One', 99.000::DECIMAL(18, 3)), (DATE '2021-03-27', 'p1', 'One', 1.001),
  (DATE '2021-03-27', 'p2', 'One', 0.002), (DATE '2021-03-27', 'none', NULL, 5.000),
  (DATE '2021-03-28', 'p3', 'Three', 2.500)) AS t (day, product_id, display_name, total_kwh);
CREATE TABLE delta.presentation.half_hourly_consumption_per_region_per_day AS FROM (VALUES
  (DATE '2021-03-27', 'London', 6.003::DECIMAL(18, 3)), (DATE '2021-03-28', 'unknown', 2.500)
  ) AS t (day, region, total_kwh);
CREATE TABLE hive.vee.half_hourly_validated AS FROM (VALUES
  (TIMESTAMP '2021-03-27 00:00', 'a', 0.100::DECIMAL(18, 3), NULL::DECIMAL(18, 3)),
  (TIMESTAMP '2021-03-27 00:00', 'b', 0.300, 0.300), (TIMESTAMP '2021-03-27 00:30', 'a', 0.200, NULL)
  ) AS t (interval_start, meter_id, consumption_best, consumption_estimated);
CREATE TABLE delta.presentation.half_hourly_gold_aggregate_per_half_hour AS FROM (VALUES
  (DATE '2021-03-26', TIMESTAMP '2021-03-26 07:30', 0.2), (DATE '2021-03-27', TIMESTAMP '2021-03-27 07:30', 0.5),
  (DATE '2021-03-28', TIMESTAMP '2021-03-28 07:30', 0.7)) AS t (day, local_start, avg_kwh);
CREATE TABLE delta.presentation.half_hourly_cost AS FROM (VALUES
  (DATE '2021-03-27', 'p1', 'One', 'standing charge', 0.235100000::DECIMAL(18, 9)),
  (DATE '2021-03-27', 'p1', 'One', 'energy', 0.100000001)) AS t (day, product_id, display_name, part, amount);
CREATE TABLE delta.vee.half_hourly_days AS FROM (VALUES
  (DATE '2021-03-27', 'a', 48, 48), (DATE '2021-03-27', 'b', 48, 40), (DATE '2021-03-28', 'a', 46, 46)
  ) AS t (day, meter_id, expected, intervals);
CREATE TABLE delta.vee.half_hourly_estimates AS FROM (VALUES
  (DATE '2021-03-27', 'missing'), (DATE '2021-03-27', 'missing'), (DATE '2021-03-27', 'replaced')) AS t (day, reason);
"""
DAY, NEXT = DAYS
WANTED: dict[str, list[tuple[Any, ...]]] = {
    "products": [(DAY, "One", 1.003), (DAY, "no agreement", 5.0), (NEXT, "Three", 2.5)],
    "regions": [(DAY, "London", 6.003), (NEXT, "unknown", 2.5)],
    "half-hours": [
        (datetime(2021, 3, 27), "estimated", 0.3),  # noqa: DTZ001 - tables hold UTC without zone
        (datetime(2021, 3, 27), "measured", 0.1),  # noqa: DTZ001
        (datetime(2021, 3, 27, 0, 30), "estimated", 0.0),  # noqa: DTZ001
        (datetime(2021, 3, 27, 0, 30), "measured", 0.2),  # noqa: DTZ001
    ],
    "day-profile": [("07:30", "week-ends", 0.6)],
    "costs": [(DAY, "One", 0.335100001)],
    "completeness": [
        (DAY, "estimated", 2.0),
        (DAY, "measured", 88.0),
        (DAY, "missing", 6.0),
        (NEXT, "estimated", 0.0),
        (NEXT, "measured", 46.0),
        (NEXT, "missing", 0.0),
    ],
}


@pytest.fixture(scope="module")
def base() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(TABLES)
        yield connection


def asked(base: duckdb.DuckDBPyConnection, report: Fleet) -> list[tuple[Any, ...]]:
    text = fleet_sql.statement(OURS, report, BOTH, "time")
    return base.execute(sqlglot.transpile(text, read="trino", write="duckdb")[0]).fetchall()


@pytest.mark.parametrize("report", FLEET, ids=lambda report: report.name)
def test_each_report_has_exact_numbers(base: duckdb.DuckDBPyConnection, report: Fleet) -> None:
    result = asked(base, report)
    assert [row[:2] for row in result] == [row[:2] for row in WANTED[report.name]]
    assert [row[2] for row in result] == pytest.approx([row[2] for row in WANTED[report.name]], abs=1e-12)
    assert report_of(OURS, report.name) == report


def test_parts_beyond_the_most_are_one(base: duckdb.DuckDBPyConnection) -> None:
    (products, *_) = FLEET
    two = Fleet(name="two", title="", doc="", sql=products.sql, unit="kWh", most=1)
    assert asked(base, two) == [
        (DAY, "all others", pytest.approx(1.003)),
        (DAY, "no agreement", 5.0),
        (NEXT, "all others", 2.5),
    ]


def test_the_tables_are_those_of_the_data_set() -> None:
    result = {name for report in FLEET for _, name in fleet_sql.tables(OURS, report)}
    declared = {f"half_hourly_{table.name}" for table in registry.entry("half_hourly").presentation().tables}
    others = {"half_hourly_cost", "half_hourly_days", "half_hourly_estimates", "half_hourly_validated"}
    assert result - declared == others


@pytest.mark.parametrize("report", FLEET, ids=lambda report: report.name)
def test_a_report_becomes_a_table_and_the_same_picture(report: Fleet) -> None:
    since = datetime(2021, 3, 27, tzinfo=UTC)  # midnight in London
    until = datetime(2021, 3, 28, 23, tzinfo=UTC)
    rows = [list(row) for row in WANTED[report.name]]
    made = result(report, Request(OURS, "", since, until, DAYS, "tables"), rows)
    assert made.frame_note.startswith("27 Mar 2021 – 28 Mar 2021")
    assert picture(made, "png") == picture(made, "png")
    assert b"All meters" in picture(made, "svg")
    if report.name == "products":
        assert csv(made.table).splitlines() == [
            "time,no agreement,Three,One",
            "2021-03-27,5.0,,1.003",
            "2021-03-28,,2.5,",
        ]
        assert [(item.label, item.text) for item in made.key_figures] == [
            ("Total", "8.50 kWh"),
            ("no agreement", "5.00 kWh"),
            ("Three", "2.50 kWh"),
            ("One", "1.00 kWh"),
        ]
    if report.hatched:
        assert list(made.table)[-1] == "estimated"


def test_the_dashboard_has_a_panel_a_report() -> None:
    (board,) = (board for board in catalogue.ours().boards() if board.uid == "meterlake-half_hourly-tables")
    shown = json.loads(board.text())["panels"]
    assert [panel["title"] for panel in shown] == [report.title for report in FLEET]
    for panel, report in zip(shown, FLEET, strict=True):
        (target,) = panel["targets"]
        assert ("$__timeFilter(time)" in target["rawSQL"]) == (not report.daily)
        assert panel["fieldConfig"]["defaults"]["unit"] == {"kWh": "kwatth", "GBP": "currencyGBP"}.get(
            report.unit, "suffix:half hours"
        )


def test_a_day_begins_at_midnight_in_london() -> None:
    (board,) = (board for board in catalogue.ours().boards() if board.uid == "meterlake-half_hourly-tables")
    texts = [panel["targets"][0]["rawSQL"] for panel in json.loads(board.text())["panels"]]
    assert sum("with_timezone(CAST(time AS TIMESTAMP(3)), 'Europe/London')" in text for text in texts) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (ReportOptions(meter="a"), "--meter-id"),
        (ReportOptions(grain="day"), "--grain"),
        (ReportOptions(threshold=1.0), "--min-power"),
    ],
)
def test_options_about_one_meter_are_refused_before_any_server_is_asked(given: ReportOptions, says: str) -> None:
    with pytest.raises(WrongOption, match=says):
        fleet(Settings(trino_url="http://127.0.0.1:9"), OURS, FLEET[0], given)


def test_tables_that_are_not_there_yet_are_no_fault_of_the_dashboard() -> None:
    for message in (
        "Trino refused the statement: line 1:93: Table 'delta.presentation.half_hourly_cost' does not exist.",
        "Trino refused the statement: line 1:41: Schema 'presentation' does not exist.",
    ):
        assert NOT_YET.search(message)
    assert not NOT_YET.search("Trino refused the statement: line 1:8: Column 'kwh' cannot be resolved.")
