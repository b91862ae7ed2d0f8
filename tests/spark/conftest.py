"""A local Spark session; no server is needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from engines import spark as engine
from engines import spark_runtime
from meterlake.settings import Settings
from stack.runtime.spark import runtime

spark_runtime.provide(runtime)


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("a home"), spark_master="local[2]", spark_driver_memory="1g")


@pytest.fixture(scope="session")
def quick_jvm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small data, many different queries: compiling them well costs more than it gains.

    Iceberg tables lie in a folder: its commits are files there, and no metastore is needed.
    """
    return {
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
        "spark.sql.catalog.iceberg.type": "hadoop",
        "spark.sql.catalog.iceberg.warehouse": tmp_path_factory.mktemp("iceberg").as_uri(),
    }


@pytest.fixture(scope="module")
def spark(spark_settings: Settings, quick_jvm: dict[str, str]) -> Iterator[SparkSession]:
    """One session a module; the JVM is started once, and integration tests may use it with other settings."""
    with engine.session(spark_settings, "tests", quick_jvm) as session:
        yield session
