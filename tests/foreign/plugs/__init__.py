"""Plugs that say their power once a second."""

from __future__ import annotations

from typing import Final

from meterlake.dataset import DataSet
from meterlake.declaration import Dataset, Derived, Level, View
from meterlake.textformat import Epoch, TextFormat, Value

PLUGS: Final = Dataset(
    name="plugs",
    title="Power of plugs",
    intervals=(1,),
    time_zone="Europe/Zurich",
    measures=(Level("power", "W", "0.01", between=(0, 4000), title="Power"),),
    derived=(Derived("energy", "Wh", "power_sum / 3600", title="Energy"),),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
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
