"""The grains of views: fixed lengths of a minute to an hour, which begin at multiples of themselves in UTC, and the
calendar's local days and months."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, TypeGuard

from meterlake.durations import duration_text, parse_duration

FixedGrain = Literal["minute", "five_minutes", "ten_minutes", "quarter_hour", "half_hour", "hour"]
"""Grains whose rows begin at UTC boundaries and all have one length."""

CalendarGrain = Literal["day", "month"]
"""Grains whose rows follow the data set's time zone; their time column is a DATE, for a month its first day."""

Grain = Literal[FixedGrain, CalendarGrain]

GRAIN_SECONDS: Final[dict[Grain, int]] = {
    "minute": 60,
    "five_minutes": 300,
    "ten_minutes": 600,
    "quarter_hour": 900,
    "half_hour": 1800,
    "hour": 3600,
    "day": 86_400,
    "month": 31 * 86_400,
}
"""Lengths, in ascending order. Those of the calendar are nominal: a local day may have 23 or 25 hours
(``timegrid.day_seconds``), a month 28 to 31 days."""


def is_fixed(grain: Grain) -> TypeGuard[FixedGrain]:
    """Return whether a grain's rows have one length and begin at UTC boundaries."""
    return not is_calendar(grain)


def is_calendar(grain: Grain) -> TypeGuard[CalendarGrain]:
    """Return whether a grain's rows are local days or months."""
    return grain in ("day", "month")


def parse_grain(text: str) -> Grain:
    """Return the grain of its name or of a duration: ``half_hour`` and ``30 min`` are the same.

    Raises ValueError for what is neither.
    """
    for grain, length in GRAIN_SECONDS.items():
        if text == grain or (is_fixed(grain) and _seconds(text) == length):
            return grain
    fixed = (timedelta(seconds=length) for grain, length in GRAIN_SECONDS.items() if is_fixed(grain))
    lengths = ", ".join(map(duration_text, fixed))
    raise ValueError(f"{text!r} is neither a duration of {lengths} nor one of {', '.join(GRAIN_SECONDS)}")


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text).total_seconds()
    except ValueError:
        return None
