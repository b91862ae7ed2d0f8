"""Which of a data set's text formats a file is of."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from meterlake.errors import UnknownName
from meterlake.packed import opened
from meterlake.texthead import fitting
from meterlake.textlines import CHUNK

if TYPE_CHECKING:
    from pathlib import Path

    from meterlake.dataset import Entry
    from meterlake.fileformats.base import FileFormat
    from meterlake.textformat import TextFormat


def format_of(entry: Entry, path: Path) -> TextFormat:
    """Return the format that a file is of, by its header; where there is only one, that.

    Raises PermanentError where the data set has none; what opening the file raises; WrongText.
    """
    forms = entry.text_formats
    if len(forms) < 2:
        return entry.text_format()
    with ExitStack() as stack:
        return fitting(forms, str(path), opened(path, stack).read(CHUNK))


def formats_of(entry: Entry, name: str) -> tuple[TextFormat | FileFormat, ...]:
    """Return all formats of a data set, or the one of a name or number. Raises PermanentError where there is none."""
    if not entry.data_set.formats:
        entry.text_format()
    forms = {form.name or str(number): form for number, form in enumerate(entry.data_set.formats, start=1)}
    if name and name not in forms:
        raise UnknownName(f"format of {entry.name}", name, forms)
    return (forms[name],) if name else tuple(forms.values())
