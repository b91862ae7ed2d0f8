"""Half-hourly smart meters: kWh of a meterpoint in each half hour.

Files are JSON, one a meterpoint or many: ``{"columns": ["interval_start", "consumption_delta", "meterpoint_id"],
"data": [["2021-01-01 00:30:00", 0.186, "0432df65f7"], …]}``. Their times are UTC, as meters count; local days follow
London's clock and have 46, 48 or 50 half hours.
"""

from __future__ import annotations

from typing import Final

from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.fileformats.records import JsonTable, Time, Value

HALF_HOURLY: Final = MeterSeries(
    name="half_hourly",
    title="Half-hourly smart meters",
    intervals=("30 min",),
    time_zone="Europe/London",
    # 100 A at 240 V, three phases, and some: 100 kW.
    measures=(Amount("consumption", "kWh", "0.001", between=per_hour(0, 100), title="Consumption"),),
    views=(View("30 min"), View("hour"), View("day"), View("month")),
)

HALF_HOURLY_JSON: Final = JsonTable(
    dataset=HALF_HOURLY,
    meter="meterpoint_id",
    time=Time("interval_start", "yyyy-MM-dd HH:mm:ss"),
    values=(Value("consumption_delta", "consumption"),),
    interval_s=1800,
)
