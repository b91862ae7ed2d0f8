"""The archive as a streaming query: Kafka to the master data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import archive_progress, topics
from meterlake.log import get_logger
from speed_layer.archive.batch import Archive
from speed_layer.checkpoint import reachable
from speed_layer.decode import decoded
from speed_layer.session import messages
from speed_layer.task import KafkaTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from engines.topics import Span, Topic
    from speed_layer.checkpoint import Owner


class ArchiveTask(KafkaTask):
    """See the module."""

    name = "archive"

    def start(self) -> StreamingQuery:
        """Check and start the query; a new checkpoint goes on where the master data set ends."""
        settings, dataset = self.job.settings, self.job.dataset
        topic, owner = self.opened()
        spans = topics.spans(settings, topic)
        most, starting = settings.archive_max_offsets, self._starting(topic, owner, spans)
        source = messages(self.job.spark, settings, dataset, most=most, starting=starting)
        writer = decoded(source, dataset, keep_original=True).writeStream
        archive = Archive(settings, dataset, topic, owner.id, spans)
        return self.run(writer, settings.archive_trigger, self._appending(archive))

    def _starting(self, topic: Topic, owner: Owner, spans: Mapping[int, Span]) -> dict[int, int] | None:
        """Return, for a new checkpoint, the offsets behind what the master data set has of this very topic.

        A partition that has lost its end is read from its start: offsets do not tell its new messages from old ones,
        and equal readings count once. Raises MessagesLost.
        """
        settings, checkpoint = self.job.settings, self.checkpoint
        result = archive_progress.latest(settings, self.job.dataset.name)
        if result is None or checkpoint.next_offsets():
            return None
        reached = archive_progress.effective_offsets(result, topic, owner.id, spans)
        archived = {partition: part.next_offset for partition, part in reached.items()}
        reachable(checkpoint.location, topic, archived, spans, lossless=settings.fail_on_data_loss)
        return {p: max(archived.get(p, 0), span.first) for p, span in spans.items()}

    def _appending(self, archive: Archive) -> Callable[[DataFrame, int], None]:
        def append(rows: DataFrame, batch_id: int) -> None:
            done = archive.append(rows, batch_id)
            self.job.metrics.archived(done.decoded, done.already_there, done.missing)
            self.job.metrics.undecodable(self.name, done.undecodable)
            self._warn(done.undecodable.get("unknown_version", 0), done.missing)

        return append

    def _warn(self, unknown: int, missing: int) -> None:
        if unknown:
            get_logger().warning(
                f"{unknown} messages have a version other than {self.job.dataset.wire_version}, the one known here:"
                " they are in quarantine. Are their senders newer than this program?",
                query=self.name,
            )
        if missing:
            get_logger().warning(f"{missing} offsets hold no message: Kafka has dropped them.", query=self.name)
