"""Reports of the half-hourly data set: those of a meter, and what its tables say of all meters."""

from __future__ import annotations

from typing import Final

from datasets.half_hourly.declaration import HALF_HOURLY
from meterlake.report_specs import Fleet, Report, plain_reports

FLEET: Final = (
    Fleet(
        name="products",
        title="Consumption by product",
        doc="Energy of each local day, by the product that was agreed at its time.",
        unit="kWh",
        sql="SELECT day AS time, coalesce(display_name, 'no agreement') AS part, total_kwh AS value"
        " FROM delta.presentation.consumption_per_product_per_day",
    ),
    Fleet(
        name="regions",
        title="Consumption by region",
        doc="Energy of each local day, by the meterpoint's region.",
        unit="kWh",
        most=14,
        sql="SELECT day AS time, region AS part, total_kwh AS value"
        " FROM delta.presentation.consumption_per_region_per_day",
    ),
    Fleet(
        name="half-hours",
        title="Consumption by half hour",
        doc="Energy of all meters in each half hour; what is estimated is drawn apart.",
        unit="kWh",
        daily=False,
        hatched="estimated",
        sql="SELECT interval_start AS time, part, CASE part WHEN 'estimated' THEN coalesce(consumption_estimated, 0)"
        " ELSE consumption_best - coalesce(consumption_estimated, 0) END AS value"
        " FROM hive.vee.validated CROSS JOIN (VALUES ('measured'), ('estimated')) AS parts (part)",
    ),
    Fleet(
        name="day-profile",
        title="Profile of the day",
        doc="Mean energy of a meterpoint in each half hour of London's clock, on working days and week-ends.",
        unit="kWh",
        clock=True,
        sql="SELECT day AS time, date_format(local_start, '%H:%i') AS clock,"
        " CASE WHEN day_of_week(day) < 6 THEN 'working days' ELSE 'week-ends' END AS part, avg_kwh AS value"
        " FROM delta.presentation.gold_aggregate_per_half_hour",
    ),
    Fleet(
        name="costs",
        title="Costs by product",
        doc="What the energy of each local day costs, standing charges included, without VAT.",
        unit="GBP",
        sql="SELECT day AS time, coalesce(display_name, product_id) AS part, amount AS value"
        " FROM delta.presentation.cost",
    ),
    Fleet(
        name="completeness",
        title="Completeness",
        doc="Half hours of each local day: read, estimated, and neither.",
        unit="half hours",
        hatched="estimated",
        sql="SELECT day AS time, part, CASE part WHEN 'measured' THEN measured WHEN 'estimated' THEN"
        " coalesce(estimated, 0) ELSE expected - measured - coalesce(estimated, 0) END AS value"
        " FROM (SELECT day, sum(expected) AS expected, sum(intervals) AS measured FROM delta.vee.days GROUP BY day)"
        " LEFT JOIN (SELECT day, count(*) AS estimated FROM delta.vee.estimates WHERE reason = 'missing' GROUP BY day)"
        " USING (day) CROSS JOIN (VALUES ('measured'), ('estimated'), ('missing')) AS parts (part)",
    ),
)
REPORTS: Final[tuple[Report, ...]] = (*FLEET, *plain_reports(HALF_HOURLY))
