"""What figures share: the way to a feeder's place, customers served, percentiles by the nearest rank."""

from __future__ import annotations

from typing import Any, Final

from meterlake.lakehouse.model import Kpi

PLACE: Final = ("region", "district", "grid_station", "feeder_id")
TIME: Final = ("date_sk", "month", "year")
WHERE: Final = (*TIME, *PLACE)
IEEE: Final = "IEEE 1366-2022"

SERVED: Final = "(SUM(customers_served) / COUNT(DISTINCT CASE WHEN customers_served IS NOT NULL THEN date_sk END))"
"""Customers served: the mean over the days of the period (N_T)."""
LOAD: Final = "(SUM(connected_kva) / COUNT(DISTINCT CASE WHEN customers_served IS NOT NULL THEN date_sk END))"
"""Connected load served (L_T)."""


def place(alias: str) -> str:
    """Return the columns of time and place of rows ``alias`` that were joined with ``f``, their feeder."""
    return (
        f"{alias}.date_sk, SUBSTR({alias}.date_sk, 1, 6) AS month, SUBSTR({alias}.date_sk, 1, 4) AS year,"
        " f.region, f.district, f.grid_station, f.feeder_id"
    )


def joined(alias: str) -> str:
    """Return the join that ``place`` needs."""
    return f"JOIN dim_feeder f ON f.feeder_sk = {alias}.feeder_sk"


def nearest(value: str, share: float) -> str:
    """Return a percentile by the nearest rank: one of the values, exact in every engine."""
    return f"ELEMENT_AT(ARRAY_SORT(COLLECT_LIST({value})), CAST(CEIL({share} * COUNT({value})) AS INT))"


def seconds(begin: str, end: str) -> str:
    """Return the seconds between two instants."""
    return f"TIMESTAMPDIFF(SECOND, {begin}, {end})"


def kpi(name: str, title: str, unit: str, view: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as Kpi has them
    """Return a figure; by month, and better when it is lower, where nothing else is said."""
    common = {"grain": ("month",), "better": "lower", "source": "DataWave: KPIs of the utility"}
    return Kpi(name=name, title=title, unit=unit, fact=view, sql=sql, **{**common, **more})
