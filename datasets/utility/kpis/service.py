"""Customer service: complaints, first responses, promises kept, orders."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Any, Final

from datasets.utility.kpis.common import SERVED, WHERE, joined, kpi, nearest, place, seconds
from meterlake.lakehouse.model import Kpi, View

_BY: Final = (*WHERE, "customer_class", "complaint_type", "channel")

COMPLAINTS: Final = View(
    "complaint_rows",
    f"""SELECT {place("c")}, c.complaint_id, c.customer_id, c.customer_class, c.complaint_type, c.channel, c.outage_id,
        c.contacts, c.opened_at, c.resolved_at, c.reopened_at,
        {seconds("c.opened_at", "c.first_response_at")} / 3600 AS to_response,
        {seconds("c.opened_at", "c.resolved_at")} / 3600 AS to_resolution,
        c.resolved_at <= c.promised_by AS is_kept, COALESCE(c.resolved_at, h.ends) > c.promised_by AS is_broken
    FROM fact_complaint c {joined("c")} CROSS JOIN horizon h""",
    _BY,
)
WITH_SERVED: Final = View(
    "complaints_and_customers",
    f"""SELECT {", ".join(WHERE)}, complaint_id, CAST(NULL AS INT) AS customers_served FROM complaint_rows
    UNION ALL SELECT {", ".join(WHERE)}, NULL, customers_served FROM supply""",
    WHERE,
)
OPEN: Final = View(
    "complaints_open",
    f"""SELECT {", ".join(f"s.{name}" for name in WHERE)}, c.complaint_id,
        {seconds("c.opened_at", "s.ends")} / 86400 AS age
    FROM (SELECT {place("e")}, e.day_start + INTERVAL '1' DAY AS ends FROM fact_feeder_energy_day e {joined("e")}) s
    LEFT JOIN complaint_rows c ON c.feeder_id = s.feeder_id AND c.opened_at < s.ends
        AND (c.resolved_at IS NULL OR c.resolved_at >= s.ends)""",
    WHERE,
)
OFTEN: Final = View(
    "complaints_often",
    f"""SELECT {", ".join(f"c.{name}" for name in WHERE)}, c.customer_class, c.complaint_id, MAX(c.customer_id) AS customer_id,
        COUNT(*) AS within_90_days
    FROM complaint_rows c JOIN complaint_rows b ON b.customer_id = c.customer_id AND b.opened_at <= c.opened_at
        AND b.opened_at > c.opened_at - INTERVAL '90' DAY
    GROUP BY {", ".join(f"c.{name}" for name in WHERE)}, c.customer_class, c.complaint_id""",
    (*WHERE, "customer_class"),
)
ORDERS: Final = View(
    "order_rows",
    f"""SELECT {place("o")}, o.order_type, o.customer_class, o.amount_due,
        {seconds("o.requested_at", "o.completed_at")} / 3600 AS hours
    FROM fact_service_order o {joined("o")}""",
    (*WHERE, "customer_class", "order_type"),
)
AFTER: Final = View(
    "complaints_after_outages",
    f"""SELECT {", ".join(f"i.{name}" for name in WHERE)}, i.customer_class,
        CASE WHEN i.minutes < 60 THEN '0-1 h' WHEN i.minutes < 180 THEN '1-3 h' WHEN i.minutes < 480 THEN '3-8 h'
            ELSE '8 h and more' END AS duration, c.complaint_id
    FROM interruptions i LEFT JOIN fact_complaint c ON c.outage_id = i.outage_id AND c.customer_id = i.customer_id
    WHERE i.is_sustained AND NOT i.is_planned""",
    (*WHERE, "customer_class", "duration"),
)
BILLING: Final = View(
    "complaints_and_invoices",
    f"""SELECT {", ".join(WHERE)}, complaint_id, NULL AS invoice_id FROM complaint_rows WHERE complaint_type = 'billing'
    UNION ALL SELECT {", ".join(WHERE)}, NULL, invoice_id FROM invoice_rows""",
    WHERE,
)
VIEWS: Final = (COMPLAINTS, WITH_SERVED, OPEN, OFTEN, ORDERS, AFTER, BILLING)


def _rows(name: str, title: str, unit: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as kpi has them
    return kpi(name, title, unit, "complaint_rows", sql, **more)


KPIS: Final = (
    kpi("complaints_per_1000", "Complaints for 1,000 customers", "1", "complaints_and_customers",
        f"COUNT(complaint_id) * 1000 / {SERVED}"),
    _rows("complaints_by_type", "Share of complaints by type", "1", "COUNT(*) / SUM(COUNT(*)) OVER ()", grain=("complaint_type",)),
    _rows("first_response_median", "Until the first response, median", "h", nearest("to_response", 0.5)),
    _rows("first_response_p95", "Until the first response, 95th percentile", "h", nearest("to_response", 0.95)),
    _rows("resolution_median", "Until the solution, median", "h", nearest("to_resolution", 0.5)),
    _rows("resolution_p95", "Until the solution, 95th percentile", "h", nearest("to_resolution", 0.95)),
    _rows("promises_kept", "Solved within the promised time, of those that are solved or due", "1",
          "COUNT_IF(is_kept) / COUNT_IF(is_kept OR is_broken)", better="higher"),
    kpi("complaints_open", "Complaints open at the end of the period", "1", "complaints_open", "MAX_BY(amount, date_sk)",
        per=("date_sk",), inner={"amount": "COUNT(complaint_id)"}),
    kpi("age_of_open", "Mean age of those that are open at the end of the period", "d", "complaints_open",
        "MAX_BY(age_of, date_sk)", per=("date_sk",), inner={"age_of": "COALESCE(AVG(CAST(age AS DOUBLE)), 0)"}),
    _rows("reopened", "Complaints that were opened again", "1", "COUNT(reopened_at) / COUNT(*)"),
    _rows("first_contact", "Solved at the first contact", "1",
          "COUNT_IF(contacts = 1 AND resolved_at IS NOT NULL) / COUNT(resolved_at)", better="higher"),
    kpi("frequent_complainers", "Customers with three complaints within 90 days", "1", "complaints_often",
        "COUNT(DISTINCT CASE WHEN within_90_days >= 3 THEN customer_id END)"),
    _rows("complaints_by_channel", "Share of complaints by channel", "1", "COUNT(*) / SUM(COUNT(*)) OVER ()", grain=("channel",)),
    _rows("complaints_of_outages", "Complaints that are about an outage", "1", "COUNT(outage_id) / COUNT(*)"),
    kpi("billing_complaints", "Complaints about billing for 1,000 invoices", "1", "complaints_and_invoices",
        "COUNT(complaint_id) * 1000 / COUNT(invoice_id)"),
    kpi("connection_days", "From the request for a connection to power, mean", "d", "order_rows",
        "AVG(CASE WHEN order_type = 'new_connection' THEN CAST(hours AS DOUBLE) END) / 24"),
    kpi("reconnection_hours", "From payment to reconnection, mean", "h", "order_rows",
        "AVG(CASE WHEN order_type = 'reconnection' THEN CAST(hours AS DOUBLE) END)"),
    kpi("complaints_after_outage", "Complaints for 1,000 customers interrupted, by duration", "1", "complaints_after_outages",
        "COUNT(complaint_id) * 1000 / COUNT(*)", grain=("duration",)),
)  # fmt: skip
