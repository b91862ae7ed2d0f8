"""Expressions written once, in SQL, and computed alike by every engine.

Rules and derived values are small SQL expressions over numbers. sqlglot parses them, an allow-list keeps
what every engine computes to the same IEEE double, and ``meterlake.rendering`` spells out what engines
differ in. ``meterlake.evaluate`` computes the same in Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from meterlake.errors import ExpressionError
from meterlake.rendering import parenthesised, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meterlake.columns import Dialect

ExpressionKind = Literal["number", "boolean"]

_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)
_COMPARISON: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_NUMERIC_FUNCTIONS: Final = (exp.Abs, exp.Sqrt, exp.Nullif)
_VARIADIC: Final = (exp.Least, exp.Greatest, exp.Coalesce)
_ALLOWED_TEXT: Final = (
    "Use columns, numbers, + - * /, comparisons, AND, OR, NOT, IS NULL, BETWEEN, CASE, and the functions"
    " abs, sqrt, power, least, greatest, coalesce, nullif, floor, ceil"
)
_MAX_EXPONENT: Final = 4


@dataclass(frozen=True)
class Expression:
    """A validated expression: ``text`` as its author wrote it (or as inlining made it)."""

    text: str
    kind: ExpressionKind
    columns: tuple[str, ...]
    """Names of the columns it reads, in order of first use."""

    @property
    def tree(self) -> exp.Expression:
        """A fresh copy of the syntax tree."""
        return _parse(self.text)

    def sql(self, dialect: Dialect, column: Callable[[str], str] | None = None) -> str:
        """Return the expression's text for an engine.

        column: turns a column's name into the SQL that stands for it (default: the name itself);
        the result is cast to DOUBLE.
        """
        return render(self.tree, column or _as_is).sql(dialect=dialect)

    def inline(self, definitions: Mapping[str, Expression]) -> Expression:
        """Replace columns by expressions, in parentheses where needed."""

        def swap(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Column) and node.name in definitions:
                return parenthesised(definitions[node.name].tree)
            return node

        return parse_expression(self.tree.transform(swap).sql())


def parse_expression(sql: str, *, known: Iterable[str] | None = None) -> Expression:
    """Parse and validate an expression.

    sql: for example ``"p / nullif(sqrt(p * p + q * q), 0)"``.
    known: the columns it may read; ``None`` allows any.
    Raises ExpressionError for what not every engine computes alike (aggregates, subqueries, unknown
    functions, strings), for unknown columns, and for mixing numbers with truth values.
    """
    tree = _parse(sql)
    kind = _kind(tree, sql)
    columns = tuple(dict.fromkeys(node.name for node in tree.find_all(exp.Column, bfs=False)))
    if known is not None:
        names = tuple(known)
        for name in columns:
            if name not in names:
                raise ExpressionError(sql, f"unknown column {name!r}", expected=f"It may read {', '.join(names)}")
    return Expression(text=sql, kind=kind, columns=columns)


def _as_is(name: str) -> str:
    return name


def _parse(sql: str) -> exp.Expression:
    if "--" in sql or "/*" in sql:
        raise ExpressionError(sql, "holds a comment", expected="Put it into the doc of the rule")
    try:
        tree = sqlglot.parse_one(sql)
    except SqlglotError as error:
        raise ExpressionError(sql, f"is not SQL ({str(error).splitlines()[0]})", expected=_ALLOWED_TEXT) from None
    if not isinstance(tree, exp.Expression):
        raise ExpressionError(sql, "is not an expression", expected=_ALLOWED_TEXT)
    return tree


def _kind(node: exp.Expression, sql: str) -> ExpressionKind:
    """Return what a tree yields, refusing everything that is not on the allow-list."""
    checker = _CHECKS.get(type(node))
    if checker is None:
        name = node.sql()
        what = f"the function {name!r}" if isinstance(node, exp.Func) else f"{name!r}"
        raise ExpressionError(sql, f"{what} is not allowed", expected=_ALLOWED_TEXT)
    return checker(node, sql)


def _expect(kind: ExpressionKind, nodes: Iterable[exp.Expression], sql: str) -> None:
    for node in nodes:
        if _kind(node, sql) != kind:
            raise ExpressionError(sql, f"{node.sql()!r} is not a {kind}", expected=f"Put a {kind} there")


def _operands(node: exp.Expression) -> list[exp.Expression]:
    return [child for child in (node.this, node.args.get("expression"), *node.expressions) if child]


def _numbers_to(kind: ExpressionKind) -> Callable[[exp.Expression, str], ExpressionKind]:
    def check(node: exp.Expression, sql: str) -> ExpressionKind:
        _expect("number", _operands(node), sql)
        return kind

    return check


def _check_rounding(node: exp.Expression, sql: str) -> ExpressionKind:
    if any(value for name, value in node.args.items() if name != "this"):
        raise ExpressionError(sql, f"{node.sql()!r} takes one argument", expected="Drop the others")
    _expect("number", [node.this], sql)
    return "number"


def _booleans(node: exp.Expression, sql: str) -> ExpressionKind:
    _expect("boolean", _operands(node), sql)
    return "boolean"


def _check_column(node: exp.Expression, sql: str) -> ExpressionKind:
    if node.args.get("table") or node.this.args.get("quoted") or node.name != node.name.lower():
        raise ExpressionError(
            sql,
            f"{node.sql()!r} is not a plain column name",
            expected="Write lower-case names without quotes",
        )
    return "number"


def _check_literal(node: exp.Expression, sql: str) -> ExpressionKind:
    if node.args.get("is_string"):
        raise ExpressionError(sql, f"text {node.sql()} is not allowed", expected=_ALLOWED_TEXT)
    if not math.isfinite(float(node.name)):
        raise ExpressionError(sql, f"{node.name} is too large for a double", expected="Write a finite number")
    return "number"


def _check_paren(node: exp.Expression, sql: str) -> ExpressionKind:
    return _kind(node.this, sql)


def _check_is(node: exp.Expression, sql: str) -> ExpressionKind:
    if not isinstance(node.expression, exp.Null):
        raise ExpressionError(sql, f"{node.sql()!r} is not allowed", expected="IS takes only NULL here")
    _expect("number", [node.this], sql)
    return "boolean"


def _check_between(node: exp.Expression, sql: str) -> ExpressionKind:
    _expect("number", [node.this, node.args["low"], node.args["high"]], sql)
    return "boolean"


def _check_power(node: exp.Expression, sql: str) -> ExpressionKind:
    _expect("number", [node.this], sql)
    exponent = node.expression
    whole = isinstance(exponent, exp.Literal) and exponent.name in map(str, range(1, _MAX_EXPONENT + 1))
    if not whole:
        raise ExpressionError(
            sql,
            f"power takes a whole exponent from 1 to {_MAX_EXPONENT}, not {exponent.sql()}",
            expected="Engines differ in the last bit of other powers; use sqrt for 0.5",
        )
    return "number"


def _check_case(node: exp.Expression, sql: str) -> ExpressionKind:
    if node.this is not None:
        raise ExpressionError(sql, "CASE x WHEN … is not allowed", expected="Write CASE WHEN condition THEN …")
    branches = node.args["ifs"]
    results = [branch.args["true"] for branch in branches]
    if node.args.get("default") is not None:
        results.append(node.args["default"])
    results = [result for result in results if not isinstance(result, exp.Null)]
    if not results:
        raise ExpressionError(sql, "CASE yields nothing but NULL", expected="Give it a result")
    _expect("boolean", [branch.this for branch in branches], sql)
    kind = _kind(results[0], sql)
    _expect(kind, results, sql)
    return kind


_CHECKS: Final[dict[type[exp.Expression], Callable[[exp.Expression, str], ExpressionKind]]] = {
    exp.Column: _check_column,
    exp.Literal: _check_literal,
    exp.Paren: _check_paren,
    exp.Is: _check_is,
    exp.Between: _check_between,
    exp.Pow: _check_power,
    exp.Case: _check_case,
    exp.Floor: _check_rounding,
    exp.Ceil: _check_rounding,
    exp.Neg: _numbers_to("number"),
    exp.And: _booleans,
    exp.Or: _booleans,
    exp.Not: _booleans,
    **dict.fromkeys((*_ARITHMETIC, *_NUMERIC_FUNCTIONS, *_VARIADIC), _numbers_to("number")),
    **dict.fromkeys(_COMPARISON, _numbers_to("boolean")),
}
