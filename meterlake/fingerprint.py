"""What the rows of a view are made by, in short: to notice that some were made by other rules than the rest."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meterlake.declaration import Measure, MeterSeries


def fingerprint(dataset: MeterSeries) -> str:
    """Return 16 hexadecimal digits that change with whatever decides about the state of a row.

    Derived values do not: they are computed when a view is read. Nor do titles and explanations.
    """
    made_by = {
        "measures": [[m.name, m.kind, m.resolution, *_limits(dataset, m)] for m in dataset.measures],
        "rules": [[type(rule).__name__, rule.name, rule.sql] for rule in dataset.rules],
        "intervals": dataset.intervals,
        "cell_s": dataset.cell_s,
        "time_zone": dataset.time_zone,
        "clock_tolerance_s": dataset.clock_tolerance.total_seconds(),
        "earliest": str(dataset.earliest or ""),
    }
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]


def _limits(dataset: MeterSeries, measure: Measure) -> list[float]:
    """Return the lowest and highest value in an interval of each length."""
    return [limit for length in dataset.intervals for limit in measure.limits(length)]
