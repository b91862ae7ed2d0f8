"""Prometheus metrics of the streaming queries, served on loopback; they cost nothing where nobody asks for them."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from pyspark.sql.streaming.listener import StreamingQueryListener

from meterlake.rules import RECEIVED_BEFORE_EVENT
from speed_layer.errors import MetricsPortBusy
from speed_layer.progress import behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from meterlake.clock import Clock

_FRESHNESS_S: Final = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 30, 60, 300, 1800, 3600)
_BATCH_S: Final = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)


class Metrics:
    """The figures of one process. Labels: the data set, and which of its queries."""

    def __init__(self, dataset: str, clock: Clock) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        self._dataset = dataset
        self._received = self._counter("messages", "Messages read from Kafka", "query")
        self._undecodable = self._counter("undecodable", "Messages that are no readings", "query", "reason")
        self._rejected = self._counter("rejected", "Readings that a rule rejected", "reason")
        self._future = self._counter("future", "Readings from after their arrival: a meter's clock runs ahead")
        self._repeated = self._counter("repeated", "Readings that came again within one update")
        self._late = self._counter("late", "Readings that came after the lateness, left to batch")
        self._evicted = self._counter("evicted", "Readings in time whose minute was closed already, left to batch")
        self._archived = self._counter("archived", "Readings in the micro-batches that the archive has appended")
        self._again = self._counter("archived_already", "Messages that the archive had when they came again")
        self._missing = self._counter(
            "missing_offsets", "Offsets without a message: dropped by Kafka before they were read"
        )
        self._rows = self._counter("rows", "Rows written to Cassandra", "table")
        self._retries = self._counter("retries", "Tries again after a server did not answer", "query")
        self._watermark = self._gauge("watermark_delay_seconds", "How far the watermark is behind the clock")
        self._behind = self._gauge("offsets_behind", "Messages that are in Kafka and not processed yet", "query")
        self._state_rows = self._gauge("state_rows", "Open minutes in the state")
        self._state_bytes = self._gauge("state_bytes", "Memory of the state")
        self._last = self._gauge(
            "last_batch_timestamp_seconds", "When the last micro-batch ended, or there was nothing to do", "query"
        )
        self._duration = self._histogram("batch_duration_seconds", "Duration of a micro-batch", _BATCH_S, "query")
        self._phases = self._counter(
            "phase_seconds", "Where micro-batches spend their time, as Spark says", "query", "phase"
        )
        self._freshness = Freshness(dataset)
        self.registry.register(self._freshness)

    def serve(self, port: int) -> Callable[[], None]:
        """Serve on loopback until the returned function is called; 0 serves nothing. Raises MetricsPortBusy."""
        if not port:
            return lambda: None
        try:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)
        except OSError as error:
            raise MetricsPortBusy(port, error.strerror) from error

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    def batch(self, query: str, progress: Any) -> None:  # noqa: ANN401 - pyspark's
        """Take what Spark says of a micro-batch."""
        self._received.labels(self._dataset, query).inc(progress.numInputRows)
        self._duration.labels(self._dataset, query).observe(progress.batchDuration / 1000)
        self._last.labels(self._dataset, query).set(self._clock().timestamp())
        for phase, milliseconds in progress.durationMs.items():
            self._phases.labels(self._dataset, query, phase).inc(milliseconds / 1000)
        for source in progress.sources:
            self._behind.labels(self._dataset, query).set(behind(source.endOffset, source.latestOffset))
        for operator in progress.stateOperators:
            self._state_rows.labels(self._dataset).set(operator.numRowsTotal)
            self._state_bytes.labels(self._dataset).set(operator.memoryUsedBytes)
        if watermark := progress.eventTime.get("watermark"):
            delay = self._clock() - datetime.fromisoformat(watermark)
            self._watermark.labels(self._dataset).set(delay.total_seconds())

    def idle(self, query: str) -> None:
        """Take that a query looked for messages, and there were none: it is not down."""
        self._last.labels(self._dataset, query).set(self._clock().timestamp())

    def archived(self, readings: int, again: int, missing: int) -> None:
        """Count readings appended, messages that were there already, and offsets without a message."""
        self._archived.labels(self._dataset).inc(readings)
        self._again.labels(self._dataset).inc(again)
        self._missing.labels(self._dataset).inc(missing)

    def undecodable(self, query: str, reasons: Mapping[str, int]) -> None:
        """Count messages that are no readings, by reason."""
        for reason, count in reasons.items():
            self._undecodable.labels(self._dataset, query, reason).inc(count)

    def judged(self, rejected: Mapping[str, int], repeated: int, late: int, evicted: int) -> None:
        """Count readings that do not enter a view: rejected by reason, come again, late, or of a closed minute."""
        for reason, count in rejected.items():
            self._rejected.labels(self._dataset, reason).inc(count)
        self._future.labels(self._dataset).inc(rejected.get(RECEIVED_BEFORE_EVENT, 0))
        self._repeated.labels(self._dataset).inc(repeated)
        self._late.labels(self._dataset).inc(late)
        self._evicted.labels(self._dataset).inc(evicted)

    def written(self, rows: Mapping[str, int]) -> None:
        """Count rows written, by table."""
        for table, count in rows.items():
            self._rows.labels(self._dataset, table).inc(count)

    def fresh(self, ages: Iterable[tuple[float, int]]) -> None:
        """Take ages in seconds at which readings became readable, and how many did at each."""
        self._freshness.observe(ages)

    def retry(self, query: str) -> None:
        """Count a try again."""
        self._retries.labels(self._dataset, query).inc()

    def _counter(self, name: str, doc: str, *labels: str) -> Counter:
        return Counter(f"meterlake_stream_{name}", doc, ("dataset", *labels), registry=self.registry)

    def _gauge(self, name: str, doc: str, *labels: str) -> Gauge:
        return Gauge(f"meterlake_stream_{name}", doc, ("dataset", *labels), registry=self.registry)

    def _histogram(self, name: str, doc: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        names = ("dataset", *labels)
        return Histogram(f"meterlake_stream_{name}", doc, names, buckets=buckets, registry=self.registry)


class Freshness(Collector):
    """A histogram that takes many readings of one age at once: prometheus_client's own takes them one by one."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._counts = [0] * (len(_FRESHNESS_S) + 1)
        self._sum = 0.0

    def observe(self, ages: Iterable[tuple[float, int]]) -> None:
        """Take ages in seconds, and how many readings had each."""
        for age, count in ages:
            self._counts[bisect_left(_FRESHNESS_S, age)] += count
            self._sum += age * count

    def collect(self) -> Iterator[Metric]:
        """Return the histogram as Prometheus wants it: each bucket holds those before it."""
        family = HistogramMetricFamily(
            "meterlake_stream_freshness_seconds",
            "From a reading's event time to its minute's row in Cassandra",
            labels=("dataset",),
        )
        bounds = [*(str(float(bound)) for bound in _FRESHNESS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family.add_metric([self._dataset], buckets, self._sum)
        yield family


class Heard(Protocol):
    """What is told of a query."""

    def progress(self, progress: Any) -> None:  # noqa: ANN401 - pyspark's
        """Take what Spark says of a micro-batch."""

    def idle(self) -> None:
        """Take that there is nothing to do; Spark says so every ten seconds."""


class Listener(StreamingQueryListener):
    """Passes on what Spark says of queries. tasks: by the names that Spark has of them."""

    def __init__(self, tasks: Mapping[str, Heard]) -> None:
        self._tasks = tasks
        self._runs: dict[Any, Heard] = {}

    def onQueryStarted(self, event: Any) -> None:  # noqa: ANN401, N802 - Spark's
        """Remember whose run it is."""
        if task := self._tasks.get(event.name or ""):
            self._runs[event.runId] = task

    def onQueryProgress(self, event: Any) -> None:  # noqa: ANN401, N802
        """Pass a micro-batch on."""
        if task := self._tasks.get(event.progress.name or ""):
            task.progress(event.progress)

    def onQueryIdle(self, event: Any) -> None:  # noqa: ANN401, N802
        """Pass on that there is nothing to do."""
        if task := self._runs.get(event.runId):
            task.idle()

    def onQueryTerminated(self, event: Any) -> None:  # noqa: ANN401, N802
        """Nobody asks."""
