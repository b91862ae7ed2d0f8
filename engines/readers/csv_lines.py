"""Lines of separated fields below a header, as dictionaries; for formats whose columns have known names."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from engines.readers.records import EMPTY, Record
from meterlake.fileformats.base import WrongFile
from meterlake.text.lines import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HEAD_LINES: Final = 50
"""Within so many lines stands the header; what stands above it is no reading."""


class Header(NamedTuple):
    """The header of a file. columns: name of a field -> its column, counted from 0."""

    separator: str
    columns: Mapping[str, int]
    width: int


def records(stream: IO[bytes], header_in: Callable[[str], Header | None], expected: str) -> Iterator[Record]:
    """Yield the lines below the header, one record each.

    header_in: what a line is as a header, or None. expected: what the header should be like. Raises WrongFile.
    """
    header: Header | None = None
    first = ""
    for block in blocks(stream.read):
        for at, text in enumerate(block.texts):
            place = block.first + at
            if header is None:
                first, header = first or text, header_in(text)
                if header is None and place >= HEAD_LINES:
                    break
            else:
                yield _record(header, place, text, block.undecoded.get(at, ""))
        if header is None and block.first + len(block.texts) > HEAD_LINES:
            break
    if header is None:
        raise WrongFile(f"has no header of its format. Its first line is {first[:200]!r}", f"Expected {expected}.")


def split(text: str, separator: str) -> list[str] | None:
    """Return the fields of a line, without blanks around them; None where its quotes do not fit."""
    if '"' not in text:
        return [field.strip() for field in text.split(separator)]
    try:
        return [field.strip() for field in next(csv.reader([text], delimiter=separator, strict=True))]
    except csv.Error:
        return None


def _record(header: Header, place: int, text: str, undecoded: str) -> Record:
    if undecoded or not text.strip():
        return Record(place, EMPTY, undecoded or "empty_line", text)
    fields = split(text, header.separator)
    if fields is None:
        return Record(place, EMPTY, "bad_quotes", text)
    if len(fields) == header.width + 1 and not fields[-1]:
        fields.pop()  # a separator at the end of each line
    if len(fields) != header.width:
        return Record(place, EMPTY, "missing_column" if len(fields) < header.width else "extra_column", text)
    return Record(place, {name: fields[column] for name, column in header.columns.items()}, text=text)
