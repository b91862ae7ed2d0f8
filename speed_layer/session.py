"""What Spark is told for streaming on few cores, each option for a reason; and the Kafka source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from engines import kafka

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

_STATE_STORES: Final = {
    "memory": "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
    "rocksdb": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
}


def options(settings: Settings) -> dict[str, str]:
    """Return the Spark options of a streaming session, on top of those of every session."""
    return {
        "spark.master": _with_room(settings.spark_master),
        "spark.sql.streaming.stateStore.providerClass": _STATE_STORES[settings.stream_state_store],
        # With rocksdb: send each update's changes to HDFS, not its files.
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        # State goes to HDFS as changes of each update; as a whole only now and then (the default: after every tenth).
        "spark.sql.streaming.stateStore.minDeltasForSnapshot": "60",
        # A hundred updates, the default, would keep gigabytes of changes.
        "spark.sql.streaming.minBatchesToRetain": "20",
        # An update without data only moves the watermark: it can wait for the next one.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        # Plans that adapt themselves are made of more, smaller jobs: time that an update of a second does not have.
        "spark.sql.adaptive.enabled": "false",
        # Lists are collected by hashing; by default, more than 128 minutes at once would be sorted.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "1000000",
        # Messages may be large: this many at once are handed to Python.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
        # There is no page to look at: what it would show of thousands of past updates need not be kept.
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.ui.retainedTasks": "1000",
        "spark.sql.ui.retainedExecutions": "20",
        # Two queries in one driver share its cores by the task.
        "spark.scheduler.mode": "FAIR",
    }


def _with_room(master: str) -> str:
    """Return the master with twice as many slots for tasks as cores, where it is this machine and no number is given.

    Spark never interrupts a task: without a free slot an update of the views waits until one of the archive's long
    tasks has ended. With one, the operating system shares the cores.
    """
    return f"local[{2 * (os.cpu_count() or 1)}]" if master == "local[*]" else master


def messages(
    spark: SparkSession,
    settings: Settings,
    dataset: MeterSeries,
    *,
    most: int,
    starting: Mapping[int, int] | None = None,
) -> DataFrame:
    """Return the messages of a data set's topic as a stream.

    most: in one micro-batch. starting: offset of each partition for a new checkpoint, instead of the setting.
    """
    topic = dataset.readings_topic
    return (
        spark.readStream.format("kafka")
        .options(**kafka.spark_options(settings))
        .option("subscribe", topic)
        .option("startingOffsets", _starting(topic, starting) if starting else settings.starting_offsets)
        .option("failOnDataLoss", str(settings.fail_on_data_loss).lower())
        .option("maxOffsetsPerTrigger", most)
        .load()
    )


def _starting(topic: str, offsets: Mapping[int, int]) -> str:
    import json

    return json.dumps({topic: {str(partition): offset for partition, offset in offsets.items()}})
