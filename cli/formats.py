"""Which of a data set's text formats a file is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.texthead import fitting

if TYPE_CHECKING:
    from meterlake.dataset import Entry
    from meterlake.settings import Settings
    from meterlake.textformat import TextFormat


def format_of(settings: Settings, entry: Entry, path: str) -> TextFormat:
    """Return the format that a file is of, by its header; where there is only one, that.

    Raises PermanentError where the data set has none; what opening the file raises; WrongText.
    """
    forms = entry.data_set.formats
    if len(forms) < 2:
        return entry.text_format()
    from batch_layer.ingest.sources import opened

    with opened(settings, path) as source:
        return fitting(forms, path, source.read())
