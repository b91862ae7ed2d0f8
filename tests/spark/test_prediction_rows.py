"""What a run reads to ask a model, of Iceberg tables in a folder: new days, and the past that features look back on."""

# Statements here are made of names of the declaration alone.
# ruff: noqa: S608
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from datasets.utility import DATASET
from datasets.utility.predictions import OUTAGES
from lakehouse.kpi import rows_of
from lakehouse.layers import tables
from lakehouse.layers.tables import Catalog
from lakehouse.prediction import rows as fetched
from lakehouse.prediction import score

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from prediction_samples import gold

pytestmark = pytest.mark.spark
DAYS = 500
"""From 2024-09-01 on: more than a year before the days that are asked about."""
LAST = "20260105"
PARTITIONED = {"dim_feeder": "", "fact_outage": "began_at", "fact_feeder_energy_day": "day_start"}


@pytest.fixture(scope="module")
def catalog(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("gold")
    spark.sql(f"CREATE NAMESPACE iceberg.{DATASET.namespace('gold')}")
    catalog = Catalog("iceberg", DATASET)
    with gold(3000, DAYS) as (connection, _, _):
        for name, time in PARTITIONED.items():
            file = folder / f"{name}.parquet"
            connection.execute(f"COPY {name} TO '{file}' (FORMAT parquet)")
            months = f"PARTITIONED BY (months({time}))" if time else ""
            spark.sql(
                f"CREATE TABLE {catalog.table('gold', name)} USING iceberg {months}"
                f" AS SELECT * FROM parquet.`{file.as_uri()}`"
            )
    spark.sql(catalog.create(tables.prediction(OUTAGES)))
    return catalog


def test_a_run_asks_about_new_days_and_opens_no_file_from_before_those_that_features_look_back_on(
    spark: SparkSession, catalog: Catalog
) -> None:
    sql = rows_of(DATASET, OUTAGES.view, OUTAGES.columns, "spark", catalog.name)
    every = fetched.of(OUTAGES, spark.sql(sql).collect())
    whole = every.where(every.days.astype(str) > LAST)
    assert len(set(whole.days)) == 8

    warehouse = Path(spark.conf.get("spark.sql.catalog.iceberg.warehouse", "").removeprefix("file://"))
    old = list(warehouse.glob("utility_gold/fact_*/data/*_month=2024-*/*.parquet"))
    assert len(old) >= 8
    for file in old:
        file.unlink()

    rows = score.fresh(spark, catalog, OUTAGES, LAST)
    assert rows.keys == whole.keys
    np.testing.assert_array_equal(rows.happened, whole.happened)
    np.testing.assert_allclose(rows.features, whole.features, rtol=1e-12)

    # What was asked about is not asked about again.
    answers = catalog.path(tables.prediction(OUTAGES))
    for day in ("20260109", "20260107"):
        values = f"'{day}', 'F1', 'sk', '{day}', 'v1', 0.5D, false, NULL, NULL, NULL, 'run'"
        spark.sql(f"INSERT INTO {answers} VALUES ({values})")
    assert set(score.fresh(spark, catalog, OUTAGES, LAST).days) == {"20260110", "20260111", "20260112", "20260113"}
    assert len(score.fresh(spark, catalog, OUTAGES, "20260113")) == 0
