"""Of which of a data set's formats a file can be, by its first bytes; its name may lie."""

from __future__ import annotations

import codecs
import re
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from engines.readers import homeassistant, obis
from meterlake.contents import content
from meterlake.fileformats import records
from meterlake.fileformats.base import FileFormat, WrongFile
from meterlake.fileformats.homeassistant import HomeAssistantText
from meterlake.fileformats.nem import Nem12, Nem13
from meterlake.text.format import TextFormat
from meterlake.text.head import AmbiguousFormat, EmptyInput, WrongHeader, WrongText, fitting, layout
from meterlake.text.lines import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engines.readers.csv_lines import Header
    from meterlake.contents import Content
    from meterlake.fileformats import Format

HEAD: Final = 1 << 16
"""So many bytes are enough."""

_LINES: Final = 50
_CONTENTS: Final[dict[Content, str]] = {
    "parquet": "a Parquet file",
    "sqlite": "an SQLite database",
    "json": "JSON",
    "xml": "XML",
    "xlsx": "an Excel workbook",
}


def recognise(forms: Sequence[Format], head: bytes) -> list[Format]:
    """Return the formats that a file can be of which begins with ``head`` (HEAD bytes of it, unpacked).

    A format of text comes back as this file has it (``head.layout``).
    """
    kind = content(head) or "text"
    result: list[Format] = []
    for form in forms:
        if isinstance(form, TextFormat):
            result += _laid_out(form, head) if kind == "text" else []
        elif form.content == kind and _fits(form, head):
            result.append(form)
    return result


def format_of(forms: Sequence[Format], path: str, head: bytes) -> Format:
    """Return the format of a file, as this file has it. Raises WrongText, also where it is of two."""
    fits: list[Format] = list(recognise([form for form in forms if isinstance(form, FileFormat)], head[:HEAD]))
    texts, kind = [form for form in forms if isinstance(form, TextFormat)], content(head)
    wrong: WrongText | None = None
    if texts and (kind is None or not fits):
        try:
            fits.append(layout(fitting(texts, path, head), path, head))
        except AmbiguousFormat:
            raise
        except WrongText as error:
            wrong = error
    if len(fits) > 1:
        one, other = (title(form) for form in fits[:2])
        raise AmbiguousFormat(
            path, f"is of two formats of {forms[0].dataset.name}: {one} and {other}", "Name the right one by --format."
        )
    if fits:
        return fits[0]
    if wrong:
        raise wrong
    listed = ", ".join(title(form) for form in forms)
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise EmptyInput(path, "is empty", f"Expected a file of {listed}.")
    what = "begins like " + (
        _CONTENTS[kind] if kind else f"text ({first_line(head)[0][:100].decode(errors='replace')!r})"
    )
    raise WrongHeader(path, f"{what}, and is of no format of {forms[0].dataset.name}", f"It has {listed}.")


def title(form: Format) -> str:
    """Return how a format is called: by its name, or what it looks like."""
    return form.name or (form.header if isinstance(form, TextFormat) else form.title)


def _laid_out(form: TextFormat, head: bytes) -> list[TextFormat]:
    try:
        return [layout(form, "", head)]
    except WrongText:
        return []


def _fits(form: FileFormat, head: bytes) -> bool:
    if isinstance(form, (Nem12, Nem13)):
        fields = first_line(head.lstrip())[0].split(b",")
        return len(fields) > 1 and [fields[0], fields[1].strip()] == [b"100", form.title.encode()]
    if isinstance(form, records.ObisText):
        return _has_header(head, partial(obis.header, form))
    if isinstance(form, HomeAssistantText):
        return _has_header(head, partial(homeassistant.header, form))
    if form.content == "json":
        return _is_json(form, head)
    return True


def _has_header(head: bytes, header: Callable[[str], Header | None]) -> bool:
    text = head.decode("utf-8-sig", errors="replace")
    try:
        return any(header(line.rstrip("\r")) for line in text.split("\n")[:_LINES])
    except WrongFile:
        return True  # the reader says what is wrong


def _is_json(form: FileFormat, head: bytes) -> bool:
    """Return whether the JSON is lines, a list or a table, as far as its beginning says it."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if isinstance(form, records.JsonList):
        return start.startswith(b"{" if form.at else b"[") and (not form.at or _has_list(start, form.at))
    if isinstance(form, records.JsonTable):
        return start.startswith(b"{") and (_has_list(start, form.columns) or _has_list(start, form.data))
    return isinstance(form, records.JsonLines) and any(
        _has_field(line, form.time.field) for line in start.split(b"\n")[:_LINES]
    )


def _has_list(start: bytes, path: str) -> bool:
    name = path.rpartition(".")[2].encode()
    return re.search(rb'"' + re.escape(name) + rb'"\s*:\s*\[', start) is not None


def _has_field(line: bytes, path: str) -> bool:
    """Return whether a line is an object with a field; of one that is cut off, whether it begins like one."""
    names = {path, path.partition(".")[0]}
    try:
        result = orjson.loads(line)
    except orjson.JSONDecodeError:
        return len(line) == HEAD and line.startswith(b"{")
    return isinstance(result, dict) and not names.isdisjoint(result)
