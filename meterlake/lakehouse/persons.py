"""Which records of a lakehouse are a person's, from its declaration. Pure.

A person is a key of a reference whose key is personal. A record is the person's where a field that holds such keys has
it, where a field holds the key of something that the person owns, and where it is no JSON and the key stands in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from meterlake.errors import DeclarationError, UsageError
from meterlake.lakehouse.records import Event, Reference
from meterlake.schema import KEY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.records import Record

_WHOLE_NUMBERS: Final = ("int", "bigint")


@dataclass(frozen=True)
class Person:
    """A member of a reference of people."""

    reference: Reference
    identity: str


def people(lakehouse: Lakehouse) -> list[Reference]:
    """Return the references of people: those whose key says something about a person."""
    return [item for item in lakehouse.references if item.field(item.key).pii]


def ways(lakehouse: Lakehouse, record: Record) -> dict[str, str]:
    """Return the fields of a record that hold keys of references, each with the reference."""
    persons = {item.key: item.name for item in people(lakehouse)}
    result = {item.name: persons[item.name] for item in record.fields if item.pii and item.name in persons}
    result |= {known.field: known.reference for known in record.known}
    if isinstance(record, Event) and (fact := lakehouse.fact_of(record.name)):
        result |= {lookup.field: lakehouse.dimension(lookup.dimension).reference for lookup in fact.lookups}
    result |= {item.name: item.person for item in record.fields if item.person}
    return result | {record.key: record.name} if isinstance(record, Reference) else result


def check(lakehouse: Lakehouse) -> None:
    """Raise DeclarationError where a field holds keys of no reference of people, or an owner is none."""
    persons = [item.name for item in people(lakehouse)]
    for record in lakehouse.records:
        for item in record.fields:
            if item.person and (item.person not in persons or not item.pii):
                problem = f"{item.name!r} holds keys of {item.person!r}"
                expected = f"Name one of the references of people ({', '.join(persons) or 'none'}), with pii=True"
                raise DeclarationError(record.where, problem, expected=expected)
        if isinstance(record, Reference) and record.owner:
            leads_to = ways(lakehouse, record).get(record.owner)
            if leads_to not in persons or leads_to == record.name:
                problem = f"its owner {record.owner!r} is the key of no person"
                expected = "Name a field that holds keys of people"
                raise DeclarationError(record.where, problem, expected=expected)


def person(lakehouse: Lakehouse, text: str, of: str = "") -> Person:
    """Return whom a text names. of: the reference, where several have people. Raises UsageError."""
    known = {item.name: item for item in people(lakehouse)}
    if not known:
        raise UsageError(
            f"{lakehouse.name} has no people.", hint="No reference has a key that is declared personal (pii=True)."
        )
    if of and of not in known:
        raise UsageError(f"{lakehouse.name} has no people {of!r}.", hint=f"There are {', '.join(known)}.")
    identity = text.strip()
    if not re.fullmatch(KEY_PATTERN.strip("^$"), identity):
        raise UsageError(f"{text!r} names nobody.", hint=f"Write the key of one of {of or ', '.join(known)}.")
    fitting = {name: item for name, item in known.items() if of in ("", name) and _fits(item, identity)}
    if not fitting:
        allowed = "; ".join(f"{name}: {_allowed(item)}" for name, item in known.items() if of in ("", name))
        raise UsageError(f"{identity!r} can be nobody of {lakehouse.name}.", hint=f"Keys are, of {allowed}.")
    if len(fitting) > 1:
        raise UsageError(
            f"{identity!r} may be one of {' or '.join(fitting)}.", hint=f"Say which: --of {next(iter(fitting))}."
        )
    return Person(next(iter(fitting.values())), identity)


def _fits(reference: Reference, identity: str) -> bool:
    declared = reference.field(reference.key)
    if declared.type.kind in _WHOLE_NUMBERS:
        return re.fullmatch("-?[0-9]+", identity) is not None
    return not declared.pattern or re.fullmatch(declared.pattern, identity) is not None


def _allowed(reference: Reference) -> str:
    declared = reference.field(reference.key)
    return f"{declared.type.kind} {declared.pattern}".strip()


@dataclass
class Belongings:
    """What is a person's. keys: by reference, the keys that lead to the person; those of owned things are added."""

    lakehouse: Lakehouse
    person: Person
    keys: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys.setdefault(self.person.reference.name, set()).add(self.person.identity)
        self._ways = {record.name: ways(self.lakehouse, record) for record in self.lakehouse.records}
        self._fields = {record.name: {item.name for item in record.fields} for record in self.lakehouse.records}

    @property
    def owned(self) -> list[Reference]:
        """The references of what people own."""
        return [item for item in self.lakehouse.references if item.owner]

    @property
    def things(self) -> dict[str, list[str]]:
        """The keys of what the person owns, by reference."""
        return {name: sorted(keys) for name, keys in self.keys.items() if name != self.person.reference.name}

    def add(self, keys: Mapping[str, Iterable[str]]) -> None:
        """Take keys of what the person owns, by reference."""
        for name, some in keys.items():
            if every := {*self.keys.get(name, ()), *some}:
                self.keys[name] = every

    def columns(self, record: Record) -> dict[str, set[str]]:
        """Return the fields of a record by which it may be the person's, each with the keys."""
        return {name: self.keys[other] for name, other in self._ways[record.name].items() if other in self.keys}

    @cached_property
    def _word(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?<![0-9A-Za-z])" + re.escape(self.person.identity.encode()) + rb"(?![0-9A-Za-z])")

    def needles(self) -> list[bytes] | None:
        """Return bytes of which each record of the person has some; None where it may be written in any way.

        They are letters and digits, which JSON writes as they are: ``+`` may be ``\\u002B``.
        """
        needles = set()
        for key in (key for keys in self.keys.values() for key in keys):
            parts = re.findall("[0-9A-Za-z]+", key)
            if not parts:
                return None
            needles.add(max(parts, key=len).encode())
        return sorted(needles)

    def has(self, record: Record | None, key: bytes | None, value: bytes | None) -> bool:
        """Return whether a record as it came is the person's. record: None where its topic is declared no more."""
        pairs = _pairs(value) if record else None
        if record is None or pairs is None:
            return self.names(value) or self.names(key)
        if record.extract is None and key is not None and key.decode(errors="replace") == self.person.identity:
            return True
        columns, declared = self.columns(record), self._fields[record.name]
        for name, found in pairs:
            texts = set(_texts(found))
            if texts & columns.get(name, set()):
                return True
            if name not in declared and self.person.identity in texts and isinstance(found, str):
                return True
        return False

    def names(self, data: bytes | None) -> bool:
        """Return whether the person's key stands in bytes, as a word of its own."""
        return data is not None and self._word.search(data) is not None

    def owner_of(self, reference: Reference, value: bytes | None) -> tuple[str, bool] | None:
        """Return the key of what a record describes, and whether it says so of the person; None where it has none."""
        pairs = dict(_pairs(value) or ())
        key = next(_texts(pairs.get(reference.key)), None)
        if key is None:
            return None
        owner = self.keys.get(self._ways[reference.name][reference.owner], set())
        return key, bool(set(_texts(pairs.get(reference.owner))) & owner)


def owned_keys(seen: Mapping[str, set[bool]]) -> set[str]:
    """Return the keys that nobody else has owned. seen: of each key, whether its records say so of the person."""
    return {key for key, theirs in seen.items() if theirs == {True}}


def _pairs(value: bytes | None) -> list[tuple[str, Any]] | None:
    """Return names and values of a JSON object, each as often as it has it; None where it is none."""
    try:
        found = json.loads(value or b"", object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)
    except (ValueError, RecursionError):
        return None
    return found.pairs if isinstance(found, _Object) else None


class _Object:
    """A JSON object with all that it has, also what it has twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


class _Number:
    """A number as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - what JSON has
    """Yield the texts and numbers in a value, at any depth."""
    match value:
        case str():
            yield value.strip()
        case _Number():
            yield value.text
        case list():
            for item in value:
                yield from _texts(item)
        case _Object():
            for _, item in value.pairs:
                yield from _texts(item)
