"""Ranges of values: fixed ones, and rates, whose limits grow with the interval."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Range = tuple[float | None, float | None]
"""Lowest and highest value, both allowed; None leaves a side open."""

_HOUR_S = 3600


@dataclass(frozen=True)
class Rate:
    """The range of an amount in one hour; in another interval it is in proportion. Made by ``per_hour``."""

    low: float | None
    high: float | None

    def limits(self, interval_s: int) -> Range:
        """Return the range in an interval: the doubles nearest to the exact limits."""
        return _limits(self, interval_s)

    def __str__(self) -> str:
        return f"per_hour({self.low}, {self.high})"


def per_hour(low: float | None, high: float | None) -> Rate:
    """Return the range of an amount as a rate: ``per_hour(0, 100)`` allows 0 to 50 in half an hour."""
    return Rate(low, high)


@lru_cache(maxsize=1024)
def _limits(rate: Rate, interval_s: int) -> Range:
    low, high = (_share(limit, interval_s) for limit in (rate.low, rate.high))
    return low, high


def _share(limit: float | None, interval_s: int) -> float | None:
    """Return an hour's limit in an interval. The limit is taken as it is written: 0.1 is a tenth."""
    return None if limit is None else float(Fraction(str(limit)) * interval_s / _HOUR_S)
