"""Readings far from all others of their meter in a file: those of a clock that was not set, or of a wrong year.

A stretch of readings ends where the next one is further away than the data set's ``jump_limit``. A stretch that covers
less than a day is set aside (``far_from_others``) where another one covers more. A long stretch stays: a meter
may well have been off for years.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake.rules import earliest_ts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meterlake.declaration import MeterSeries

FAR_FROM_OTHERS: Final = "far_from_others"

DAY_S: Final = 86_400


@dataclass(frozen=True)
class Stretch:
    """Readings without a jump between them: seconds of the first and after the last bucket, and how many readings."""

    begin: int
    end: int
    readings: int


def may_jump(dataset: MeterSeries, first: int, last: int, covered_s: int) -> bool:
    """Return whether readings that cover so much of the time from ``first`` to ``last`` can have a jump among them."""
    return last - first - covered_s > dataset.jump_limit.total_seconds()


def stretches(dataset: MeterSeries, counts: Mapping[int, int], bucket_s: int) -> list[Stretch]:
    """Return the stretches of readings, in order. counts: start of a bucket of ``bucket_s`` seconds -> readings."""
    result: list[Stretch] = []
    for begin in sorted(counts):
        if result and begin - result[-1].end <= dataset.jump_limit.total_seconds():
            result[-1] = Stretch(result[-1].begin, begin + bucket_s, result[-1].readings + counts[begin])
        else:
            result.append(Stretch(begin, begin + bucket_s, counts[begin]))
    return result


def kept(dataset: MeterSeries, every: Sequence[Stretch], interval_s: int) -> list[Stretch]:
    """Return the stretches that are not set aside.

    What lies before the data set's earliest day is left to its rule, and decides about nothing here.
    """
    sound = [stretch for stretch in every if stretch.end > earliest_ts(dataset)]
    most = max((stretch.readings for stretch in sound), default=0)
    enough = min(DAY_S // interval_s, most)
    early = [stretch for stretch in every if stretch.end <= earliest_ts(dataset)]
    return [*early, *(stretch for stretch in sound if stretch.readings >= enough)]
