"""Half-hourly energy of households in London: one column of kWh, as the Low Carbon London trial publishes it."""

from __future__ import annotations

from typing import Final

from meterlake.dataset import DataSet
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.text.format import MeterColumn, Moment, Skipped, TextFormat, Value

LONDON: Final = MeterSeries(
    name="london",
    title="Half-hourly energy in London",
    intervals=("30 min",),
    time_zone="Europe/London",
    measures=(Amount("energy", "kWh", "0.001", between=per_hour(0, 100), title="Energy"),),
    views=(View("30 min"), View("hour"), View("day"), View("month")),
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
            time_zone="Europe/London",
        ),
    ),
)
