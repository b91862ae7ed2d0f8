"""What commands print for programs: JSON that every reader takes."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest

from cli.output import Output, finite, show
from cli.query_command import _csv

pytestmark = pytest.mark.unit


def test_json_has_null_for_numbers_that_it_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        [{"x": math.nan, "y": [1.5, math.inf], "z": {"a": -math.inf, "b": (Decimal("NaN"), 2)}, "n": None}], Output.JSON
    )
    text = capsys.readouterr().out
    result = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert result == [{"x": None, "y": [1.5, None], "z": {"a": None, "b": [None, 2]}, "n": None}]


@pytest.mark.parametrize("value", [1.5, 0, "nan", None, True, Decimal("1.50")])
def test_other_values_stay(value: object) -> None:
    assert finite(value) is value


@pytest.mark.parametrize(
    ("value", "written"),
    [(math.nan, ""), (-math.inf, ""), (None, ""), (1.5, 1.5), ("nan", "nan"), (Decimal("1.50"), "1.50")],
)
def test_csv_has_nothing_where_there_is_no_number(value: object, written: object) -> None:
    result = _csv(value)
    assert (result, type(result)) == (written, type(written))
