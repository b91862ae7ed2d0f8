"""A file of a load as it lies in HDFS, and one that cannot be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_layer.ingest.formats import expected_rows

if TYPE_CHECKING:
    from datetime import timedelta

    from batch_layer.ingest.lines import Start
    from meterlake.errors import MeterlakeError
    from meterlake.fileformats import Format


@dataclass(frozen=True)
class Seen:
    """What is known of a file whose bytes have passed.

    form: as this file has it. path: as the user names it. name: without folders that he named. origin: its name in the
    tables, ASCII. meter_id: of all lines; empty where a column says it. bytes: unpacked. lines: all, the header
    included. starts: see ``Lines``.
    """

    form: Format
    path: str
    name: str
    origin: str
    meter_id: str
    sha256: str
    bytes: int
    lines: int
    starts: tuple[Start, ...]

    @property
    def rows(self) -> int:
        """How many rows it must give; 0 where that is known only when it is read."""
        expected = expected_rows(self.form, self.lines)
        return expected.rows if expected else 0

    @property
    def lead(self) -> timedelta:
        """How long before the times in it its intervals begin."""
        return self.form.lead


@dataclass(frozen=True)
class Stored:
    """A file that lies in HDFS as a whole: in the object ``location``, from byte ``begin`` on."""

    seen: Seen
    location: str
    begin: int = 0


@dataclass(frozen=True)
class SetAside:
    """A file that cannot be loaded, and why."""

    path: str
    error: MeterlakeError
