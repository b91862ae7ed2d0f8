"""What the head of a text file says: whether it is text, and how its columns stand."""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meterlake.errors import PermanentError
from meterlake.text.columns import DayValue, DayValues, Moment, Skipped, TextColumn, Value
from meterlake.text.encoding import has_mark, head_as_utf8
from meterlake.text.lines import first_line, whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meterlake.text.format import TextFormat

_SEPARATORS: Final = ",;\t|"
_SAMPLE: Final = 400
_PREAMBLE: Final = 1000
"""So many lines may stand above a header that is looked for."""
_LINES: Final = 20
"""So many lines below the header are looked at for a column that it does not have."""
_LOOK: Final = 1 << 14
_EXCEL: Final = re.compile(r'"?sep=."?', re.IGNORECASE)
"""The line by which Excel is told the separator."""
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
    """The file is not text in the encoding of the format."""


class WrongHeader(WrongText):
    """The first line is not that of the data set's text format."""


class AmbiguousFormat(WrongText):
    """A file is of two formats of a data set."""


def layout(form: TextFormat, path: str, head: bytes) -> TextFormat:
    """Return the format as the file that begins with ``head`` has it.

    Its columns may stand in another order, under their aliases, in other letters (``date`` for ``Date``) and between
    quotes; its separator may be another. Columns without a name (row numbers, a separator at the end of each line) are
    skipped, also where the header has no place for them, and where the format says so, others that it does not know.
    The only one without a name is the time, where no other is: so pandas writes an index. Above the header may stand
    ``sep=;``, as Excel has it.
    Raises EmptyInput, WrongEncoding or WrongHeader.
    """
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise EmptyInput(path, "is empty", f"Expected {_expected(form)} and lines of readings.")
    text = _text(form, path, head)
    if not form.has_header:
        return _without_header(form, path, text)
    seen = ""
    for number, line, end in _candidates(form, text):
        result = _matched(form, line)
        if result is not None:
            if not text[end:].strip():
                raise EmptyInput(path, "has a header but no reading", "Expected at least one line below it.")
            return replace(result, head_lines=number, columns=_with_unnamed(result, text[end:]))
        seen = seen or line
    which = "Its first line is" if form.skip_lines in (0, "to_header") else f"Line {form.first_line - 1} is"
    place = "does not begin with" if form.skip_lines == 0 else "does not have, where its format looks for it,"
    raise WrongHeader(
        path,
        f"{place} the header of {form.dataset.name}: {_difference(form, seen)}. {which} {seen[:200]!r}",
        f"Expected {form.header!r}.",
    )


def fitting(forms: Sequence[TextFormat], path: str, head: bytes) -> TextFormat:
    """Return the one of a data set's formats that the file that begins with ``head`` is of.

    Raises what ``layout`` raises; WrongHeader where it is of none, about the one whose columns come nearest;
    AmbiguousFormat where it is of two.
    """
    forms = list(dict.fromkeys(forms))
    fits: list[TextFormat] = []
    wrong: dict[TextFormat, WrongText] = {}
    for form in forms:
        try:
            layout(form, path, head)
        except WrongText as error:
            wrong[form] = error
        else:
            fits.append(form)
    if len(fits) > 1:
        one, other = (_named(forms, form) for form in fits[:2])
        raise AmbiguousFormat(
            path,
            f"is of two formats of {forms[0].dataset.name}: {one} and {other}",
            "Name the right one by --format, or let them differ by a column or the header.",
        )
    if fits:
        return fits[0]
    header = first_line(head)[0].decode(errors="replace")
    nearest = max(wrong, key=lambda form: (_similarity(form, wrong[form]), _shared(form, header)))
    raise wrong[nearest]


def _similarity(form: TextFormat, error: WrongText) -> int:
    """Return how much an error says: that the header is there, and no reading; that it is another; all else."""
    if isinstance(error, EmptyInput) and form.has_header:
        return 2
    return int(isinstance(error, WrongHeader))


def _named(forms: Sequence[TextFormat], form: TextFormat) -> str:
    return repr(form.name) if form.name else f"number {forms.index(form) + 1} ({_expected(form)})"


def _expected(form: TextFormat) -> str:
    if form.has_header:
        return f"the header {form.header!r}"
    return f"{len(form.columns)} columns between {form.separator!r}"


def _text(form: TextFormat, path: str, head: bytes) -> bytes:
    """Return the head in UTF-8, with LF at the end of each line. Raises WrongEncoding where it is no such text."""
    eight_bits = form.encoding in ("utf-8", "windows-1252", "latin-1")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if eight_bits and (wide or _looks_wide(head)):
        says = 'encoding="utf-16"' if wide == "UTF-16" else 'encoding="utf-16-le" or "utf-16-be"'
        raise WrongEncoding(
            path,
            f"is {wide or 'UTF-16'} text, not {form.encoding.upper()}",
            f"Declare {says}, or convert it: iconv -f {wide or 'UTF-16'} -t UTF-8 FILE."
            if wide != "UTF-32"
            else "Convert it: iconv -f UTF-32 -t UTF-8 FILE.",
        )
    if eight_bits and b"\0" in head[:_SAMPLE]:
        raise WrongEncoding(path, "is no text: there are NUL bytes at its beginning", "Export it as CSV in UTF-8.")
    if form.encoding == "utf-16" and not has_mark(head):
        raise WrongEncoding(
            path,
            "has no mark that tells the order of bytes of its UTF-16 text",
            'Declare encoding="utf-16-le" or "utf-16-be", or "utf-8" if it is no UTF-16.',
        )
    return whole_lines(head_as_utf8(head, form.encoding))


def _candidates(form: TextFormat, text: bytes) -> Iterator[tuple[int, str, int]]:
    """Yield the lines that may be the header: its number, the line, and where it ends."""
    if form.skip_lines == "to_header":
        wanted = range(1, _PREAMBLE + 1)
    else:
        above = text[: _line_end(text, 0)].decode(errors="replace").rstrip("\r\n")
        first = form.skip_lines + 1 + bool(_EXCEL.fullmatch(above))
        wanted = range(first, first + 1)
    end = 0
    for number in range(1, wanted[-1] + 1):
        begin, end = end, _line_end(text, end)
        if begin == len(text):
            return
        if number in wanted:
            yield number, text[begin:end].rstrip(b"\r\n").decode(errors="replace"), end


def _line_end(text: bytes, begin: int) -> int:
    result = text.find(b"\n", begin)
    return len(text) if result < 0 else result + 1


def _without_header(form: TextFormat, path: str, text: bytes) -> TextFormat:
    end = 0
    for _ in range(form.first_line - 1):
        end = _line_end(text, end)
    if not text[end:].strip():
        raise EmptyInput(path, "has no reading", f"Expected lines of {_expected(form)}.")
    columns: list[TextColumn] = []
    for column in form.columns:
        columns += _day_columns(form, column) if isinstance(column, DayValues) else [column]
    return replace(form, columns=tuple(columns), day_values=form.days, head_lines=form.first_line - 1)


def _day_columns(form: TextFormat, declared: DayValues) -> list[DayValue]:
    of = form.days.index(declared)
    return [DayValue(declared.header, of, number) for number in _numbers(form, declared)]


def _numbers(form: TextFormat, declared: DayValues) -> range:
    """Return the numbers of a day's columns; of real days also those of the hour that comes again."""
    more = max(3600 // form.interval_s, 1) if declared.days == "real" else 0
    return range(1, form.intervals_a_day + more + 1)


def _slots(form: TextFormat) -> Iterator[tuple[TextColumn, tuple[str, ...], bool]]:
    """Yield the columns of a file, the names that each may have, and whether it may be absent."""
    for column in form.columns:
        if isinstance(column, DayValues):
            lead = form.interval_s if form.marks == "end" else 0
            for cell in _day_columns(form, column):
                names = column.names(cell.number, (cell.number - 1) * form.interval_s + lead)
                yield replace(cell, header=names[0]), names, cell.number > form.intervals_a_day
        elif not isinstance(column, DayValue):
            yield column, (column.header, *column.aliases), isinstance(column, Value) and bool(column.absent)


def _matched(form: TextFormat, header: str) -> TextFormat | None:
    """Return the format as a header has it, by the names of its columns in any order; None if it is another's."""
    for separator in dict.fromkeys((form.separator, *_SEPARATORS.replace(form.decimal, ""))):
        columns = _placed(form, _names(header, separator))
        if columns is not None:
            absent = tuple(
                column for column, _, _ in _slots(form) if isinstance(column, Value) and column not in columns
            )
            return replace(
                form, separator=separator, columns=columns, written=header, absent=absent, day_values=form.days
            )
    return None


def _placed(form: TextFormat, names: Sequence[str]) -> tuple[TextColumn, ...] | None:
    """Return the columns in the order of a header's names; None if they are not those of the format."""
    slots = list(_slots(form))
    columns: list[TextColumn] = []
    for name in names:
        fits = [at for at, (_, known, _) in enumerate(slots) if name and name in map(_plain, known)]
        if fits:
            columns.append(slots.pop(fits[0])[0])
        elif not name or (form.extra == "ignore" and not _is_known(form, name)):
            columns.append(Skipped(name))
        else:
            return None
    required = [column for column, _, optional in slots if not optional]
    unnamed = [at for at, name in enumerate(names) if not name]
    if len(required) == len(unnamed) == 1 and isinstance(required[0], Moment):
        columns[unnamed[0]] = required.pop()
    return tuple(columns) if columns and not required else None


def _with_unnamed(form: TextFormat, below: bytes) -> tuple[TextColumn, ...]:
    """Return the columns as all lines have them, where the header has one more or less: an empty one at the end, or,
    as R writes them, row numbers at the beginning."""
    lines = below[:_LOOK].split(b"\n")
    if len(lines) > 1:
        lines.pop()  # its end is not known
    texts = [line.rstrip(b"\r").decode(errors="replace") for line in lines[:_LINES]]
    fields = [_split(text, form.separator) for text in texts if text.strip()]
    more = {len(each) - len(form.columns) for each in fields}
    if more == {-1} and form.columns[-1] == Skipped(""):
        return form.columns[:-1]
    if more != {1}:
        return form.columns
    if all(not each[-1].strip() for each in fields):
        return (*form.columns, Skipped(""))
    numbers = [_plain(each[0]) for each in fields]
    first = int(numbers[0]) if numbers[0].isdecimal() else None
    if first is not None and numbers == [str(first + at) for at in range(len(numbers))]:
        return (Skipped(""), *form.columns)
    return form.columns


def _is_known(form: TextFormat, name: str) -> bool:
    return any(name in map(_plain, known) for _, known, _ in _slots(form))


def _shared(form: TextFormat, header: str) -> tuple[int, int]:
    """Return how many of a format's columns a header has, and how many it lacks, below zero."""
    wanted = {_plain(name) for _, known, _ in _slots(form) for name in known}
    shared = max(len(wanted.intersection(_names(header, separator))) for separator in (form.separator, *_SEPARATORS))
    return shared, shared - sum(not optional for _, _, optional in _slots(form))


def _names(header: str, separator: str) -> list[str]:
    names = [_plain(name) for name in _split(header, separator)]
    # What pandas writes for a column without a name.
    return ["" if name.startswith("unnamed: ") else name for name in names]


def _split(header: str, separator: str) -> list[str]:
    if '"' not in header:
        return header.split(separator)
    try:
        return next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a field beyond what its reader takes
        return header.split(separator)


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
    slots = list(_slots(form))
    wanted = {_plain(name) for _, known, _ in slots for name in known}
    separator = max((form.separator, *_SEPARATORS), key=lambda one: len(set(_names(header, one)) & wanted))
    names = [name for name in _names(header, separator) if name]
    missing = [
        column.header for column, known, optional in slots if not optional and not {*map(_plain, known)} & {*names}
    ]
    extra = [] if form.extra == "ignore" else [name for name in names if name not in wanted]
    if not wanted.intersection(names):
        words = [name for name in wanted if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", header.casefold())]
        if len(words) > 1:
            return f"{len(words)} of its columns are in it, but not between one of , ; | and tabs, or in other quotes"
        return "it has none of the columns"
    parts = []
    if missing:
        parts.append(f"missing {_listed(missing)}")
    if extra:
        written = [part.strip().strip('"') for part in _split(header, separator)]
        parts.append(f"unknown {_listed([name for name in written if _plain(name) in extra])}")
    return "; ".join(parts) or "a column stands in it twice"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)[:200]
