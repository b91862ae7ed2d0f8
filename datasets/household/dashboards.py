"""What the dashboards of the household data set show."""

from __future__ import annotations

from typing import Final

from datasets.household.reports import POWER, SUB_METERS
from meterlake.dashboard_specs import Band, Board
from meterlake.report_specs import Limits

BOARD: Final = Board(
    main=POWER,
    total="energy_wh",
    bands=(Band("voltage", Limits(207.0, 253.0, "230 V ± 10 % (EN 50160)")), Band("global_intensity")),
    ratios=("power_factor",),
    parts=SUB_METERS,
    rest="other_devices_wh",
)
