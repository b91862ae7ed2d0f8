"""What `load` asks of the formats of files, beside what ``engines.readers`` says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.readers import text
from engines.readers.recognise import format_of, title
from engines.readers.registry import reader_of
from meterlake.fileformats import FileFormat, Format
from meterlake.text.format import TextFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.contents import Content
    from meterlake.wallclock import FileClock

__all__ = ["expected_rows", "format_of", "is_divisible", "rows_of", "taken", "title"]


def taken(forms: Sequence[Format]) -> frozenset[Content]:
    """Return what files may be, besides text."""
    return frozenset(form.content for form in forms if isinstance(form, FileFormat))


def rows_of(form: Format, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a whole file; see ``engines.readers.port``."""
    return reader_of(form)(stream, options)


def is_divisible(form: Format, clock: FileClock) -> bool:
    """Return whether each line of a file can be read without the others."""
    return isinstance(form, TextFormat) and text.is_divisible(form, clock)


def expected_rows(form: Format, lines: int) -> text.Expected | None:
    """Return what a file of so many lines must give; None where its lines do not say it."""
    return text.expected_rows(form, lines) if isinstance(form, TextFormat) else None
