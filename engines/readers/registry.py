"""The reader of each format, and of which of a data set's formats a file can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from engines.readers import json_files, nem, parquet, workbook
from meterlake.fileformats import nem as nem_formats
from meterlake.fileformats import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.readers.port import Reader
    from meterlake.fileformats.base import FileFormat

Format: TypeAlias = "FileFormat"

_READERS: Final[dict[type[Any], Callable[[Any], Reader]]] = {
    records.Parquet: parquet.reader,
    records.JsonLines: json_files.lines_reader,
    records.JsonList: json_files.list_reader,
    records.JsonTable: json_files.table_reader,
    records.Workbook: workbook.reader,
    nem_formats.Nem12: nem.nem12_reader,
    nem_formats.Nem13: nem.nem13_reader,
}


def reader_of(form: Format) -> Reader:
    """Return the reader of a format."""
    return _READERS[type(form)](form)
