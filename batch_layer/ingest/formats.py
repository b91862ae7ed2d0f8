"""Of which of a data set's formats a file is: its first bytes say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.readers import text
from engines.readers.recognise import HEAD, recognise
from engines.readers.registry import reader_of
from meterlake.fileformats import FileFormat, Format
from meterlake.packed import content
from meterlake.text.format import TextFormat
from meterlake.text.head import AmbiguousFormat, WrongHeader, WrongText, fitting, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.packed import Content
    from meterlake.wallclock import FileClock


def format_of(forms: Sequence[Format], path: str, head: bytes) -> Format:
    """Return the format of a file, as this file has it. Raises WrongText, also where it is of two."""
    fits: list[Format] = list(recognise([form for form in forms if isinstance(form, FileFormat)], head[:HEAD]))
    texts = [form for form in forms if isinstance(form, TextFormat)]
    wrong: WrongText | None = None
    if texts and (content(head) is None or not fits):
        try:
            fits.append(layout(fitting(texts, path, head), path, head))
        except AmbiguousFormat:
            raise
        except WrongText as error:
            wrong = error
    if len(fits) > 1:
        one, other = (title(form) for form in fits[:2])
        raise AmbiguousFormat(
            path, f"is of two formats of {forms[0].dataset.name}: {one} and {other}", "Name the right one by --format."
        )
    if fits:
        return fits[0]
    listed = ", ".join(title(form) for form in forms)
    raise wrong or WrongHeader(path, f"is of no format of {forms[0].dataset.name}", f"It has {listed}.")


def title(form: Format) -> str:
    """Return how a format is called: by its name, or what it looks like."""
    return form.name or (form.header if isinstance(form, TextFormat) else form.title)


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
