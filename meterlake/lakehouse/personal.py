"""What of a lakehouse's tables says something about a person, and what those see who may not know it. Pure.

Whoever is joined by gets a pseudonym, the same in all tables: figures that count people stay what they are. Everything
else is NULL.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.fields import Field
    from meterlake.lakehouse.records import Record

_NOTHING: Final = "CAST(NULL AS varchar)"
_REASONS: Final = (
    "transform(rejection_reasons,"
    " r -> CAST(ROW(r.code, r.field, NULL) AS ROW(code varchar, field varchar, value varchar)))"
)


_LENGTH: Final = 24
"""Digits of a pseudonym."""


def pseudonym_key(secret: str) -> str:
    """Return what pseudonyms follow from: it stays while the object store's secret stays, and does not give it away."""
    return hashlib.sha256(f"pseudonyms of persons {secret}".encode()).hexdigest() if secret else ""


def pseudonym(identity: str, key: str) -> str:
    """Return what stands in tables in place of an identity, for those who may not know it."""
    return hmac.new(key.encode(), identity.encode(), hashlib.sha256).hexdigest()[:_LENGTH]


@dataclass(frozen=True)
class Masked:
    """A table, and by column the expression of Trino that stands in its place."""

    schema: str
    table: str
    columns: dict[str, str]


def masked(lakehouse: Lakehouse, key: str) -> Iterator[Masked]:
    """Yield the tables that hold something personal. key: pseudonyms follow from it; empty: all is NULL."""
    personal = [record for record in lakehouse.records if any(field.pii for field in record.fields)]
    if not personal:
        return
    joined = _joined(lakehouse)

    def columns(fields: Iterable[Field]) -> dict[str, str]:
        return {field.name: _mask(field, joined, key) for field in fields if field.pii}

    bronze, silver, gold = (lakehouse.namespace(layer) for layer in ("bronze", "silver", "gold"))
    for record in personal:
        yield Masked(bronze, record.name, {"value": _NOTHING, "key": _NOTHING})
        named = {"record_id": _NOTHING} if _is_named(record) else {}
        yield Masked(silver, record.name, {**columns(record.fields), **named, "rejection_reasons": _REASONS})
    yield Masked(silver, "quarantine", {"value": _NOTHING})
    for dimension in lakehouse.dimensions:
        fields = [lakehouse.reference(dimension.reference).field(name) for name in dimension.attributes]
        if result := columns(fields):
            yield Masked(gold, dimension.name, result)
    for fact in lakehouse.facts:
        if result := columns(lakehouse.event(fact.event).fields):
            yield Masked(gold, fact.name, result)


def _joined(lakehouse: Lakehouse) -> set[str]:
    """Return the fields by which people are looked up."""
    keys = {reference.key for reference in lakehouse.references}
    keys |= {known.field for record in lakehouse.records for known in record.known}
    return keys | {lookup.field for fact in lakehouse.facts for lookup in fact.lookups}


def _is_named(record: Record) -> bool:
    return any(record.field(name).pii for name in record.identity)


def _mask(field: Field, joined: set[str], key: str) -> str:
    if key and field.name in joined and field.type.kind == "string":
        return f"lower(substr(to_hex(hmac_sha256(to_utf8({field.name}), to_utf8('{key}'))), 1, {_LENGTH}))"
    return f"CAST(NULL AS {field.type.sql('trino')})"
