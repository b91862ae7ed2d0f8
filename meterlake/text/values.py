"""The values of a text file in DuckDB's SQL: marks of fractions and thousands, missing values, units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from meterlake.physical_units import exact_factor, physical_unit, unit_texts
from meterlake.text.columns import UnitColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meterlake.text.columns import DayValues, Value
    from meterlake.text.format import TextFormat

NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""What a number looks like, as a regular expression."""

BLANKS: Final = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""What looks like a blank, between pages and spreadsheets."""

_GROUPS: Final = {
    ".": "[.]",
    ",": "[,]",
    " ": f"[{BLANKS}]",
    "'": "['\u2019\u02bc`\u00b4]",
}
# So many digits times a factor of 18 digits are a DECIMAL(38): the product is exact.
_EXACT_DIGITS: Final = r"[+-]?[0-9]{0,11}(\.[0-9]{0,9})?"


class Scale(NamedTuple):
    """A factor as SQL: ``whole · 10^exponent / divisor``. plain: the same as a DOUBLE."""

    whole: str
    exponent: str
    divisor: str
    plain: str


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def number_sql(form: TextFormat, field: str) -> str:
    """Return SQL of a field's number with a point; of one that is written otherwise, nothing usable."""
    plain = field if form.decimal == "." else f"translate({field}, ',.', '.x')"
    if not form.thousands:
        return plain
    mark = _GROUPS[form.thousands]
    grouped = f"[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+([{form.decimal}][0-9]*)?"
    digits = f"replace(regexp_replace({field}, {quoted(mark)}, '', 'g'), {quoted(form.decimal)}, '.')"
    return f"CASE WHEN regexp_full_match({field}, {quoted(grouped)}) THEN {digits} ELSE {plain} END"


def given_sql(form: TextFormat, field: str) -> str:
    """Return the condition that a field is not one of the texts for no value."""
    return f"({field} NOT IN ({', '.join(map(quoted, form.missing))}))" if form.missing else "true"


def value_sql(form: TextFormat, field: str, scale: Scale | None) -> str:
    """Return SQL of a field's value as a DOUBLE: NULL where it is missing or no number.

    Scaled, it is the double that is nearest to the exact product.
    """
    number = number_sql(form, field)
    read = f"try_cast({number} AS DOUBLE)"
    if scale:
        exact = f"CAST(try_cast({number} AS DECIMAL(20,9)) * {scale.whole} AS VARCHAR)"
        read = (
            f"CASE WHEN regexp_full_match({number}, {quoted(_EXACT_DIGITS)})"
            f" THEN try_cast({exact} || {scale.exponent} AS DOUBLE) / {scale.divisor}"
            f" ELSE {read} * {scale.plain} END"
        )
    return f"CASE WHEN {given_sql(form, field)} AND regexp_full_match({number}, {quoted(NUMBER)}) THEN {read} END"


def scale_of(form: TextFormat, column: Value | DayValues, measure: str, unit: str | None) -> Scale | None:
    """Return the factor of a column's values for a measure; None where they are taken as they are.

    unit: SQL of the line's unit, where a column says it.
    """
    wanted = next(one.unit for one in form.dataset.measures if one.name == measure)
    if column.factor or column.unit:
        factor = factor_of(column, wanted)
        return None if factor == 1 and not column.factor else _constant(factor)
    if unit is None:
        return None
    factors = {text: exact_factor(symbol, wanted) for text, symbol in _texts(wanted).items()}
    return _chosen({text: _constant(factor) for text, factor in factors.items()}, unit)


def factor_of(column: Value | DayValues, wanted: str) -> Fraction:
    """Return by what the values of a column are multiplied. wanted: the measure's unit."""
    if column.factor:
        return Fraction(Decimal(column.factor))
    return exact_factor(column.unit or wanted, wanted)


def known_unit_sql(wanted: str, unit: str) -> str:
    """Return the condition that a line's unit can be turned into the wanted one."""
    return f"{unit} IN ({', '.join(map(quoted, _texts(wanted)))})"


def has_line_units(form: TextFormat, column: Value | DayValues) -> bool:
    """Return whether the unit of a column's values stands in each line."""
    return not (column.unit or column.factor) and any(isinstance(one, UnitColumn) for one in form.columns)


def by_measure(scales: Mapping[str, Scale | None], measure: str) -> Scale | None:
    """Return the factor of a line whose measure is SQL: one of several."""
    if not any(scales.values()):
        return None
    one = _constant(Fraction(1))
    return _chosen({name: scale or one for name, scale in scales.items()}, measure)


def _texts(wanted: str) -> dict[str, str]:
    return unit_texts(physical_unit(wanted).quantity) or {wanted: wanted}


def _constant(factor: Fraction) -> Scale:
    rest, tens = factor.denominator, 0
    while rest % 2 == 0 or rest % 5 == 0:
        rest, tens = rest // (10 if rest % 10 == 0 else 2 if rest % 2 == 0 else 5), tens + 1
    whole = factor.numerator * 10**tens * rest // factor.denominator
    return Scale(f"{whole}::DECIMAL(18,0)", f"'e-{tens}'", f"{rest}.0::DOUBLE", f"{float(factor)!r}::DOUBLE")


def _chosen(scales: Mapping[str, Scale], by: str) -> Scale:
    def case(parts: Sequence[str]) -> str:
        if len(set(parts)) == 1:
            return parts[0]
        whens = " ".join(f"WHEN {quoted(text)} THEN {part}" for text, part in zip(scales, parts, strict=True))
        return f"(CASE {by} {whens} END)"

    return Scale(*(case(parts) for parts in zip(*scales.values(), strict=True)))
