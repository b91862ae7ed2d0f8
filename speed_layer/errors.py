"""What can go wrong between Kafka and a query's checkpoint, told so that somebody can act on it."""

from __future__ import annotations

from meterlake.errors import PermanentError


class OtherCheckpoint(PermanentError):
    """The checkpoint belongs to another topic or data set."""

    def __init__(self, location: str, result: str, wanted: str) -> None:
        self.location = location
        super().__init__(
            f"The checkpoint {location} is that of {result}; this query reads {wanted}.",
            hint="Nothing was read. Move that folder away, or name the data set that it belongs to.",
        )


class TopicRecreated(PermanentError):
    """The topic was deleted and created again: the checkpoint's offsets mean other messages."""

    def __init__(self, topic: str, location: str, detail: str) -> None:
        self.topic, self.location = topic, location
        super().__init__(
            f"Topic {topic} was deleted and created again since the checkpoint {location} was made: {detail}.",
            hint="Going on would skip messages or read others in their place. Start with a new checkpoint:"
            f" hdfs dfs -mv {location} {location}.old (what is archived or in Cassandra stays; docs/live.md).",
        )


class MessagesLost(PermanentError):
    """Kafka has dropped messages that were not read yet."""

    def __init__(self, topic: str, detail: str) -> None:
        self.topic = topic
        super().__init__(
            f"Messages of {topic} are lost: {detail}.",
            hint="They were dropped (retention, or records deleted) before they were read. To go on behind them,"
            " start once with METERLAKE_FAIL_ON_DATA_LOSS=false; and give Kafka a longer METERLAKE_KAFKA_RETENTION.",
        )


class OffsetsAhead(PermanentError):
    """The checkpoint has read further than the topic goes: the broker has lost its end."""

    def __init__(self, topic: str, location: str, detail: str) -> None:
        self.topic = topic
        super().__init__(
            f"The checkpoint {location} is ahead of topic {topic}: {detail}.",
            hint="The broker came back with older data (a restored disk?). New messages would get offsets that were"
            f" read before. Start with a new checkpoint: hdfs dfs -mv {location} {location}.old (docs/live.md).",
        )


class BrokenCheckpoint(PermanentError):
    """A file of the checkpoint cannot be read."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"The checkpoint's file {path} is damaged: {detail}.",
            hint="Move the checkpoint's folder away and start again: the archive goes on where the master data set"
            " ends, the speed views from the topic's beginning (docs/live.md).",
        )


class NewerMessages(PermanentError):
    """Every message is of a version that this program does not know."""

    def __init__(self, topic: str, count: int, known: int) -> None:
        self.topic, self.count, self.known = topic, count, known
        super().__init__(
            f"All of the next {count} messages of {topic} have a version other than {known}, the one known here.",
            hint="Their senders are newer than this program. Nothing of them was taken, so nothing is lost: upgrade"
            " meterlake and start again, within Kafka's retention.",
        )


class MetricsPortBusy(PermanentError):
    """The port for Prometheus is taken."""

    def __init__(self, port: int, cause: object) -> None:
        self.port = port
        super().__init__(
            f"Metrics cannot be served on 127.0.0.1:{port}: {cause}.",
            hint="Another query may be running. Name another one with --metrics-port, or 0 for none.",
        )
