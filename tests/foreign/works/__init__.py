"""Hourly energy of a works' meters, with decimal commas, stamped at the end of the hour."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from meterlake.dataset import DataSet
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.text.format import MeterColumn, Moment, TextFormat, Value

WORKS: Final = MeterSeries(
    name="works",
    title="Hourly energy of the works",
    intervals=("1 h",),
    time_zone="Europe/Berlin",
    measures=(Amount("energy", "kWh", "0.1", between=per_hour(0, 5000), title="Energy"),),
    views=(View("hour"), View("day"), View("month")),
)

DATASET: Final = DataSet(
    declaration=WORKS,
    formats=(
        TextFormat(
            dataset=WORKS,
            columns=(Moment("End", "yyyy-MM-dd'T'HH:mm:ss"), MeterColumn("Meter"), Value("kWh", "energy")),
            interval_s=3600,
            separator=";",
            decimal=",",
            missing=("", "n/a"),
            utc_offset=timedelta(hours=1),
            marks="end",
        ),
    ),
)
