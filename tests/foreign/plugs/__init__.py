"""Plugs that say their power once a second."""

from __future__ import annotations

from typing import Final

from meterlake.dataset import DataSet
from meterlake.declaration import Derived, Level, MeterSeries, View
from meterlake.text.format import Epoch, TextFormat, Value

PLUGS: Final = MeterSeries(
    name="plugs",
    title="Power of plugs",
    intervals=("1 s",),
    time_zone="Europe/Zurich",
    measures=(Level("power", "W", "0.01", between=(0, 4000), title="Power"),),
    derived=(Derived("energy", "Wh", "power_sum / 3600", title="Energy"),),
    views=(View("minute"), View("hour"), View("day")),
)

DATASET: Final = DataSet(
    declaration=PLUGS,
    formats=(
        TextFormat(
            dataset=PLUGS,
            columns=(Epoch("timestamp"), Value("power_w", "power")),
            interval_s=1,
            meter_id="plug-1",
        ),
    ),
    reports=".pages:REPORTS",
)
