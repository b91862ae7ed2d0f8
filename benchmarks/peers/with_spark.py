"""Plain Spark Structured Streaming, as public pipelines write it.

JSON by ``from_json``, a watermark, ``dropDuplicatesWithinWatermark``, windows of a minute, sums of doubles; each
micro-batch goes to Cassandra by ``foreachBatch``, every partition through a session of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import common
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody does

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from pyspark.sql import DataFrame


def write(address: str, table: str, measures: list[str], rows: Iterator[Any]) -> None:
    """Write the rows of a partition."""
    minutes = common.Minutes(address, table, measures)
    try:
        minutes.write((row.meter_id, row.window.start, row.readings, *(row[name] for name in measures)) for row in rows)
    finally:
        minutes.close()


def session(asked: Namespace) -> SparkSession:
    """Start Spark with Kafka's connector."""
    spark = (
        SparkSession.builder.appName("peer")
        .master("local[2]")
        .config("spark.driver.memory", asked.memory)
        .config("spark.driver.extraClassPath", ":".join(asked.jars))
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.sparkContext.addPyFile(common.__file__)
    return spark


def windows(spark: SparkSession, asked: Namespace) -> DataFrame:
    """Return the minutes of the topic."""
    schema = "meter_id STRING, ts BIGINT, " + ", ".join(f"{name} DOUBLE" for name in asked.measures)
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", asked.kafka)
        .option("subscribe", asked.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", 200_000)
        .load()
    )
    readings = (
        messages.select(F.from_json(F.col("value").cast("string"), schema).alias("reading"))
        .select("reading.*")
        .withColumn("time", F.timestamp_seconds("ts"))
        .withWatermark("time", "10 minutes")
        .dropDuplicatesWithinWatermark(["meter_id", "ts"])
    )
    sums = (F.sum(name).alias(name) for name in asked.measures)
    grouped = readings.groupBy("meter_id", F.window("time", "1 minute"))
    return grouped.agg(F.count("*").alias("readings"), *sums)


def main() -> None:
    """Run until the topic's end."""
    asked = common.given()
    spark = session(asked)
    write_rows = partial(write, asked.cassandra, asked.table, asked.measures)
    with common.measured(asked.count) as course:
        read = 0
        query = (
            windows(spark, asked)
            .writeStream.outputMode("update")
            .foreachBatch(lambda batch, _: batch.foreachPartition(write_rows))
            .option("checkpointLocation", str(asked.folder / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        for update in query.recentProgress:
            read += update["numInputRows"]
            took = update["durationMs"]["triggerExecution"] / 1000
            course.updates.append(((course.updates[-1][0] if course.updates else 0.0) + took, read))
    spark.stop()


if __name__ == "__main__":
    main()
