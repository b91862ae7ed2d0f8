"""What keeps the bridge from its work."""

from __future__ import annotations

from meterlake.errors import PermanentError, TransientError, UsageError


class BrokerUnavailable(TransientError):
    """The MQTT broker does not answer."""

    def __init__(self, where: str, cause: object) -> None:
        self.where = where
        super().__init__(
            f"MQTT broker {where} does not answer: {str(cause).rstrip('.')}.",
            hint="Check --broker, and that the broker runs.",
        )


class BrokerRefused(PermanentError):
    """The MQTT broker does not want us, or we do not trust it."""

    def __init__(self, where: str, cause: object, hint: str) -> None:
        self.where = where
        super().__init__(f"MQTT broker {where} refuses {str(cause).rstrip('.')}.", hint=hint)


class NotTaken(TransientError):
    """Kafka has not taken what was made of messages."""

    def __init__(self, where: str, cause: object) -> None:
        self.where = where
        super().__init__(
            f"Kafka at {where} does not take readings: {str(cause).rstrip('.')}.",
            hint="The messages stay at the MQTT broker, and come again.",
        )


class StateInUse(UsageError):
    """Another process has the bridge's memory."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is in use: another bridge of this data set runs.",
            hint="Run one bridge a data set: its declaration may have many sources.",
        )


class StateUnreadable(PermanentError):
    """The file with the bridge's memory is damaged."""

    def __init__(self, path: str, cause: object) -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be used: {str(cause).rstrip('.')}.",
            hint="Move it away: each counter then begins again with first_reading.",
        )


class NoForeignTopic(PermanentError):
    """A topic that is to be read is not there."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        super().__init__(
            f"Kafka at {where} has no topic {name!r}, which a live source of the data set names.",
            hint="Mend its topic=, or create the topic.",
        )
