"""Decimals, integers and times come out of every engine exactly as Spark wrote them, whatever zone the servers are in.

Batch views: Parquet written by path, tables and partitions made in the metastore, read by Spark, HiveServer2 and
Trino. The master data set: Iceberg, read by Trino. Speed views: Cassandra's integers, cast by Trino.
"""

# ruff: noqa: S608 - names and literals are this test's own

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import expr, partitioning

from engines import cassandra, hdfs, hive, metastore, trino
from engines import spark as engine
from engines.errors import QueryFailed
from engines.metastore import ExternalTable, HiveColumn
from meterlake import timegrid
from meterlake.columns import Dialect
from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.settings import Settings
from meterlake.units import units_to_decimal_sql
from stack.instance import Instance

pytestmark = pytest.mark.integration

FOLDER = "/meterlake/test/exact"
DATABASE = "test_exact"
QUICK_JVM = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"}

Row = tuple[Any, ...]

NAMES = ("n", "meter_id", "minute", "units", "d0", "d3", "d9")
KINDS = ("int", "string", "timestamp", "bigint", "decimal(18,0)", "decimal(18,3)", "decimal(18,9)")

# UTC wall clocks that a zone of a server, a session or a driver would move, or that do not exist in it.
MOMENTS = [
    "1970-01-01T00:00:00",
    "1969-12-31T23:59:59.999999",
    "1942-09-01T00:30:00",  # Kolkata sets its clocks forward
    "1945-10-14T23:30:00",  # and back
    "2026-03-29T00:59:59.999999",
    "2026-03-29T01:30:00",  # Paris springs forward
    "2026-03-29T02:30:00",  # does not exist in Paris
    "2026-10-25T00:30:00",
    "2026-10-25T01:30:00",  # Paris falls back
    "2026-10-25T02:30:00",  # exists twice in Paris
    "2026-11-21T12:34:56.123456",
    "2099-12-31T23:59:59.999999",
]
# Of 18 digits, as an integer count of the last one.
COUNTS = [0, 1, -1, 500, -500, 10**18 - 1, 1 - 10**18, 4216, 123_456_789_012_345_678, -(10**17), 10**15 + 1, 999_999]
BIGINTS = [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1, 9 * 10**15, 10**18 - 1, 60, 3600, 86_400]


def rows() -> list[Row]:
    return [
        (
            n,
            f"m-{n}-é",
            datetime.fromisoformat(moment),
            units,
            Decimal(count),
            Decimal(count).scaleb(-3),
            Decimal(count).scaleb(-9),
        )
        for n, (moment, count, units) in enumerate(zip(MOMENTS, COUNTS, BIGINTS, strict=True))
    ]


ROWS = rows()
MONTHS = sorted({moment[:7] for moment in MOMENTS})


def numbered(rows: list[Any]) -> list[Row]:
    """Return rows in order of ``n``, decimals with all their digits shown."""
    return sorted(tuple(str(value) if isinstance(value, Decimal) else value for value in row) for row in rows)


EXPECTED = numbered(ROWS)


@pytest.fixture(scope="module")
def spark(settings: Settings, stack: Instance) -> Iterator[SparkSession]:
    with engine.session(settings, "exact types", QUICK_JVM) as session:
        yield session


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    kinds = ("timestamp_ntz" if kind == "timestamp" else kind for kind in KINDS)
    schema = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, kinds, strict=True))
    return spark.createDataFrame(ROWS, schema).withColumn("month", expr("date_format(minute, 'yyyy-MM')"))


@pytest.fixture(scope="module")
def table(settings: Settings, frame: DataFrame) -> Iterator[ExternalTable]:
    """Partitioned Parquet, as batch writes and publishes it; one partition lies at an empty folder."""
    location = f"{settings.hdfs}{FOLDER}/views"
    frame.write.mode("overwrite").partitionBy("month").parquet(location)
    hdfs.client(settings).makedirs(f"{FOLDER}/empty")
    result = ExternalTable(
        database=DATABASE,
        name="views",
        columns=tuple(HiveColumn(name, kind) for name, kind in zip(NAMES, KINDS, strict=True)),
        location=location,
        partitioned_by=(HiveColumn("month", "string"),),
    )
    partitions: dict[tuple[str, ...], str] = {(month,): f"{location}/month={month}" for month in MONTHS}
    with metastore.client(settings) as client:
        metastore.drop_database(client, DATABASE)
        metastore.ensure_database(client, DATABASE, f"{settings.hdfs}{FOLDER}/db")
        metastore.create_table(client, result)
        metastore.add_partitions(
            client, DATABASE, "views", {**partitions, ("2000-01",): f"{settings.hdfs}{FOLDER}/empty"}
        )
    yield result
    with metastore.client(settings) as client:
        metastore.drop_database(client, DATABASE)


Ask = Callable[[str], list[Row]]
LITERALS = {
    "spark": ("TIMESTAMP_NTZ '{}'", "CAST('{}' AS DECIMAL(18,{}))"),
    "hive": ("TIMESTAMP '{}'", "CAST('{}' AS DECIMAL(18,{}))"),
    "trino": ("TIMESTAMP '{}'", "CAST('{}' AS DECIMAL(18,{}))"),
}


@pytest.fixture(params=LITERALS)
def reader(request: pytest.FixtureRequest, settings: Settings, table: ExternalTable) -> tuple[str, Ask]:
    """An engine's name, and how it answers a condition with the rows that meet it."""
    columns = ", ".join(NAMES)

    def ask_spark(where: str) -> list[Row]:
        session = SparkSession.active()
        return [tuple(row) for row in session.read.parquet(table.location).where(where).select(*NAMES).collect()]

    def ask_hive(where: str) -> list[Row]:
        return hive.rows(settings, f"SELECT {columns} FROM {DATABASE}.views WHERE {where}")

    def ask_trino(where: str) -> list[Row]:
        result = trino.rows(settings, f"SELECT {columns} FROM hive.{DATABASE}.views WHERE {where}")
        return [tuple(row) for row in result]

    return request.param, {"spark": ask_spark, "hive": ask_hive, "trino": ask_trino}[request.param]


def test_every_value_is_read_back_exactly(spark: SparkSession, reader: tuple[str, Ask]) -> None:
    _, ask = reader
    assert numbered(ask("1 = 1")) == EXPECTED


def test_a_filter_on_the_time_finds_its_rows(spark: SparkSession, reader: tuple[str, Ask]) -> None:
    name, ask = reader
    time, _ = LITERALS[name]
    one = "minute = " + time.format("2026-03-29 02:30:00")
    assert numbered(ask(one)) == [EXPECTED[6]]
    between = f"minute >= {time.format('2026-03-29 01:00:00')} AND minute < {time.format('2026-10-25 02:30:00')}"
    assert numbered(ask(between)) == EXPECTED[5:9]
    assert numbered(ask(f"minute < {time.format('1970-01-01 00:00:00')}")) == EXPECTED[1:4]


def test_a_filter_on_a_decimal_finds_its_rows(spark: SparkSession, reader: tuple[str, Ask]) -> None:
    name, ask = reader
    _, decimal = LITERALS[name]
    largest, smallest = decimal.format("999999999999999.999", 3), decimal.format("-999999999999999.999", 3)
    assert numbered(ask(f"d3 = {largest}")) == [EXPECTED[5]]
    assert numbered(ask(f"d3 < {largest} AND d3 > {decimal.format('1000000000000', 3)}")) == [EXPECTED[8], EXPECTED[10]]
    assert numbered(ask(f"d3 <= {smallest} OR d9 = {decimal.format('-0.000000500', 9)}")) == [EXPECTED[4], EXPECTED[6]]
    assert numbered(ask(f"units = {2**53 + 1}")) == [EXPECTED[5]]


def test_a_filter_on_the_partition_reads_only_it(spark: SparkSession, reader: tuple[str, Ask]) -> None:
    _, ask = reader
    assert numbered(ask("month = '2026-10'")) == EXPECTED[7:10]
    assert ask("month = '2000-01'") == []


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"])
def test_every_engine_names_the_same_row_of_every_grain(
    spark: SparkSession, settings: Settings, table: ExternalTable, zone: str
) -> None:
    grains: list[Grain] = list(GRAIN_SECONDS)
    recent = [n for n, row in enumerate(ROWS) if row[2].year >= 1970]
    times = [[timegrid.row_time(ROWS[n][2].replace(tzinfo=UTC), grain, zone) for grain in grains] for n in recent]
    expected = [(n, *(str(time)[:19] for time in row)) for n, row in zip(recent, times, strict=True)]

    def columns(dialect: Dialect) -> list[str]:
        return ["n", *(timegrid.row_time_sql("minute", grain, zone, dialect) for grain in grains)]

    name = f"{DATABASE}.views"
    answers = {
        "hive": hive.rows(settings, f"SELECT {', '.join(columns('hive'))} FROM {name}"),
        "trino": trino.rows(settings, f"SELECT {', '.join(columns('trino'))} FROM hive.{name}"),
        "spark": spark.read.parquet(table.location).selectExpr(*columns("spark")).collect(),
    }
    for engine_name, result in answers.items():
        shown = sorted((row[0], *(str(value)[:19] for value in row[1:])) for row in result if row[0] in recent)
        assert shown == expected, engine_name


def test_sums_are_exact(spark: SparkSession, settings: Settings, table: ExternalTable) -> None:
    total = sum((row[5] for row in ROWS), Decimal(0))
    assert hive.rows(settings, f"SELECT sum(d3), count(*) FROM {DATABASE}.views") == [(total, len(ROWS))]
    assert trino.rows(settings, f"SELECT sum(d3), count(*) FROM hive.{DATABASE}.views") == [[total, len(ROWS)]]


def test_a_switch_is_seen_at_once(settings: Settings, table: ExternalTable) -> None:
    """Neither an engine's cache nor a statistic answers for the folder that was left."""
    empty, full = f"{settings.hdfs}{FOLDER}/empty", f"{table.location}/month=2026-10"
    for location, expected in ((empty, len(ROWS) - 3), (full, len(ROWS))):
        with metastore.client(settings) as client:
            metastore.switch_partitions(client, DATABASE, "views", {("2026-10",): location})
        assert trino.rows(settings, f"SELECT count(*) FROM hive.{DATABASE}.views") == [[expected]]
        assert hive.rows(settings, f"SELECT count(*) FROM {DATABASE}.views") == [(expected,)]


def test_iceberg_holds_every_value(
    spark: SparkSession, settings: Settings, frame: DataFrame, table: ExternalTable
) -> None:
    name = f"{DATABASE}.master"
    spark.sql(f"DROP TABLE IF EXISTS iceberg.{name} PURGE")
    frame.drop("month").writeTo(f"iceberg.{name}").using("iceberg").partitionedBy(partitioning.days("minute")).create()
    columns = ", ".join(NAMES)
    by_trino = trino.rows(settings, f"SELECT {columns} FROM iceberg.{name}")
    by_spark = spark.table(f"iceberg.{name}").select(*NAMES).collect()
    redirected = trino.rows(
        settings, f"SELECT {columns} FROM hive.{name} WHERE minute = TIMESTAMP '2026-03-29 02:30:00'"
    )
    spark.sql(f"DROP TABLE iceberg.{name} PURGE")
    assert numbered(by_trino) == EXPECTED
    assert numbered([tuple(row) for row in by_spark]) == EXPECTED
    assert numbered(redirected) == [EXPECTED[6]]


def await_schema(settings: Settings, table: str) -> None:
    """Wait until Trino knows a table that was just made in Cassandra: it learns of it by an event."""
    deadline = time.monotonic() + 900
    while True:
        try:
            trino.rows(settings, f"SELECT 1 FROM {table} LIMIT 0")
        except QueryFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def test_cassandras_integers_become_the_same_decimals(settings: Settings, stack: Instance) -> None:
    minutes = [datetime.fromisoformat(moment).replace(second=0, microsecond=0) for moment in MOMENTS]
    with cassandra.session(settings) as session:
        session.execute(f"DROP KEYSPACE IF EXISTS {DATABASE}")
        session.execute(
            f"CREATE KEYSPACE {DATABASE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        )
        session.execute(
            f"CREATE TABLE {DATABASE}.speed (meter_id text, day text, minute timestamp, u bigint, n int, "
            "PRIMARY KEY ((meter_id, day), minute, n))"
        )
        insert = session.prepare(f"INSERT INTO {DATABASE}.speed (meter_id, day, minute, u, n) VALUES ('m', ?, ?, ?, ?)")
        for n, (minute, count) in enumerate(zip(minutes, COUNTS, strict=True)):
            session.execute(insert, (f"{minute:%Y-%m-%d}", minute, count, n))
    await_schema(settings, f"cassandra.{DATABASE}.speed")
    casts = ", ".join(units_to_decimal_sql("u", scale, "trino") for scale in (0, 3, 9))
    result = trino.rows(
        settings,
        f"SELECT n, CAST(minute AT TIME ZONE 'UTC' AS TIMESTAMP(6)), {casts} FROM cassandra.{DATABASE}.speed "
        "WHERE meter_id = 'm' AND day IN ('2026-03-29', '2026-10-25')",
    )
    with cassandra.session(settings) as session:
        session.execute(f"DROP KEYSPACE {DATABASE}")
    expected = [(n, minutes[n], *ROWS[n][4:]) for n in range(4, 10)]
    assert numbered(result) == numbered(expected)
