"""What is seen of a file's lines while its bytes pass: checks of the head, digest, counts, the index of lines."""

from __future__ import annotations

import codecs
import hashlib
from typing import TYPE_CHECKING, Final

from batch_layer.ingest.errors import EmptyInput, WrongEncoding, WrongHeader
from meterlake.textformat import MAX_LINE_BYTES

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat

SPLIT: Final = 32 << 20
"""Bytes of one Spark task; the index of lines is kept at its multiples."""

_NEWLINE: Final = b"\n"
_SEPARATORS: Final = ",;\t|:"
_WIDE: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class Lines:
    """Takes a file's chunks in order; afterwards knows its digest, sizes and lines.

    A line of more than MAX_LINE_BYTES is cut to one byte more, which is how Spark tells it; the digest and
    ``bytes`` are those of the whole file.
    """

    def __init__(self, split: int = SPLIT) -> None:
        self.bytes = 0
        self.stored = 0
        self.first_lines = [1]
        """Number of the first line that begins in each split, counted from 1, as Hadoop's reader deals them out."""
        self._split, self._newlines, self._line, self._open = split, 0, 0, False
        self._digest = hashlib.sha256()

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


def check_head(form: TextFormat, path: str, head: bytes) -> None:
    """Raise EmptyInput, WrongEncoding or WrongHeader unless a file that begins with ``head`` is of ``form``."""
    if not head.strip():
        raise EmptyInput(f"{path} is empty.", hint=f"Expected the header {form.header!r} and lines of readings.")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if wide or _looks_wide(head):
        raise WrongEncoding(
            f"{path} is {wide or 'UTF-16'} text, not UTF-8.", hint="Convert it: iconv -f UTF-16 -t UTF-8 FILE."
        )
    line, _, rest = head.removeprefix(codecs.BOM_UTF8).partition(_NEWLINE)
    found = line.rstrip(b"\r").decode(errors="replace")
    if found != form.header:
        raise WrongHeader(
            f"{path}: the first line is not the header of {form.dataset.name}: {_difference(form, found)}."
            f" Found {found[:200]!r}.",
            hint=f"Expected {form.header!r}. Nothing was loaded.",
        )
    if not rest.strip():
        raise EmptyInput(f"{path} has a header but no reading.", hint="Expected at least one line below it.")


def _looks_wide(head: bytes) -> bool:
    """Return whether every other byte is NUL, as in UTF-16 without a mark."""
    sample = head[:400]
    return sample.count(0) * 3 > len(sample)


def _difference(form: TextFormat, found: str) -> str:
    wanted = [column.header for column in form.columns]
    for separator in _SEPARATORS:
        if separator != form.separator and found.split(separator) == wanted:
            return f"its separator is {separator!r} instead of {form.separator!r}"
    names = found.split(form.separator)
    missing = [name for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    parts = []
    if missing and len(missing) < len(wanted):
        parts.append(f"missing {', '.join(missing)}")
    if extra and len(missing) < len(wanted):
        parts.append(f"unknown {', '.join(extra)[:200]}")
    if not missing and not extra:
        parts.append("its columns stand in another order")
    return "; ".join(parts) or "it has none of the columns"
