"""What keeps a simulation from being done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from producers.totals import Deliveries


class HistoryUnreadable(PermanentError):
    """The history's file is missing, damaged, or of another format."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        self.path = path
        general = "Give a file that `meterlake load` takes with --history, or none."
        super().__init__(f"The history {path} {problem}.", hint=f"{hint} {general}".strip())


class SinkFailed(PermanentError):
    """A file cannot be written."""

    def __init__(self, where: str, cause: object, sent: int) -> None:
        self.where = where
        super().__init__(
            f"{where} cannot be written: {str(cause).rstrip('.')}; {sent} messages were written before.",
            hint="Free disk space or choose another path; the same command writes the same bytes again.",
        )


class Undelivered(TransientError):
    """The broker has not acknowledged all that was sent to it."""

    def __init__(self, where: str, totals: Deliveries, cause: str) -> None:
        self.where, self.missing, self.cause = where, totals.sent - totals.acknowledged, cause
        super().__init__(
            f"Kafka at {where} has not acknowledged {self.missing} of {totals.sent} messages: {cause}.",
            hint="See `meterlake status`. The same command with the same --start sends the same messages again, and"
            " what arrives twice counts once. METERLAKE_KAFKA_DELIVERY_TIMEOUT says how long a broker may be away.",
        )
