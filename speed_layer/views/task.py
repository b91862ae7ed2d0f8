"""The speed views as a streaming query: Kafka to Cassandra."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pyspark import inheritable_thread_target

from speed_layer.decode import REPEATED, UNDECODABLE, decoded
from speed_layer.session import messages
from speed_layer.task import Job, KafkaTask
from speed_layer.views import transforms, writing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from speed_layer.views.summary import Summary

_REJECTED: Final = "rejected_"


class ViewsTask(KafkaTask):
    """See the module."""

    name = "views"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
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
        """Let the tasks write what has changed, minutes and live tables side by side; again, it changes nothing."""
        held = minutes.persist()
        try:
            with ThreadPoolExecutor(1) as pool:
                write = inheritable_thread_target(held.sparkSession)(self._write_readings)
                under_way = pool.submit(write, held)
                done = self._write_minutes(held, contended=False)
                at = self.job.clock()
                readings = under_way.result()
            done.add(readings)
            if readings.contended:
                done.add(self._write_minutes(held, contended=True))
                at = self.job.clock()
        finally:
            held.unpersist()
        self.job.metrics.fresh((at.timestamp() - start / 1000, count) for start, count in done.starts.items())
        self.job.metrics.written(done.written)
        self._new = {batch_id: done.starts.total()}
        for partition, offset in done.offsets.items():
            self._seen[partition] = max(offset, self._seen.get(partition, -1))

    def _write_minutes(self, held: DataFrame, *, contended: bool) -> Summary:
        settings, dataset = self.job.settings, self.job.dataset
        return writing.write_minutes(transforms.minute_rows(held, dataset, contended=contended), settings, dataset)

    def _write_readings(self, held: DataFrame) -> Summary:
        settings, dataset = self.job.settings, self.job.dataset
        first = self.job.clock() - dataset.retention.recent
        new = transforms.new_readings(held, dataset, self._seen)
        return writing.write_readings(new, settings, dataset, first.timestamp() * 1000)
