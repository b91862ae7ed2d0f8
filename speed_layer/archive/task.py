"""The archive as a streaming query: Kafka to the master data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import archive_progress, topics
from speed_layer.archive.batch import Archive
from speed_layer.decode import decoded
from speed_layer.session import messages
from speed_layer.task import KafkaTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from engines.topics import Topic


class ArchiveTask(KafkaTask):
    """See the module."""

    name = "archive"

    def start(self) -> StreamingQuery:
        """Check and start the query; a new checkpoint goes on where the master data set ends."""
        settings, dataset = self.job.settings, self.job.dataset
        topic, owner = self.opened()
        most, starting = settings.archive_max_offsets, self._archived(topic)
        source = messages(self.job.spark, settings, dataset, most=most, starting=starting)
        writer = decoded(source, dataset, keep_original=True).writeStream
        archive = Archive(settings, dataset, topic, owner.id)
        return self.run(writer, settings.archive_trigger, self._appending(archive))

    def _archived(self, topic: Topic) -> dict[int, int] | None:
        """Return the offsets behind what the master data set has of this very topic."""
        found = archive_progress.latest(self.job.settings, self.job.dataset.name)
        if found is None or found.topic_id != topic.id:
            return None
        spans = topics.spans(self.job.settings, topic)
        reached = {partition: part.next_offset for partition, part in found.partitions.items()}
        return {p: max(reached.get(p, 0), spans[p].first) for p in topic.partitions}

    def _appending(self, archive: Archive) -> Callable[[DataFrame, int], None]:
        def append(rows: DataFrame, batch_id: int) -> None:
            done = archive.append(rows, batch_id)
            self.job.metrics.archived(done.decoded, done.already_there, done.holes)
            self.job.metrics.undecodable(self.name, done.undecodable)
            self._warn(done.undecodable.get("unknown_version", 0), done.holes)

        return append

    def _warn(self, unknown: int, holes: int) -> None:
        if unknown:
            self.job.patience.tell(
                self.name,
                f"{unknown} messages have a version other than {self.job.dataset.wire_version}, the one known here:"
                " they are in quarantine. Are their senders newer than this program?",
            )
        if holes:
            self.job.patience.tell(self.name, f"{holes} offsets hold no message: Kafka has dropped them.")
