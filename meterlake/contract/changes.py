"""What differs between two versions of a contract, and whether it breaks what somebody relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Weight = Literal["breaking", "addition", "words"]
_WEIGHTS: Final[tuple[Weight, ...]] = ("breaking", "addition", "words")
FIRST: Final = "1.0.0"
_FIXED: Final = {
    "logicalType": "its type",
    "physicalType": "its type in the engine",
    "primaryKeyPosition": "its place in the key",
    "logicalTypeOptions": "what values may be",
    "relationships": "what it refers to",
}
_TEXTS: Final = ("description", "classification")


class Change(NamedTuple):
    """What differs. place: the table, or table and column."""

    weight: Weight
    place: str
    what: str


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Return what a new document changes, what breaks first. old: as it was published."""
    before, after = _named(old.get("schema")), _named(new.get("schema"))
    result = [Change("breaking", name, "is not there any more") for name in before if name not in after]
    result += [Change("addition", name, "is new") for name in after if name not in before]
    for name in before:
        if name in after:
            result += _table(name, before[name], after[name])
    if old.get("slaProperties", []) != new.get("slaProperties", []):
        result.append(Change("breaking", "service", "what is promised about time differs"))
    if old.get("description") != new.get("description") or old.get("name") != new.get("name"):
        result.append(Change("words", "contract", "its description differs"))
    return sorted(result, key=lambda change: _WEIGHTS.index(change.weight))


def next_version(old: str, changes: list[Change]) -> str:
    """Return the version after changes: the first number for what breaks, the second for additions, else the third.

    Raises ValueError where the old version is not three numbers.
    """
    major, minor, patch = (int(part) for part in old.split("."))
    weights = {change.weight for change in changes}
    if "breaking" in weights:
        return f"{major + 1}.0.0"
    if "addition" in weights:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if weights else old


def _table(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for key, word in (("physicalName", "its place"), ("physicalType", "what it is")):
        if old.get(key) != new.get(key):
            yield Change("breaking", name, f"{word} was {old.get(key)}, and is {new.get(key)}")
    if any(old.get(key) != new.get(key) for key in ("description", "dataGranularityDescription")):
        yield Change("words", name, "its words are others")
    yield from _columns(name, old, new)
    yield from _rules(name, _named(old.get("quality")), _named(new.get("quality")))


def _columns(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    before, after, sent = _named(old.get("properties")), _named(new.get("properties")), new["physicalType"] == "topic"
    for column in before:
        place = f"{name}.{column}"
        if column not in after:
            yield Change("breaking", place, "is not there any more")
        else:
            yield from _column(place, before[column], after[column], sent=sent)
    for column in after:
        if column not in before:
            # Who sends messages must send a required field: one more of them breaks senders.
            breaks = sent and after[column].get("required", False)
            yield Change("breaking" if breaks else "addition", f"{name}.{column}", "is new")


def _rules(name: str, before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Iterator[Change]:
    for rule, promised in before.items():
        if after.get(rule) != promised:
            word = "is another rule" if rule in after else "is not promised any more"
            yield Change("breaking", f"{name}, {rule}", word)
    for rule in after:
        if rule not in before:
            yield Change("addition", f"{name}, {rule}", "is promised from now on")


def _column(place: str, old: dict[str, Any], new: dict[str, Any], *, sent: bool) -> Iterator[Change]:
    for key, word in _FIXED.items():
        if old.get(key) != new.get(key):
            yield Change("breaking", place, f"{word} was {old.get(key)}, and is {new.get(key)}")
    before, after = (_custom(one) for one in (old, new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield Change("breaking", place, f"its {key} was {before.get(key)}, and is {after.get(key)}")
    was, is_now = old.get("required", False), new.get("required", False)
    if was != is_now:
        what = "may be missing now" if was else "is never missing from now on"
        yield Change("breaking" if was != sent else "addition", place, what)
    if any(old.get(key) != new.get(key) for key in _TEXTS):
        yield Change("words", place, "its words are others")


def _named(items: list[dict[str, Any]] | None) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in items or []}


def _custom(column: dict[str, Any]) -> dict[str, Any]:
    return {item["property"]: item["value"] for item in column.get("customProperties", [])}
