"""Which landed objects may go: the decisions, of what was listed and read (ADR 56)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from lakehouse.landing.objects import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.lake import Listed
    from lakehouse.landing.objects import Manifest

_KEY: Final = re.compile(r"landing/([^/]+/[^/]+/[^/]+)/(\d{20})-\d{20}-[0-9a-f]{8}\.parquet")
_WRITING: Final = timedelta(days=1)
"""So long an object may be without its manifest: its writer may be at work."""


class Fate(StrEnum):
    """What becomes of an object whose time is over; of those that stay, why."""

    COMPARED = "compared with bronze"
    GOES = "removed by its manifest"
    LEFT = "left by a writer that was killed"
    WRITTEN = "may be written just now"
    NOT_READ = "no run has read it"
    NEEDED = "the next extract begins in it"
    DIFFERS = "bronze has other bytes"


def manifest_of(key: str) -> str | None:
    """Return the key of the manifest that an object may have; None for what is no landed object."""
    parts = _KEY.fullmatch(key)
    return f"manifest/{parts[1]}/{parts[2]}.json" if parts else None


def is_over(item: Listed, retention: timedelta, now: datetime) -> bool:
    """Return whether an object's time is over."""
    return now - item.written > retention


def begin_of_extract(latest: Manifest, overlap: timedelta) -> str:
    """Return from which watermark on the next extract of a table will look for what was landed."""
    return (datetime.fromisoformat(latest.watermark_to) - overlap).isoformat()


def fate(item: Listed, manifest: Manifest | None, read: Mapping[str, str], begin: str, now: datetime) -> Fate:
    """Return what becomes of an object whose time is over, as far as bronze is not asked.

    manifest: that of its offsets. read: SHA-256 of the objects that the last run's state has read, by object. begin:
    ``begin_of_extract`` of the record's table; '' where it has none.
    """
    if manifest is None or item.key not in (manifest.object, *manifest.removed):
        return Fate.LEFT if is_over(item, _WRITING, now) else Fate.WRITTEN
    if item.key in manifest.removed:
        return Fate.GOES
    if begin and manifest.partition == TABLE and manifest.watermark_to >= begin:
        return Fate.NEEDED
    return Fate.COMPARED if read.get(item.key) == manifest.sha256 else Fate.NOT_READ
