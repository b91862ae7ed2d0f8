"""The streaming queries of a data set, run together or apart."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines import metastore, topics
from engines import spark as engine
from engines.hdfs import ERRORS, client, failure
from meterlake.boundary import check_kafka_retention, check_ttl
from meterlake.log import get_logger
from speed_layer import session, tables
from speed_layer.archive.task import ArchiveTask
from speed_layer.metrics import Listener, Metrics
from speed_layer.running import RetryPolicy, Supervisor
from speed_layer.task import Job
from speed_layer.views.task import ViewsTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings


@dataclass(frozen=True)
class Queries:
    """Which queries to run. once: what is in Kafka now, and then end. metrics_port: 0 for none."""

    archive: bool
    views: bool
    once: bool = False
    metrics_port: int = 0


def run(settings: Settings, dataset: MeterSeries, queries: Queries, clock: Clock) -> dict[str, int]:
    """Run queries until they have finished or SIGTERM or SIGINT comes; return how many messages each has read.

    Raises TtlTooShort, KafkaRetentionTooShort, ProducersTimes, what
    ``Checkpoint.open`` and ``tables.apply`` raise, EngineUnavailable where a server does not answer at the start,
    and what ends a query.
    """
    if queries.views:
        check_ttl(dataset.name, settings.speed_ttl, settings.batch_interval, dataset.lateness)
    _servers_answer(settings, archive=queries.archive)
    topics.ensure(settings, dataset)
    topics.check_times(settings, dataset.readings_topic)
    if queries.views:
        kept = topics.retention(settings, dataset.readings_topic)
        check_kafka_retention(dataset.name, kept, settings.batch_interval, dataset.lateness)
    stop = threading.Event()
    metrics = Metrics(dataset.name, clock)
    retries = RetryPolicy(stop, metrics.retry)
    app = "stream" if queries.views else "archive"
    with ExitStack() as stack:
        stack.callback(metrics.serve(queries.metrics_port))
        if queries.views:
            tables.apply(settings, dataset)
        spark = stack.enter_context(engine.session(settings, app, session.options(settings)))
        stack.enter_context(_stopping(stop))
        job = Job(settings, dataset, spark, metrics, retries, clock, queries.once)
        tasks: list[ArchiveTask | ViewsTask] = [ViewsTask(job)] if queries.views else []
        if queries.archive:
            tasks.append(ArchiveTask(job))
        listener = Listener({task.spark_name: task for task in tasks})
        spark.streams.addListener(listener)
        stack.callback(spark.streams.removeListener, listener)
        Supervisor(settings, retries, str(settings.home / "logs" / f"spark-{app}.log")).run(tasks)
    return {task.name: task.messages for task in tasks}


def _servers_answer(settings: Settings, *, archive: bool) -> None:
    """Say at once which server is missing: Spark would try for minutes."""
    try:
        client(settings).status("/")
    except ERRORS as error:
        raise failure(settings, "look at /", error) from error
    if archive:
        with metastore.client(settings) as result:
            result.get_all_databases()


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set ``stop``; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        get_logger().info("stopping when the update under way is written")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
