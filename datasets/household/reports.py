"""Reports of the household data set: what the system it replaces drew, and what a household asks."""

from __future__ import annotations

from typing import Final

from meterlake.report_specs import (
    GAPS,
    SUMMARY_DOC,
    Cost,
    Course,
    Heatmap,
    Limits,
    LoadDuration,
    Monthly,
    PeakHours,
    Profile,
    Report,
    Stack,
    Standby,
    Summary,
)

POWER: Final = "global_active_power"
SUB_METERS: Final = ("sub_metering_1", "sub_metering_2", "sub_metering_3")

REPORTS: Final[tuple[Report, ...]] = (
    Course(
        name="active-power",
        title="Active power",
        doc="Mean active power, with the range of its readings; --min-power shows when it was high.",
        value=POWER,
        from_zero=True,
        threshold=True,
    ),
    Course(
        name="power-factor",
        title="Power factor",
        doc="Share of active in apparent power; nothing where no power flows.",
        value="power_factor",
    ),
    Course(
        name="voltage",
        title="Voltage",
        doc="Lowest, mean and highest voltage against the limits that a supplier must keep.",
        value="voltage",
        limits=Limits(207.0, 253.0, "230 V ± 10 % (EN 50160)"),
    ),
    Course(
        name="reactive-power",
        title="Reactive power",
        doc="Mean reactive power, with the range of its readings.",
        value="global_reactive_power",
        from_zero=True,
    ),
    Course(
        name="intensity",
        title="Current",
        doc="Mean current, with the range of its readings.",
        value="global_intensity",
        from_zero=True,
    ),
    Stack(
        name="sub-metering",
        title="Energy by sub-meter",
        doc="Energy of the sub-metered rooms and of all other devices; where the sub-meters count more than "
        "the main meter, the rest is negative and shown so.",
        total="energy_wh",
        parts=SUB_METERS,
        rest="other_devices_wh",
    ),
    Profile(
        name="daily-profile",
        title="The average day",
        doc="Mean active power by hour of the day: weekdays and weekends, by season.",
        level=POWER,
    ),
    Heatmap(name="heatmap", title="Active power by day and hour", doc="Habits and holidays at a glance.", level=POWER),
    LoadDuration(
        name="load-duration",
        title="Load duration",
        doc="For what share of the time the load was at least how high.",
        level=POWER,
    ),
    GAPS,
    Monthly(
        name="monthly-energy",
        title="Energy by month",
        doc="Measured energy; nothing is added for gaps.",
        total="energy_wh",
    ),
    Standby(
        name="standby",
        title="Standby: the load of quiet nights",
        doc="The quietest hour of each night: what runs always, and what that costs a year.",
        level=POWER,
        energy="energy_wh",
    ),
    PeakHours(
        name="peak-hours",
        title="Peak hours",
        doc="Which hours of the day take most energy, and the highest single hours.",
        energy="energy_wh",
    ),
    Cost(
        name="cost",
        title="Cost of energy",
        doc="Cost by time-of-use prices (--tariff), and what using devices at the cheapest hours would save.",
        energy="energy_wh",
        movable=SUB_METERS,
    ),
    Summary(
        name="summary",
        title="Summary",
        doc=SUMMARY_DOC,
        headline=(
            ("monthly-energy", "Total"),
            ("cost", "Cost"),
            ("cost", "Moving devices"),
            ("standby", "Base load"),
            ("standby", "Of all energy"),
            ("active-power", "Highest"),
            ("gaps", "Coverage"),
        ),
    ),
)
