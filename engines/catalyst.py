"""Spark expressions that have no name in SQL: the same bits read as another type, without a calculation.

A TIMESTAMP_NTZ is a BIGINT of microseconds, a DECIMAL(18, s) a BIGINT with a point. What SQL offers instead goes
through calendars and BigDecimal: the same values (tests compare them) for more than twice the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from pyspark.sql.classic.column import Column as ClassicColumn

from meterlake.columns import PRECISION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, SparkSession


class Bits:
    """Makes such expressions in a session."""

    def __init__(self, session: SparkSession) -> None:
        known: Any = session
        sql = known._jvm.org.apache.spark.sql  # noqa: SLF001 - pyspark has no public door to the JVM
        self._bridge, self._catalyst = sql.classic.ExpressionUtils, sql.catalyst.expressions
        self._ntz, self._long = sql.types.DataTypes.TimestampNTZType, sql.types.DataTypes.LongType

    def micros(self, time: Column | str) -> Column:
        """Return the microseconds since 1970 of a TIMESTAMP_NTZ."""
        return self._over(time, lambda it: self._catalyst.PreciseTimestampConversion(it, self._ntz, self._long))

    def seconds(self, time: Column | str) -> Column:
        """Return the whole seconds since 1970 of a TIMESTAMP_NTZ; right before 1970, too."""
        return F.floor(self.micros(time) / F.lit(1e6))

    def time(self, micros: Column | str) -> Column:
        """Return the TIMESTAMP_NTZ of microseconds since 1970."""
        return self._over(micros, lambda it: self._catalyst.PreciseTimestampConversion(it, self._long, self._ntz))

    def decimal(self, units: Column | str, scale: int) -> Column:
        """Return a BIGINT as DECIMAL(18, scale), the point moved."""
        return self._over(units, lambda it: self._catalyst.MakeDecimal(it, PRECISION, scale, True))

    def units(self, value: Column | str) -> Column:
        """Return a DECIMAL(18, s) as a BIGINT, without its point."""
        return self._over(value, self._catalyst.UnscaledValue)

    def _over(self, column: Column | str, make: Callable[[Any], Any]) -> Column:
        inner: Any = F.col(column) if isinstance(column, str) else column
        return ClassicColumn(self._bridge.column(make(self._bridge.expression(inner._jc))))  # noqa: SLF001
