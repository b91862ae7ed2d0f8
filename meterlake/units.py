"""Counting: physical values as whole multiples of a measure's resolution.

units = floor(v · 10^s + 0.5), in IEEE doubles, the same expression in every engine; further digits are
rounded away, halves upwards. Sums of units are sums of integers: the same in any order. (``round`` is
avoided: engines round halves differently, and Spark's is three times slower.)
"""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Final

from meterlake.columns import PRECISION, decimal
from meterlake.rendering import double_literal

if TYPE_CHECKING:
    from meterlake.columns import Dialect

_EXACT: Final = Context(prec=60)


def to_units(value: float, scale: int) -> int:
    """Return floor(value · 10^scale + 0.5), computed in doubles as the engines do.

    value: physical, finite (raises ValueError or OverflowError otherwise). scale: s of 10^-s.
    """
    return math.floor(value * 10.0**scale + 0.5)


def exact_units(value: Decimal | str, scale: int) -> int:
    """Return floor(value · 10^scale + 1/2), computed exactly in decimal."""
    shifted = _EXACT.add(Decimal(value).scaleb(scale, _EXACT), Decimal("0.5"))
    return int(shifted.to_integral_value(rounding=ROUND_FLOOR, context=_EXACT))


def to_decimal(units: int, scale: int) -> Decimal:
    """Return the exact physical value, with ``scale`` digits after the point."""
    return Decimal(units).scaleb(-scale, _EXACT)


def to_float(units: int, scale: int) -> float:
    """Return the double nearest to the physical value.

    As CAST(DECIMAL AS DOUBLE) of the engines, for magnitudes below 2^53 units.
    """
    return units / int(10**scale)


def units_sql(value: str, scale: int) -> str:
    """Return the BIGINT units of a DOUBLE expression; one text for all dialects.

    value: SQL of a DOUBLE, such as a column's name.
    """
    factor = "" if scale == 0 else f" * {double_literal(10.0**scale)}"
    return f"CAST(FLOOR({value}{factor} + 0.5E0) AS BIGINT)"


def units_to_decimal_sql(units: str, scale: int, dialect: Dialect) -> str:
    """Return BIGINT units as DECIMAL(18, scale) in physical units, exactly."""
    target = decimal(scale).sql(dialect)
    if scale == 0:
        return f"CAST({units} AS {target})"
    return f"CAST(CAST({units} AS DECIMAL({PRECISION},0)) * {_decimal_literal(scale, dialect)} AS {target})"


def decimal_to_units_sql(value: str, scale: int, dialect: Dialect) -> str:
    """Return DECIMAL(18, scale) in physical units as BIGINT units, exactly."""
    if scale == 0:
        return f"CAST({value} AS BIGINT)"
    # DuckDB multiplies decimals of up to 18 digits in 18 digits, and would overflow.
    wide = f"CAST({value} AS DECIMAL(38,{scale}))" if dialect == "duckdb" else value
    return f"CAST({wide} * {10**scale} AS BIGINT)"


def _decimal_literal(scale: int, dialect: Dialect) -> str:
    text = f"{Decimal(1).scaleb(-scale):f}"
    return f"{text}BD" if dialect in ("spark", "hive") else f"DECIMAL '{text}'" if dialect == "trino" else text
