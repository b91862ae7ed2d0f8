"""Rendering of expressions: what all engines compute to the same IEEE double, spelled out.

- columns are cast to DOUBLE and literals written as doubles (``3.6E0``), so nobody divides integers;
- a divisor that may be 0 is wrapped in ``NULLIF(…, 0E0)``: division by zero is NULL everywhere;
- ``sqrt`` of a negative number is NULL (DuckDB would raise, Spark and Trino give NaN);
- ``least`` and ``greatest`` are NULL as soon as an argument is (Spark and DuckDB would skip it);
- ``power`` becomes a product, since ``pow`` of C and of Java may differ in the last bit;
- ``floor`` and ``ceil`` are cast back to DOUBLE (Spark and Hive make integers of them).

The order of operations is kept as written. Inputs are finite: the range rules come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.columns import Dialect


def double_literal(value: float) -> str:
    """Write a number as a double of every dialect: ``3.6E0``, ``1000E0``, ``1E-07``."""
    text = repr(float(value)).upper().removesuffix(".0")
    return text if "E" in text else f"{text}E0"


def text_literal(text: str, dialect: Dialect) -> str:
    """Write a text as a literal: Spark and Hive escape by backslashes, the others double the quote."""
    if dialect in ("spark", "hive"):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "''") + "'"


def render(tree: exp.Expression, column: Callable[[str], str]) -> exp.Expression:
    """Rewrite a validated tree, leaves first, into what all engines compute alike."""

    def rewrite(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column):
            return exp.cast(exp.Var(this=column(node.name)), "DOUBLE")
        if isinstance(node, exp.Literal):
            return _number(float(node.name))
        rewriter = _REWRITES.get(type(node))
        children = {name: _rewritten(value, rewrite) for name, value in node.args.items()}
        fresh = type(node)(**children)
        return rewriter(fresh, node) if rewriter else fresh

    return rewrite(tree)


def _rewritten(value: object, rewrite: Callable[[exp.Expression], exp.Expression]) -> object:
    if isinstance(value, exp.Expression):
        return rewrite(value)
    if isinstance(value, list):
        return [_rewritten(item, rewrite) for item in value]
    return value


def _number(value: float) -> exp.Expression:
    return exp.Literal(this=double_literal(value), is_string=False)


def parenthesised(node: exp.Expression) -> exp.Expression:
    """Wrap a tree in parentheses unless it binds tighter than any operator."""
    atomic = isinstance(node, exp.Column | exp.Literal | exp.Paren | exp.Func | exp.Cast)
    return node if atomic else exp.Paren(this=node)


def _guard_divisor(fresh: exp.Expression, node: exp.Expression) -> exp.Expression:
    fresh.set("typed", True)  # the operands are doubles: sqlglot has nothing to add
    fresh.set("safe", False)
    divisor = node.expression
    nonzero = isinstance(divisor, exp.Literal) and float(divisor.name) != 0.0
    if not nonzero and not _is_zero_guarded(divisor):
        fresh.set("expression", exp.Nullif(this=fresh.expression, expression=_number(0.0)))
    return fresh


def _is_zero_guarded(node: exp.Expression) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Nullif) or not isinstance(node.expression, exp.Literal):
        return False
    return bool(float(node.expression.name) == 0.0)


def _guard_sqrt(fresh: exp.Expression, node: exp.Expression) -> exp.Expression:
    if _is_never_negative(node.this):
        return fresh
    value = fresh.this
    return exp.Sqrt(
        this=exp.Case(ifs=[exp.If(this=exp.GTE(this=parenthesised(value.copy()), expression=_number(0.0)), true=value)])
    )


def _is_never_negative(node: exp.Expression) -> bool:
    if isinstance(node, exp.Paren):
        return _is_never_negative(node.this)
    if isinstance(node, exp.Mul):
        return bool(node.this == node.expression)
    if isinstance(node, exp.Add):
        return _is_never_negative(node.this) and _is_never_negative(node.expression)
    if isinstance(node, exp.Pow):
        return int(node.expression.name) % 2 == 0
    return isinstance(node, exp.Abs | exp.Literal)


def _product(fresh: exp.Expression, node: exp.Expression) -> exp.Expression:
    factor = parenthesised(fresh.this)
    product: exp.Expression = factor
    for _ in range(int(node.expression.name) - 1):
        product = exp.Mul(this=product, expression=factor.copy())
    return exp.Paren(this=product)


def _extreme(comparison: type[exp.Binary]) -> Callable[[exp.Expression, exp.Expression], exp.Expression]:
    """Spell out: NULL as soon as one argument is NULL, else the first that wins against all others."""

    def rewrite(fresh: exp.Expression, _node: exp.Expression) -> exp.Expression:
        values = [parenthesised(value) for value in (fresh.this, *fresh.expressions)]
        missing = exp.or_(*(exp.Is(this=value.copy(), expression=exp.Null()) for value in values))
        branches = [exp.If(this=missing, true=exp.Null())]
        for index, value in enumerate(values[:-1]):
            others = values[index + 1 :]
            wins = exp.and_(*(comparison(this=value.copy(), expression=other.copy()) for other in others))
            branches.append(exp.If(this=wins, true=value.copy()))
        return exp.Case(ifs=branches, default=values[-1].copy())

    return rewrite


def _double(fresh: exp.Expression, _node: exp.Expression) -> exp.Expression:
    return exp.cast(fresh, "DOUBLE")


_REWRITES: Final[dict[type[exp.Expression], Callable[[exp.Expression, exp.Expression], exp.Expression]]] = {
    exp.Div: _guard_divisor,
    exp.Sqrt: _guard_sqrt,
    exp.Pow: _product,
    exp.Least: _extreme(exp.LTE),
    exp.Greatest: _extreme(exp.GTE),
    exp.Floor: _double,
    exp.Ceil: _double,
}
