"""Reports through the real servers: Hive, Trino and a merged view answer like the reference, to the last bit.

The views are small, made here, and lie in databases of their own.
"""

# ruff: noqa: S608, DTZ001 - names come from a declaration; times are UTC wall clock, as the tables hold them
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from report_samples import build, minutes, source_for

from engines import hdfs, hive, trino
from meterlake import registry
from meterlake.ddl import gaps_table, hive_ddl, view_table
from meterlake.declaration import MeterSeries
from meterlake.report_specs import report_of
from meterlake.settings import Settings
from meterlake.views import derived_sql
from serving_layer.reports.catalogue import make
from serving_layer.reports.render import picture
from serving_layer.reports.request import ReportOptions, make_request
from serving_layer.reports.sources import SqlSource, source_of
from serving_layer.reports.tariff import load_tariff

pytestmark = pytest.mark.integration
HOUSEHOLD = registry.declaration("household")
BATCH, MERGED = "report_test", "report_test_merged"
TARIFF = Path(__file__).parents[2] / "data" / "tariff.example.toml"


def readings() -> list[dict[str, Any]]:
    """Over the end of a month and the change of the clock, with a gap, two meters, and a rest below zero."""
    first = minutes(datetime(2010, 3, 27, 20), 600, global_active_power=1.234, sub_metering_3=3.0)
    second = minutes(datetime(2010, 3, 28, 9), 300, global_active_power=0.06, sub_metering_1=2.0, flagged=1)
    third = minutes(datetime(2010, 3, 31, 20), 500, global_active_power=2.5, global_reactive_power=0.1, voltage=253.11)
    return [*first, *second, *third, *minutes(datetime(2010, 3, 28), 60, meter="it's; a \\ meter")]


@pytest.fixture(scope="module")
def reference() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, readings())
        yield connection


@pytest.fixture(scope="module")
def servers(
    stack: object, settings: Settings, reference: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, SqlSource]:
    """The three sources over tables with the reference's rows."""
    publish(settings, HOUSEHOLD, reference, tmp_path_factory.mktemp("views"))
    result = {name: source_of(name, settings) for name in ("hive", "trino", "merged")}
    schemas = {"hive": BATCH, "trino": f"hive.{BATCH}", "merged": f"hive.{MERGED}"}
    assert all(isinstance(source, SqlSource) for source in result.values())
    return {name: replace(source, schema=schemas[name]) for name, source in result.items()}  # type: ignore[type-var]


def publish(settings: Settings, dataset: MeterSeries, reference: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the reference's tables as Parquet, declare them in Hive, and a merged view over each in Trino."""
    location = f"/{BATCH}"
    tables = {view_table(dataset, view.grain): view.partition for view in dataset.views}
    tables[gaps_table(dataset)] = "month"
    for table, partition in tables.items():
        reference.execute(
            f"COPY (SELECT *, {partition} AS slice FROM batch.{table}) TO '{folder / table}'"
            f" (FORMAT parquet, PARTITION_BY ({partition}, slice), OVERWRITE)"
        )
    hdfs.client(settings).delete(location, recursive=True)
    hdfs.client(settings).upload(location, str(folder))
    with hive.cursor(settings) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {BATCH} CASCADE")
        for statement in hive_ddl(dataset, location, BATCH).split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        for table in tables:
            cursor.execute(f"MSCK REPAIR TABLE {BATCH}.{table}")
    trino.rows(settings, f"CREATE SCHEMA IF NOT EXISTS hive.{MERGED}")
    values = ", ".join(f"{sql} AS {name}" for name, sql in derived_sql(dataset, "trino"))
    for view in dataset.views:
        name = view_table(dataset, view.grain)
        select = f"SELECT *, {values}, 'batch' AS source FROM hive.{BATCH}.{name}"
        trino.rows(settings, f"CREATE OR REPLACE VIEW hive.{MERGED}.{name} AS {select}")


FEW = ("active-power", "gaps", "cost")
REPORTS = (*FEW, "power-factor", "sub-metering", "heatmap", "monthly-energy", "standby")


@pytest.mark.parametrize(("name", "reports"), [("hive", FEW), ("trino", REPORTS), ("merged", REPORTS)])
def test_servers_and_reference_give_the_same_report(
    servers: dict[str, SqlSource], reference: duckdb.DuckDBPyConnection, name: str, reports: tuple[str, ...]
) -> None:
    options = ReportOptions(meter="house-1", tariff=load_tariff(TARIFF))
    for report in (report_of(HOUSEHOLD, result) for result in reports):
        sources = (servers[name], source_for(reference))
        result, expected = (make(report, source, make_request(source, HOUSEHOLD, options)) for source in sources)
        pd.testing.assert_frame_equal(result.table, expected.table, check_exact=True)
        assert picture(result, "png")


@pytest.mark.parametrize("name", ["hive", "trino", "merged"])
def test_a_meter_with_an_odd_name_is_bound(servers: dict[str, SqlSource], name: str) -> None:
    options = ReportOptions(
        meter="it's; a \\ meter", since="2010-03-28T01:00", until="2010-03-28T03:00", grain="minute"
    )
    source = servers[name]
    table = make(report_of(HOUSEHOLD, "voltage"), source, make_request(source, HOUSEHOLD, options)).table
    assert len(table) == 60
    assert table["mean_V"].eq(230.0).all()
