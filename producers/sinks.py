"""Sinks: where messages go. This one writes lines, the other (``kafka_sink``) talks to a broker.

A line is ``key TAB value LF``; a tombstone has no TAB. Values are the bytes that Kafka would get; none that this
simulator makes contains a line feed. `kcat -P -K '\t'` reads such lines.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Protocol

from producers.errors import SinkFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.faults import Message
    from producers.totals import Totals


class Sink(Protocol):
    """Takes messages and counts them in ``Totals``."""

    where: str
    trouble: str
    """Why messages do not get through at present, or nothing."""

    def send(self, messages: Sequence[Message]) -> int:
        """Take messages in order; return how many were taken. Fewer than given: the run is over."""
        ...

    def flush(self) -> None:
        """Return when all that was taken is safe. Raises an error that says what is not."""
        ...


class LineSink:
    """Writes messages as lines to a binary stream."""

    def __init__(self, stream: IO[bytes], where: str, totals: Totals) -> None:
        self.where, self.trouble = where, ""
        self._stream, self._totals = stream, totals

    def send(self, messages: Sequence[Message]) -> int:
        """Write messages at once. A reader that has closed its end of a pipe ends the run. Raises SinkFailed."""
        try:
            self._stream.write(b"".join(map(_line, messages)))
            self._stream.flush()
        except BrokenPipeError:
            self._reader_is_gone()
            return 0
        except OSError as error:
            raise SinkFailed(self.where, error.strerror, self._totals.sent) from error
        self._totals.sent += len(messages)
        self._totals.acknowledged = self._totals.sent
        return len(messages)

    def flush(self) -> None:
        """Do nothing: all that was sent is written."""

    def _reader_is_gone(self) -> None:
        """Let the interpreter flush what is left into nothing when it ends."""
        self.trouble = "its reader is gone"
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _line(message: Message) -> bytes:
    return message.key + (b"\n" if message.value is None else b"\t" + message.value + b"\n")
