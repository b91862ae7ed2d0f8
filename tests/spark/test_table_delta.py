"""A Delta table behind the port for tables that are merged into; no server is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from engines.merge_table import Merged, Scope, Shape
from engines.table_format_delta import ConstraintViolated, DeltaTable, UnsafeRetention, noted
from engines.table_format_iceberg import TableDiffers
from meterlake.columns import DATE, INT, STRING, Column, decimal

pytestmark = pytest.mark.spark

SHAPE = Shape(
    database="presentation",
    name="daily",
    columns=(
        Column("day", DATE, doc="local date"),
        Column("product_id", STRING, doc="the product's id"),
        Column("kwh", decimal(3), doc="energy"),
        Column("title", STRING, nullable=True, doc="it's a name"),
    ),
    keys=("day", "product_id"),
    partition=("day",),
    order=("product_id",),
    doc="Energy of a product's meters in a day",
    checks={"kwh_counts": "kwh >= 0"},
)
ONE, TWO = date(2021, 1, 1), date(2021, 1, 2)
Row = tuple[date, str, str, str | None]
FIRST: list[Row] = [(ONE, "a", "1.500", "A"), (ONE, "b", "2.250", None), (TWO, "a", "0.001", "A")]


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> DeltaTable:
    made = DeltaTable(spark, tmp_path.as_uri(), SHAPE)
    assert made.create()
    return made


def frame(spark: SparkSession, rows: Iterable[Row]) -> DataFrame:
    values = [(day, product, Decimal(kwh), title) for day, product, kwh, title in rows]
    return spark.createDataFrame(values, "day DATE, product_id STRING, kwh DECIMAL(18,3), title STRING")


def on(day: date) -> Scope:
    return lambda rows: rows.where(f"day = DATE'{day}'")


def seen(table: DeltaTable, version: int | None = None) -> list[tuple[Any, ...]]:
    return sorted((*tuple(row)[:3], row["title"]) for row in table.read(version).collect())


def expected(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    return sorted((day, product, Decimal(kwh), title) for day, product, kwh, title in rows)


def test_a_merge_changes_what_differs_and_nothing_else(spark: SparkSession, table: DeltaTable) -> None:
    assert table.merge(frame(spark, FIRST), None) == Merged(3, 0, 0, 1)  # made, merged
    assert table.merge(frame(spark, FIRST), None) == Merged(0, 0, 0, 1)
    second: list[Row] = [(ONE, "a", "1.500", None), (ONE, "c", "7.000", "C")]
    with noted(spark, "run 2"):
        done = table.merge(frame(spark, second), on(ONE))
    assert done == Merged(inserted=1, updated=1, deleted=1, version=2)
    assert seen(table) == expected([*second, FIRST[2]])
    assert seen(table, 1) == expected(FIRST)
    assert [version.note for version in table.versions()][:2] == ["run 2", ""]
    feed = {(row["_change_type"], row["product_id"]) for row in table.changes(1, 2).collect()}
    assert feed == {("insert", "c"), ("delete", "b"), ("update_preimage", "a"), ("update_postimage", "a")}
    assert table.merge(frame(spark, []), on(TWO)) == Merged(0, 0, 1, 3)
    assert not table.create()


def test_a_new_optional_column_is_added_and_another_is_refused(spark: SparkSession, table: DeltaTable) -> None:
    table.merge(frame(spark, FIRST), None)
    extra = Column("meters", INT, nullable=True, doc="how many")
    wider = DeltaTable(
        spark, table.location.removesuffix("/presentation/daily"), replace(SHAPE, columns=(*SHAPE.columns, extra))
    )
    assert not wider.create()
    assert {row["meters"] for row in wider.read().collect()} == {None}
    rows = frame(spark, FIRST).selectExpr("*", "7 AS meters")
    assert wider.merge(rows, None) == Merged(0, 3, 0, wider.version())
    refused = replace(extra, name="needed", nullable=False)
    narrow = DeltaTable(
        spark,
        table.location.removesuffix("/presentation/daily"),
        replace(wider.shape, columns=(*wider.shape.columns, refused)),
    )
    with pytest.raises(TableDiffers, match="needed"):
        narrow.create()


def test_a_constraint_holds_for_every_writer(spark: SparkSession, table: DeltaTable) -> None:
    with pytest.raises(ConstraintViolated, match="kwh_counts"):
        table.merge(frame(spark, [(ONE, "a", "-0.001", None)]), None)
    assert seen(table) == []


def test_upkeep_joins_files_and_keeps_what_queries_may_read(spark: SparkSession, table: DeltaTable) -> None:
    for number in range(3):
        table.merge(
            frame(spark, [(ONE, f"p{number}", "1.000", None)]),
            lambda rows, number=number: rows.where(f"product_id = 'p{number}'"),
        )
    done = table.optimize()
    assert (done.files_before, done.files_after) == (3, 1)
    assert len(seen(table)) == 3
    assert table.vacuum(timedelta(days=7)) == 0
    with pytest.raises(UnsafeRetention, match="23:59:59"):
        table.vacuum(timedelta(hours=24) - timedelta(seconds=1))
