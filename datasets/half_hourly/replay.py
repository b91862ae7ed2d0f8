"""Half-hourly meters that live recorded half hours now: those of one house in Sceaux, four years of them.

``data/half_hourly_consumption.csv.xz`` has them in kWh to the watt-hour, made of the household data set's minutes
(UCI 235): the active power of a half hour whose 30 minutes all have values, summed up. Its times are UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from datasets.half_hourly.declaration import HALF_HOURLY
from meterlake.replay import ITSELF, Marks, Replay
from meterlake.text.format import Moment, TextFormat, Value

if TYPE_CHECKING:
    from meterlake.randomness import Numbers, RandomValues

HISTORY: Final = TextFormat(
    dataset=HALF_HOURLY,
    columns=(Moment("interval_start", "yyyy-MM-dd HH:mm:ss"), Value("consumption_delta", "consumption")),
    interval_s=1800,
    meter_id="sceaux",
)


def _as_recorded(half_hours: Numbers, _: RandomValues) -> tuple[Numbers, Marks]:
    """Return each half hour as the one reading that it is."""
    return half_hours[:, ITSELF, None], np.zeros(len(half_hours), dtype=bool)


REPLAY: Final = Replay(
    form=HISTORY,
    history="data/half_hourly_consumption.csv.xz",
    interval_s=1800,
    scaled=("consumption",),
    split=_as_recorded,
)
