"""Figures in DAX: SQL of a declaration, over the rows of one fact, translated where both mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from meterlake.errors import PermanentError
from meterlake.lakehouse.fields import parse

if TYPE_CHECKING:
    from collections.abc import Collection

_FUNCTIONS: Final = {exp.Sum: "SUM", exp.Min: "MIN", exp.Max: "MAX", exp.Avg: "AVERAGE"}
_COMPARISONS: Final = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_CALCULATIONS: Final = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}


class NoDax(PermanentError):
    """A figure that DAX would give another value of, or that nobody has translated."""

    def __init__(self, sql: str, problem: str) -> None:
        super().__init__(
            f"{sql!r} has no DAX: {problem}.", hint="Ask it in SQL, or write it as COUNT, SUM, MIN, MAX and AVG."
        )


def quoted(table: str) -> str:
    """Return a table's name as DAX writes it."""
    return "'" + table.replace("'", "''") + "'"


@dataclass(frozen=True)
class Rows:
    """The rows that figures are of: a table, and its columns that may be NULL.

    A comparison with NULL is not true in SQL. DAX takes a blank for 0 or for empty text: so it is ruled out.
    """

    table: str
    nullable: Collection[str] = ()

    def figure(self, sql: str) -> str:
        """Return a figure, such as ``SUM(amount)``, as a DAX expression. Raises NoDax."""
        return self._figure(parse(sql, f"Figure of {self.table}"), sql)

    def _figure(self, node: exp.Expr, sql: str) -> str:
        match node:
            case exp.Paren(this=inner):
                result = f"({self._figure(inner, sql)})"
            case exp.Div(this=above, expression=below):
                # DIVIDE is blank where NULLIF makes SQL's quotient NULL; nothing counted is 0 there, and blank here.
                zero = isinstance(below, exp.Nullif) and below.expression == exp.Literal.number(0)
                divisor = below.this if zero else below
                result = f"DIVIDE({self._figure(above, sql)} + 0, {self._figure(divisor, sql)})"
            case exp.Add() | exp.Sub() | exp.Mul():
                left, right = self._figure(node.this, sql), self._figure(node.expression, sql)
                result = f"{left} {_CALCULATIONS[type(node)]} {right}"
            case exp.Literal(is_string=False):
                result = str(node.this)
            case _:
                result = self._aggregate(node, sql)
        return result

    def _aggregate(self, node: exp.Expr, sql: str) -> str:
        match node:
            case exp.Count(this=exp.Star()):
                result = f"COUNTROWS({quoted(self.table)})"
            case exp.Count(this=exp.Distinct(expressions=[exp.Column() as column])):
                result = f"DISTINCTCOUNTNOBLANK({self._column(column)})"
            case exp.Count(this=exp.Column() as column):
                result = f"COUNTA({self._column(column)})"
            case exp.CountIf(this=condition):
                met = self._condition(condition, sql)
                result = f"CALCULATE(COUNTROWS({quoted(self.table)}), KEEPFILTERS({met}))"
            case exp.Sum() | exp.Min() | exp.Max() | exp.Avg() if isinstance(node.this, exp.Column):
                result = f"{_FUNCTIONS[type(node)]}({self._column(node.this)})"
            case _:
                raise NoDax(sql, f"{node.sql('spark')} is not translated")
        return result

    def _condition(self, node: exp.Expr, sql: str) -> str:
        match node:
            case exp.Paren(this=inner):
                result = f"({self._condition(inner, sql)})"
            case exp.And():
                result = f"{self._condition(node.this, sql)} && {self._condition(node.expression, sql)}"
            case exp.Or():
                result = f"({self._condition(node.this, sql)} || {self._condition(node.expression, sql)})"
            case exp.Not(this=inner) if not self._nullable(inner):
                result = f"NOT ({self._condition(inner, sql)})"
            case exp.Column():
                result = f"{self._column(node)} = TRUE()"
            case exp.Is(this=exp.Column() as column, expression=exp.Null()):
                result = f"ISBLANK({self._column(column)})"
            case exp.In(this=exp.Column() as column, expressions=[_, *_] as values):
                listed = ", ".join(self._value(value, sql) for value in values)
                result = self._present(column, f"{self._column(column)} IN {{{listed}}}")
            case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE() if isinstance(
                node.this, exp.Column
            ):
                right = self._value(node.expression, sql)
                compared = f"{self._column(node.this)} {_COMPARISONS[type(node)]} {right}"
                result = self._present(node.this, compared)
            case _:
                raise NoDax(sql, f"the condition {node.sql('spark')} is not translated")
        return result

    def _present(self, column: exp.Column, condition: str) -> str:
        """Return a comparison that is not met where the column has no value."""
        return f"NOT ISBLANK({self._column(column)}) && {condition}" if self._nullable(column) else condition

    def _nullable(self, node: exp.Expr) -> bool:
        return any(column.name in self.nullable for column in node.find_all(exp.Column))

    def _value(self, node: exp.Expr, sql: str) -> str:
        match node:
            case exp.Literal(is_string=True):
                return '"' + str(node.this).replace('"', '""') + '"'
            case exp.Literal():
                return str(node.this)
            case exp.Boolean(this=value):
                return "TRUE()" if value else "FALSE()"
        raise NoDax(sql, f"{node.sql('spark')} is no constant")

    def _column(self, node: exp.Column) -> str:
        return f"{quoted(self.table)}[{node.name}]"
