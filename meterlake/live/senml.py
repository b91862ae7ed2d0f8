"""SenML, RFC 8428: a pack of records in JSON, its base fields resolved."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meterlake.fileformats.values import BAD_TIME, RefusedValue, number

VERSION: Final = 10
_ABSOLUTE: Final = 2**28
"""Times below are relative to now (section 4.5.3)."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
_VALUES: Final = ("v", "vs", "vb", "vd")
_UNITS: Final = {"Cel": "°C", "/": "1", "m3": "m³", "m3/h": "m³/h", "VA": "VA", "VAh": "VAh", "%RH": "%"}
"""Symbols of the registry of SenML units that are written in another way here."""


class Record(NamedTuple):
    """A resolved record. at: seconds since 1970 UTC. unit: as this platform writes it; empty where none is given.

    value: None for a text, a truth value, or a sum only.
    """

    name: str
    unit: str
    value: Decimal | None
    at: Decimal


def resolve(pack: object, arrived: Decimal) -> list[Record]:
    """Return the records of a pack that carry a value. arrived: seconds since 1970. Raises RefusedValue."""
    if not isinstance(pack, list) or not all(isinstance(entry, dict) for entry in pack):
        raise RefusedValue("not_senml")
    base: dict[str, Any] = {}
    records = []
    for entry in pack:
        _check_understood(entry)
        base |= {field: entry[field] for field in ("bn", "bt", "bu", "bv", "bver") if field in entry}
        if base.get("bver", VERSION) != VERSION and not _is_older(base["bver"]):
            raise RefusedValue("senml_version")
        if any(field in entry for field in (*_VALUES, "s")):
            records.append(_record(entry, base, arrived))
    return records


def _check_understood(entry: dict[str, Any]) -> None:
    """Refuse a field that must be understood (section 4.4)."""
    for field in entry:
        if field.endswith("_"):
            raise RefusedValue("senml_must_understand")


def _is_older(version: object) -> bool:
    return type(version) is int and 0 < version <= VERSION


def _record(entry: dict[str, Any], base: dict[str, Any], arrived: Decimal) -> Record:
    name = _text(base.get("bn", "")) + _text(entry.get("n", ""))
    if not _NAME.fullmatch(name):
        raise RefusedValue("senml_name")
    unit = _text(entry.get("u", base.get("bu", "")))
    value = None
    if "v" in entry:
        value = _number(entry["v"], "bad_value") + _number(base.get("bv", 0), "bad_value")
    at = _number(base.get("bt", 0), BAD_TIME) + _number(entry.get("t", 0), BAD_TIME)
    return Record(name, _UNITS.get(unit, unit), value, at if at >= _ABSOLUTE else arrived + at)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise RefusedValue("not_senml")
    return given


def _number(given: object, reason: str) -> Decimal:
    if isinstance(given, str):
        raise RefusedValue(reason)
    value = number(given)
    if value is None:
        raise RefusedValue(reason)
    return value
