"""Rows of tables as documents: what databases and extracts of them have in common."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from meterlake.lakehouse.sources import DELETED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meterlake.lakehouse.records import Record
    from meterlake.lakehouse.sources import Extract

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC without zone
_AS_THEY_ARE: Final = frozenset({str, int, float, bool})
"""Types of most values: asking what each is takes longer than to write it."""
_READ_BY_KIND: Final = frozenset({"boolean", "timestamp"})


def extract_of(record: Record) -> Extract:
    """Return the table of a record that comes from one."""
    assert record.extract is not None  # noqa: S101 - commands ask for such records only
    return record.extract


def lacking(record: Record, there: Sequence[str]) -> list[str]:
    """Return the columns that a table must have, and has not."""
    extract = extract_of(record)
    wanted = [extract.column(field.name) for field in record.fields if field.name != DELETED]
    return [name for name in (*wanted, extract.key, extract.watermark) if name not in there]


def names_of(record: Record, there: Sequence[str]) -> dict[str, str]:
    """Return the documents' names of a table's columns: of all that there are, declared or not."""
    extract = extract_of(record)
    names = {extract.column(field.name): field.name for field in record.fields if field.name != DELETED}
    return {name: names.get(name, name.lower()) for name in there}


def kinds_of(record: Record, names: Mapping[str, str]) -> list[str]:
    """Return the kind of each column's values; '' where nobody has declared it."""
    kinds = {names[extract_of(record).watermark]: "timestamp"}
    kinds |= {field.name: field.type.kind for field in record.fields}
    return [kinds.get(name, "") for name in names.values()]


def document(names: Mapping[str, str], kinds: Sequence[str], row: Sequence[Any], mark: datetime) -> bytes:
    """Return the document of a row. mark: its watermark, UTC without zone, which is the revision."""
    values = {
        name: value
        if value is None or (type(value) in _AS_THEY_ARE and kind not in _READ_BY_KIND)
        else _plain(value, kind)
        for name, value, kind in zip(names.values(), row, kinds, strict=True)
    }
    return orjson.dumps({**values, "revision": revision(mark)})


def revision(mark: datetime) -> int:
    """Return the revision of a row with a watermark."""
    return (mark - _EPOCH) // timedelta(microseconds=1)


def _plain(value: Any, kind: str) -> Any:  # noqa: ANN401 - what drivers give
    """Return a value as a document has it: exact numbers and dates as text, instants with their zone."""
    match value:
        case datetime():
            return f"{value.replace(tzinfo=None).isoformat()}Z"
        case date() | Decimal():
            return str(value)
        case 0 | 1 if kind == "boolean":
            return bool(value)  # databases without that type have numbers
        case str() if kind == "timestamp":
            return f"{value.replace(' ', 'T', 1)}Z" if _is_instant(value) else value
        case bytes():
            return value.hex()
        case _:
            return value


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False
