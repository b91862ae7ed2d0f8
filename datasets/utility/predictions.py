"""What the utility asks a model: which feeders will have an unplanned outage on the next day."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Final

from datasets.utility.kpis.common import joined
from meterlake.lakehouse.model import View
from meterlake.lakehouse.prediction import Prediction

_YEAR: Final = 365
"""Days of the longest window."""


def _over(days: int, by: str = "feeder_id") -> str:
    """Return the window of the last so many days: no row of it is later than the row itself."""
    return f"OVER (PARTITION BY {by} ORDER BY day_number RANGE BETWEEN {days - 1} PRECEDING AND CURRENT ROW)"


_SINCE: Final = f"(day_number - COALESCE(MAX(CASE WHEN works > 0 THEN day_number END) {_over(60)}, day_number - 60))"
_STORM: Final = "CASE WHEN weather_forecast > 0 THEN weather_forecast WHEN weather_forecast <= 0 THEN 0 END"
_FEATURES: Final = {
    "happened_today": ("an outage today", "CASE WHEN outages > 0 THEN 1.0 ELSE 0.0 END"),
    "last_7_d": ("outages in the last 7 days", f"CAST(SUM(outages) {_over(7)} AS DOUBLE)"),
    "last_30_d": ("outages in the last 30 days", f"CAST(SUM(outages) {_over(30)} AS DOUBLE)"),
    "last_90_d": ("outages in the last 90 days", f"CAST(SUM(outages) {_over(90)} AS DOUBLE)"),
    "rate_365_d": ("outages a day in the last year", f"CAST(SUM(outages) {_over(_YEAR)} AS DOUBLE) / COUNT(*) {_over(_YEAR)}"),
    "region_today": ("outages a feeder of the region today", f"CAST(SUM(outages) {_over(1, 'region')} AS DOUBLE) / COUNT(*) {_over(1, 'region')}"),
    "region_3_d": ("outages a feeder of the region in the last 3 days", f"CAST(SUM(outages) {_over(3, 'region')} AS DOUBLE) / COUNT(*) {_over(3, 'region')}"),
    "days_since_work": ("days since planned work (up to 60)", f"CAST({_SINCE} AS DOUBLE)"),
    "recent_work": ("planned work in the last two weeks", f"CASE WHEN {_SINCE} < 14 THEN 1.0 ELSE 0.0 END"),
    "forecast": ("the weather forecast", "CAST(weather_forecast AS DOUBLE)"),
    "storm": ("bad weather in the forecast", f"CAST({_STORM} AS DOUBLE)"),
    "storm_in_trees": ("bad weather in the forecast, and lines beside trees", f"CAST({_STORM} * vegetation AS DOUBLE)"),
    "age_years": ("the feeder's age", "CAST(TIMESTAMPDIFF(DAY, CAST(installed_on AS TIMESTAMP_NTZ), day_start) AS DOUBLE) / 365.25"),
    "vegetation": ("lines beside trees", "CAST(vegetation AS DOUBLE)"),
    "length_km": ("the feeder's length", "CAST(length_km AS DOUBLE)"),
    "load": ("the mean load over the rating", "CAST(energy_input_kwh AS DOUBLE) / 24 / CAST(rating_kw AS DOUBLE)"),
    "summer": ("the season: summer or winter", "COS(2 * PI() * (day_of_year - 190) / 365.25)"),
    "spring": ("the season: spring or autumn", "SIN(2 * PI() * (day_of_year - 190) / 365.25)"),
}  # fmt: skip
"""Name: what it is as a reason, and how it follows from rows up to its day."""

_NEXT: Final = "RANGE BETWEEN 1 FOLLOWING AND 1 FOLLOWING"

VIEW: Final = View(
    "outage_features",
    f"""WITH happened AS (SELECT feeder_id, date_sk, COUNT_IF(NOT is_planned) AS outages, COUNT_IF(is_planned) AS works
        FROM fact_outage GROUP BY feeder_id, date_sk),
    days AS (SELECT f.feeder_id, f.feeder_sk, f.region, f.length_km, f.vegetation, f.rating_kw, f.installed_on, e.date_sk,
            e.day_start, e.energy_input_kwh, e.weather_forecast, COALESCE(h.outages, 0) AS outages, COALESCE(h.works, 0) AS works,
            CAST(TIMESTAMPDIFF(DAY, CAST('2000-01-01 00:00:00' AS TIMESTAMP_NTZ), e.day_start) AS INT) AS day_number,
            (CAST(SUBSTR(e.date_sk, 5, 2) AS INT) - 1) * 30.4375 + CAST(SUBSTR(e.date_sk, 7, 2) AS INT) AS day_of_year
        FROM fact_feeder_energy_day e {joined("e")}
        LEFT JOIN happened h ON h.feeder_id = f.feeder_id AND h.date_sk = e.date_sk)
    SELECT date_sk, DATE_FORMAT(day_start + INTERVAL '29' HOUR, 'yyyyMMdd') AS next_sk, feeder_id, feeder_sk,
        MAX(CASE WHEN outages > 0 THEN 1 ELSE 0 END) OVER (PARTITION BY feeder_id ORDER BY day_number {_NEXT}) AS happened,
        {", ".join(f"{sql} AS {name}" for name, (_, sql) in _FEATURES.items())}
    FROM days""",
    (),
)
OUTAGES: Final = Prediction(
    name="outage_predictions",
    title="Feeders with an unplanned outage on the next day",
    view=VIEW.name,
    looks_back=_YEAR - 1,
    member=("feeder_id", "feeder_sk"),
    features={name: title for name, (title, _) in _FEATURES.items()},
    persistence="happened_today",
    rate="last_7_d",
)
