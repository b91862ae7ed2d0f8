"""The household history as a text file: UCI 235, also the layout of its successors.

Its clock has no daylight saving steps: every day from 2006 to 2010 has 1,440 minutes, at UTC+1.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from datasets.household.declaration import HOUSEHOLD
from meterlake.text.format import Moment, TextFormat, Value

HOUSEHOLD_TEXT: Final = TextFormat(
    dataset=HOUSEHOLD,
    separator=";",
    columns=(
        Moment("Date", "d/M/yyyy"),
        Moment("Time", "H:mm:ss"),
        Value("Global_active_power", "global_active_power"),
        Value("Global_reactive_power", "global_reactive_power"),
        Value("Voltage", "voltage"),
        Value("Global_intensity", "global_intensity"),
        Value("Sub_metering_1", "sub_metering_1"),
        Value("Sub_metering_2", "sub_metering_2"),
        Value("Sub_metering_3", "sub_metering_3"),
    ),
    missing=("?", "", "nan", "NaN", "NA", "<NA>", "N/A", "n/a", "None", "null", "NULL"),
    interval_s=60,
    utc_offset=timedelta(hours=1),
    meter_id="sceaux",
)

HOUSEHOLD_EXPORT: Final = replace(
    HOUSEHOLD_TEXT,
    separator=",",
    columns=(
        Moment("datetime", "yyyy-MM-dd HH:mm:ss", aliases=("timestamp", "date_time")),
        *HOUSEHOLD_TEXT.columns[2:],
    ),
)
"""The same, as people write it again with pandas: date and time in one column."""
