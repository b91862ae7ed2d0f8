"""Validation and estimation of a household's active power. Only `meterlake vee household` does it, not each batch."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from meterlake.vee.declaration import Linear, SimilarDays, Spike, Stuck, Vee, ZeroRun

MINUTE: Final = timedelta(minutes=1)

VEE: Final = Vee(
    measure="global_active_power",
    rules=(Spike(3.0, above=15.0), Stuck(30 * MINUTE), ZeroRun(timedelta(hours=6))),
    methods=(Linear(longest=10 * MINUTE), SimilarDays(longest=timedelta(days=7), days=28, fades=10 * MINUTE)),
    after_batch=False,
)
