"""The fields of a line in DuckDB's SQL, as RFC 4180 quotes them.

A field may stand between double quotes, and has separators and doubled quotes in it then; blanks around the quotes mean
nothing. A line end within quotes ends the line: what was opened is ``bad_quotes``, and so is text beside quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from meterlake.textcolumns import MeterColumn
from meterlake.textvalues import BLANKS, quoted

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat

BAD_QUOTES: Final = "bad_quotes"


def fields_sql(form: TextFormat) -> str:
    """Return SQL of a line's fields, a list, over ``text``; NULL where its quotes are wrong."""
    plain = f"string_split(text, {quoted(form.separator)})"
    one, end = _field_regex(form.separator), _escaped(form.separator)
    line = f"text || {quoted(form.separator)}"
    whole = f"regexp_full_match({line}, {quoted(f'(?:{one}{end})*')})"
    split = f"regexp_extract_all({line}, {quoted(f'({one}){end}')}, 1)"
    trimmed = "trim(field, ' \t')"
    inner = f"CASE WHEN starts_with({trimmed}, '\"') THEN replace({trimmed}[2:-2], '\"\"', '\"') ELSE field END"
    return (
        f"CASE WHEN contains(text, '\"') THEN CASE WHEN {whole}"
        f" THEN list_transform({split}, lambda field: {inner}) END ELSE {plain} END"
    )


def field_sql(form: TextFormat, place: int) -> str:
    """Return SQL of a field over ``fields``, by its place from 0; empty where the line ends before it."""
    field = f"coalesce(fields[{place + 1}], '')"
    is_meter = isinstance(form.columns[place], MeterColumn)
    return f"trim({field}, {quoted(BLANKS)})" if form.padded or is_meter else field


def _field_regex(separator: str) -> str:
    blank = "".join(sign for sign in " \t" if sign != separator)
    end = _escaped(separator)
    return f'(?:[{blank}]*"(?:[^"]|"")*"[{blank}]*|[{blank}]*[^{end}"{blank}][^{end}]*|[{blank}]*)'


def _escaped(separator: str) -> str:
    return re.escape(separator) if separator.isprintable() and separator != " " else separator
