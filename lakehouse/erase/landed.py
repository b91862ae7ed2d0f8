"""A person's records among landed objects, and among those that NiFi has brought: found, and taken out.

An object is never written again: its manifest gets another one. The one before stays until readers see tables without
its records, so that what they see can be verified meanwhile. Of one that retention has removed bronze has the records.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines import lake
from lakehouse.landing import objects
from lakehouse.parallel import side_by_side
from meterlake.lakehouse.nifi import DEAD_LETTERS, INBOX
from meterlake.lakehouse.persons import owned_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lakehouse.landing.objects import Manifest
    from meterlake.lakehouse.persons import Belongings
    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings


@dataclass
class Found:
    """What there is of a person.

    manifests: all that were looked at. replaced: those with records of the person, each with its object. brought:
    objects of NiFi with such records. records: how many, by what they are; mentions: of others, in which the person's
    key stands in another field. last: when the last of a topic arrived.
    """

    manifests: set[str] = field(default_factory=set)
    replaced: dict[str, str] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    mentions: Counter[str] = field(default_factory=Counter)
    last: dict[str, datetime] = field(default_factory=dict)


class Landed:
    """The landed objects of a lakehouse, as far as they are a person's. Learns what the person owns first."""

    def __init__(self, settings: Settings, belongings: Belongings) -> None:
        self._settings, self._belongings = settings, belongings
        self._records = {record.topic: record for record in belongings.lakehouse.records}
        self._learn()

    def find(self, known: set[str] | None = None) -> Found:
        """Look through all objects; known: but those of these manifests. Raises BrokenObject."""
        name = self._belongings.lakehouse.name
        keys = [key for key in objects.manifests(self._settings, name) if key not in (known or ())]
        found = Found(manifests=set(keys))
        manifests = side_by_side(partial(objects.read, self._settings), keys)
        for part in side_by_side(self._look, (item for item in manifests if not item.is_removed)):
            _add(found, part)
        for manifest, records in objects.tables(self._settings, [item for item in manifests if item.is_removed]):
            _add(found, self._theirs(manifest, records))
        if known is None:
            for place in (INBOX, DEAD_LETTERS):
                for item in lake.listed(self._settings, f"{place}/{name}/"):
                    if count := self._lines(item.key)[1]:
                        found.brought.append(item.key)
                        found.records[f"records of NiFi in {place}"] += count
        return found

    def take_out(self, found: Found) -> None:
        """Let manifests have objects without the person's records, and NiFi's objects lines without them."""
        side_by_side(self._replace, found.replaced.items())
        for key in found.brought:
            lines, count = self._lines(key)
            if not count:
                continue
            if lines or key.startswith(f"{INBOX}/"):
                lake.put(self._settings, key, b"".join(lines))
            else:
                lake.delete(self._settings, key)

    def remove(self, replaced: dict[str, str]) -> None:
        """Remove objects that manifests had before: by object, the manifest."""
        for key, of_manifest in replaced.items():
            if objects.read(self._settings, of_manifest).object != key:
                lake.delete(self._settings, key)

    def _look(self, manifest: Manifest) -> Found:
        return self._theirs(manifest, objects.table(self._settings, manifest))

    def _theirs(self, manifest: Manifest, records: pa.Table) -> Found:
        record, found = self._records.get(manifest.topic), Found()
        theirs, others = self.rows(record, records)
        name = record.name if record else manifest.topic
        if theirs:
            found.replaced[manifest.object] = manifest.key
            found.records[f"landed {name}"] += len(theirs)
            found.last[manifest.topic] = max(records["arrived_at"].take(pa.array(theirs)).to_pylist())
        if others:
            found.mentions[name] += len(others)
        return found

    def rows(self, record: Record | None, records: pa.Table) -> tuple[list[int], list[int]]:
        """Return which records are the person's, and which others have the key in them."""
        theirs, others = [], []
        for at in self._candidates(records):
            key, value = records["key"][at].as_py(), records["value"][at].as_py()
            if self._belongings.has(record, key, value):
                theirs.append(at)
            elif self._belongings.names(value):
                others.append(at)
        return theirs, others

    def _candidates(self, records: pa.Table) -> Sequence[int]:
        """Return the records that may be the person's: looked for by Arrow, as bytes."""
        needles = self._belongings.needles()
        if needles is None:
            return range(len(records))
        columns = [records[name].combine_chunks() for name in ("key", "value")]
        hits = pa.array([False] * len(records), pa.bool_())
        for needle in needles:
            for column in columns:
                hits = pc.or_(hits, pc.fill_null(pc.match_substring(column, pattern=needle), False))
        return [int(at) for at in pc.indices_nonzero(hits).to_pylist()]

    def _replace(self, item: tuple[str, str]) -> None:
        manifest = objects.read(self._settings, item[1])
        if manifest.object != item[0]:
            return
        records = objects.table(self._settings, manifest)
        theirs = set(self.rows(self._records.get(manifest.topic), records)[0])
        kept = records.take(pa.array([at for at in range(len(records)) if at not in theirs], pa.int64()))
        values = [records["value"][at].as_py() or b"" for at in theirs] if manifest.partition == objects.TABLE else []
        objects.replace(self._settings, manifest, kept, [objects.digest(value).hex() for value in values])

    def _lines(self, key: str) -> tuple[list[bytes], int]:
        """Return the lines of one of NiFi's objects that are not the person's, and how many are."""
        record = self._records.get(key.split("/")[2])
        lines = (lake.get(self._settings, key) or b"").splitlines(keepends=True)
        kept = [line for line in lines if not self._is_theirs(record, line)]
        return kept, len(lines) - len(kept)

    def _is_theirs(self, record: Record | None, line: bytes) -> bool:
        try:
            content = orjson.loads(line)
            key, value = (b64decode(content[name] or "", validate=True) for name in ("key", "value"))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return self._belongings.names(line)
        return self._belongings.has(record, key, value)

    def _learn(self) -> None:
        """Look for the keys of what the person owns."""
        for reference in self._belongings.owned:
            seen: dict[str, set[bool]] = {}
            keys = objects.manifests(self._settings, f"{self._belongings.lakehouse.name}/{reference.topic}")
            for _, records in objects.tables(self._settings, [objects.read(self._settings, key) for key in keys]):
                for value in records["value"].to_pylist():
                    if (said := self._belongings.owner_of(reference, value or b"")) is not None:
                        seen.setdefault(said[0], set()).add(said[1])
            self._belongings.add({reference.name: owned_keys(seen)})


def _add(found: Found, part: Found) -> None:
    found.replaced |= part.replaced
    found.records += part.records
    found.mentions += part.mentions
    for topic, moment in part.last.items():
        found.last[topic] = max(moment, found.last.get(topic, moment))
