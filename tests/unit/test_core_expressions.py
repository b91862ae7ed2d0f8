"""One expression has one value: in Python, in DuckDB, to the last bit."""

# ruff: noqa: S608 - the SQL under test is generated

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from core_samples import query
from hypothesis import given, settings
from hypothesis import strategies as st

from meterlake.columns import DIALECTS
from meterlake.errors import ExpressionError
from meterlake.evaluate import evaluate
from meterlake.expressions import parse_expression
from meterlake.rendering import double_literal

pytestmark = pytest.mark.unit


def _numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        two.map(lambda t: f"{t[0]} - {t[1]} / {t[0]}"),
        st.tuples(st.sampled_from(["abs", "sqrt", "floor", "ceil"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, st.integers(1, 3)).map(lambda t: f"power({t[0]}, {t[1]})"),
        st.tuples(st.sampled_from(["least", "greatest", "coalesce"]), inner, inner, inner).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]}, {t[3]})"
        ),
        two.map(lambda t: f"nullif({t[0]}, {t[1]})"),
        two.map(lambda t: f"sqrt({t[0]} * {t[0]} + power({t[1]}, 2))"),
        inner.map(lambda text: f"-({text})"),
        st.tuples(_conditions(inner), inner, inner).map(
            lambda t: f"CASE WHEN {t[0]} THEN {t[1]} WHEN NOT {t[0]} THEN NULL ELSE {t[2]} END"
        ),
    )


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    simple = st.one_of(
        st.tuples(inner, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), inner).map(" ".join),
        st.tuples(inner, inner, inner).map(lambda t: f"{t[0]} BETWEEN {t[1]} AND {t[2]}"),
        st.tuples(inner, st.sampled_from(["IS NULL", "IS NOT NULL"])).map(lambda t: f"({t[0]}) {t[1]}"),
    ).map(lambda text: f"({text})")
    return st.one_of(
        simple,
        st.tuples(simple, st.sampled_from(["AND", "OR"]), simple).map(lambda t: f"({' '.join(t)})"),
        simple.map(lambda text: f"(NOT {text})"),
    )


ATOMS = st.one_of(st.sampled_from(["a", "b"]), st.sampled_from(["0", "1", "3.6", "0.1", "1000", "2.5E-3"]))
NUMBERS = st.recursive(ATOMS, _numbers, max_leaves=5)
CELLS = st.one_of(st.none(), st.sampled_from([0.0, -1.0, 0.5]), st.integers(-10_000, 10_000).map(lambda n: n / 1000))


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    return type(left) is type(right) and left == right


@settings(max_examples=150)
@given(
    sql=st.one_of(NUMBERS, _conditions(NUMBERS)),
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12),
)
def test_python_and_duckdb_agree_to_the_last_bit(sql: str, rows: list[tuple[float | None, float | None]]) -> None:
    expression = parse_expression(sql)
    cells = {"a": ("DOUBLE", [row[0] for row in rows]), "b": ("DOUBLE", [row[1] for row in rows])}
    answered = query(f"SELECT {expression.sql('duckdb')} FROM t", cells)
    for (a, b), (value,) in zip(rows, answered, strict=True):
        ours = evaluate(expression, {"a": a, "b": b})
        assert _alike(ours, value), (sql, a, b, ours, value)


@pytest.mark.parametrize(
    "sql",
    ["greatest(a, b, c)", "least(a, b, c)", "sqrt(power(a, 3))", "sqrt(a * b)", "sqrt(abs(a) - 1)", "-a / (b - b)"],
)
def test_every_order_of_arguments_is_the_same_in_duckdb(sql: str) -> None:
    expression = parse_expression(sql)
    rows = list(product((-2.0, 1.0, 3.0, None), repeat=3))
    cells = {name: ("DOUBLE", [row[index] for row in rows]) for index, name in enumerate("abc")}
    answered = query(f"SELECT {expression.sql('duckdb')} FROM t", cells)
    assert [row[0] for row in answered] == [evaluate(expression, dict(zip("abc", row, strict=True))) for row in rows]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_divisors_are_guarded_once_and_all_is_double(dialect: Any) -> None:
    power_factor = parse_expression("p / nullif(sqrt(p * p + q * q), 0)").sql(dialect)
    assert power_factor.count("NULLIF") == 1
    assert "CASE" not in power_factor  # a sum of squares needs no guard
    assert parse_expression("p / q / 3.6").sql(dialect) == (
        "CAST(p AS DOUBLE) / NULLIF(CAST(q AS DOUBLE), 0E0) / 3.6E0"
    )
    assert parse_expression("sqrt(p - q)").sql(dialect).startswith("SQRT(CASE WHEN (CAST(p AS DOUBLE)")
    assert "POW" not in parse_expression("power(p, 3)").sql(dialect).upper()


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ("p / q", {"p": 1, "q": 0}, None),
        ("p / q", {"p": 1, "q": 4}, 0.25),
        ("sqrt(p)", {"p": -1}, None),
        ("greatest(p, q)", {"p": 1, "q": None}, None),
        ("least(p, q)", {"p": 1, "q": 2}, 1.0),
        ("p > 1 OR q > 1", {"p": None, "q": 2}, True),
        ("p > 1 AND q > 1", {"p": None, "q": 0}, False),
        ("p > 1 AND q > 1", {"p": None, "q": 2}, None),
        ("NOT p > 1", {"p": None}, None),
        ("p BETWEEN 1 AND q", {"p": 0, "q": None}, False),
        ("p <> q", {"p": 1, "q": None}, None),
        ("CASE WHEN p > 0 THEN 1 END", {"p": None}, None),
    ],
)
def test_nulls_follow_sql(sql: str, row: dict[str, float | None], expected: object) -> None:
    assert evaluate(parse_expression(sql), row) is expected or evaluate(parse_expression(sql), row) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "sum(a)", "(SELECT 1)", "a + 'x'", "foo(a)", "a > (b > c)", "a IN (1, 2)", "a % 2", "a = TRUE", "1 +",
        "power(a, 0.5)", "power(a, b)", "power(a, -1)", "A > 1", '"a" > 1', "t.a > 1", "a IS TRUE", "round(a)",
        "CASE a WHEN 1 THEN 2 END", "CASE WHEN a > 1 THEN NULL END", "floor(a, 1)", "a; b", "a -- c", "NULL",
        "NOT a", "CAST(a AS INT)", "a > 1 AND b", "1e999", "random()", "", "a || b", "*", "count(*) > 1",
        "sum(a) OVER ()",
    ],
)  # fmt: skip
def test_what_engines_may_compute_differently_is_refused(sql: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(sql)


def test_columns_are_listed_and_checked() -> None:
    assert parse_expression("b + a * b").columns == ("b", "a")
    with pytest.raises(ExpressionError, match=r"unknown column 'c'\. It may read a, b"):
        parse_expression("a + c", known=("a", "b"))


def test_inlining_keeps_the_meaning() -> None:
    outer = parse_expression("a * x - y").inline({"x": parse_expression("a + b"), "y": parse_expression("b - a")})
    assert outer.columns == ("a", "b")
    assert evaluate(outer, {"a": 2, "b": 3}) == 2 * (2 + 3) - (3 - 2)


def test_columns_can_be_renamed() -> None:
    text = parse_expression("p / 2").sql("trino", lambda name: f"b.{name}_x")
    assert text == "CAST(b.p_x AS DOUBLE) / 2E0"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_literals_are_doubles_and_exact(value: float) -> None:
    text = double_literal(value)
    assert "E" in text
    assert float(text) == value
