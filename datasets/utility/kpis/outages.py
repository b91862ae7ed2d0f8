"""Outages: how many, why, and how fast they are handled."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Any, Final

from datasets.utility.kpis.common import WHERE, joined, kpi, nearest, place, seconds
from meterlake.lakehouse.model import Kpi, View

_BY: Final = (*WHERE, "cause", "is_planned", "device_type", "hour")

HORIZON: Final = View(
    "horizon",
    "SELECT MAX(date_sk) AS date_sk, MAX(day_start) + INTERVAL '1' DAY AS ends FROM fact_feeder_energy_day",
    (),
)
OUTAGES: Final = View(
    "outage_rows",
    f"""SELECT {place("o")}, o.outage_id, o.is_planned, COALESCE(o.cause, 'unknown') AS cause, o.device_type, o.heard_from,
        FLOOR(o.time_sk / 3600) AS hour, o.crew_id, CONCAT(o.crew_id, o.date_sk, o.crew_shift) AS shift,
        {seconds("o.began_at", "o.dispatched_at")} / 60 AS to_dispatch,
        {seconds("o.dispatched_at", "o.on_site_at")} / 60 AS to_arrival,
        {seconds("o.on_site_at", "o.restored_at")} / 60 AS on_site,
        {seconds("o.began_at", "o.restored_at")} / 60 AS restoration,
        ABS({seconds("o.estimated_at", "o.restored_at")}) / 60 AS estimate_error,
        {seconds("o.planned_end_at", "o.restored_at")} / 60 AS overrun,
        {seconds("o.announced_at", "o.began_at")} / 3600 AS notice,
        NOT o.is_planned AND ({seconds("o.began_at", "o.restored_at")} > 300 OR o.restored_at IS NULL) AS is_fault,
        {seconds("o.began_at", "COALESCE(o.cause_known_at, h.ends)")} > 604800 AS is_without_cause,
        o.began_at
    FROM fact_outage o {joined("o")} CROSS JOIN horizon h""",
    _BY,
)
FAULTS: Final = View(
    "fault_rows",
    f"""SELECT {", ".join(f"o.{name}" for name in WHERE)}, o.cause,
        {seconds("LAG(o.began_at) OVER (PARTITION BY o.feeder_id ORDER BY o.began_at, o.outage_id)", "o.began_at")} / 3600
            AS since_last
    FROM outage_rows o WHERE o.is_fault""",
    (*WHERE, "cause"),
)
NETWORK: Final = View(
    "outages_and_network",
    f"""SELECT {", ".join(WHERE)}, outage_id, is_planned, is_fault, NULL AS call_id, CAST(NULL AS DECIMAL(18, 2)) AS length_km
    FROM outage_rows
    UNION ALL SELECT {place("c")}, NULL, NULL, NULL, c.call_id, NULL FROM fact_trouble_call c {joined("c")}
    UNION ALL SELECT {", ".join(WHERE)}, NULL, NULL, NULL, NULL, length_km FROM supply""",
    WHERE,
)
UNSERVED: Final = View(
    "unserved",
    f"""WITH loads AS (SELECT f.feeder_id, FLOOR(l.time_sk / 3600) AS hour, AVG(CAST(l.load_kw AS DOUBLE)) AS kw
        FROM fact_feeder_load_hour l {joined("l")} GROUP BY f.feeder_id, FLOOR(l.time_sk / 3600))
    SELECT {", ".join(f"i.{name}" for name in WHERE)}, i.cause, i.customer_class,
        l.kw * CAST(i.kva AS DOUBLE) / s.connected_kva * i.minutes / 60 AS kwh
    FROM interruptions i JOIN supply s ON s.feeder_id = i.feeder_id AND s.date_sk = i.date_sk
    JOIN loads l ON l.feeder_id = i.feeder_id AND l.hour = i.hour""",
    (*WHERE, "cause", "customer_class"),
)
VIEWS: Final = (HORIZON, OUTAGES, FAULTS, NETWORK, UNSERVED)

_FAULT: Final = "CASE WHEN is_fault THEN {} END"


def _rows(name: str, title: str, unit: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as kpi has them
    return kpi(name, title, unit, "outage_rows", sql, **more)


KPIS: Final = (
    _rows("outages_unplanned", "Unplanned outages", "1", "COUNT_IF(NOT is_planned)"),
    _rows("planned_share", "Share of planned outages", "1", "COUNT_IF(is_planned) / COUNT(*)", better="higher"),
    kpi("outages_per_100_km", "Unplanned outages for 100 km of feeder", "1", "outages_and_network",
        "COUNT_IF(NOT is_planned) * 100 / (SUM(length_km) / COUNT(DISTINCT CASE WHEN length_km IS NOT NULL THEN date_sk END))"),
    _rows("share_by_cause", "Share of unplanned outages by cause", "1",
          "COUNT_IF(NOT is_planned) / SUM(COUNT_IF(NOT is_planned)) OVER ()", grain=("cause",),
          caveat="Of all that is asked for, whatever else it is by"),
    kpi("customer_minutes_lost", "Customer minutes lost", "min", "interruptions", "SUM(CASE WHEN is_sustained THEN minutes END)"),
    kpi("energy_not_served", "Energy not served", "kWh", "unserved", "SUM(kwh)",
        caveat="By the feeder's mean load at that hour, shared by connected load"),
    _rows("time_to_dispatch", "Until a crew is sent, mean", "min", "AVG(to_dispatch)"),
    _rows("time_to_arrival", "From dispatch until the crew is there, mean", "min", "AVG(to_arrival)"),
    _rows("time_on_site", "From arrival until restoration, mean", "min", "AVG(on_site)"),
    _rows("restoration_median", "Restoration of faults, median", "min", nearest(_FAULT.format("restoration"), 0.5)),
    _rows("restoration_p95", "Restoration of faults, 95th percentile", "min", nearest(_FAULT.format("restoration"), 0.95)),
    *(_rows(f"restored_within_{n}_h", f"Faults restored within {n} h", "1",
            f"COUNT_IF(is_fault AND restoration <= {n * 60}) / COUNT_IF(is_fault AND restoration IS NOT NULL)", better="higher")
      for n in (1, 3, 8)),
    kpi("days_between_faults", "Days between faults of a feeder, mean", "d", "outages_and_network",
        "COUNT(length_km) / COUNT_IF(is_fault)", better="higher"),
    kpi("repeated_within_24_h", "Faults on a feeder that had one in the 24 h before", "1", "fault_rows",
        "COUNT_IF(since_last <= 24) / COUNT(*)"),
    kpi("repeated_within_7_d", "Faults on a feeder that had one in the 7 days before", "1", "fault_rows",
        "COUNT_IF(since_last <= 168) / COUNT(*)"),
    kpi("share_on_worst_feeders", "Share of the customer minutes that the worst tenth of the feeders has", "1", "reliability",
        "SUM(CASE WHEN place <= CEIL(feeders * 0.1) THEN amount END) / SUM(amount)", grain=("year",), per=("feeder_id",),
        inner={
            "amount": "COALESCE(SUM(CASE WHEN is_sustained THEN minutes END), 0)",
            "place": "ROW_NUMBER() OVER ({partition} ORDER BY COALESCE(SUM(CASE WHEN is_sustained THEN minutes END), 0) DESC,"
            " feeder_id)",
            "feeders": "COUNT(*) OVER ({partition})",
        }),
    _rows("estimate_error_median", "Error of the estimated restoration, median", "min", nearest("estimate_error", 0.5)),
    _rows("estimate_error_p90", "Error of the estimated restoration, 90th percentile", "min", nearest("estimate_error", 0.9)),
    _rows("planned_overrun", "Planned work beyond its announced end, mean", "min", "AVG(CASE WHEN overrun > 0 THEN overrun ELSE overrun * 0 END)"),
    _rows("planned_announced", "Planned work announced at least 48 h before", "1",
          "COUNT_IF(is_planned AND notice >= 48) / COUNT_IF(is_planned)", better="higher"),
    kpi("calls_per_outage", "Trouble calls for each fault", "1", "outages_and_network", "COUNT(call_id) / COUNT_IF(is_fault)"),
    _rows("heard_from_customers", "Faults first heard of from customers", "1",
          "COUNT_IF(is_fault AND heard_from = 'customer') / COUNT_IF(is_fault)"),
    _rows("without_cause", "Unplanned outages without cause 7 days later", "1",
          "COUNT_IF(NOT is_planned AND is_without_cause) / COUNT_IF(NOT is_planned)"),
    _rows("outages_per_shift", "Outages for each shift of a crew", "1", "COUNT(shift) / COUNT(DISTINCT shift)"),
)  # fmt: skip
