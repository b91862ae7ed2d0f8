"""Runs of the streaming queries in the tests' own process, over a data set of their own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession
from structlog.testing import capture_logs

from datasets.household.declaration import HOUSEHOLD
from engines import cassandra, topics
from engines import spark as engine
from engines.kafka import client_config
from meterlake import log
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.settings import Settings
from speed_layer import session as streaming
from speed_layer.run import Queries, run

BOTH: Final = Queries(archive=True, views=True, once=True)
ARCHIVE: Final = Queries(archive=True, views=False, once=True)


def small_batches(settings: Settings) -> Settings:
    """Several micro-batches for few messages, archive and views cut at other offsets."""
    return settings.model_copy(
        update={"archive_max_offsets": 900, "stream_max_offsets": 700, "spark_master": "local[2]"}
    )


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    with engine.session(settings, "stream", streaming.options(settings)) as result:
        yield result


@contextmanager
def own_dataset(settings: Settings, spark: SparkSession) -> Iterator[MeterSeries]:
    """A data set of its own, removed from all servers afterwards."""
    declared = replace(HOUSEHOLD, name=f"s{uuid.uuid4().hex[:12]}")
    yield declared
    for table in (declared.name, f"{declared.name}_quarantine"):
        spark.sql(f"DROP TABLE IF EXISTS iceberg.master.{table} PURGE")
    with cassandra.session(settings) as connected:
        for table in ("minute", "latest", "recent"):
            connected.execute(f"DROP TABLE IF EXISTS speed.{declared.name}_{table}", timeout=60)
    delete_topics(settings, declared.readings_topic, declared.rejected_topic)


def delete_topics(settings: Settings, *names: str) -> None:
    """Delete topics that are there, and wait until they are not."""
    there = [name for name in names if topics.find(settings, name)]
    admin = AdminClient(client_config(settings))  # held until the answers are there
    for outcome in admin.delete_topics(there).values() if there else ():
        assert outcome.exception(30) is None
    deadline = time.monotonic() + 900
    while any(topics.find(settings, name) for name in there):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def stream(settings: Settings, dataset: MeterSeries, queries: Queries = BOTH) -> list[str]:
    """Run both queries over what is there; return what they logged."""
    log.configure(None)
    with capture_logs() as lines:
        run(settings, dataset, queries, system_clock)
    return [line["event"] for line in lines]


def archived(spark: SparkSession, dataset: MeterSeries, table: str = "") -> list[Any]:
    order = "ORDER BY origin_partition, origin_offset"
    return spark.sql(f"SELECT * FROM iceberg.master.{dataset.name}{table} {order}").collect()  # noqa: S608
