"""The last manifest of a source, whatever their names are, and how often S3 is asked for it."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.landing.newest import PAGE, newest

pytestmark = pytest.mark.unit


class Pages:
    """Names as S3 lists them, and how often it was asked."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers, self.asked = numbers, 0

    def __call__(self, after: int) -> list[int]:
        self.asked += 1
        begin = bisect_right(self.numbers, after)
        return self.numbers[begin : begin + PAGE]


@given(
    st.lists(st.integers(1, 10**6), max_size=40), st.sampled_from([1, PAGE - 1, PAGE, PAGE + 1]), st.integers(0, 10**9)
)
def test_it_is_the_greatest(steps: list[int], dense: int, first: int) -> None:
    numbers = [first + number for number in range(dense)] if steps else []
    for step in steps:
        numbers.extend(numbers[-1] + step * (number + 1) for number in range(200))
    assert newest(Pages(numbers)) == (numbers[-1] if numbers else None)


@pytest.mark.parametrize("count", [0, 1, PAGE, 10 * PAGE, 1000 * PAGE])
def test_a_thousand_times_as_many_are_asked_for_some_times_more(count: int) -> None:
    pages = Pages(list(range(0, 500 * count, 500)))
    assert newest(pages) == (500 * (count - 1) if count else None)
    assert pages.asked <= 25
