"""Which of a data set's text formats a file is of."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from meterlake.errors import UnknownName
from meterlake.packed import opened, unpacked
from meterlake.text.format import TextFormat
from meterlake.text.head import fitting
from meterlake.text.lines import CHUNK

if TYPE_CHECKING:
    from pathlib import Path

    from meterlake.dataset import Entry
    from meterlake.fileformats import Format
    from meterlake.fileformats.base import FileFormat


def format_of(entry: Entry, path: Path) -> TextFormat:
    """Return the format that a file is of, by its header; where there is only one, that.

    Raises PermanentError where the data set has none; what opening the file raises; WrongText.
    """
    forms = entry.text_formats
    if len(forms) < 2:
        return entry.text_format()
    with ExitStack() as stack:
        return fitting(forms, str(path), opened(path, stack).read(CHUNK))


def any_format_of(entry: Entry, path: Path) -> Format:
    """Return the format that a file is of, text or not, as it is declared. Raises what ``format_of`` raises."""
    from engines.readers.recognise import format_of as recognised

    forms = entry.data_set.formats or (entry.text_format(),)
    if len(forms) == 1:
        return forms[0]
    takes = {form.content for form in forms if not isinstance(form, TextFormat)}
    with ExitStack() as stack:
        head = unpacked(stack.enter_context(path.open("rb")), stack, takes)[0].read(CHUNK)
    result = recognised(forms, str(path), head)
    return fitting(entry.text_formats, str(path), head) if isinstance(result, TextFormat) else result


def formats_of(entry: Entry, name: str) -> tuple[TextFormat | FileFormat, ...]:
    """Return all formats of a data set, or the one of a name or number. Raises PermanentError where there is none."""
    if not entry.data_set.formats:
        entry.text_format()
    forms = {form.name or str(number): form for number, form in enumerate(entry.data_set.formats, start=1)}
    if name and name not in forms:
        raise UnknownName(f"format of {entry.name}", name, forms)
    return (forms[name],) if name else tuple(forms.values())
