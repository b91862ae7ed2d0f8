"""One local Spark session for all these tests; no server is needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from engines import spark as engine
from meterlake.settings import Settings


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), spark_master="local[2]", spark_driver_memory="1g")


@pytest.fixture(scope="package")
def spark(spark_settings: Settings) -> Iterator[SparkSession]:
    with engine.session(spark_settings, "tests") as session:
        yield session
