"""Load of the network, and growth."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Final

from datasets.utility.kpis.common import PLACE, WHERE, joined, kpi, place
from meterlake.lakehouse.model import View

LOADS: Final = View(
    "load_rows",
    f"""SELECT {place("l")}, l.hour_start, FLOOR(l.time_sk / 3600) AS hour, CAST(l.load_kw AS DOUBLE) AS load_kw, f.rating_kw
    FROM fact_feeder_load_hour l {joined("l")}""",
    (*WHERE, "hour"),
)
TRANSFORMERS: Final = View(
    "transformer_rows",
    f"SELECT {place('t')}, t.transformer_id, t.overload_hours FROM fact_transformer_day t {joined('t')}",
    (*WHERE, "transformer_id"),
)
GROWTH: Final = View(
    "supply_years",
    f"""SELECT {", ".join(WHERE)}, customers_served, energy_input_kwh, FALSE AS is_before FROM supply
    UNION ALL SELECT CONCAT(CAST(CAST(year AS INT) + 1 AS STRING), SUBSTR(date_sk, 5, 4)),
        CONCAT(CAST(CAST(year AS INT) + 1 AS STRING), SUBSTR(month, 5, 2)), CAST(CAST(year AS INT) + 1 AS STRING),
        {", ".join(PLACE)}, customers_served, energy_input_kwh, TRUE FROM supply""",
    WHERE,
)
CUSTOMERS: Final = View(
    "customers_and_transformers",
    f"""SELECT {place("h")}, c.customer_id, c.customer_class, c.feeder_id <> t.feeder_id AS is_elsewhere
    FROM horizon h JOIN dim_customer c ON c.valid_from < h.ends AND c.valid_to >= h.ends
    JOIN dim_feeder f ON f.feeder_id = c.feeder_id AND f.valid_from < h.ends AND f.valid_to >= h.ends
    JOIN dim_transformer t ON t.transformer_id = c.transformer_id""",
    (*WHERE, "customer_class"),
)
VIEWS: Final = (LOADS, TRANSFORMERS, GROWTH, CUSTOMERS)

_PEAK: Final = {"per": ("hour_start",), "inner": {"load_of": "SUM(load_kw)"}}


def _growth(column: str) -> str:
    """Return the growth of a sum a day over the same days a year before."""
    now, before = (f"SUM(CASE WHEN {flag} THEN {column} END)" for flag in ("NOT is_before", "is_before"))
    days = [f"COUNT(DISTINCT CASE WHEN {flag} THEN date_sk END)" for flag in ("NOT is_before", "is_before")]
    return f"({now} / {days[0]}) / ({before} / {days[1]}) - 1"


KPIS: Final = (
    kpi("feeder_peak", "Peak of the load, of feeders together", "kW", "load_rows", "MAX(load_of)",
        grain=("month", "feeder_id"), **_PEAK),
    kpi("load_factor", "Load factor: mean load over its peak", "1", "load_rows", "AVG(load_of) / MAX(load_of)",
        grain=("month", "feeder_id"), better="higher", **_PEAK),
    kpi("utilisation", "Peak of a feeder over its rating, the greatest", "1", "load_rows", "MAX(load_kw / rating_kw)",
        grain=("feeder_id",)),
    kpi("overload_hours", "Hours of transformers above their rating", "h", "transformer_rows", "SUM(overload_hours)"),
    kpi("energy_per_customer", "Consumption a customer read, by class", "kWh", "reading_rows",
        "SUM(consumption_kwh) / COUNT(DISTINCT customer_id)", grain=("customer_class",), better="higher"),
    kpi("customer_growth", "Growth of customers over a year", "1", "supply_years", _growth("customers_served"), better="higher"),
    kpi("energy_growth", "Growth of energy over a year", "1", "supply_years", _growth("energy_input_kwh"), better="higher"),
    kpi("contradicting_feeders", "Customers whose feeder in CRM is not that of their transformer in OMS", "1",
        "customers_and_transformers", "COUNT_IF(is_elsewhere)", grain=("region",),
        caveat="Now. Facts keep the feeder that their own system names"),
)  # fmt: skip
