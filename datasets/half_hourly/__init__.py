"""Half-hourly smart meters: readings of meterpoints, and the agreements, products and regions behind them."""

from __future__ import annotations

from typing import Final

from datasets.half_hourly.declaration import HALF_HOURLY, HALF_HOURLY_JSON
from meterlake.dataset import DataSet

DATASET: Final = DataSet(
    declaration=HALF_HOURLY,
    formats=(HALF_HOURLY_JSON,),
    replay=".replay:REPLAY",
    presentation=".tables:PRESENTATION",
    reports=".reports:REPORTS",
    generator=".generator:GENERATOR",
    vee=".vee:VEE",
    tariffs="tariffs.toml",
)
