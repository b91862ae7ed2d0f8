"""Text with a column a DLMS register, named by OBIS: ``1-0:1.8.0`` is the energy taken, ``1-0:2.8.0`` that fed in."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from engines.readers import csv_lines
from engines.readers.records import EMPTY, Record, read_records
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.values import RefusedValue, number
from meterlake.physical_units import UnitsDiffer, exact_factor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.fileformats.records import ObisText

_CODE: Final = re.compile(r"(?:(\d+-\d+):)?(\d+\.\d+(?:\.\d+)?)(?:[*.&]\d+)?(?=$|[^\d.*&])")
_EXACT: Final = Context(prec=50, traps=[Inexact])


class _Code(NamedTuple):
    """An OBIS code. medium: such as ``1-0``; empty where it is left out. register: such as ``1.8.0``."""

    medium: str
    register: str


def read(form: ObisText, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a file of registers."""
    return read_records(form, partial(_records, form), stream, options)


def _records(form: ObisText, stream: IO[bytes]) -> Iterator[Record]:
    expected = f"columns {', '.join(form.fields)}, separated by {form.separator!r}"
    units = {value.field: value.unit or form.dataset.measure(value.measure).unit for value in form.values}
    for record in csv_lines.records(stream, partial(header, form), expected):
        yield record if record.reason else _with_values(form, record, units)


def header(form: ObisText, text: str) -> csv_lines.Header | None:
    """Return what a line is as a header of a format, or None. Raises WrongFile where two columns are one register."""
    names = csv_lines.split(text, form.separator) or []
    registers = {value.field for value in form.values}
    columns: dict[str, int] = {}
    for field in form.fields:
        if field in names:
            columns[field] = names.index(field)
        elif field in registers:
            result = [at for at, name in enumerate(names) if _fits(field, name)]
            if len(result) > 1:
                listed = ", ".join(names[at] for at in result)
                raise WrongFile(f"has several columns of {field}: {listed}", f"Name one of them in the {form.where}.")
            if result:
                columns[field] = result[0]
    return csv_lines.Header(form.separator, columns, len(names)) if columns.keys() == set(form.fields) else None


def _fits(field: str, name: str) -> bool:
    wanted, given = _code(field), _code(name)
    if wanted is None or given is None or wanted.register != given.register:
        return False
    return not wanted.medium or not given.medium or wanted.medium == given.medium


def _code(text: str) -> _Code | None:
    result = _CODE.search(text)
    return result and _Code(result[1] or "", result[2])


def _with_values(form: ObisText, record: Record, units: dict[str, str]) -> Record:
    """Return a record with its values as numbers in the declared units."""
    try:
        given = {field: _value(form, record.fields[field], unit) for field, unit in units.items()}
    except RefusedValue as refused:
        return Record(record.place, EMPTY, refused.reason, record.text)
    return record._replace(fields={**record.fields, **given})


@lru_cache(maxsize=256)
def _factor(given: str, wanted: str) -> Fraction:
    return exact_factor(given, wanted)


def _value(form: ObisText, text: str, unit: str) -> str | Decimal:
    """Return a value in the declared unit; text that is no number stays as it is. Raises RefusedValue."""
    shown, _, given = text.partition("*")
    shown = shown.strip().replace(form.decimal, ".") if form.decimal != "." else shown.strip()
    if not given:
        return shown
    try:
        value, factor = number(shown), _factor(given.strip(), unit)
        return shown if value is None else _EXACT.divide(value * factor.numerator, Decimal(factor.denominator))
    except UnitsDiffer:
        raise RefusedValue(f"bad_unit:{given.strip()[:20]}") from None
    except (RefusedValue, Inexact):
        return text
