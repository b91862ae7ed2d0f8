"""What the head of a text file says: whether it is text, and how its columns stand."""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meterlake.errors import PermanentError
from meterlake.textformat import Skipped
from meterlake.textlines import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.textformat import TextFormat

_SEPARATORS: Final = ",;\t|"
_SAMPLE: Final = 400
_WIDE: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class WrongText(PermanentError):
    """A file is not of a data set's text format. problem: without the path."""

    def __init__(self, path: str, problem: str, hint: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} {problem}.", hint=hint)


class EmptyInput(WrongText):
    """There is no reading in the file."""


class WrongEncoding(WrongText):
    """The file is not UTF-8 text."""


class WrongHeader(WrongText):
    """The first line is not that of the data set's text format."""


def layout(form: TextFormat, path: str, head: bytes) -> TextFormat:
    """Return the format as the file that begins with ``head`` has it.

    Its separator may be another, its names may be quoted or in other letters (``date`` for ``Date``), and columns
    without a name (row numbers, a separator at the end of each line) are skipped.
    Raises EmptyInput, WrongEncoding or WrongHeader.
    """
    if not head.strip():
        raise EmptyInput(path, "is empty", f"Expected the header {form.header!r} and lines of readings.")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if wide or _looks_wide(head):
        raise WrongEncoding(
            path, f"is {wide or 'UTF-16'} text, not UTF-8", "Convert it: iconv -f UTF-16 -t UTF-8 FILE."
        )
    if b"\0" in head[:_SAMPLE]:
        raise WrongEncoding(path, "is no text: there are NUL bytes at its beginning", "Export it as CSV in UTF-8.")
    line, rest = first_line(head)
    header = line.decode(errors="replace")
    found = _matched(form, header)
    if found is None:
        raise WrongHeader(
            path,
            f"does not begin with the header of {form.dataset.name}: {_difference(form, header)}."
            f" Its first line is {header[:200]!r}",
            f"Expected {form.header!r}.",
        )
    if not rest.strip():
        raise EmptyInput(path, "has a header but no reading", "Expected at least one line below it.")
    return found


def fitting(forms: Sequence[TextFormat], path: str, head: bytes) -> TextFormat:
    """Return the first of a data set's formats that the file that begins with ``head`` is of.

    Raises what ``layout`` raises; WrongHeader where it is of none, about the one whose columns come nearest.
    """
    wrong: dict[TextFormat, WrongHeader] = {}
    for form in forms:
        try:
            layout(form, path, head)
        except WrongHeader as error:
            wrong[form] = error
        else:
            return form
    header = first_line(head)[0].decode(errors="replace")
    raise wrong[max(wrong, key=lambda form: _shared(form, header))]


def _shared(form: TextFormat, header: str) -> int:
    """Return how many of a format's columns a header has."""
    wanted = {_plain(column.header) for column in form.columns}
    return max(len(wanted.intersection(_names(header, separator))) for separator in (form.separator, *_SEPARATORS))


def _matched(form: TextFormat, header: str) -> TextFormat | None:
    if header == form.header:
        return form
    wanted = [_plain(column.header) for column in form.columns]
    for separator in dict.fromkeys((form.separator, *_SEPARATORS.replace(form.decimal, ""))):
        names = _names(header, separator)
        if [name for name in names if name] == wanted:
            declared = iter(form.columns)
            columns = tuple(next(declared) if name else Skipped("") for name in names)
            return replace(form, separator=separator, columns=columns, written=header)
    return None


def _names(header: str, separator: str) -> list[str]:
    names = [_plain(name) for name in header.split(separator)]
    # What pandas writes for a column without a name.
    return ["" if name.startswith("unnamed: ") else name for name in names]


def _plain(name: str) -> str:
    stripped = name.strip()
    quoted = len(stripped) > 1 and stripped[0] == stripped[-1] == '"'
    return (stripped[1:-1].strip() if quoted else stripped).casefold()


def _looks_wide(head: bytes) -> bool:
    """Return whether every other byte is NUL, as in UTF-16 without a mark."""
    even, odd = (head[:_SAMPLE][at::2] for at in (0, 1))
    one, other = sorted((even.count(0), odd.count(0)))
    return other * 1.5 > len(odd) and one * 10 < other


def _difference(form: TextFormat, header: str) -> str:
    wanted = {_plain(column.header): column.header for column in form.columns}
    separator = max((form.separator, *_SEPARATORS), key=lambda one: len(set(_names(header, one)) & set(wanted)))
    names = [name for name in _names(header, separator) if name]
    missing = [wanted[name] for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    if len(missing) == len(wanted):
        return "it has none of the columns"
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if extra:
        written = [part.strip().strip('"') for part in header.split(separator)]
        parts.append(f"unknown {', '.join(name for name in written if _plain(name) in extra)[:200]}")
    if not missing and not extra:
        twice = len(names) > len(wanted)
        parts.append("a column stands in it twice" if twice else "its columns stand in another order")
    return "; ".join(parts)
