"""What the streaming queries of a data set have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engines import topics
from meterlake.log import get_logger
from speed_layer.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.streaming.readwriter import DataStreamWriter

    from engines.topics import Topic
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from speed_layer.checkpoint import Owner
    from speed_layer.metrics import Metrics
    from speed_layer.running import RetryPolicy


@dataclass(frozen=True)
class Job:
    """What a process runs its queries with. once: what is in Kafka now, and then end."""

    settings: Settings
    dataset: MeterSeries
    spark: SparkSession
    metrics: Metrics
    retries: RetryPolicy
    clock: Clock
    once: bool


class KafkaTask:
    """A query over the topic of a data set, with a checkpoint of its own."""

    name: ClassVar[str]

    def __init__(self, job: Job) -> None:
        self.job = job
        self.messages = 0
        """How many it has read."""

    @property
    def spark_name(self) -> str:
        """What Spark calls the query."""
        return f"{self.job.dataset.name}-{self.name}"

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the query keeps how far it is."""
        return Checkpoint(self.job.settings, self.job.dataset, self.name)

    def check(self) -> None:
        """Raise if its topic and its checkpoint do not fit together (any more)."""
        self.opened()

    def opened(self) -> tuple[Topic, Owner]:
        """Return the topic, and whose the checkpoint is, checked. Raises what ``Checkpoint.open`` raises."""
        topic = topics.required(self.job.settings, self.job.dataset.readings_topic)
        return topic, self.checkpoint.open(topic, topics.spans(self.job.settings, topic))

    def run(
        self, writer: DataStreamWriter, every: timedelta, function: Callable[[DataFrame, int], None]
    ) -> StreamingQuery:
        """Start the query: each micro-batch is given to ``function``, again and again while a server is away."""
        # A pool of its own for each query: the archive's long tasks do not queue before the views' short ones.
        self.job.spark.sparkContext.setLocalProperty("spark.scheduler.pool", self.name)
        named = writer.queryName(self.spark_name).option("checkpointLocation", self.checkpoint.location)
        given = named.foreachBatch(self.job.retries.on_batch(self.name, function))
        if self.job.once:
            return given.trigger(availableNow=True).start()
        return given.trigger(processingTime=f"{every.total_seconds()} seconds").start()

    def progress(self, progress: Any) -> None:  # noqa: ANN401 - pyspark's
        """Take what Spark says of a micro-batch."""
        self.messages += progress.numInputRows
        get_logger().debug(
            "micro-batch",
            query=self.name,
            batch_id=progress.batchId,
            rows=progress.numInputRows,
            offsets=[{"from": source.startOffset, "to": source.endOffset} for source in progress.sources],
            duration_ms=progress.batchDuration,
        )
        self.job.metrics.batch(self.name, progress)

    def idle(self) -> None:
        """Take that there is nothing to do."""
        self.job.metrics.idle(self.name)
