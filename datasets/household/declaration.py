"""Electric power consumption of households.

Its history is one house in Sceaux near Paris, minute by minute from December 2006 to November 2010:
G. Hebrail and A. Berard, "Individual household electric power consumption", UCI Machine Learning
Repository 235, DOI 10.24432/C58K54, CC BY 4.0. Smart plugs send the same fields once a second.

Resolutions keep every digit of the history (3 for powers, 2 for voltage, 1 for current, whole Wh) and
what a plug adds: milliamperes, and thousandths of a Wh for the energy of one second.

A sub-meter counts at most what 100 kW deliver, the limit of active power: 1,666.7 Wh in a minute, 27.8 Wh in a
second. The largest value of the history is 88 Wh in a minute.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from meterlake.declaration import Amount, Derived, Flag, Level, MeterSeries, Reject, View, per_hour
from meterlake.quality import Jump, LongGap, Stuck

HOUSEHOLD: Final = MeterSeries(
    name="household",
    title="Household power consumption",
    intervals=(1, 60),
    time_zone="Europe/Paris",
    earliest=date(2005, 1, 1),
    measures=(
        Level("global_active_power", "kW", "0.001", between=(0, 100), title="Active power"),
        Level("global_reactive_power", "kvar", "0.001", between=(-100, 100), title="Reactive power"),
        Level("voltage", "V", "0.01", between=(0, 500), title="Voltage"),
        Level("global_intensity", "A", "0.001", between=(0, 500), title="Current"),
        Amount("sub_metering_1", "Wh", "0.001", between=per_hour(0, 100_000), title="Kitchen"),
        Amount("sub_metering_2", "Wh", "0.001", between=per_hour(0, 100_000), title="Laundry"),
        Amount("sub_metering_3", "Wh", "0.001", between=per_hour(0, 100_000), title="Water heater and air conditioner"),
    ),
    rules=(
        Reject(
            "power_without_voltage",
            "global_active_power > 0 AND voltage = 0",
            doc="No power flows without voltage.",
        ),
        Flag(
            "power_above_apparent",
            "global_active_power * 1000 > voltage * (global_intensity + 0.1)",
            doc="P exceeds V·I by more than the history's rounding of I to 0.1 A.",
        ),
        Flag(
            "sub_meters_above_energy",
            "sub_metering_1 + sub_metering_2 + sub_metering_3 > global_active_power * interval_s / 3.6 + 0.003",
            doc="The sub-meters count more energy than the main meter (beyond their own rounding).",
        ),
    ),
    derived=(
        # kW · s / 3.6 = Wh
        Derived("energy_wh", "Wh", "global_active_power_sum / 3.6", title="Energy"),
        Derived(
            "apparent_power",
            "kVA",
            "sqrt(p * p + q * q) / covered_s",
            where={"p": "global_active_power_sum", "q": "global_reactive_power_sum"},
            title="Apparent power",
        ),
        Derived(
            "power_factor",
            "1",
            "p / nullif(sqrt(p * p + q * q), 0)",
            where={"p": "global_active_power_sum", "q": "global_reactive_power_sum"},
            title="Power factor",
        ),
        Derived(
            "other_devices_wh",
            "Wh",
            "energy_wh - (sub_metering_1_sum + sub_metering_2_sum + sub_metering_3_sum)",
            title="Other devices",
        ),
    ),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
    quality=(
        Stuck("voltage", timedelta(minutes=5)),
        Stuck("global_active_power", timedelta(minutes=30)),
        Jump("voltage", 6.0),
        LongGap(timedelta(hours=1)),
    ),
)
