"""Pure-Python evaluation of expressions, with SQL's NULL: the reference that the engines must equal."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlglot import exp

if TYPE_CHECKING:
    from meterlake.expressions import Expression

Value = float | bool | None
Row = Mapping[str, float | int | None]
_Function = Callable[[Row], Value]


def evaluate(expression: Expression, row: Row) -> Value:
    """Return the value of an expression for a row (name -> number or None).

    Missing names are an error (KeyError). Numbers become doubles first, as generated SQL casts them.
    """
    return evaluator(expression)(row)


@lru_cache(maxsize=512)
def evaluator(expression: Expression) -> Callable[[Row], Value]:
    """Return a function of a row; building it parses once, calling it is quick."""
    return _compile(expression.tree)


def _compile(node: exp.Expression) -> _Function:
    return _COMPILERS[type(node)](node)


def _column(node: exp.Expression) -> _Function:
    name = node.name

    def read(row: Row) -> Value:
        value = row[name]
        return None if value is None else float(value)

    return read


def _literal(node: exp.Expression) -> _Function:
    value = float(node.name)
    return lambda _row: value


def _null(_node: exp.Expression) -> _Function:
    return lambda _row: None


def _inner(node: exp.Expression) -> _Function:
    return _compile(node.this)


def _strict(function: Callable[..., Value], *names: str) -> Callable[[exp.Expression], _Function]:
    """NULL as soon as one operand is NULL."""

    def build(node: exp.Expression) -> _Function:
        operands = [_compile(node.args[name]) for name in names]

        def run(row: Row) -> Value:
            values = [operand(row) for operand in operands]
            return None if None in values else function(*values)

        return run

    return build


def _variadic(function: Callable[[list[Value]], Value]) -> Callable[[exp.Expression], _Function]:
    def build(node: exp.Expression) -> _Function:
        operands = [_compile(child) for child in (node.this, *node.expressions)]
        return lambda row: function([operand(row) for operand in operands])

    return build


def _divide(left: float, right: float) -> Value:
    return None if right == 0.0 else left / right


def _sqrt(value: float) -> Value:
    return math.sqrt(value) if value >= 0.0 else None


def _whole(function: Callable[[float], int]) -> Callable[[float], Value]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _power(node: exp.Expression) -> _Function:
    base, exponent = _compile(node.this), int(node.expression.name)

    def run(row: Row) -> Value:
        value = base(row)
        if value is None:
            return None
        product = value
        for _ in range(exponent - 1):
            product *= value
        return product

    return run


def _nullif(node: exp.Expression) -> _Function:
    first, second = _compile(node.this), _compile(node.expression)

    def run(row: Row) -> Value:
        value = first(row)
        return None if value == second(row) else value

    return run


def _extreme(pick: Callable[[list[float]], float]) -> Callable[[list[Value]], Value]:
    def function(values: list[Value]) -> Value:
        numbers = [value for value in values if value is not None]
        return pick(numbers) if len(numbers) == len(values) else None

    return function


def _coalesce(values: list[Value]) -> Value:
    return next((value for value in values if value is not None), None)


def _connective(deciding: bool) -> Callable[[exp.Expression], _Function]:
    """AND (decided by one false) or OR (decided by one true), three-valued."""

    def build(node: exp.Expression) -> _Function:
        left, right = _compile(node.this), _compile(node.expression)

        def run(row: Row) -> Value:
            values = (left(row), right(row))
            if deciding in values:
                return deciding
            return None if None in values else not deciding

        return run

    return build


def _is_null(node: exp.Expression) -> _Function:
    operand = _compile(node.this)
    return lambda row: operand(row) is None


def _between(node: exp.Expression) -> _Function:
    value = _compile(node.this)
    low, high = _compile(node.args["low"]), _compile(node.args["high"])

    def run(row: Row) -> Value:
        this, lowest, highest = value(row), low(row), high(row)
        above = None if this is None or lowest is None else this >= lowest
        below = None if this is None or highest is None else this <= highest
        if above is False or below is False:
            return False
        return None if above is None or below is None else True

    return run


def _case(node: exp.Expression) -> _Function:
    branches = [(_compile(branch.this), _compile(branch.args["true"])) for branch in node.args["ifs"]]
    default = _compile(node.args["default"]) if node.args.get("default") is not None else None

    def run(row: Row) -> Value:
        for condition, result in branches:
            if condition(row) is True:
                return result(row)
        return default(row) if default else None

    return run


_BINARY: Final[dict[type[exp.Expression], Callable[..., Value]]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: _divide,
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_COMPILERS: Final[dict[type[exp.Expression], Callable[[exp.Expression], _Function]]] = {
    **{kind: _strict(function, "this", "expression") for kind, function in _BINARY.items()},
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Null: _null,
    exp.Paren: _inner,
    exp.Neg: _strict(operator.neg, "this"),
    exp.Not: _strict(operator.not_, "this"),
    exp.Abs: _strict(abs, "this"),
    exp.Sqrt: _strict(_sqrt, "this"),
    exp.Floor: _strict(_whole(math.floor), "this"),
    exp.Ceil: _strict(_whole(math.ceil), "this"),
    exp.Pow: _power,
    exp.Nullif: _nullif,
    exp.Least: _variadic(_extreme(min)),
    exp.Greatest: _variadic(_extreme(max)),
    exp.Coalesce: _variadic(_coalesce),
    exp.And: _connective(deciding=False),
    exp.Or: _connective(deciding=True),
    exp.Is: _is_null,
    exp.Between: _between,
    exp.Case: _case,
}
