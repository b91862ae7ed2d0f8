"""The last of a source's manifests, found without a list of all: their names are the offsets at which they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = 1000
"""How many names S3 lists in an answer at most."""


def newest(page: Callable[[int], list[int]]) -> int | None:
    """Return the greatest number; None where there is none.

    page: returns the PAGE least numbers that are greater than one. It is asked for ever farther ones until it has none,
    and then for ever nearer ones: so often as the number of manifests has digits, and not as there are manifests.
    """
    last, numbers = None, page(-1)
    step = numbers[-1] - numbers[0] if numbers else 0
    while numbers:
        last = numbers[-1]
        if len(numbers) < PAGE:
            break
        step *= 2
        while step and not (numbers := page(last + step)):
            step //= 4
        if not step:
            numbers = page(last)
    return last
