"""Which rows of a table are gone: told from the keys that it has, and from what was landed of it.

A manifest has the sum of the digests of all keys that are landed with it or before it, and not deleted. That sum, and
those of the keys that the table has now and of the rows that are landed now, say what the keys add up to that were
landed and have changed or gone since. Objects are read from the latest on until these are found: as a rule that is
what was landed in the last days, and nothing where all is new. Where the sums say nothing, all objects are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from lakehouse.landing import documents, objects
from meterlake.lakehouse.sources import DELETED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.landing.objects import Manifest, Past
    from meterlake.settings import Settings

_BYTES: Final = 16
_MODULUS: Final = 1 << 8 * _BYTES


@dataclass(frozen=True)
class Deletions:
    """The last landed document of each row that is gone, by key, and the sum of the keys that are left."""

    gone: dict[str, dict[str, Any]]
    key_sum: str


def find(settings: Settings, past: Past, present: set[str], fresh: set[str]) -> Deletions:
    """Return what is gone. present: the keys that the table has; fresh: those of rows that are landed now."""
    search, last = _Search(present | fresh, fresh), next(iter(past), None)
    if last is None or last.key_sum:
        search.expect(int(last.key_sum, 16) if last else 0)
    for manifest in past:
        if search.is_done_before(manifest):
            break
        for part in objects.newest_parts(settings, manifest):
            search.look(part)
            if search.has_found_all:
                break
    return search.result()


def latest_key(settings: Settings, past: Past, mark: str) -> str:
    """Return the key of the row whose watermark is the latest that was landed (``mark``)."""
    wanted = documents.revision(datetime.fromisoformat(mark))
    for manifest in past:
        for part in objects.newest_parts(settings, manifest):
            for key, value in reversed(part):
                if orjson.loads(value)["revision"] >= wanted:
                    return key.decode()
    return ""


class _Search:
    """What is known of the rows that have changed or gone, object by object."""

    def __init__(self, there: set[str], fresh: set[str]) -> None:
        self._there, self._fresh = there, fresh
        self._latest: dict[str, dict[str, Any]] = {}
        self._seen: set[str] = set()
        self._left: int | None = None  # the sum of the keys that are still to be found

    def expect(self, before: int) -> None:
        """Take the sum of all keys before this extract."""
        self._left = (before + _sum(self._fresh) - _sum(self._there)) % _MODULUS

    @property
    def has_found_all(self) -> bool:
        """Whether the keys that were found are all that have changed or gone."""
        return self._left == 0

    def is_done_before(self, manifest: Manifest) -> bool:
        """Return whether this and older objects have nothing more to say: not a higher revision of a row, either."""
        if not self.has_found_all:
            return False
        latest = documents.revision(datetime.fromisoformat(manifest.watermark_to))
        return all(document["revision"] >= latest for document in self._gone().values())

    def look(self, part: list[tuple[bytes, bytes]]) -> None:
        """Take records, the last first."""
        for landed, value in reversed(part):
            key = landed.decode()
            if key in self._there:
                self._seen.add(key)
                if key not in self._fresh:
                    continue
            document, held = orjson.loads(value), self._latest.get(key)
            if held is None and self._left is not None and not document.get(DELETED):
                self._left = (self._left - _digest(key)) % _MODULUS
            if held is None or document["revision"] > held["revision"]:
                self._latest[key] = document

    def result(self) -> Deletions:
        """Return what is gone, and the sum of what is left."""
        left = self._there if self.has_found_all else self._seen | self._fresh
        return Deletions(self._gone(), f"{_sum(left):0{2 * _BYTES}x}")

    def _gone(self) -> dict[str, dict[str, Any]]:
        return {
            key: document
            for key, document in sorted(self._latest.items())
            if key not in self._there and not document.get(DELETED)
        }


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=_BYTES).digest())


def _sum(keys: Iterable[str]) -> int:
    return sum(map(_digest, keys)) % _MODULUS
