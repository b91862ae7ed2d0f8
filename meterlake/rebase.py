"""Moving a history to the present by whole weeks: weekdays and times of day stay what they were."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

WEEK: Final = timedelta(weeks=1)


def whole_weeks(end: datetime, now: datetime) -> timedelta:
    """Return the fewest whole weeks by which a history that ends at ``end`` must move so that it ends at or after now.

    Both aware, or both not. Zero if it does so already.
    """
    missing = -((end - now) // WEEK)
    return max(missing, 0) * WEEK
