"""What is seen of a file's lines while its bytes pass: digest, counts, the index of lines."""

from __future__ import annotations

import hashlib
from typing import Final

from meterlake.textlines import MAX_LINE_BYTES, LineEnds

SPLIT: Final = 32 << 20
"""Bytes of one Spark task; the index of lines is kept at its multiples."""

_NEWLINE: Final = b"\n"


class Lines:
    """Takes a file's chunks in order; afterwards knows its digest, sizes and lines.

    A line of more than MAX_LINE_BYTES is cut to one byte more, which is how Spark tells it, and every line ends with
    LF; the digest and ``bytes`` are those of the whole file.
    """

    def __init__(self, split: int = SPLIT) -> None:
        self.bytes = 0
        self.stored = 0
        self.first_lines = [1]
        """Number of the first line that begins in each split, counted from 1, as Hadoop's reader deals them out."""
        self._split, self._newlines, self._line, self._open = split, 0, 0, False
        self._digest, self._ends = hashlib.sha256(), LineEnds()

    @property
    def sha256(self) -> str:
        """Digest of what has passed."""
        return self._digest.hexdigest()

    @property
    def count(self) -> int:
        """Lines so far; the last may have no line end."""
        return self._newlines + self._open

    def take(self, chunk: bytes) -> bytes:
        """Return what is to be stored of a chunk of at most MAX_LINE_BYTES."""
        self._digest.update(chunk)
        self.bytes += len(chunk)
        return self._stored(self._ends.take(chunk))

    def rest(self) -> bytes:
        """Return what is to be stored after the last chunk."""
        return self._stored(self._ends.rest())

    def _stored(self, chunk: bytes) -> bytes:
        kept = self._cut(chunk)
        self._number(kept)
        return kept

    def _cut(self, chunk: bytes) -> bytes:
        """Return the chunk without what makes a line too long: only its first line can be, by its length."""
        end = chunk.find(_NEWLINE)
        first = len(chunk) if end < 0 else end
        excess = min(first, max(0, self._line + first - (MAX_LINE_BYTES + 1)))
        self._line = len(chunk) - chunk.rfind(_NEWLINE) - 1 if end >= 0 else self._line + first - excess
        return chunk if not excess else chunk[: first - excess] + chunk[first:]

    def _number(self, kept: bytes) -> None:
        """Count the lines that are stored, and note how many begin up to each multiple of the split."""
        begin = 0
        while begin < len(kept):
            room = self._split - self.stored % self._split
            part = kept[begin : begin + room]
            self._newlines += part.count(_NEWLINE)
            self.stored += len(part)
            begin += len(part)
            if not self.stored % self._split:
                # A line that begins exactly here still belongs to the split before.
                self.first_lines.append(self._newlines + 2)
        if kept:
            self._open = not kept.endswith(_NEWLINE)
