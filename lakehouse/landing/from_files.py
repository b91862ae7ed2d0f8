"""Files of lines into landed objects: a file is known by its content, and landing it twice adds nothing."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.landing import objects
from lakehouse.landing.from_kafka import MOST_RECORDS
from lakehouse.landing.objects import Landed, Source
from lakehouse.landing.paths import files_of
from meterlake.errors import UnknownName

if TYPE_CHECKING:
    from datetime import datetime

    from meterlake.settings import Settings


def land(settings: Settings, dataset: str, topics: tuple[str, ...], paths: list[Path], now: datetime) -> Counter[str]:
    """Land files called ``<topic>.jsonl`` (a folder: those in it), a record a line. now: UTC, without zone.

    Returns the records by topic. An empty file has none. Raises UsageError or UnknownName.
    """
    landed: Counter[str] = Counter()
    for path in files_of(paths, [".jsonl"], "Name what `simulate --out` has written."):
        topic = path.name.removesuffix(".jsonl")
        if topic not in topics:
            raise UnknownName(f"topic of {dataset}, which {path} is called after,", topic, topics)
        landed[topic] += _land_file(settings, dataset, topic, path, now)
    return landed


def _land_file(settings: Settings, dataset: str, topic: str, path: Path, now: datetime) -> int:
    source = Source.of_file(dataset, topic, path)
    with path.open("rb") as file:
        first, count = objects.next_offset(settings, source) or 0, 0
        lines = islice(enumerate(file), first, None)
        while part := list(islice(lines, MOST_RECORDS)):
            records = [Landed(number, now, None, line.rstrip(b"\r\n")) for number, line in part]
            manifest = objects.write(settings, source, records, range(records[0].offset, records[-1].offset + 1))
            count += manifest.rows if manifest else 0
        return count
