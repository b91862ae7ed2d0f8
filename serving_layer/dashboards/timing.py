"""What dashboards and alerts take from a data set's intervals: ranges, pauses, and when a meter counts as silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

SILENT_S: Final = 300
"""Networks and sensors restart within minutes: so long is waited beyond what the interval explains."""
SILENT_INTERVALS: Final = 3
"""A reading carries the begin of its interval, and comes at its end: with one missing it is three intervals old."""
_STEPS: Final = ((60, "5s", "15m"), (900, "30s", "6h"), (0, "1m", "24h"))
"""(interval below it, refresh, range) of the live dashboard; the last for all longer intervals."""
_RANGES: Final = (
    ("Last 5 minutes", "5m", 300),
    ("Last 15 minutes", "15m", 900),
    ("Last hour", "1h", 3600),
    ("Last 6 hours", "6h", 21_600),
    ("Last 24 hours", "24h", 86_400),
)


@dataclass(frozen=True)
class Timing:
    """Times of a data set's live dashboard.

    late_s, silent_s: age of a meter's latest reading from which it is late, and silent.
    has_seconds: whether readings come often enough to be drawn one by one.
    """

    live_range: str
    live_refresh: str
    live_ranges: tuple[tuple[str, str], ...]
    late_s: int
    silent_s: int
    cell_words: str
    seconds_shown: str
    has_seconds: bool

    @staticmethod
    def of(dataset: MeterSeries) -> Timing:
        """Return the times that fit a data set, by the shortest interval in which it sends."""
        interval = min(dataset.intervals)
        cell = GRAIN_SECONDS[dataset.finest.grain]
        refresh, since = next((pause, since) for below, pause, since in _STEPS if interval < below or not below)
        return Timing(
            live_range=since,
            live_refresh=refresh,
            live_ranges=tuple((title, text) for title, text, seconds in _RANGES if seconds >= 5 * cell),
            late_s=10 + 2 * interval if interval > 1 else 10,
            silent_s=silent_s(interval) if interval > 1 else 60,
            cell_words=dataset.finest.grain.replace("_", " "),
            # A reading a second: 40 meters are 4,800 points, which a browser draws every five seconds.
            seconds_shown=f"{max(2, min(60, 2 * interval))}m",
            has_seconds=interval < cell and interval <= SILENT_S,
        )


def silent_s(interval_s: int) -> int:
    """Return the age of a meter's latest reading from which it counts as silent."""
    return SILENT_S + SILENT_INTERVALS * interval_s


def silent_sql(interval: str) -> str:
    """Return the same in SQL. interval: the column of the latest reading's interval, in seconds."""
    return f"({SILENT_S} + {SILENT_INTERVALS} * {interval})"
