"""Steps that do not need each other, side by side: most of a small one is waiting for the catalog and for plans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")
_THREADS: Final = 3


def side_by_side(step: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what a step gives for each item, in order. Raises what the first that failed raises, after all ended."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(step, items))
