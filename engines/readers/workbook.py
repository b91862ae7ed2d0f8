"""Excel workbooks (xlsx): the rows of one sheet, read on the way; of formulas the values that were computed last."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import ParseError

import openpyxl
from defusedxml import DefusedXmlException
from openpyxl.utils.exceptions import InvalidFileException

from engines.readers.records import Record, read_records
from engines.readers.streams import seekable
from meterlake.fileformats.base import WrongFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.fileformats.records import Workbook

_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    InvalidFileException,
    DefusedXmlException,
    ParseError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    EOFError,
    NotImplementedError,
)
"""What openpyxl raises where a workbook is damaged."""

_ROUNDING: Final = timedelta(milliseconds=5)


def read(form: Workbook, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a sheet of a workbook."""
    return read_records(form, partial(_records, form), stream, options)


def _records(form: Workbook, stream: IO[bytes]) -> Iterator[Record]:
    with ExitStack() as stack:
        rows = _rows(form, seekable(stream, stack), stack)
        names = [str(cell).strip() if cell is not None else "" for cell in next(rows, (0, []))[1]]
        missing = [field for field in form.fields if field not in names]
        if missing:
            problem = f"has no column {', '.join(missing)} in its first row; it has {', '.join(names)[:500]}"
            raise WrongFile(problem, f"Mend the names in the {form.where}, or its sheet=.")
        for number, cells in rows:
            if any(cell is not None for cell in cells):
                yield Record(number, {name: _cell(cell) for name, cell in zip(names, cells, strict=False) if name})


def _rows(form: Workbook, stream: IO[bytes], stack: ExitStack) -> Iterator[tuple[int, list[Any]]]:
    """Yield number and cells of the rows of the sheet."""
    try:
        book = stack.enter_context(closing(openpyxl.load_workbook(stream, read_only=True, data_only=True)))
        if form.sheet and form.sheet not in book.sheetnames:
            problem = f"has no sheet {form.sheet!r}; it has {', '.join(book.sheetnames)[:500]}"
            raise WrongFile(problem, f"Mend sheet= in the {form.where}.")
        sheet = book[form.sheet or book.sheetnames[0]]
        width = 0
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            width = max(width, len(cells))
            yield number, [*cells, *[None] * (width - len(cells))]
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; openpyxl says by the same type that parts are missing
        raise WrongFile(f"is a damaged workbook ({error})"[:600], "Open it in Excel and save it again.") from error


def _cell(cell: Any) -> Any:
    """Return a cell's value; a time whole again, which Excel keeps as a fraction of a day."""
    if isinstance(cell, datetime) and cell.microsecond:
        whole = (cell + _ROUNDING).replace(microsecond=0)
        return whole if abs(whole - cell) <= _ROUNDING else cell
    return cell
