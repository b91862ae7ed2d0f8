"""What is seen of a file's bytes while they pass: digest, counts, and where parts of it may begin."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from meterlake.textlines import LineEnds

SPLIT: Final = 32 << 20
"""Bytes of one Spark task."""

_NEWLINE: Final = b"\n"


class Start(NamedTuple):
    """A place in a file at which a line begins: its byte, and the number of that line, counted from 1."""

    byte: int
    line: int


class Lines:
    """Takes a file's chunks in order; afterwards knows its digest, size, and lines."""

    def __init__(self, split: int = SPLIT) -> None:
        self.bytes = 0
        self.starts = [Start(0, 1)]
        """Where parts of some ``split`` bytes begin, each with a line."""
        self._split, self._seen, self._newlines, self._open = split, 0, 0, False
        self._digest, self._ends = hashlib.sha256(), LineEnds()

    @property
    def sha256(self) -> str:
        """Digest of what has passed."""
        return self._digest.hexdigest()

    @property
    def count(self) -> int:
        """Lines so far; the last may have no line end."""
        return self._newlines + self._open

    def take(self, chunk: bytes) -> None:
        """See the next chunk."""
        self._digest.update(chunk)
        self.bytes += len(chunk)
        self._number(self._ends.take(chunk))

    def end(self) -> None:
        """See the end of the file."""
        self._number(self._ends.rest())
        if len(self.starts) > 1 and self.starts[-1].byte == self._seen:
            self.starts.pop()

    def _number(self, data: bytes) -> None:
        """Count the lines of what has as many bytes as the file, and ends of lines that are all LF."""
        while (at := data.find(_NEWLINE, max(0, self.starts[-1].byte + self._split - 1 - self._seen))) >= 0:
            self.starts.append(Start(self._seen + at + 1, self._newlines + data.count(_NEWLINE, 0, at + 1) + 1))
        self._newlines += data.count(_NEWLINE)
        self._seen += len(data)
        if data:
            self._open = not data.endswith(_NEWLINE)
