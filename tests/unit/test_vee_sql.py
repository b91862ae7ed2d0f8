"""The SQL of validated views and of the report of days, made for Trino, run by DuckDB over a few rows."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import duckdb
import pytest
import sqlglot

from meterlake import registry
from meterlake.vee import views
from serving_layer.day_quality import DayQuality, of_days, page, per_meter_day, worst_of

pytestmark = pytest.mark.unit

ENTRY = registry.entry("half_hourly")
SERIES, VEE, PRESENTATION = ENTRY.declaration, ENTRY.vee(), ENTRY.presentation()
KWH = "DECIMAL(18, 3)"
SINCE, UNTIL = date(2021, 6, 1), date(2021, 6, 2)


@pytest.fixture
def base() -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables as Trino sees them: a meter with a gap of three half hours, one of which has come since, and a value
    that is not trusted. In summer: the local day begins at 23:00 UTC.
    """
    with duckdb.connect() as result:
        result.execute("SET TimeZone = 'UTC'; CREATE MACRO with_timezone(ts, tz) AS timezone(tz, ts)")
        for catalog, schemas in {"hive": ("batch", "vee"), "delta": ("vee", "staging"), "iceberg": ("master",)}.items():
            result.execute(f"ATTACH ':memory:' AS {catalog}")
            for schema in schemas:
                result.execute(f"CREATE SCHEMA {catalog}.{schema}")
        result.execute(
            f"CREATE TABLE hive.batch.half_hourly_half_hour AS SELECT * FROM (VALUES"
            f" ('m', TIMESTAMP '2021-05-31 23:00', 1800, 0, 0.100::{KWH}),"
            f" ('m', TIMESTAMP '2021-05-31 23:30', 1800, 1, 0.200::{KWH}),"
            f" ('m', TIMESTAMP '2021-06-01 00:00', 900, 0, 0.050::{KWH}),"
            f" ('m', TIMESTAMP '2021-06-01 01:00', 1800, 0, 9.000::{KWH}),"
            f" ('m', TIMESTAMP '2021-06-01 01:30', 1800, 0, 0.300::{KWH})"
            ") t(meter_id, half_hour, covered_s, flagged, consumption_sum)"
        )
        result.execute(
            "CREATE TABLE delta.vee.half_hourly_estimates AS SELECT * FROM (VALUES"
            f" ('m', TIMESTAMP '2021-06-01 00:30', DATE '2021-06-01', 0.150::{KWH}, 1800, 'missing', 'linear'),"
            f" ('m', TIMESTAMP '2021-06-01 01:00', DATE '2021-06-01', 0.250::{KWH}, 1800, 'replaced', 'linear'),"
            f" ('m', TIMESTAMP '2021-06-01 01:30', DATE '2021-06-01', 0.280::{KWH}, 1800, 'missing', 'linear')"
            ") t(meter_id, interval_start, day, consumption_estimate, estimated_s, reason, method)"
        )
        yield result


def run(base: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    text = sql.replace(" SECURITY INVOKER", "")
    return base.execute(sqlglot.transpile(text, read="trino", write="duckdb")[0]).fetchall()


def test_the_best_value_of_each_interval_and_where_it_comes_from(base: duckdb.DuckDBPyConnection) -> None:
    run(base, views.validated_sql(SERIES, VEE))
    rows = base.execute(f"SELECT * EXCLUDE (meter_id, day) FROM {views.validated_view(SERIES)} ORDER BY 1").fetchall()
    assert [(row[0].strftime("%H:%M"), *(str(value) for value in row[1:])) for row in rows] == [
        ("23:00", "0.100", "0.100", "None", "1800", "0", "measured", "None"),
        ("23:30", "0.200", "0.200", "None", "1800", "0", "flagged", "None"),
        ("00:00", "0.050", "0.050", "None", "900", "0", "partial", "None"),
        ("00:30", "0.150", "None", "0.150", "0", "1800", "estimated", "linear"),
        ("01:00", "0.250", "9.000", "0.250", "0", "1800", "replaced", "linear"),
        ("01:30", "0.300", "0.300", "None", "1800", "0", "measured", "None"),  # late: it counts at once
    ]


def test_days_have_measured_and_estimated_apart(base: duckdb.DuckDBPyConnection) -> None:
    for sql in (views.validated_sql(SERIES, VEE), views.validated_days_sql(SERIES, VEE)):
        run(base, sql)
    rows = base.execute(f"SELECT * FROM {views.validated_days_view(SERIES)}").fetchall()
    best, measured, estimated = (Decimal(text) for text in ("1.050", "0.650", "0.400"))
    assert rows == [("m", date(2021, 6, 1), best, measured, estimated, 6300, 3600, 6, 2)]


def test_a_report_counts_what_each_day_lacks(base: duckdb.DuckDBPyConnection) -> None:
    base.execute(
        "CREATE TABLE delta.vee.half_hourly_days AS SELECT * FROM (VALUES ('m', DATE '2021-06-01', 48, 46),"
        " ('n', DATE '2021-06-01', 48, 48), ('n', DATE '2021-06-02', 48, 48), ('n', DATE '2021-05-31', 48, 0))"
        " t(meter_id, day, expected, intervals);"
        "CREATE TABLE delta.vee.half_hourly_findings AS SELECT * FROM (VALUES ('m', DATE '2021-06-01', 'missing', 2),"
        " ('m', DATE '2021-06-01', 'spike', 1), ('m', DATE '2021-06-01', 'stuck', 4),"
        " ('n', DATE '2021-06-01', 'sum_check', 48)) t(meter_id, day, rule, intervals);"
        "CREATE TABLE delta.staging.half_hourly AS SELECT * FROM (VALUES"
        " ('n', DATE '2021-06-02', true, false, false), ('n', DATE '2021-06-02', true, false, true),"
        " ('n', DATE '2021-06-02', false, false, false))"
        " t(meter_id, day, no_agreement, unknown_product, unknown_meterpoint);"
        "CREATE TABLE iceberg.master.half_hourly AS SELECT * FROM (VALUES"
        " ('n', TIMESTAMP '2021-06-01 22:00', 1800, TIMESTAMP '2021-06-02 22:30'),"
        " ('n', TIMESTAMP '2021-06-01 22:30', 1800, TIMESTAMP '2021-06-03 01:00'),"
        " ('n', TIMESTAMP '2021-06-01 22:30', 1800, TIMESTAMP '2021-06-04 01:00'),"
        " ('n', TIMESTAMP '2021-06-01 23:00', 1800, TIMESTAMP '2021-06-02 00:30'))"
        " t(meter_id, ts, interval_s, received_at)"
    )
    meter_days = per_meter_day(SERIES, PRESENTATION, SINCE, UNTIL)
    columns = "meter_id, day, expected, intervals, estimated, implausible, late, without_reference, latest_h"
    assert run(base, f"SELECT {columns} FROM ({meter_days}) ORDER BY 1, 2") == [
        ("m", date(2021, 6, 1), 48, 46, 3, 5, 0, 0, None),
        ("n", date(2021, 6, 1), 48, 48, 0, 0, 1, 0, 26),  # the first arrival counts; 24 hours are in time
        ("n", date(2021, 6, 2), 48, 48, 0, 0, 0, 2, 1),
    ]
    days = run(base, of_days(SERIES, meter_days))
    assert days == [
        (date(2021, 6, 1), 2, Decimal("97.917"), 96, 94, 3, 5, 1, 0, 26),
        (date(2021, 6, 2), 1, Decimal("100.000"), 48, 48, 0, 0, 0, 2, 1),
    ]
    worst = run(base, worst_of(SERIES, meter_days))
    assert [row[:2] for row in worst] == [
        ("m", date(2021, 6, 1)), ("n", date(2021, 6, 2)), ("n", date(2021, 6, 1))
    ]  # fmt: skip


def test_the_report_is_a_page_without_outside_parts() -> None:
    result = DayQuality(SINCE, UNTIL, [{"day": SINCE, "complete_percent": Decimal("97.917"), "latest_h": None}], [])
    text = page(SERIES, result)
    assert "<tr><td>2021-06-01<td>97.917<td></tr>" in text
    assert "<th>complete percent" in text
    assert "<p>Nothing was found.</p>" in text
    assert "http" not in text
