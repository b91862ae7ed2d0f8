"""Of which of a data set's formats a file is: its first bytes say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_layer.ingest.errors import NotThisFormat
from engines.readers.recognise import HEAD, recognise
from meterlake.fileformats import FileFormat
from meterlake.packed import content
from meterlake.textformat import TextFormat
from meterlake.texthead import AmbiguousFormat, WrongText, fitting, layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.fileformats import Format
    from meterlake.packed import Content


def contents(forms: Sequence[Format]) -> frozenset[Content]:
    """Return what files of some formats are, besides text."""
    return frozenset(form.content for form in forms if isinstance(form, FileFormat) and form.content != "text")


def format_of(forms: Sequence[Format], path: str, head: bytes) -> Format:
    """Return the format of a file, as this file has it. Raises WrongText, also where it is of two; NotThisFormat."""
    texts = [form for form in forms if isinstance(form, TextFormat)]
    others = recognise([form for form in forms if isinstance(form, FileFormat)], head[:HEAD])
    if not others:
        if not texts or content(head) in contents(forms):
            raise _of_none(forms, path)
        return layout(fitting(texts, path, head), path, head)
    fits: list[Format] = [*others, *_texts_that_fit(texts, path, head)]
    if len(fits) > 1:
        listed = " and ".join(sorted(name_of(form) for form in fits))
        raise AmbiguousFormat(path, f"may be of several formats: {listed}", "Choose one: --format NAME.")
    return fits[0]


def name_of(form: Format) -> str:
    """Return how a format is named for people: its name, else its header or kind."""
    return form.name or (form.header if isinstance(form, TextFormat) else form.title)


def _texts_that_fit(texts: Sequence[TextFormat], path: str, head: bytes) -> list[TextFormat]:
    if content(head) is not None or not texts:
        return []
    try:
        return [fitting(texts, path, head)]
    except WrongText:
        return []


def _of_none(forms: Sequence[Format], path: str) -> NotThisFormat:
    listed = ", ".join(name_of(form) for form in forms)
    return NotThisFormat(
        f"{path} is of none of the formats of {forms[0].dataset.name}: {listed}.",
        hint="Nothing was loaded. Declare its format (docs/formats.md), or give another file.",
    )
