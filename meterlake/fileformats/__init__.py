"""Declarations of file formats beside text (``meterlake.textformat``): one small frozen value a format.

``engines.readers.registry`` has the reader of each.
"""

from __future__ import annotations

from typing import TypeAlias

from meterlake.fileformats.base import FileFormat
from meterlake.textformat import TextFormat

__all__ = ["FileFormat", "Format"]

Format: TypeAlias = TextFormat | FileFormat
"""Any format of files of readings."""
