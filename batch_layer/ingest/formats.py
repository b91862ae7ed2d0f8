"""Of which of a data set's formats a file is: its first bytes say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.texthead import fitting, layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.textformat import TextFormat


def format_of(forms: Sequence[TextFormat], path: str, head: bytes) -> TextFormat:
    """Return the format of a file, as this file has it. Raises WrongText, also where it is of two."""
    return layout(fitting(forms, path, head), path, head)
