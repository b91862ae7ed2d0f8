"""JSON: a line an object, a list of objects, or columns and data; read on the way, so a file may be of any size."""

from __future__ import annotations

import codecs
from contextlib import ExitStack
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

import ijson
import orjson

from engines.readers.records import EMPTY, Record, read_records, text_of
from engines.readers.streams import seekable
from meterlake.fileformats.base import WrongFile
from meterlake.text.lines import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.fileformats.records import JsonLines, JsonList, JsonTable

NOT_JSON: Final = "not_json"
NOT_OBJECT: Final = "not_object"
_DAMAGED: Final = (ijson.JSONError, UnicodeDecodeError)


def read_lines(form: JsonLines, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of JSON lines."""
    return read_records(form, _lines, stream, options)


def read_list(form: JsonList, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a JSON list."""
    return read_records(form, partial(_list, form), stream, options)


def read_table(form: JsonTable, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a JSON table."""
    return read_records(form, partial(_table, form), stream, options)


def _lines(stream: IO[bytes]) -> Iterator[Record]:
    for block in blocks(stream.read):
        for at, text in enumerate(block.texts):
            place = block.first + at
            yield _line(place, text, block.undecoded.get(at, ""))


def _line(place: int, text: str, undecoded: str) -> Record:
    if undecoded or not text.strip():
        return Record(place, EMPTY, undecoded or "empty_line", text)
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Record(place, EMPTY, NOT_JSON, text)
    return Record(place, fields, text=text) if isinstance(fields, dict) else Record(place, EMPTY, NOT_OBJECT, text)


def _list(form: JsonList, stream: IO[bytes]) -> Iterator[Record]:
    path = f"{form.at}.item" if form.at else "item"
    number = 0
    for item in _items(stream, path):
        number += 1
        if isinstance(item, dict):
            yield Record(number, item)
        else:
            yield Record(number, EMPTY, NOT_OBJECT, text_of(item))
    if not number:
        where = f"at {form.at!r}" if form.at else "of objects"
        raise WrongFile(f"has no JSON list {where}, or an empty one", f"Mend at= in the {form.where}.")


def _table(form: JsonTable, stream: IO[bytes]) -> Iterator[Record]:
    with ExitStack() as stack:
        stream = seekable(stream, stack)
        columns = next(_items(stream, form.columns), None)
        stream.seek(0)
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise WrongFile(f"has no list of names at {form.columns!r}", f"Mend columns= in the {form.where}.")
        missing = [field for field in form.fields if field not in columns]
        if missing:
            problem = f"has no column {', '.join(missing)}; it has {', '.join(columns)[:500]}"
            raise WrongFile(problem, f"Mend the names in the {form.where}.")
        number = 0
        for number, item in enumerate(_items(stream, f"{form.data}.item"), start=1):
            yield _row(number, item, columns)
        if not number:
            raise WrongFile(f"has no rows at {form.data!r}", f"Mend data= in the {form.where}.")


def _row(place: int, item: Any, columns: list[str]) -> Record:
    if not isinstance(item, list):
        return Record(place, EMPTY, "not_list", text_of(item))
    if len(item) != len(columns):
        return Record(place, EMPTY, "missing_column" if len(item) < len(columns) else "extra_column", text_of(item))
    return Record(place, dict(zip(columns, item, strict=True)), text=None)


def _items(stream: IO[bytes], path: str) -> Iterator[Any]:
    """Yield the values at a path. Raises WrongFile where the file ends or is damaged before its own end."""
    try:
        yield from ijson.items(_WithoutMark(stream), path)
    except _DAMAGED as error:
        says = str(error).partition("\n")[0]  # what follows is a picture of the place
        raise WrongFile(f"is damaged JSON, or not all of it is here ({says})"[:600], "Get it again.") from error


class _WithoutMark:
    """A stream of UTF-8 without the byte order mark that it may begin with."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._begun = stream, False

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._begun or not size:
            return self._stream.read(size)
        self._begun = True
        head = self._stream.read(len(codecs.BOM_UTF8))
        return head.removeprefix(codecs.BOM_UTF8) or self._stream.read(size)
