"""The lines of a sample: its encoding, its separator, and where its readings begin."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from contextlib import ExitStack
from io import BytesIO
from typing import TYPE_CHECKING, Final

from meterlake import sample_times
from meterlake.contents import NotText
from meterlake.errors import UsageError
from meterlake.packed import DAMAGED, opened
from meterlake.text.encoding import Encoding, as_utf8, has_mark
from meterlake.text.lines import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAMPLE_BYTES: Final = 4 << 20
"""So much of a file is looked at."""

_SEPARATORS: Final = ";,\t|"


class NotASample(UsageError):
    """A declaration cannot be guessed from a file."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}.", hint=hint)


def lines_of(path: Path) -> tuple[list[str], Encoding, list[str]]:
    """Return the whole lines at the beginning of a file, its encoding, and what is to be decided about it."""
    try:
        with ExitStack() as stack:
            head: bytes = opened(path, stack).read(SAMPLE_BYTES + 1)
    except (*DAMAGED, NotText, OSError) as error:
        raise NotASample(path, f"cannot be read ({error})", "Give a text file, as it is or xz, gzip or zip.") from error
    encoding: Encoding = "utf-16" if has_mark(head) else "utf-8"
    cut, decide = len(head) > SAMPLE_BYTES, list[str]()
    if encoding == "utf-8" and b"\0" in head:
        raise NotASample(path, "is no text: it has NUL bytes", "If it is UTF-16: iconv -f UTF-16LE -t UTF-8 FILE.")
    try:
        codecs.getincrementaldecoder(encoding)().decode(head, final=not cut)
    except UnicodeDecodeError as error:
        encoding = "windows-1252"
        decide.append(f"it is no UTF-8 (byte {error.start}): is it Windows-1252? It is assumed")
    stream = BytesIO(head)
    lines = [line for block in blocks(as_utf8(stream.read, encoding), 1, encoding) for line in block.texts]
    if cut:
        lines.pop()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < 3:
        raise NotASample(path, f"has {len(lines)} lines", "Give a header and at least two lines of readings.")
    return lines, encoding, decide


def separator_of(path: Path, lines: Sequence[str]) -> tuple[str, int]:
    """Return the separator, and how many columns most lines have."""

    def weight(separator: str) -> tuple[int, int]:
        counts = Counter(len(split(line, separator)) for line in lines)
        width, count = max(counts.items(), key=lambda pair: (pair[0] > 1, pair[1]))
        return (count if width > 1 else 0, width)

    best = max(_SEPARATORS, key=weight)
    count, width = weight(best)
    if not count:
        raise NotASample(
            path, f"its first line has one column: {lines[0][:80]!r}", "Expected columns between , ; | or tab."
        )
    return best, width


def split(line: str, separator: str) -> list[str]:
    """Return the fields of a line."""
    if '"' not in line:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def is_data(cells: Sequence[str]) -> bool:
    """Return whether a line is one of readings, and no header: it has a time or a number with a fraction."""
    return any(sample_times.is_time(cell.strip()) or re.fullmatch(r"-?\d+[.,]\d+", cell.strip()) for cell in cells)
