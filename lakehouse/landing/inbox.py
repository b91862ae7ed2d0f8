"""Objects that NiFi has brought: JSON lines, with their offsets in the name. Nothing in them counts yet.

They may overlap, come in any order, and come again: who lands them takes each offset once, and removes them then.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from engines import lake
from lakehouse.landing.objects import BrokenObject, Landed
from meterlake.lakehouse.nifi import INBOX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.landing.objects import Source
    from meterlake.settings import Settings

_NAME: Final = re.compile(r"(\d{20})-(\d{20})-[0-9a-f]+\.jsonl")


@dataclass(frozen=True, order=True)
class Brought:
    """An object with records from the offset ``first`` up to, not with, ``end``."""

    first: int
    end: int
    key: str


def brought(settings: Settings, source: Source) -> list[Brought]:
    """Return what waits of a source, by offset. Objects of other names are nobody's."""
    keys = [item.key for item in lake.listed(settings, f"{INBOX}/{source.folder}/")]
    names = ((key, _NAME.fullmatch(key.rpartition("/")[2])) for key in keys)
    return sorted(Brought(int(match[1]), int(match[2]), key) for key, match in names if match)


def read(settings: Settings, item: Brought, since: int) -> list[Landed] | None:
    """Return an object's records from an offset on; None where somebody has landed and removed it.

    Raises BrokenObject.
    """
    data = lake.get(settings, item.key)
    if data is None:
        return None
    try:
        records = [_landed(orjson.loads(line)) for line in data.splitlines()]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BrokenObject(item.key, f"has a line that is no record ({error})") from error
    return [record for record in records if record.offset >= since]


@dataclass(frozen=True)
class Step:
    """What is landed next: up to, not with, an offset; from an object, or where there is none from Kafka."""

    until: int
    item: Brought | None = None


def following(at: int, waiting: Sequence[Brought], end: int | None) -> Step | None:
    """Return how landing goes on at an offset; None where there is nothing left.

    waiting: by offset. end: where Kafka ends; None where only what has been brought is landed, and what lies between.
    An object that comes late is no reason to wait: Kafka has its records, and then nobody needs it.
    """
    ahead = next((item for item in waiting if item.end > at), None)
    if ahead is not None and ahead.first <= at:
        return Step(ahead.end, ahead)
    ends = [offset for offset in (ahead.first if ahead else None, end) if offset is not None]
    return Step(min(ends)) if ends and min(ends) > at else None


def remove_until(settings: Settings, waiting: Sequence[Brought], at: int) -> list[Brought]:
    """Remove the objects whose records lie before an offset, which is landed up to; return the others."""
    for item in waiting:
        if item.end <= at:
            lake.delete(settings, item.key)
    return [item for item in waiting if item.end > at]


def _landed(line: dict[str, Any]) -> Landed:
    moment = datetime.fromtimestamp(line["timestamp"] / 1000, UTC).replace(tzinfo=None)
    return Landed(line["offset"], moment, _bytes(line["key"]), _bytes(line["value"]))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
