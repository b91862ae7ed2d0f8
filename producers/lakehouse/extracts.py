"""Extracts of the databases that a lakehouse reads: a CSV a table, of all rows, or of what days have changed."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from engines import relational
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import DELETED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from meterlake.lakehouse.records import Record
    from meterlake.lakehouse.sources import Extract

_AT_ONCE = 50_000


@dataclass(frozen=True)
class State:
    """What tables hold: rows by key, by record."""

    rows: Mapping[str, Mapping[str, tuple[Any, ...]]]


def state(urls: Mapping[str, str], records: Sequence[Record]) -> State:
    """Return what the tables hold now. Raises BadSource, EngineUnavailable."""
    held: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name, extract in _extracts(records):
        columns, rows = _read(urls, extract)
        key = columns.index(extract.key)
        held[name] = {str(row[key]): row for row in rows}
    return State(held)


def write(
    urls: Mapping[str, str], records: Sequence[Record], before: State | None, folder: Path, until: date
) -> dict[str, int]:
    """Write ``<table>.<until>.csv`` into a folder that is made; return the rows by record.

    before: what was written already; where deletions are compared, a row that is gone since is written as deleted.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Choose another folder for --out."
        raise UsageError(f"{folder} cannot be made: {error.strerror}.", hint=hint) from error
    counts = {}
    for name, extract in _extracts(records):
        known = before.rows[name] if before else {}
        columns, rows = _read(urls, extract)
        key, compares = columns.index(extract.key), extract.deletions == "compare"
        with (folder / f"{extract.table}.{until}.csv").open("w", encoding="utf-8", newline="") as file:
            writer, there, count = csv.writer(file), set(), 0
            writer.writerow([*columns, *([DELETED] if compares else [])])
            for row in rows:
                there.add(str(row[key]))
                if known.get(str(row[key])) != row:
                    writer.writerow([*row, *([""] if compares else [])])
                    count += 1
            if compares:
                gone = [row for held, row in known.items() if held not in there]
                writer.writerows(_deleted(row, columns.index(extract.watermark)) for row in gone)
                count += len(gone)
        counts[name] = count
    return counts


def _deleted(row: tuple[Any, ...], at: int) -> list[Any]:
    """Return the last state of a row that is gone, a second later."""
    mark = row[at] if isinstance(row[at], datetime) else datetime.fromisoformat(row[at])
    return [*row[:at], (mark + timedelta(seconds=1)).isoformat(" "), *row[at + 1 :], "true"]


def _extracts(records: Sequence[Record]) -> list[tuple[str, Extract]]:
    return [(record.name, record.extract) for record in records if record.extract]


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
