"""The household data set: UCI 235, one house, seven measures a minute."""

from __future__ import annotations

from typing import Final

from datasets.household.declaration import HOUSEHOLD
from datasets.household.text import HOUSEHOLD_EXPORT, HOUSEHOLD_TEXT
from meterlake.dataset import DataSet

DATASET: Final = DataSet(
    declaration=HOUSEHOLD,
    formats=(HOUSEHOLD_TEXT, HOUSEHOLD_EXPORT),
    replay=".replay:HOUSEHOLD_REPLAY",
    reports=".reports:REPORTS",
    board=".dashboards:BOARD",
    vee=".vee:VEE",
)
