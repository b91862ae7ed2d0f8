"""Half-hourly energy of households in London: one column of kWh, as the Low Carbon London trial publishes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from meterlake.dataset import DataSet
from meterlake.declaration import Amount, Dataset, View
from meterlake.textformat import MeterColumn, Moment, Skipped, TextFormat, Value

LONDON: Final = Dataset(
    name="london",
    title="Half-hourly energy in London",
    intervals=(1800,),
    time_zone="Europe/London",
    measures=(Amount("energy", "kWh", "0.001", between=(0, 50), title="Energy"),),
    views=(View("hour", "month"), View("day", "year")),
    lateness=timedelta(hours=1),
)

DATASET: Final = DataSet(
    declaration=LONDON,
    formats=(
        TextFormat(
            dataset=LONDON,
            columns=(
                MeterColumn("LCLid"),
                Skipped("stdorToU"),
                Moment("DateTime", "yyyy-MM-dd HH:mm:ss.SSSSSSS"),
                Value("KWH/hh (per half hour) ", "energy"),
            ),
            interval_s=1800,
            missing=("Null", ""),
            padded=True,
        ),
    ),
)
