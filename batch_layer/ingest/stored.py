"""A file of a load as it lies in HDFS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_layer.ingest.lines import Start
    from meterlake.textformat import TextFormat


@dataclass(frozen=True)
class Stored:
    """A whole file in HDFS, unpacked.

    form: as this file has it. path: as the user names it. name: the file's own, ASCII. location: path in HDFS of the
    object that holds it, from byte ``begin`` on. lines: all, the header included. starts: see ``Lines``.
    """

    form: TextFormat
    path: str
    name: str
    location: str
    begin: int
    sha256: str
    bytes: int
    lines: int
    starts: tuple[Start, ...]
