"""The billing cycle: invoices, readings, and what is unusual in them."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Any, Final

from datasets.utility.kpis.common import WHERE, joined, kpi, nearest, place, seconds
from meterlake.lakehouse.model import Kpi, View

_BY: Final = (*WHERE, "customer_class", "tariff_id", "invoice_type")

INVOICES: Final = View(
    "invoice_rows",
    f"""WITH invoices AS (
        SELECT invoice_id, invoice_type, reading_id, customer_id, customer_class, tariff_id, feeder_sk, date_sk, invoiced_at,
            read_at, period_from, period_to, due_on, is_back_billed, reversed_at, SUM(kwh) AS kwh, SUM(amount) AS amount
        FROM fact_invoice_line
        GROUP BY invoice_id, invoice_type, reading_id, customer_id, customer_class, tariff_id, feeder_sk, date_sk,
            invoiced_at, read_at, period_from, period_to, due_on, is_back_billed, reversed_at),
    marked AS (
        SELECT i.*, ROW_NUMBER() OVER (PARTITION BY reading_id, reversed_at IS NULL ORDER BY invoiced_at, invoice_id) AS place
        FROM invoices i)
    SELECT {place("m")}, m.invoice_id, m.invoice_type, m.reading_id, m.customer_id, m.customer_class, m.tariff_id, m.invoiced_at,
        m.is_back_billed, m.kwh, m.amount, m.due_on, m.reversed_at,
        m.reversed_at IS NULL AND m.place > 1 AS is_duplicate, m.reversed_at IS NULL AND m.place = 1 AS counts,
        {seconds("m.read_at", "m.invoiced_at")} / 86400 AS to_invoice, DATEDIFF(m.period_to, m.period_from) + 1 AS days,
        CASE WHEN MONTH(m.period_to) BETWEEN 4 AND 9 THEN 'summer' ELSE 'winter' END AS season
    FROM marked m {joined("m")}""",
    _BY,
)
READINGS: Final = View(
    "reading_rows",
    f"""WITH billed AS (SELECT DISTINCT reading_id FROM fact_invoice_line)
    SELECT {place("r")}, r.reading_id, r.customer_id, r.customer_class, r.reading_type, r.reading_reason, r.consumption_kwh,
        r.status, r.estimates_in_a_row,
        b.reading_id IS NULL AND r.read_at < h.ends - INTERVAL '10' DAY AS is_unbilled,
        r.read_at < h.ends - INTERVAL '10' DAY AS is_due
    FROM fact_meter_reading r {joined("r")} CROSS JOIN horizon h LEFT JOIN billed b ON b.reading_id = r.reading_id""",
    (*WHERE, "customer_class", "reading_reason"),
)
FLAGS: Final = View(
    "invoice_flags",
    f"""WITH uses AS (
        SELECT *, CAST(kwh AS DOUBLE) / days AS daily FROM invoice_rows WHERE counts),
    before AS (
        SELECT u.invoice_id, b.daily FROM uses u JOIN uses b ON b.customer_id = u.customer_id AND b.season = u.season
            AND b.invoiced_at < u.invoiced_at),
    middles AS (SELECT invoice_id, COUNT(*) AS history, {nearest("daily", 0.5)} AS middle FROM before GROUP BY invoice_id),
    spreads AS (
        SELECT b.invoice_id, {nearest("ABS(b.daily - m.middle)", 0.5)} AS mad
        FROM before b JOIN middles m ON m.invoice_id = b.invoice_id GROUP BY b.invoice_id)
    SELECT {", ".join(f"u.{name}" for name in WHERE)}, u.customer_class, u.invoice_id, u.customer_id, u.amount,
        COALESCE(m.history >= 3 AND u.daily > m.middle + 3 * s.mad, FALSE) AS is_high,
        COALESCE(m.history >= 3 AND u.daily < m.middle - 3 * s.mad, FALSE) AS is_low,
        COALESCE(m.history >= 3, FALSE) AS has_history, u.kwh < 0 AS is_negative
    FROM uses u LEFT JOIN middles m ON m.invoice_id = u.invoice_id LEFT JOIN spreads s ON s.invoice_id = u.invoice_id""",
    (*WHERE, "customer_class"),
)
VIEWS: Final = (INVOICES, READINGS, FLAGS)


def _invoices(name: str, title: str, unit: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as kpi has them
    return kpi(name, title, unit, "invoice_rows", sql, **more)


def _readings(name: str, title: str, unit: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as kpi has them
    return kpi(name, title, unit, "reading_rows", sql, **more)


def _flags(name: str, title: str, unit: str, sql: str) -> Kpi:
    return kpi(name, title, unit, "invoice_flags", sql,
               caveat="Against at least three earlier invoices of the customer in the same half of the year")  # fmt: skip


KPIS: Final = (
    _invoices("invoices", "Invoices", "1", "COUNT(*)", better="higher"),
    _invoices("billed_energy", "Billed energy", "kWh", "SUM(CASE WHEN counts THEN kwh END)", better="higher",
              caveat="Without reversed and duplicate invoices"),
    _invoices("billed_amount", "Billed amount", "PKR", "SUM(CASE WHEN counts THEN amount END)", better="higher"),
    _invoices("mean_price", "Mean price, with charges and tax", "PKR/kWh",
              "SUM(CASE WHEN counts THEN amount END) / SUM(CASE WHEN counts THEN kwh END)", better="higher"),
    _invoices("reading_to_invoice", "From reading to invoice, mean", "d",
              "AVG(CASE WHEN invoice_type = 'regular' THEN CAST(to_invoice AS DOUBLE) END)"),
    _readings("not_billed", "Contracts not billed within 10 days of their reading", "1", "COUNT_IF(is_unbilled)"),
    _readings("estimated_readings", "Share of estimated readings", "1", "COUNT_IF(reading_type = 'estimated') / COUNT(*)"),
    _readings("estimated_three_times", "Customers with three or more estimates in a row", "1",
              "COUNT(DISTINCT CASE WHEN estimates_in_a_row >= 3 THEN customer_id END)"),
    _invoices("reversed_invoices", "Reversed or corrected invoices", "1",
              "COUNT_IF(reversed_at IS NOT NULL OR invoice_type = 'correction') / COUNT(*)"),
    _invoices("duplicate_invoices", "Second invoices of a reading", "1", "COUNT_IF(is_duplicate)"),
    _readings("zero_consumption", "Zero consumption on active points", "1",
              "COUNT_IF(consumption_kwh = 0 AND status = 'active') / COUNT_IF(status = 'active')"),
    _readings("negative_consumption", "Negative consumption", "1", "COUNT_IF(consumption_kwh < 0)"),
    _flags("high_bills", "High bills: more than 3 MAD above the customer's own", "1", "COUNT_IF(is_high) / COUNT_IF(has_history)"),
    _flags("low_bills", "Low bills: more than 3 MAD below the customer's own", "1", "COUNT_IF(is_low) / COUNT_IF(has_history)"),
    _invoices("odd_cycles", "Cycles shorter than 28 or longer than 33 days", "1",
              "COUNT_IF(invoice_type = 'regular' AND NOT days BETWEEN 28 AND 33) / COUNT_IF(invoice_type = 'regular')"),
    _invoices("back_billed", "Energy billed after estimates", "kWh", "SUM(CASE WHEN counts AND is_back_billed THEN kwh END)"),
    _readings("meter_changes", "Roll-overs of registers and changes of meters", "1", "COUNT_IF(reading_reason <> 'periodic')"),
    _flags("amount_at_risk", "Amount of high, low and negative invoices", "PKR",
           "SUM(CASE WHEN is_high OR is_low OR is_negative THEN ABS(amount) END)"),
)  # fmt: skip
