"""The speed views as a streaming query: Kafka to Cassandra."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pyspark import inheritable_thread_target

from speed_layer.decode import REPEATED, UNDECODABLE, decoded
from speed_layer.session import messages
from speed_layer.task import Job, KafkaTask
from speed_layer.views import transforms

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from speed_layer.views.sink import Sink

_REJECTED: Final = "rejected_"


class ViewsTask(KafkaTask):
    """See the module."""

    name = "views"

    def __init__(self, job: Job, sink: Sink) -> None:
        super().__init__(job)
        self._sink = sink
        self._seen: dict[int, int] = {}
        """Partition -> offset up to which readings have been written."""
        self._new: dict[int, int] = {}
        """Micro-batch -> readings that it brought."""

    def start(self) -> StreamingQuery:
        """Check and start the query."""
        settings, dataset = self.job.settings, self.job.dataset
        topic, _ = self.opened()
        # What lies before has been written: its readings are in the state, but not new.
        offsets = self.checkpoint.next_offsets().get(topic.name, {})
        self._seen = {partition: offset - 1 for partition, offset in offsets.items()}
        source = messages(self.job.spark, settings, dataset, most=settings.stream_max_offsets)
        readings = transforms.accepted(decoded(source, dataset), dataset)
        writer = transforms.open_minutes(readings, dataset).writeStream.outputMode("update")
        return self.run(writer, settings.stream_trigger, self._write)

    def progress(self, progress: Any) -> None:  # noqa: ANN401 - pyspark's
        """Take what Spark says of a micro-batch."""
        super().progress(progress)
        observed = progress.observedMetrics.get(transforms.MEASURED)
        if observed is None:
            return
        counts = observed.asDict()
        rejected = {k.removeprefix(_REJECTED): n for k, n in counts.items() if k.startswith(_REJECTED) and n}
        accepted = counts[transforms.ACCEPTED]
        evicted = max(0, accepted - self._new.pop(progress.batchId, accepted))
        if counts[UNDECODABLE]:
            self.job.metrics.undecodable(self.name, {"any": counts[UNDECODABLE]})
        self.job.metrics.judged(rejected, counts[REPEATED], counts[transforms.LATE], evicted)

    def _write(self, minutes: DataFrame, batch_id: int) -> None:
        """Write what has changed; doing it again changes nothing.

        Minutes come first: they are what is waited for. While they are written, Spark looks for the new readings.
        """
        dataset = self.job.dataset
        held = minutes.persist()
        try:
            plain = transforms.minute_rows(held, dataset, contended=False).toArrow()
            with ThreadPoolExecutor(1) as pool:
                new = transforms.new_readings(held, dataset, self._seen)
                looked_for = pool.submit(inheritable_thread_target(new.sparkSession)(new.toArrow))
                rows = self._sink.write_minutes(_rows(plain))
                result = looked_for.result().to_pydict()
            if any(result[transforms.CONTENDED]):
                rows += self._sink.write_minutes(_rows(transforms.minute_rows(held, dataset, contended=True).toArrow()))
        finally:
            held.unpersist()
        now = self.job.clock()
        starts = result[dataset.event_time]
        self.job.metrics.fresh(now.timestamp() - start / 1000 for start in starts)
        columns = [values for name, values in result.items() if name not in transforms.ARRIVAL_ONLY]
        readings = list(zip(*columns, result["origin_offset"], strict=True))
        latest, recent = self._sink.write_latest(readings), self._sink.write_recent(readings, now)
        self.job.metrics.written({dataset.finest.grain: rows, "latest": latest, "recent": recent})
        self._new = {batch_id: len(starts)}
        for partition, offset in zip(result["origin_partition"], result["origin_offset"], strict=True):
            self._seen[partition] = max(offset, self._seen.get(partition, -1))


def _rows(table: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - pyarrow's
    return list(zip(*table.to_pydict().values(), strict=True))
