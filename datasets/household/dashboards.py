"""What the dashboards of the household data set show."""

from __future__ import annotations

from typing import Final

from datasets.household.reports import POWER, SUB_METERS
from meterlake.dashboard_specs import Board
from meterlake.report_specs import Limits

BOARD: Final = Board(
    power=POWER,
    energy="energy_wh",
    power_factor="power_factor",
    current="global_intensity",
    voltage="voltage",
    limits=Limits(207.0, 253.0, "230 V ± 10 % (EN 50160)"),
    parts=SUB_METERS,
    rest="other_devices_wh",
)
