"""Extracts of the databases that a lakehouse reads: a file a table, of all rows, or of what days have changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from engines import relational
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import DELETED
from producers.lakehouse.extract_files import WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from meterlake.lakehouse.records import Record
    from meterlake.lakehouse.sources import Extract, ExtractKind

_AT_ONCE = 50_000


@dataclass(frozen=True)
class State:
    """What tables hold: rows by key, by record."""

    rows: Mapping[str, Mapping[str, tuple[Any, ...]]]


def state(urls: Mapping[str, str], records: Sequence[Record]) -> State:
    """Return what the tables hold now. Raises BadSource, EngineUnavailable."""
    held: dict[str, dict[str, tuple[Any, ...]]] = {}
    for record, extract in _extracts(records):
        columns, rows = _read(urls, extract)
        key = columns.index(extract.key)
        held[record.name] = {str(row[key]): row for row in rows}
    return State(held)


def write(
    urls: Mapping[str, str],
    records: Sequence[Record],
    before: State | None,
    folder: Path,
    until: date,
    kind: ExtractKind,
) -> dict[str, int]:
    """Write ``<table>.<until>.<kind>`` into a folder that is made; return the rows by record.

    before: what was written already; where deletions are compared, a row that is gone since is written as deleted. Of a
    table without rows there is no XML.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Choose another folder for --out."
        raise UsageError(f"{folder} cannot be made: {error.strerror}.", hint=hint) from error
    counts = {}
    for record, extract in _extracts(records):
        columns, rows = _read(urls, extract)
        fresh = _fresh(extract, columns, rows, before.rows[record.name] if before else {})
        names = [*columns, *([DELETED] if extract.deletions == "compare" else [])]
        path = folder / f"{extract.table}.{until}.{kind}"
        counts[record.name] = WRITERS[kind](path, record, names, fresh)
    return counts


def _fresh(
    extract: Extract, columns: list[str], rows: Iterator[tuple[Any, ...]], known: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that are not known as they are, and those that are gone."""
    key, compares = columns.index(extract.key), extract.deletions == "compare"
    there = set()
    for row in rows:
        there.add(str(row[key]))
        if known.get(str(row[key])) != row:
            yield (*row, None) if compares else row
    if compares:
        at = columns.index(extract.watermark)
        yield from (_deleted(row, at) for held, row in known.items() if held not in there)


def _deleted(row: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    """Return the last state of a row that is gone, a second later."""
    mark = row[at] if isinstance(row[at], datetime) else datetime.fromisoformat(row[at])
    return (*row[:at], (mark + timedelta(seconds=1)).isoformat(" "), *row[at + 1 :], "true")


def _extracts(records: Sequence[Record]) -> list[tuple[Record, Extract]]:
    return [(record, record.extract) for record in records if record.extract]


def _read(urls: Mapping[str, str], extract: Extract) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return the columns of a table, and its rows by key."""
    with relational.opened(urls[extract.database]) as connection:
        columns = relational.columns(connection, extract.table, relational.shown(urls[extract.database]))

    def rows() -> Iterator[tuple[Any, ...]]:
        window = relational.Window(extract.table, extract.watermark)
        with relational.opened(urls[extract.database]) as connection:
            for part in relational.within(connection, window, columns, [extract.key], _AT_ONCE):
                yield from part

    return columns, rows()
