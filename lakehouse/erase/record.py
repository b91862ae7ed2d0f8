"""The record of an erasure: an object from before anything is removed on. It names nobody: a person has a pseudonym."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from engines import lake
from meterlake.lakehouse.personal import pseudonym, pseudonym_key

if TYPE_CHECKING:
    from meterlake.lakehouse.persons import Person
    from meterlake.settings import Settings


@dataclass(frozen=True)
class Record:
    """An erasure. at, done_at: ISO 8601; the latter '' while it is unfinished. person: a pseudonym, as in tables.

    replaced: objects that manifests had before, each with its manifest. owned: keys of what the person owns, by
    reference, which nobody could find out when it is half gone. Both are empty when it is done. run: whose tables are
    without the person. last: when the person's last record of a topic arrived.
    """

    dataset: str
    id: str
    person: str
    of: str
    at: str
    by: str
    why: str
    removed: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    owned: dict[str, list[str]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    run: str = ""
    remains: list[dict[str, Any]] = field(default_factory=list)
    done_at: str = ""


def person_of(settings: Settings, person: Person) -> str:
    """Return by what a record knows a person."""
    return pseudonym(person.identity, pseudonym_key(settings.lake_keys[1]))


def write(settings: Settings, record: Record) -> None:
    """Keep a record, as it is now."""
    lake.put(settings, f"erasures/{record.dataset}/{record.id}.json", orjson.dumps(asdict(record)))


def every(settings: Settings, dataset: str) -> list[Record]:
    """Return the erasures of a lakehouse, the oldest first."""
    keys = [item.key for item in lake.listed(settings, f"erasures/{dataset}/")]
    contents = (lake.get(settings, key) for key in keys)
    records = [Record(**orjson.loads(content)) for content in contents if content]
    return sorted(records, key=lambda record: record.at)


def unfinished(settings: Settings, dataset: str, person: str, of: str) -> Record | None:
    """Return the erasure of a person that was begun and is not done, if there is one."""
    same = (record for record in every(settings, dataset) if (record.person, record.of) == (person, of))
    return next((record for record in same if not record.done_at), None)
