"""Extracts of tables into landed objects: files in CSV, Parquet or XML of SAP, each called after its table.

A row becomes the document that the table itself would have given: its fields, and its watermark as the revision. So it
does not matter in which order extracts are landed, nor whether one holds all rows or what is new. A file is known by
its content, and landing it twice adds nothing.
"""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from lakehouse.landing import documents, idocs, objects
from lakehouse.landing.from_kafka import MOST_RECORDS
from lakehouse.landing.objects import Landed, Source
from lakehouse.landing.paths import files_of
from meterlake.errors import PermanentError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings

KINDS: Final = (".csv", ".parquet", ".xml")
_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class BadExtract(PermanentError):
    """A file is not what an extract of its table would be."""


def land(
    settings: Settings, dataset: str, records: Sequence[Record], paths: Sequence[Path], now: datetime
) -> Counter[str]:
    """Land files called ``<table>`` with one of KINDS (a folder: those in it). now: UTC, without zone.

    What comes after a dot is of no account: ``outages.2026-11-27.csv``. All files are read before one is landed.
    Returns the records by topic. Raises UsageError, UnknownName, BadExtract, BadIdoc.
    """
    tables = {record.extract.table: record for record in records if record.extract}
    wanted = []
    for path in files_of(paths, KINDS, "Name files such as outages.csv or eabl.parquet."):
        table = path.name.partition(".")[0]
        if table not in tables:
            raise UnknownName(f"table of {dataset}, which {path} is called after,", table, tables)
        wanted.append((path, tables[table]))
    for path, record in wanted:
        for _ in rows(path, record):
            pass
    landed: Counter[str] = Counter()
    for path, record in wanted:
        landed[record.topic] += _land_file(settings, dataset, record, path, now)
    return landed


def _land_file(settings: Settings, dataset: str, record: Record, path: Path, now: datetime) -> int:
    source = Source.of_file(dataset, record.topic, path)
    first, count = objects.next_offset(settings, source) or 0, 0
    fresh = islice(enumerate(rows(path, record)), first, None)
    while part := list(islice(fresh, MOST_RECORDS)):
        landed = [Landed(number, now, key, value) for number, (_, key, value) in part]
        marks = [mark for _, (mark, _, _) in part]
        offsets = range(part[0][0], part[-1][0] + 1)
        manifest = objects.write(settings, source, landed, offsets, (min(marks), max(marks)))
        count += manifest.rows if manifest else 0
    return count


def rows(path: Path, record: Record) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield watermark, key and document of each row, as they lie in the file. Raises BadExtract."""
    extract = documents.extract_of(record)
    columns, lines = _read(path)
    if lacking := documents.lacking(record, columns):
        raise BadExtract(
            f"{path} lacks {', '.join(lacking)}; it has {', '.join(columns)}.",
            hint="A column was renamed or dropped: mend the extract, or the declaration. Nothing was landed.",
        )
    names = documents.names_of(record, columns)
    kinds = documents.kinds_of(record, names)
    at, key = columns.index(extract.watermark), columns.index(extract.key)
    for number, line in enumerate(lines, start=1):
        if len(line) != len(columns):
            raise BadExtract(
                f"{path}, row {number} has {len(line)} values for {len(columns)} columns.",
                hint="Is the extract cut off, or a comma not in quotes? Nothing was landed.",
            )
        row = [_typed(value, kind) for value, kind in zip(line, kinds, strict=True)]
        mark = _moment(row[at])
        if mark is None or row[key] is None:
            name = columns[at if mark is None else key]
            raise BadExtract(
                f"{path}, row {number}: {name} is {row[columns.index(name)]!r}.",
                hint="A row is known by its key, and its state by its watermark. Mend it; nothing was landed.",
            )
        yield mark.isoformat(), str(row[key]).encode(), documents.document(names, kinds, row, mark)


def _read(path: Path) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Return the columns of a file, and its rows. Raises BadExtract where it is no such file."""
    if path.suffix == ".csv":
        lines = _lines(path)
        return next(lines, []), lines
    if path.suffix == ".xml":
        fields = idocs.columns_of(path)
        return fields, ([segment.get(name, "") for name in fields] for segment in idocs.segments(path))
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise BadExtract(f"{path} is no Parquet file: {error}.", hint="Is it cut off? Nothing was landed.") from error
    columns = list(file.schema_arrow.names)
    batches = (batch.to_pydict() for batch in file.iter_batches())
    return columns, (row for batch in batches for row in zip(*(batch[name] for name in columns), strict=True))


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file, strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadExtract(
            f"{path} is no CSV in UTF-8: {error}.", hint="Separate values by commas. Nothing was landed."
        ) from error


def _typed(value: Any, kind: str) -> Any:  # noqa: ANN401 - what files have
    """Return a value as a database would give it: a CSV has nothing but text, and nothing for NULL."""
    match value:
        case "":
            return None
        case str() if kind == "boolean":
            return _BOOLEANS.get(value.lower(), value)
        case datetime() if value.tzinfo:
            return value.astimezone(UTC).replace(tzinfo=None)
        case _:
            return value


def _moment(value: Any) -> datetime | None:  # noqa: ANN401 - what files have
    """Return a watermark in UTC, without zone; None where it is none."""
    try:
        mark = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return mark.astimezone(UTC).replace(tzinfo=None) if mark.tzinfo else mark
